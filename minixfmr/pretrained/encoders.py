"""What the encoders have in common."""

from typing import Any

from ..models import EncoderOnly
from .family import act, activation, heads, num_labels, token_fields
from .keys import COMMON, Key, Values, free, must_all, to, usual

ENCODER = {  # what may be in the folder of any
    **COMMON,
    **free("is_causal classifier_dropout sliding_window layer_types"),
    **must_all(False, "is_decoder"),
}
SIZES: dict[str, Key] = {
    **usual(hidden_size=768, num_attention_heads=12, intermediate_size=3072, max_position_embeddings=512),
    **usual(layer_norm_eps=1e-12),
    "num_hidden_layers": to("num_encoder_layers", 12),
    "hidden_act": act("gelu"),
    "hidden_dropout_prob": to("dropout", 0.1),
    "attention_probs_dropout_prob": to("attention_dropout", 0.1),
}
TABLE = "*.embeddings.word_embeddings"
POOLER = r"\*\.pooler\..*"  # which only some heads have a use for
EMBEDDINGS = {
    "embedding.tokens": TABLE,
    "embedding.positions": "*.embeddings.position_embeddings",
    "embedding.types": "*.embeddings.token_type_embeddings",
    "embedding.norm": "*.embeddings.LayerNorm",
}


def encoder_heads(name: str) -> dict[str, tuple[Any, str]]:
    """{architecture: (class of model, head)}"""
    return heads(EncoderOnly, name, "masked_lm", "sequence_classification", "token_classification")


def encoder_fields(c: Values, head: str, key: str = "hidden_act", counted: bool = False) -> dict[str, Any]:
    """The fields of Config. key: of the activation; counted: whether positions count from the padding id"""
    return token_fields(c, counted=counted) | {
        "positions": "learned",
        "embedding_norm": True,
        "scale_embeddings": False,
        "head_activation": "tanh" if head == "sequence_classification" else activation(c, key),
        "num_labels": num_labels(c),
    }
