"""RoBERTa, also as XLM-RoBERTa and CamemBERT: BERT with positions that count from padding, and other heads."""

from .bert import KEYS as BERT
from .bert import TABLE, bert_block, block_names, embedding_names, encoder_fields, heads
from .family import Family
from .keys import to, tokens

KEYS = BERT | tokens(1, 0, 2)
MATRIX, BIAS, FIRST = "lm_head.decoder.weight", "lm_head.decoder.bias", "lm_head.bias"


def ties(c):
    """The output matrix and its bias."""
    return [(MATRIX, TABLE), (BIAS, FIRST)]


def fields(c, head):
    """The fields of Config that are not one key each. The heads do not ask hidden_act."""
    return encoder_fields(c, counted=True) | {
        "head_activation": "tanh" if head == "sequence_classification" else "gelu",
        "tie_word_embeddings": MATRIX not in c.separate,
    }


def names(c, config):
    """{our name: their name}"""
    return embedding_names() | block_names(*bert_block()) | head_names(c, config)


def head_names(c, config):
    """The names of the heads."""
    lm = config.head == "masked_lm"
    classifier = "classifier.out_proj" if config.head == "sequence_classification" else "classifier"
    return {
        "head.dense": "lm_head.dense" if lm else "classifier.dense",
        "head.norm": "lm_head.layer_norm",
        "head.bias": c.own(BIAS, FIRST),
        "head.output.weight": MATRIX if lm else f"{classifier}.weight",
        "head.output.bias": f"{classifier}.bias",
    }


OUTSIDE = r"(lm_head|classifier|qa_outputs)\."
UNUSED = OUTSIDE + r".*|\*\.pooler\..*"
FAMILIES = [
    Family(
        kind, heads(name), KEYS | {"vocab_size": to("vocab_size", V)}, fields, names, "roberta.", ties, OUTSIDE, UNUSED
    )
    for kind, name, V in (
        ("roberta", "Roberta", 50265),
        ("xlm-roberta", "XLMRoberta", 30522),
        ("camembert", "Camembert", 30522),
    )
]
