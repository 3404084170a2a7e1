"""BERT, and what all encoders have in common."""

from ..models import EncoderOnly
from .family import BODY, Family, activation, num_labels, token_fields
from .keys import COMMON, free, must, must_all, read, to, tokens

SIZES = {
    "hidden_size": to("d_model", 768),
    "num_hidden_layers": to("num_encoder_layers", 12),
    "num_attention_heads": to("num_heads", 12),
    "intermediate_size": to("d_ff", 3072),
    "max_position_embeddings": to("max_position_embeddings", 512),
    "hidden_act": read("gelu"),
    "layer_norm_eps": to("layer_norm_eps", 1e-12),
    "hidden_dropout_prob": to("dropout", 0.1),
    "attention_probs_dropout_prob": to("attention_dropout", 0.1),
}
ENCODER = {  # what may be in the folder of any encoder
    **COMMON,
    **free("is_causal classifier_dropout sliding_window layer_types"),
    **must_all(False, "is_decoder"),
}
KEYS = {
    **ENCODER,
    **SIZES,
    **tokens(0, None, None),
    "vocab_size": to("vocab_size", 30522),
    "type_vocab_size": to("type_vocab_size", 2),
    "position_embedding_type": must("absolute"),
}
MATRIX, BIAS, FIRST = "cls.predictions.decoder.weight", "cls.predictions.decoder.bias", "cls.predictions.bias"
TABLE = f"{BODY}embeddings.word_embeddings.weight"


def heads(name):
    """{architecture: (class, head)}"""
    return {
        f"{name}ForMaskedLM": (EncoderOnly, "masked_lm"),
        f"{name}ForSequenceClassification": (EncoderOnly, "sequence_classification"),
        f"{name}ForTokenClassification": (EncoderOnly, "token_classification"),
        f"{name}Model": (EncoderOnly, "none"),
    }


def ties(c):
    """The output matrix and its bias."""
    return [(MATRIX, TABLE), (BIAS, FIRST)]


def fields(c, head):
    """The fields of Config that are not one key each."""
    return encoder_fields(c) | {
        "head_activation": "tanh" if head == "sequence_classification" else activation(c, "hidden_act"),
        "tie_word_embeddings": MATRIX not in c.separate,
    }


def encoder_fields(c, counted=False):
    """What BERT and its descendants have in common. counted: whether positions count from the padding id"""
    return token_fields(c, counted=counted) | {
        "positions": "learned",
        "embedding_norm": True,
        "scale_embeddings": False,
        "activation": activation(c, "hidden_act"),
        "num_labels": num_labels(c),
    }


def names(c, config):
    """{our name: their name}"""
    lm = config.head == "masked_lm"
    return (
        embedding_names()
        | block_names(*bert_block())
        | {
            "head.dense": "cls.predictions.transform.dense" if lm else f"{BODY}pooler.dense",
            "head.norm": "cls.predictions.transform.LayerNorm",
            "head.bias": c.own(BIAS, FIRST),
            "head.output.weight": MATRIX if lm else "classifier.weight",
            "head.output.bias": "classifier.bias",
        }
    )


def embedding_names():
    """The names of the embeddings."""
    return {
        "embedding.tokens": f"{BODY}embeddings.word_embeddings",
        "embedding.positions": f"{BODY}embeddings.position_embeddings",
        "embedding.types": f"{BODY}embeddings.token_type_embeddings",
        "embedding.norm": f"{BODY}embeddings.LayerNorm",
    }


def bert_block():
    """The names of a BERT block: its four projections, and (attention norm, hidden, output, feed-forward norm)."""
    layer = f"{BODY}encoder.layer.{{i}}."
    projections = {part: f"{layer}attention.self.{part}" for part in ("query", "key", "value")}
    rest = ("attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm")
    return projections | {"output": f"{layer}attention.output.dense"}, tuple(layer + name for name in rest)


def block_names(projections, rest):
    """The rules for the names of a block."""
    ours = ("self_attention.norm", "feed_forward.layer.hidden", "feed_forward.layer.output", "feed_forward.norm")
    rules = {f"encoder.blocks.{{i}}.{name}": theirs for name, theirs in zip(ours, rest, strict=True)}
    return rules | {f"encoder.blocks.{{i}}.self_attention.layer.{part}": theirs for part, theirs in projections.items()}


OUTSIDE = r"(cls|classifier|qa_outputs)\."
FAMILIES = [
    Family(
        "bert",
        heads("Bert"),
        KEYS,
        fields,
        names,
        "bert.",
        ties,
        OUTSIDE,
        OUTSIDE + r".*|\*\.pooler\..*",
        aliases={"BertForPreTraining": "BertForMaskedLM"},
    )
]
