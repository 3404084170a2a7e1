"""MPNet: RoBERTa's embeddings and heads, and T5's relative positions, one table for all layers."""

from .encoders import EMBEDDINGS, ENCODER, POOLER, SIZES, encoder_heads
from .family import Family
from .keys import must, to, tokens
from .layouts import block
from .roberta import HEADS, TIES
from .roberta import fields as roberta_fields

KEYS = {
    **ENCODER,
    **SIZES,
    **tokens(1, 0, 2),
    "pad_token_id": must(1),  # from which positions count, whatever is said
    "vocab_size": to("vocab_size", 30527),
    "relative_attention_num_buckets": must(32),
}
NAMES = {
    **EMBEDDINGS,
    **HEADS,
    "encoder.relative_positions": "*.encoder.relative_attention_bias",
    **block(
        "encoder.blocks.{i}.",
        "*.encoder.layer.{i}.",
        self_attention=("attention.LayerNorm", *(f"attention.attn.{letter}" for letter in "qkvo")),
        feed_forward=("output.LayerNorm", "intermediate.dense", "output.dense"),
    ),
}


def fields(c, head):
    """The fields of Config that are not one key each."""
    return roberta_fields(c, head) | {
        "relative_positions": "buckets",
        "relative_buckets": 32,
        "relative_max_distance": 128,
    }


FAMILIES = [
    Family("mpnet", encoder_heads("MPNet"), KEYS, fields, NAMES, "mpnet.", lambda c: TIES, unused=POOLER),
]
