"""Positions: attention sees a set of vectors, so where each one stands must be added to it."""

from ..backend import random_generator, to_device, xp
from ..module import Module, Parameter


def sinusoidal_table(max_length, d):
    """One wave a column, wavelengths from 2π to 10000·2π (Vaswani et al. 2017, section 3.5).

        PE(t, 2i) = sin(t / 10000^(2i/d)),   PE(t, 2i+1) = cos(t / 10000^(2i/d))

    → (max_length, d) in float64, rows t = 0, 1, ...
    """
    t = xp.arange(max_length)[:, None]  # (max_length, 1)
    frequency = 10000.0 ** (-xp.arange(0, d, 2) / d)  # (⌈d/2⌉,)
    table = xp.empty((max_length, d))
    table[:, 0::2] = xp.sin(t * frequency)
    table[:, 1::2] = xp.cos(t * frequency[: d // 2])
    return table


def _rows(table, x, offset):
    """The rows of table for the T vectors of x, the first of which stands at position offset."""
    end = offset + x.shape[1]
    if end > len(table):
        raise ValueError(
            f"a sequence of length {end} is longer than max_position_embeddings = {len(table)}: "
            "shorten it, or build the model with a larger max_position_embeddings"
        )
    return table[offset:end]


class SinusoidalPositions(Module):
    """x + PE, nothing to learn."""

    def __init__(self, max_length, d, *, dtype="float32"):
        self.table = sinusoidal_table(max_length, d).astype(dtype)

    def forward(self, x, offset=0):
        """x: (B, T, d), its first vector at position offset → (B, T, d). Raises ValueError past max_length."""
        return x + _rows(self.table, x, offset), ()

    def backward(self, dy, saved):
        return dy


class LearnedPositions(Module):
    """x + P with a learned vector for each position (Gehring et al. 2017); initial values normal, deviation 0.02."""

    def __init__(self, max_length, d, *, rng=0, dtype="float32"):
        self.weight = Parameter(to_device(random_generator(rng).normal(0, 0.02, (max_length, d)), dtype))

    def forward(self, x, offset=0):
        """x: (B, T, d), its first vector at position offset → (B, T, d). Raises ValueError past max_length."""
        return x + _rows(self.weight.data, x, offset), (offset,)

    def backward(self, dy, saved):
        (offset,) = saved
        self.weight.grad[offset : offset + dy.shape[1]] += dy.sum(axis=0)  # every sequence used the same rows
        return dy
