"""Gemma: LLaMA with gains stored minus 1, and embeddings times √d."""

from .keys import must, tokens, with_defaults
from .llama import KEYS as LLAMA
from .llama import family
from .llama import fields as llama_fields

KEYS = {
    **with_defaults(
        LLAMA,
        vocab_size=256000,
        hidden_size=3072,
        intermediate_size=24576,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=16,
        head_dim=256,
        hidden_act="gelu_pytorch_tanh",
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    ),
    **tokens(0, 2, 1),
    "mlp_bias": must(False),
    "use_bidirectional_attention": must(None, False),
}


def fields(c, head):
    """The fields of Config that are not one key each. The first folders said gelu and meant its tanh form."""
    first = {"activation": "gelu_tanh"} if c.hidden_act == "gelu" else {}
    return llama_fields(c, head) | first | {"norm": "rms_offset", "scale_embeddings": True}


FAMILIES = [family("gemma", "Gemma", KEYS, fields)]
