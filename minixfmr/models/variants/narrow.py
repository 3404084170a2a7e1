"""Embeddings narrower than the vectors between layers, and a projection from one width to the other."""

from dataclasses import replace
from typing import Any

from ...backend import Array, random_generator
from ...layers import Linear
from ..config import Config
from .inputs import VariantEmbedding


class NarrowEmbedding(VariantEmbedding):
    """embedding(ids) W + b, with tables of width embedding_size (ALBERT, ELECTRA; Lan et al. 2020, section 3.1)."""

    def __init__(self, config: Config, vocab_size: int, tokens: Any = None, rng: Any = 0) -> None:
        rng = random_generator(rng)
        width = config.embedding_size or config.d_model
        super().__init__(replace(config, d_model=width, head_dim=1), vocab_size, tokens, rng)
        self.projection = Linear(width, config.d_model, rng=rng, dtype=config.dtype)

    def forward(self, ids: Array, *options: Any, **named: Any) -> tuple[Array, tuple]:
        """ids: (B, T) → (B, T, d); the options are those of VariantEmbedding"""
        x, saved_embedding = super().forward(ids, *options, **named)  # (B, T, e)
        y, saved_projection = self.projection.forward(x)
        return y, (saved_embedding, saved_projection)

    def backward(self, dy: Array, saved: tuple) -> None:
        saved_embedding, saved_projection = saved
        super().backward(self.projection.backward(dy, saved_projection), saved_embedding)


def make_encoder_embedding(config: Config, rng: Any) -> VariantEmbedding:
    """The embedding of an encoder."""
    kind = VariantEmbedding if config.embedding_size is None else NarrowEmbedding
    return kind(config, config.vocab_size, rng=rng)
