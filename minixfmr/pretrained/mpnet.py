"""MPNet: RoBERTa's embeddings and head, and T5's relative positions, one table for all layers."""

from .bert import ENCODER, SIZES, block_names, embedding_names, encoder_fields, heads
from .family import BODY, Family
from .keys import must, to, tokens
from .roberta import MATRIX, OUTSIDE, UNUSED, head_names, ties

KEYS = {
    **ENCODER,
    **SIZES,
    **tokens(1, 0, 2),
    "pad_token_id": must(1),  # from which positions count, whatever is said
    "vocab_size": to("vocab_size", 30527),
    "relative_attention_num_buckets": must(32),
}


def fields(c, head):
    """The fields of Config that are not one key each."""
    return encoder_fields(c, counted=True) | {
        "relative_positions": "buckets",
        "relative_buckets": 32,
        "relative_max_distance": 128,
        "head_activation": "tanh" if head == "sequence_classification" else "gelu",
        "tie_word_embeddings": MATRIX not in c.separate,
    }


def names(c, config):
    """{our name: their name}"""
    layer = f"{BODY}encoder.layer.{{i}}."
    letters = {"query": "q", "key": "k", "value": "v", "output": "o"}
    projections = {part: f"{layer}attention.attn.{letter}" for part, letter in letters.items()}
    rest = ("attention.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm")
    return (
        embedding_names()
        | block_names(projections, tuple(layer + name for name in rest))
        | head_names(c, config)
        | {"encoder.relative_positions": f"{BODY}encoder.relative_attention_bias"}
    )


FAMILIES = [Family("mpnet", heads("MPNet"), KEYS, fields, names, "mpnet.", ties, OUTSIDE, UNUSED)]
