"""ELECTRA: BERT's body over embeddings of their own width, and the heads of generator and classifier."""

from ..models import EncoderOnly
from .bert import KEYS as BERT
from .bert import bert_block, block_names, embedding_names, encoder_fields, heads
from .family import BODY, Family, activation
from .keys import read, to

KEYS = BERT | {
    "embedding_size": read(128),
    "hidden_size": to("d_model", 256),
    "num_attention_heads": to("num_heads", 4),
    "intermediate_size": to("d_ff", 1024),
}
MATRIX = "generator_lm_head.weight"


def ties(c):
    """The output matrix."""
    return [(MATRIX, f"{BODY}embeddings.word_embeddings.weight")]


def fields(c, head):
    """The fields of Config that are not one key each. The heads of generator and classifier do not ask hidden_act."""
    narrow = c.embedding_size != c.hidden_size
    return encoder_fields(c) | {
        "embedding_size": c.embedding_size if narrow else None,
        "head_activation": activation(c, "hidden_act") if head == "replaced_tokens" else "gelu",
        "tie_word_embeddings": MATRIX not in c.separate,
    }


def names(c, config):
    """{our name: their name}"""
    first, last = {
        "masked_lm": ("generator_predictions.dense", "generator_lm_head"),
        "replaced_tokens": ("discriminator_predictions.dense", "discriminator_predictions.dense_prediction"),
        "sequence_classification": ("classifier.dense", "classifier.out_proj"),
    }.get(config.head, ("", "classifier"))
    return (
        embedding_names()
        | block_names(*bert_block())
        | {
            "embedding.projection": f"{BODY}embeddings_project",
            "head.dense": first,
            "head.norm": "generator_predictions.LayerNorm",
            "head.bias": "generator_lm_head.bias",
            "head.output": last,
        }
    )


OTHERS = r"(generator_predictions|generator_lm_head|discriminator_predictions|classifier|qa_outputs)\."
HEADS = heads("Electra") | {"ElectraForPreTraining": (EncoderOnly, "replaced_tokens")}
FAMILIES = [Family("electra", HEADS, KEYS, fields, names, "electra.", ties, OTHERS, OTHERS + ".*")]
