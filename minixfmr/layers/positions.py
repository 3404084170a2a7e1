"""Positions: attention sees a set of vectors, so the place of each must be added to it."""

from typing import Any

from ..backend import Array, add_at, random_generator, to_device, xp
from ..checks.values import check_widths
from ..checks.vectors import check_rows
from ..module import Module, Parameter


def sinusoidal_table(max_length, d):
    """One wave per column, wavelengths from 2π to 10000·2π (Vaswani et al. 2017, section 3.5).

        PE(t, 2i) = sin(t / 10000^(2i/d)),   PE(t, 2i+1) = cos(t / 10000^(2i/d))

    → (max_length, d) in float64, rows t = 0, 1, ...
    """
    t = xp.arange(max_length)[:, None]  # (max_length, 1)
    i = xp.arange((d + 1) // 2)  # (⌈d/2⌉,)
    frequency = 10000.0 ** (-2 * i / d)
    table = xp.empty((max_length, d))
    table[:, 0::2] = xp.sin(t * frequency)
    table[:, 1::2] = xp.cos(t * frequency[: d // 2])
    return table


def add_positions(x, table, rows=0):
    """Add to each vector the row of its position:   y[b, t] = x[b, t] + P[rows[b, t]].

    x: (B, T, d)    table P: (max_length, d)    rows: (B, T) integers, or n for n, n + 1, ... in every sequence
    → y: (B, T, d). Raises ValueError for a sequence that goes past the table.
    """
    rows = check_rows(rows, x, table)
    return x + table[rows], (table.shape, rows)


def add_positions_backward(dy, saved):
    """dL/dx, dL/dtable for add_positions:   dx = dy,   dP[row] = Σ dy over all vectors that used the row.
    Derived in tutorials/11_every_gradient_derived, chapter 3."""
    shape, rows = saved
    dtable = xp.zeros(shape, dtype=dy.dtype)
    if isinstance(rows, slice):
        dtable[rows] = dy.sum(axis=0)
    else:
        add_at(dtable, rows.reshape(-1), dy.reshape(-1, dy.shape[-1]))
    return dy, dtable


class SinusoidalPositions(Module):
    """x + PE, nothing to learn."""

    def __init__(self, max_length: int, d: int, *, dtype: str = "float32") -> None:
        check_widths(max_length=max_length, d=d)
        self.table = sinusoidal_table(max_length, d).astype(dtype)

    def forward(self, x: Array, rows: Any = 0) -> tuple[Array, tuple]:
        """x: (B, T, d) → (B, T, d); rows as in add_positions"""
        return add_positions(x, self.table, rows)

    def backward(self, dy: Array, saved: tuple) -> Array:
        return dy


class LearnedPositions(Module):
    """x + P with a learned vector for each position (Gehring et al. 2017); initial values normal, deviation 0.02."""

    def __init__(
        self, max_length: int, d: int, *, padding_idx: int | None = None, rng: Any = 0, dtype: str = "float32"
    ) -> None:
        check_widths(max_length=max_length, d=d)
        self.weight = Parameter(to_device(random_generator(rng).normal(0, 0.02, (max_length, d)), dtype))
        self.padding_idx = padding_idx  # a row that lookups add no gradient to, as in Embedding

    def forward(self, x: Array, rows: Any = 0) -> tuple[Array, tuple]:
        """x: (B, T, d) → (B, T, d); rows as in add_positions"""
        return add_positions(x, self.weight.data, rows)

    def backward(self, dy: Array, saved: tuple) -> Array:
        dx, dtable = add_positions_backward(dy, saved)
        if self.padding_idx is not None:
            dtable[self.padding_idx] = 0
        self.weight.accumulate(dtable)
        return dx
