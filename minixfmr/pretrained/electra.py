"""ELECTRA: BERT's body over embeddings of their own width, and the heads of generator and classifier."""

from ..models import EncoderOnly
from .bert import BODY
from .bert import KEYS as BERT
from .encoders import encoder_fields, encoder_heads
from .family import Family, activation
from .keys import read, with_defaults

KEYS = with_defaults(BERT, hidden_size=256, num_attention_heads=4, intermediate_size=1024) | {
    "embedding_size": read(128),
}
NAMES = {
    **BODY,
    "embedding.projection": "*.embeddings_project",
    "masked_lm.dense": "generator_predictions.dense",
    "masked_lm.norm": "generator_predictions.LayerNorm",
    "masked_lm.output": "generator_lm_head",
    "masked_lm.bias": "generator_lm_head.bias",
    "replaced_tokens.dense": "discriminator_predictions.dense",
    "replaced_tokens.output": "discriminator_predictions.dense_prediction",
    "sequence_classification.dense": "classifier.dense",
    "sequence_classification.output": "classifier.out_proj",
    "token_classification.output": "classifier",
}


def fields(c, head):
    """The fields of Config that are not one key each. The heads of generator and classifier do not ask hidden_act."""
    narrow = c.embedding_size != c.hidden_size
    return encoder_fields(c, head) | {
        "embedding_size": c.embedding_size if narrow else None,
        "head_activation": activation(c, "hidden_act") if head == "replaced_tokens" else "gelu",
    }


HEADS = encoder_heads("Electra") | {"ElectraForPreTraining": (EncoderOnly, "replaced_tokens")}
FAMILIES = [Family("electra", HEADS, KEYS, fields, NAMES, "electra.")]
