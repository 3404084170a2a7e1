"""Heads: what a stack's vectors are used for.

Each is made by Head(config, table, rng), where table is the token table, and called as forward(x, ids, attention_mask):
the vectors, the ids that were read, and which of them are real.
"""

from typing import Any

from ..backend import Array, random_generator, to_device, xp
from ..layers import OutputProjection
from ..module import Buffer, Module, Parameter
from .config import Config


class LanguageModelHead(Module):
    """Which token comes next?   z = x Eᵀ; some published systems scale x or add a constant."""

    def __init__(self, config: Config, table: Parameter, rng: Any = 0) -> None:
        V, d = table.shape
        if not config.tie_word_embeddings:
            table = Parameter(to_device(random_generator(rng).normal(0, d**-0.5, (V, d)), config.dtype))
        self.scale = d**-0.5 if config.scale_output else 1.0
        self.bias = Buffer(xp.zeros(V, dtype=config.dtype)) if config.logits_bias else None
        self.output = OutputProjection(table, self.bias)

    def forward(self, x: Array, ids: Any = None, attention_mask: Any = None) -> tuple[Array, tuple]:
        """x: (..., d) → logits (..., V)"""
        return self.output.forward(x if self.scale == 1 else x * self.scale)

    def backward(self, dlogits: Array, saved: tuple) -> Array:
        dx = self.output.backward(dlogits, saved)
        return dx if self.scale == 1 else dx * self.scale


def make_head(kinds: dict[str, Any], config: Config, table: Parameter, rng: Any) -> Any:
    """The head that the config asks for, out of {name: class}; "auto" means the first."""
    return kinds[next(iter(kinds)) if config.head == "auto" else config.head](config, table, rng)
