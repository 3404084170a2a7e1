"""DistilBERT: BERT's network under other names, without token types."""

from .bert import ENCODER, block_names, embedding_names, heads
from .family import BODY, Family, activation, num_labels, token_fields
from .keys import free, read, to, tokens

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
    "activation": read("gelu"),
    "dropout": to("dropout", 0.1),
    "attention_dropout": to("attention_dropout", 0.1),
}
MATRIX = "vocab_projector.weight"


def ties(c):
    """The output matrix."""
    return [(MATRIX, f"{BODY}embeddings.word_embeddings.weight")]


def fields(c, head):
    """The fields of Config that are not one key each."""
    act = activation(c, "activation")
    return token_fields(c) | {
        "positions": "learned",
        "embedding_norm": True,
        "scale_embeddings": False,
        "layer_norm_eps": 1e-12,
        "activation": act,
        "head_activation": "relu" if head == "sequence_classification" else act,
        "num_labels": num_labels(c),
        "tie_word_embeddings": MATRIX not in c.separate,
    }


def names(c, config):
    """{our name: their name}"""
    layer = f"{BODY}transformer.layer.{{i}}."
    letters = {"query": "q_lin", "key": "k_lin", "value": "v_lin", "output": "out_lin"}
    projections = {part: f"{layer}attention.{name}" for part, name in letters.items()}
    rest = ("sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm")
    output = MATRIX if config.head == "masked_lm" else "classifier.weight"
    return (
        embedding_names()
        | block_names(projections, tuple(layer + name for name in rest))
        | {
            "head.dense": "vocab_transform" if config.head == "masked_lm" else "pre_classifier",
            "head.norm": "vocab_layer_norm",
            "head.bias": "vocab_projector.bias",
            "head.output.weight": output,
            "head.output.bias": "classifier.bias",
        }
    )


OTHERS = r"(vocab_transform|vocab_layer_norm|vocab_projector|pre_classifier|classifier|qa_outputs)\."
FAMILIES = [Family("distilbert", heads("DistilBert"), KEYS, fields, names, "distilbert.", ties, OTHERS, OTHERS + ".*")]
