"""Mistral: LLaMA with a sliding window."""

from .keys import must, read, with_defaults
from .llama import KEYS as LLAMA
from .llama import family

KEYS = {
    **with_defaults(LLAMA, intermediate_size=14336, num_key_value_heads=8, max_position_embeddings=131072),
    "sliding_window": read(4096, null=True),
    "attention_bias": must(False),
    "mlp_bias": must(False),
}
FAMILIES = [family("mistral", "Mistral", KEYS)]
