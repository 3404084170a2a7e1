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


def add_positions(x, table, offset=0):
    """Add to each vector the row of its position:   y[b, t] = x[b, t] + P[offset + t].

    x: (B, T, d), its first vector at position offset    table P: (max_length, d)    →    y: (B, T, d)
    Raises ValueError for a sequence that goes past the table.
    """
    end = offset + x.shape[1]
    if end > len(table):
        raise ValueError(
            f"a sequence of length {end} is longer than max_position_embeddings = {len(table)}: "
            "shorten it, or build the model with a larger max_position_embeddings"
        )
    return x + table[offset:end], (table.shape, offset)


def add_positions_backward(dy, saved):
    """dL/dx, dL/dtable for add_positions:   dx = dy,   dP[offset + t] = Σ_b dy[b, t]; every sequence used its row."""
    shape, offset = saved
    dtable = xp.zeros(shape, dy.dtype)
    dtable[offset : offset + dy.shape[1]] = dy.sum(axis=0)
    return dy, dtable


class SinusoidalPositions(Module):
    """x + PE, nothing to learn."""

    def __init__(self, max_length, d, *, dtype="float32"):
        self.table = sinusoidal_table(max_length, d).astype(dtype)

    def forward(self, x, offset=0):
        """x: (B, T, d), its first vector at position offset → (B, T, d)"""
        return add_positions(x, self.table, offset)

    def backward(self, dy, saved):
        return dy


class LearnedPositions(Module):
    """x + P with a learned vector for each position (Gehring et al. 2017); initial values normal, deviation 0.02."""

    def __init__(self, max_length, d, *, rng=0, dtype="float32"):
        self.weight = Parameter(to_device(random_generator(rng).normal(0, 0.02, (max_length, d)), dtype))

    def forward(self, x, offset=0):
        """x: (B, T, d), its first vector at position offset → (B, T, d)"""
        return add_positions(x, self.weight.data, offset)

    def backward(self, dy, saved):
        dx, dtable = add_positions_backward(dy, saved)
        self.weight.grad += dtable
        return dx
