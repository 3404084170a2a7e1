"""Sums and maxima in the order that each backend computes fastest.

On a CPU sums are products with ones: BLAS adds up rows several times faster than NumPy's .sum(axis). On a GPU .sum is
one kernel, where a product of stacked matrices with one vector takes five and more.
"""

import functools

import numpy

from .products import lies_by_columns
from .switch import on_gpu, to_device, to_numpy, xp


@functools.lru_cache(256)
def _filled(shape, value, dtype):
    return numpy.full(shape, value, dtype)  # kept: in a small model, making it would take as long as the product


def row_sum(x):
    """Sum over the last axis, which stays with length 1:  (..., n) → (..., 1)."""
    if on_gpu():
        return x.sum(axis=-1, keepdims=True)
    if lies_by_columns(x):
        return (_filled((1, x.shape[-1]), 1, x.dtype) @ x.swapaxes(-1, -2)).swapaxes(-1, -2)
    return x @ _filled((x.shape[-1], 1), 1, x.dtype)


def row_mean(x):
    """Mean over the last axis, which stays with length 1:  (..., n) → (..., 1)."""
    return x.mean(axis=-1, keepdims=True) if on_gpu() else x @ _filled((x.shape[-1], 1), 1 / x.shape[-1], x.dtype)


def batch_sum(x):
    """Sum over every axis but the last, as a bias collects its gradient:  (..., n) → (n,)."""
    rows = x.reshape(-1, x.shape[-1])
    return rows.sum(axis=0) if on_gpu() else _filled((len(rows),), 1, x.dtype) @ rows


def sum_to(x, shape):
    """Sum over the axes that broadcasting from this shape to that of x had added or stretched."""
    x = x.sum(axis=tuple(range(x.ndim - len(shape)))) if x.ndim > len(shape) else x
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 < x.shape[i])
    return x.sum(axis=stretched, keepdims=True) if stretched else x


def row_max(x):
    """Largest over the last axis, which stays with length 1:  (..., n) → (..., 1).

    Of what pairwise_dot made for a few queries, by halves: NumPy's .max takes short columns one number at a time.
    """
    if on_gpu() or not lies_by_columns(x) or x.shape[-2] >= 64:
        return x.max(axis=-1, keepdims=True)
    while (n := x.shape[-1]) > 1:
        half = (n + 1) // 2  # where n is odd, the one in the middle is on both sides
        x = xp.maximum(x[..., :half], x[..., n - half :])
    return x


def row_dot(a, b):
    """The inner product a · b over the last axis, which stays with length 1:  (..., n), (..., n) → (..., 1)."""
    return (a * b).sum(axis=-1, keepdims=True) if on_gpu() else numpy.vecdot(a, b, order="C")[..., None]


def nonzero_rows(rows):
    """The indices of the rows (N, n) that are not all 0, if fewer than half are; else None. On a GPU always None, since
    it would force a synchronisation."""
    if on_gpu():
        return None
    used = rows.any(axis=-1)
    return used.nonzero()[0] if 2 * used.sum() < len(used) else None


def row_mean_dot(a, b):
    """Mean of a ⊙ b over the last axis, which stays with length 1:  (..., n), (..., n) → (..., 1)."""
    return (a * b).mean(axis=-1, keepdims=True) if on_gpu() else row_dot(a, b) / a.shape[-1]


def largest(x, k):
    """Where the k largest numbers of each row are, in any order:  (N, n) → indices (N, k)."""
    if not on_gpu():
        return _largest_on_host(x, k)
    if hasattr(xp, "argpartition"):
        return xp.argpartition(-x, k - 1, axis=-1)[:, :k]
    return xp.argsort(-x, axis=-1)[:, :k]


def _largest_on_host(x, k, parts=32):
    width = x.shape[1] // parts
    if width < 2 * k:
        return numpy.argpartition(-x, k - 1, axis=-1)[:, :k]
    # k numbers are as large as the k-th of these maxima, so what is smaller need not be sorted
    maxima = x[:, : parts * width].reshape(len(x), parts, width).max(axis=1)  # (N, width)
    least = numpy.partition(maxima, width - k, axis=-1)[:, width - k]
    found = numpy.empty((len(x), k), int)
    for places, row, low in zip(found, x, least, strict=True):
        candidates = numpy.flatnonzero(~(row < low))  # all of them where there are NaNs
        places[:] = candidates[numpy.argpartition(-row[candidates], k - 1)[:k]]
    return found


def add_at(table, ids, rows):
    """table[id] += row for each pair; unlike `table[ids] += rows`, an id that occurs twice counts twice.

    On a GPU in any order, so that two runs may differ by rounding.
    ids: (N,)    rows: (N, ...)
    """
    if not on_gpu():
        _add_at_on_host(table, ids, rows)
    elif hasattr(getattr(xp, "add", None), "at"):
        xp.add.at(table, ids, rows)
    else:
        total = numpy.zeros(table.shape, to_numpy(rows).dtype)
        _add_at_on_host(total, to_numpy(ids), to_numpy(rows))
        table += to_device(total, table.dtype)


def _add_at_on_host(table, ids, rows):
    if not len(ids):
        return
    order = ids.argsort(kind="stable")  # equal ids side by side, so that a sum over each run of them does it
    ordered = ids[order]
    starts = numpy.flatnonzero(numpy.concatenate(([True], ordered[1:] != ordered[:-1])))
    table[ordered[starts]] += numpy.add.reduceat(rows[order], starts, axis=0)
