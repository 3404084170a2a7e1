"""DistilBERT: BERT's network under other names, without token types."""

from .encoders import EMBEDDINGS, ENCODER, encoder_fields, encoder_heads
from .family import Family, act, activation
from .keys import free, to, tokens
from .layouts import block

KEYS = {
    **ENCODER,
    **free("sinusoidal_pos_embds qa_dropout seq_classif_dropout tie_weights_"),
    **tokens(0, None, None),
    "vocab_size": to("vocab_size", 30522),
    "dim": to("d_model", 768, "hidden_size"),
    "n_layers": to("num_encoder_layers", 6, "num_hidden_layers"),
    "n_heads": to("num_heads", 12, "num_attention_heads"),
    "hidden_dim": to("d_ff", 3072),
    "max_position_embeddings": to("max_position_embeddings", 512),
    "activation": act("gelu"),
    "dropout": to("dropout", 0.1),
    "attention_dropout": to("attention_dropout", 0.1),
}
NAMES = {
    **EMBEDDINGS,
    **block(
        "encoder.blocks.{i}.",
        "*.transformer.layer.{i}.",
        self_attention=("sa_layer_norm", *(f"attention.{name}_lin" for name in ("q", "k", "v", "out"))),
        feed_forward=("output_layer_norm", "ffn.lin1", "ffn.lin2"),
    ),
    "masked_lm.dense": "vocab_transform",
    "masked_lm.norm": "vocab_layer_norm",
    "masked_lm.output": "vocab_projector",
    "masked_lm.bias": "vocab_projector.bias",
    "sequence_classification.dense": "pre_classifier",
    "sequence_classification.output": "classifier",
    "token_classification.output": "classifier",
}


def fields(c, head):
    """The fields of Config that are not one key each."""
    head_activation = "relu" if head == "sequence_classification" else activation(c, "activation")
    return encoder_fields(c, head, "activation") | {"layer_norm_eps": 1e-12, "head_activation": head_activation}


FAMILIES = [Family("distilbert", encoder_heads("DistilBert"), KEYS, fields, NAMES, "distilbert.")]
