"""What every architecture does first: check the ids, turn them into vectors, add the positions."""

from ..backend import random_generator
from ..layers import Dropout, Embedding, LearnedPositions, SinusoidalPositions
from ..module import Module
from .parts import make_norm


def check_inputs(ids, mask, prefix="", batch=None):
    """The shape (B, T) of ids. Raises ValueError unless ids are 2-D, not empty, of the given batch size, and the
    mask, where there is one, is of the same shape. prefix: of the two names in the message, such as "decoder_"."""
    shape = tuple(getattr(ids, "shape", ()))
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"{prefix}input_ids must be an array of shape (B, T), B and T at least 1, got {shape}")
    if batch is not None and shape[0] != batch:
        raise ValueError(f"input_ids has {shape[0]} sequences, decoder_input_ids {batch}: they go in pairs")
    if mask is not None and tuple(mask.shape) != shape:
        raise ValueError(f"{prefix}attention_mask has shape {tuple(mask.shape)}, {prefix}input_ids {shape}")
    return shape


class InputEmbedding(Module):
    """dropout(√d · E[ids] + positions), sections 3.4, 3.5 and 5.4 of the paper. Give `tokens` to share a table.

    The descendants add token types and a norm:   dropout(norm(√d · E[ids] + positions + types)).
    """

    def __init__(self, config, vocab_size, tokens=None, rng=0):
        rng = random_generator(rng)
        c, options = config, {"rng": rng, "dtype": config.dtype}
        self.config = config
        self.scale = c.d_model**0.5 if c.scale_embeddings else 1.0
        padding_idx = None if c.padding_gradient else c.pad_token_id
        self.tokens = tokens or Embedding(vocab_size, c.d_model, padding_idx=padding_idx, **options)
        length = c.max_position_embeddings + c.position_offset
        self.positions: Module | None = None
        if c.positions == "learned":
            padding_idx = padding_idx if c.positions_from_ids else None
            self.positions = LearnedPositions(length, c.d_model, padding_idx=padding_idx, **options)
        elif c.positions != "none":
            zero_row = c.pad_token_id if c.positions_from_ids else None
            layout = {"layout": c.positions, "zero_row": zero_row, "dtype": c.dtype}
            self.positions = SinusoidalPositions(length, c.d_model, **layout)
        self.types = Embedding(c.type_vocab_size, c.d_model, **options) if c.type_vocab_size else None
        self.norm = make_norm(c) if c.embedding_norm else None
        self.dropout = Dropout(c.dropout)

    def forward(self, ids, rng=None, offset=0, position_ids=None, token_type_ids=None, mask=None):
        """ids: (B, T) → (B, T, d)

        offset: position of the first id; position_ids: (B, T), in place of offset, offset + 1, ...
        token_type_ids: (B, T); None: type 0 everywhere. mask: (B, 1, 1, T), False at padding, or None
        """
        x, saved_tokens = self.tokens.forward(ids)  # (B, T, d)
        x = x * self.scale
        saved_positions = saved_types = saved_norm = None
        if self.positions is not None:
            x, saved_positions = self.positions.forward(x, self._rows(ids, offset, position_ids))
        if self.types is not None:
            types, saved_types = self.types.forward(ids * 0 if token_type_ids is None else token_type_ids)
            x = x + types
        if self.norm is not None:
            x, saved_norm = self.norm.forward(x)
        real = 1
        if mask is not None and not self.config.embedding_padding:
            real = mask[:, 0, 0, :, None]  # (B, T, 1)
            x = x * real
        y, saved_dropout = self.dropout.forward(x, rng)
        return y, (saved_tokens, saved_positions, saved_types, saved_norm, real, saved_dropout)

    def backward(self, dy, saved):
        saved_tokens, saved_positions, saved_types, saved_norm, real, saved_dropout = saved
        dx = self.dropout.backward(dy, saved_dropout)
        dx = dx * real
        if self.norm is not None:
            dx = self.norm.backward(dx, saved_norm)
        if self.types is not None:
            self.types.backward(dx, saved_types)
        if self.positions is not None:
            dx = self.positions.backward(dx, saved_positions)
        self.tokens.backward(dx * self.scale, saved_tokens)

    def _rows(self, ids, offset, position_ids):
        """The rows of the table of positions, still where the ids are: they are checked before they move."""
        if self.config.positions_from_ids:  # padding has a row of its own, and does not count
            real = ids != self.config.pad_token_id
            return self.config.pad_token_id + (real.cumsum(axis=1, dtype=int) + offset) * real
        return (offset if position_ids is None else position_ids) + self.config.position_offset
