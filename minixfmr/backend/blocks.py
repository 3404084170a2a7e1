"""Blocks: rows that fit the cache."""

from .switch import on_gpu


def row_blocks(x, size=1 << 16):
    """Slices of the rows of x (N, n), one after the other, each of a few rows, about size numbers, that stay in the
    cache together."""
    rows = max(1, len(x) if on_gpu() else size // x.shape[1])  # on a GPU all of them
    return [slice(start, start + rows) for start in range(0, len(x), rows)]
