"""Products of attention's many small matrices, and of few rows, in the layout that each backend computes fastest."""

import numpy

from .blocks import row_blocks
from .cores import on_all_cores
from .switch import on_gpu, xp


def pairwise_dot(q, k):
    """The dot product of each q with each k, q kᵀ:  (..., Tq, dh), (..., Tk, dh) → (..., Tq, Tk).

    On a CPU it lies in memory by columns, one per q: row_max and row_sum then run over whole vectors, several times
    faster than along short rows.
    """
    if on_gpu():
        return q @ k.swapaxes(-1, -2)
    return (k @ q.swapaxes(-1, -2)).swapaxes(-1, -2)


def hidden(mask, x):
    """What to add to x where a boolean mask is False: the lowest number; 0 where it is True. Laid out like x. Raises
    TypeError for another mask: an additive one would be read the other way round."""
    if mask.dtype.kind != "b":
        raise TypeError(
            f"mask must be boolean (True = may attend), got {mask.dtype}: give mask == 0 of an additive one"
        )
    lowest = xp.finfo(x.dtype).max
    if on_gpu():
        return (mask.astype(x.dtype) - 1) * lowest
    mask = by_columns(mask) if lies_by_columns(x) else mask
    return (mask.astype(x.dtype) - 1) * lowest


def by_columns(mask):
    """The same mask, in memory as pairwise_dot lays out what it is to hide."""
    return mask if on_gpu() else numpy.ascontiguousarray(mask.swapaxes(-1, -2)).swapaxes(-1, -2)


def lies_by_columns(x):
    """Whether the last axis but one is the contiguous one."""
    return x.ndim > 1 and x.strides[-1] > x.strides[-2]


def heads_apart(x):
    """The same (B, H, T, dh), in memory one head after the other: split_heads leaves long strides between the rows of a
    head, which slow down products that read it many times."""
    return x if on_gpu() else numpy.ascontiguousarray(x)


def heads_product(a, b):
    """a @ b:  (B, H, m, n), (B, H, n, dh) → (B, H, m, dh), laid out so that merge_heads is a view."""
    y = xp.empty((a.shape[0], a.shape[2], a.shape[1], b.shape[3]), dtype=a.dtype).swapaxes(1, 2)
    return xp.matmul(a, b, out=y)


def product(a, b):
    """a @ b, of matrices (N, n) and (n, m); for a few rows a, as in generation, in the fastest order."""
    if not on_gpu() and 1 < len(a) < 64 and b.flags.f_contiguous:
        return _few_rows(a, b.T)
    return a @ b


def _few_rows(a, table):
    """a tableᵀ. Reading the table (m, n) is most of the work, and as the left factor it is read fastest. OpenBLAS
    would first copy it, except in products of less than a million multiplications: hence the parts."""
    N = len(a)
    if N > 8 or a.size * len(table) <= 10**6:
        return (table @ a.T).T
    columns, y = a.T.copy(), numpy.empty((len(table), N), a.dtype)

    def multiply(part):
        numpy.matmul(table[part], columns, out=y[part])

    on_all_cores(multiply, row_blocks(table, 10**6 // N), table.size > 1 << 21)
    return y.T
