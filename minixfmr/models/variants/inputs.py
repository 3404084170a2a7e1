"""Input embeddings of the descendants: token types, a norm, positions that do not count padding."""

from typing import Any

from ...backend import Array, random_generator, to_numpy
from ...checks.arrays import check_positions
from ...layers import Embedding
from ..config import Config
from ..decoding import positions_by
from ..inputs import InputEmbedding
from .parts import make_norm


class VariantEmbedding(InputEmbedding):
    """dropout(norm(√d · E[ids] + positions + types)), where config asks for a norm and for token types."""

    def __init__(self, config: Config, vocab_size: int, tokens: Embedding | None = None, rng: Any = 0) -> None:
        rng = random_generator(rng)
        super().__init__(config, vocab_size, tokens, rng)
        c = config
        self.types = Embedding(c.type_vocab_size, c.d_model, rng=rng, dtype=c.dtype) if c.type_vocab_size else None
        self.norm = make_norm(c) if c.embedding_norm else None
        self.zero_padding = not c.embedding_padding  # DeBERTa
        self.padding = c.pad_token_id if c.positions_from_ids else None  # RoBERTa, M2M100

    def forward(
        self,
        ids: Any,
        rng: Any = None,
        offset: int = 0,
        position_ids: Any = None,
        token_type_ids: Any = None,
        mask: Array | None = None,
    ) -> tuple[Array, tuple]:
        """ids: (B, T) → (B, T, d)

        offset: position of the first id; position_ids: (B, T), in place of offset, offset + 1, ...
        token_type_ids: (B, T); None: type 0 everywhere. mask: (B, 1, 1, T), False at padding, or None
        """
        e, saved_tokens = self.tokens.forward(ids)  # (B, T, d)
        x, saved_positions = self.positions.forward(e * self.scale, self.rows(ids, offset, position_ids))
        saved_types = saved_norm = real = None
        if self.types is not None:
            t, saved_types = self.types.forward(ids * 0 if token_type_ids is None else token_type_ids)
            x = x + t
        if self.norm is not None:
            x, saved_norm = self.norm.forward(x)
        if mask is not None and self.zero_padding:
            real = mask[:, 0, 0, :, None]  # (B, T, 1)
            x = x * real
        y, saved_dropout = self.dropout.forward(x, rng)
        return y, (saved_tokens, saved_positions, saved_types, saved_norm, real, saved_dropout)

    def backward(self, dy: Array, saved: tuple) -> None:
        saved_tokens, saved_positions, saved_types, saved_norm, real, saved_dropout = saved
        dx = self.dropout.backward(dy, saved_dropout)
        if real is not None:
            dx = dx * real
        if self.norm is not None:
            dx = self.norm.backward(dx, saved_norm)
        if self.types is not None:
            self.types.backward(dx, saved_types)
        de = self.positions.backward(dx, saved_positions)
        self.tokens.backward(de * self.scale, saved_tokens)

    def rows(self, ids: Any, offset: int, position_ids: Any) -> Any:
        """As in InputEmbedding; or, where padding has a row of its own and does not count, by the ids."""
        if self.padding is None:
            return super().rows(ids, offset, position_ids)
        real = ids != self.padding
        return self.padding + (real.cumsum(axis=1, dtype=int) + offset) * real


def make_input_embedding(
    config: Config, vocab_size: int, tokens: Embedding | None = None, rng: Any = 0
) -> InputEmbedding:
    """The paper's input embedding where nothing more is asked for."""
    asked = config.type_vocab_size or config.embedding_norm or config.positions_from_ids or not config.embedding_padding
    return (VariantEmbedding if asked else InputEmbedding)(config, vocab_size, tokens, rng)


def positions_of(position_ids: Any, attention_mask: Any, shape: tuple[int, int], config: Config) -> Any:
    """The positions given, (B, T); else, where only real tokens count (OPT), those by the mask; else None: 0, 1, 2"""
    if position_ids is not None:
        return check_positions(position_ids, shape, config)
    if attention_mask is None or not config.positions_from_mask:
        return None
    return positions_by(to_numpy(attention_mask), shape[1])
