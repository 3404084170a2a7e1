"""Mistral: LLaMA with a sliding window."""

from .keys import must, read, to
from .llama import KEYS as LLAMA
from .llama import family

KEYS = LLAMA | {
    "intermediate_size": to("d_ff", 14336),
    "num_key_value_heads": to("num_key_value_heads", 8),
    "max_position_embeddings": to("max_position_embeddings", 131072),
    "sliding_window": read(4096, null=True),
    "attention_bias": must(False),
    "mlp_bias": must(False),
}
FAMILIES = [family("mistral", "Mistral", KEYS)]
