"""What every architecture does first: turn the ids into vectors, add the positions."""

from typing import Any

from ..backend import Array, random_generator
from ..checks.arrays import integers
from ..layers import Dropout, Embedding
from ..module import Module
from .config import Config
from .variants.parts import make_positions


class InputEmbedding(Module):
    """dropout(√d · E[ids] + positions), sections 3.4, 3.5 and 5.4 of the paper. Give `tokens` to share a table."""

    def __init__(self, config: Config, vocab_size: int, tokens: Embedding | None = None, rng: Any = 0) -> None:
        rng = random_generator(rng)
        c, options = config, {"rng": rng, "dtype": config.dtype}
        self.scale = c.d_model**0.5 if c.scale_embeddings else 1.0
        padding_idx = None if c.padding_gradient else c.pad_token_id
        self.tokens = tokens or Embedding(vocab_size, c.d_model, padding_idx=padding_idx, **options)
        self.positions = make_positions(config, rng)
        self.offset = c.position_offset
        self.dropout = Dropout(c.dropout)

    def forward(self, ids: Any, rng: Any = None, offset: int = 0, position_ids: Any = None) -> tuple[Array, tuple]:
        """ids: (B, T) → (B, T, d)

        offset: position of the first id; position_ids: (B, T), in place of offset, offset + 1, ...
        """
        e, saved_tokens = self.tokens.forward(ids)  # (B, T, d)
        x, saved_positions = self.positions.forward(e * self.scale, self.rows(ids, offset, position_ids))
        y, saved_dropout = self.dropout.forward(x, rng)
        return y, (saved_tokens, saved_positions, saved_dropout)

    def backward(self, dy: Array, saved: tuple) -> None:
        saved_tokens, saved_positions, saved_dropout = saved
        dx = self.dropout.backward(dy, saved_dropout)
        de = self.positions.backward(dx, saved_positions)
        self.tokens.backward(de * self.scale, saved_tokens)

    def rows(self, ids: Any, offset: int, position_ids: Any) -> Any:
        """The rows of the table of positions, still where the ids are: they are checked before they move."""
        return (offset if position_ids is None else integers("position_ids", position_ids)) + self.offset
