"""What every architecture does first: check the ids, turn them into vectors, add the positions."""

from ..backend import random_generator
from ..layers import Dropout, Embedding, LearnedPositions, SinusoidalPositions
from ..module import Module


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
    """dropout(√d · E[ids] + positions), sections 3.4, 3.5 and 5.4 of the paper. Give `tokens` to share a table."""

    def __init__(self, config, vocab_size, tokens=None, rng=0):
        rng = random_generator(rng)
        self.tokens = tokens or Embedding(vocab_size, config.d_model, rng=rng, dtype=config.dtype)
        length = config.max_position_embeddings
        if config.positions == "learned":
            self.positions: Module = LearnedPositions(length, config.d_model, rng=rng, dtype=config.dtype)
        else:
            self.positions = SinusoidalPositions(length, config.d_model, dtype=config.dtype)
        self.scale = config.d_model**0.5 if config.scale_embeddings else 1.0
        self.dropout = Dropout(config.dropout)

    def forward(self, ids, rng=None, offset=0):
        """ids: (B, T), the first of them at position offset → (B, T, d)"""
        x, saved_tokens = self.tokens.forward(ids)  # (B, T, d)
        x *= self.scale
        x, saved_positions = self.positions.forward(x, offset)
        y, saved_dropout = self.dropout.forward(x, rng)
        return y, (saved_tokens, saved_positions, saved_dropout)

    def backward(self, dy, saved):
        saved_tokens, saved_positions, saved_dropout = saved
        dx = self.dropout.backward(dy, saved_dropout)
        dx = self.positions.backward(dx, saved_positions)
        self.tokens.backward(dx * self.scale, saved_tokens)
