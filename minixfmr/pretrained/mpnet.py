"""MPNet: RoBERTa's embeddings and head, and T5's relative positions, one table for all layers."""

from .bert import ENCODER, SIZES, TIES, block_names, embedding_names, encoder_fields, heads, ties
from .family import BODY, Family
from .keys import must, to, tokens

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
        "tie_word_embeddings": ties(c)[0][0] not in c.separate,
    }


def names(c, config):
    """{our name: their name}"""
    matrix, bias, first = TIES["roberta"]
    layer, lm = f"{BODY}encoder.layer.{{i}}.", config.head == "masked_lm"
    letters = {"query": "q", "key": "k", "value": "v", "output": "o"}
    projections = {part: f"{layer}attention.attn.{letter}" for part, letter in letters.items()}
    rest = ("attention.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm")
    classifier = "classifier.out_proj" if config.head == "sequence_classification" else "classifier"
    return (
        embedding_names()
        | block_names(projections, tuple(layer + name for name in rest))
        | {
            "encoder.relative_positions": f"{BODY}encoder.relative_attention_bias",
            "head.dense": "lm_head.dense" if lm else "classifier.dense",
            "head.norm": "lm_head.layer_norm",
            "head.bias": c.own(bias, first),
            "head.output.weight": matrix if lm else f"{classifier}.weight",
            "head.output.bias": f"{classifier}.bias",
        }
    )


OUTSIDE = r"(lm_head|classifier|qa_outputs)\."
FAMILIES = [
    Family("mpnet", heads("MPNet"), KEYS, fields, names, "mpnet.", ties, OUTSIDE, OUTSIDE + r".*|\*\.pooler\..*")
]
