"""Gemma: LLaMA with gains stored minus 1, and embeddings times √d."""

from .keys import must, read, to, tokens
from .llama import KEYS as LLAMA
from .llama import family
from .llama import fields as llama_fields

KEYS = (
    LLAMA
    | tokens(0, 2, 1)
    | {
        "vocab_size": to("vocab_size", 256000),
        "hidden_size": to("d_model", 3072),
        "intermediate_size": to("d_ff", 24576),
        "num_hidden_layers": to("num_decoder_layers", 28),
        "num_attention_heads": to("num_heads", 16),
        "num_key_value_heads": to("num_key_value_heads", 16),
        "head_dim": to("head_dim", 256),
        "hidden_act": read("gelu_pytorch_tanh"),
        "max_position_embeddings": to("max_position_embeddings", 8192),
        "tie_word_embeddings": read(True),
        "mlp_bias": must(False),
        "use_bidirectional_attention": must(None, False),
    }
)


def fields(c, head):
    """The fields of Config that are not one key each. The first folders said gelu and meant its tanh form."""
    c = c.with_value("hidden_act", "gelu_pytorch_tanh") if c.hidden_act == "gelu" else c
    return llama_fields(c, head) | {"norm": "rms_offset", "scale_embeddings": True}


FAMILIES = [family("gemma", "Gemma", KEYS, fields)]
