"""ALBERT: one block for all layers, over narrow embeddings."""

from .bert import KEYS as BERT
from .bert import block_names, embedding_names, encoder_fields, heads
from .family import BODY, Family, activation
from .keys import free, must, read, to, tokens

KEYS = {
    **BERT,
    **tokens(0, 2, 3),
    **free("classifier_dropout_prob net_structure_type num_memory_blocks gap_size down_scale_factor"),
    "vocab_size": to("vocab_size", 30000),
    "embedding_size": to("embedding_size", 128),
    "hidden_size": to("d_model", 4096),
    "num_attention_heads": to("num_heads", 64),
    "intermediate_size": to("d_ff", 16384),
    "hidden_act": read("gelu_new"),
    "hidden_dropout_prob": to("dropout", 0.0),
    "attention_probs_dropout_prob": to("attention_dropout", 0.0),
    "num_hidden_groups": must(1),
    "inner_group_num": must(1),
}
MATRIX, BIAS, FIRST = "predictions.decoder.weight", "predictions.decoder.bias", "predictions.bias"


def ties(c):
    """The output matrix and its bias."""
    return [(MATRIX, f"{BODY}embeddings.word_embeddings.weight"), (BIAS, FIRST)]


def fields(c, head):
    """The fields of Config that are not one key each."""
    return encoder_fields(c) | {
        "shared_blocks": True,
        "head_activation": "tanh" if head == "sequence_classification" else activation(c, "hidden_act"),
        "tie_word_embeddings": MATRIX not in c.separate,
    }


def names(c, config):
    """{our name: their name}"""
    layer, lm = f"{BODY}encoder.albert_layer_groups.0.albert_layers.0.", config.head == "masked_lm"
    parts = {"query": "query", "key": "key", "value": "value", "output": "dense"}
    projections = {part: f"{layer}attention.{name}" for part, name in parts.items()}
    rest = ("attention.LayerNorm", "ffn", "ffn_output", "full_layer_layer_norm")
    return (
        embedding_names()
        | block_names(projections, tuple(layer + name for name in rest))
        | {
            "embedding.projection": f"{BODY}encoder.embedding_hidden_mapping_in",
            "head.dense": "predictions.dense" if lm else f"{BODY}pooler",
            "head.norm": "predictions.LayerNorm",
            "head.bias": c.own(BIAS, FIRST),
            "head.output.weight": MATRIX if lm else "classifier.weight",
            "head.output.bias": "classifier.bias",
        }
    )


OUTSIDE = r"(predictions|sop_classifier|classifier|qa_outputs)\."
UNUSED = OUTSIDE + r".*|\*\.pooler\..*"
FAMILIES = [
    Family(
        "albert",
        heads("Albert"),
        KEYS,
        fields,
        names,
        "albert.",
        ties,
        OUTSIDE,
        UNUSED,
        aliases={"AlbertForPreTraining": "AlbertForMaskedLM"},
    )
]
