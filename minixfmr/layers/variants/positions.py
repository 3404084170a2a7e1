"""Positions as published systems have them: waves in other columns, stored with the model, none for padding; or none
at all."""

from typing import Any

from ...backend import Array, xp
from ...module import Buffer, Module
from ..positions import SinusoidalPositions, add_positions, sinusoidal_table


def halves_table(max_length, d, wide=False):
    """The waves of sinusoidal_table, all sines before all cosines (Marian, PEGASUS).

    wide: with frequencies 10000^(-i/(d/2 - 1)), as the paper's own code had them (M2M100)
    → (max_length, d) in float64
    """
    if not wide:
        table = sinusoidal_table(max_length, d)
        return xp.concatenate([table[:, 0::2], table[:, 1::2]], axis=1)
    t, i = xp.arange(max_length)[:, None], xp.arange((d + 1) // 2)  # (max_length, 1), (⌈d/2⌉,)
    frequency = 10000.0 ** (-i / (d // 2 - 1))
    return xp.concatenate([xp.sin(t * frequency), xp.cos(t * frequency[: d // 2])], axis=1)


class VariantWaves(SinusoidalPositions):
    """layout: "sinusoidal", or "sinusoidal_halves" or "sinusoidal_t2t", see halves_table; "sinusoidal_stored": the
    halves in a Buffer, saved with the model (PEGASUS). zero_row: a row to be 0 (M2M100's padding)"""

    def __init__(
        self, max_length: int, d: int, *, layout: str, zero_row: int | None = None, dtype: str = "float32"
    ) -> None:
        super().__init__(max_length, d, dtype=dtype)
        table = self.table
        if layout != "sinusoidal":
            table = halves_table(max_length, d, wide=layout == "sinusoidal_t2t").astype(dtype)
        if zero_row is not None:
            table[zero_row] = 0
        self.table: Any = Buffer(table) if layout == "sinusoidal_stored" else table

    def forward(self, x: Array, rows: Any = 0) -> tuple[Array, tuple]:
        """x: (B, T, d) → (B, T, d); rows as in add_positions"""
        return add_positions(x, self.table.data if isinstance(self.table, Buffer) else self.table, rows)


class NoPositions(Module):
    """x itself, for models whose attention knows the positions."""

    def forward(self, x: Array, rows: Any = 0) -> tuple[Array, None]:
        """x: (B, T, d) → x"""
        return x, None

    def backward(self, dy: Array, saved: None) -> Array:
        return dy
