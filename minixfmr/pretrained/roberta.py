"""RoBERTa, also as XLM-RoBERTa and CamemBERT: BERT with positions that count from padding, and other heads."""

from .bert import BODY
from .bert import KEYS as BERT
from .encoders import POOLER, TABLE, encoder_fields, encoder_heads
from .family import Family
from .keys import tokens, with_defaults

KEYS = BERT | tokens(1, 0, 2)
HEADS = {
    "masked_lm.dense": "lm_head.dense",
    "masked_lm.norm": "lm_head.layer_norm",
    "masked_lm.output": "lm_head.decoder",
    "masked_lm.bias": "lm_head.decoder.bias",
    "sequence_classification.dense": "classifier.dense",
    "sequence_classification.output": "classifier.out_proj",
    "token_classification.output": "classifier",
}
TIES = [("lm_head.decoder.weight", f"{TABLE}.weight"), ("lm_head.decoder.bias", "lm_head.bias")]


def fields(c, head):
    """The fields of Config that are not one key each. The heads do not ask hidden_act."""
    return encoder_fields(c, head, counted=True) | {
        "head_activation": "tanh" if head == "sequence_classification" else "gelu"
    }


def family(kind, name, V):
    """One of the three, with a vocabulary of V by default."""
    keys = with_defaults(KEYS, vocab_size=V)
    return Family(kind, encoder_heads(name), keys, fields, BODY | HEADS, "roberta.", lambda c: TIES, unused=POOLER)


FAMILIES = [
    family("roberta", "Roberta", 50265),
    family("xlm-roberta", "XLMRoberta", 30522),
    family("camembert", "Camembert", 30522),
]
