"""Blocks: where rows stand alone, a function is computed for a few rows at a time, which stay in the cache.

This is the one mechanism that makes plain formulas fast on a CPU: the temporaries of r * (dn - mean(dn) - n * ...) then
stay in the L2 cache. On a GPU, and for small arrays, the function is called once, whole.
"""

import functools
import math
from typing import Any

from .switch import on_gpu, xp

BLOCK = 1 << 16  # numbers: a few such arrays fit the L2 cache, and from 256 KiB on NumPy reuses temporaries by itself
WORTH = 1 << 18  # numbers, from which on it pays


def row_blocks(x, size=BLOCK):
    """Slices of the rows of x (N, n), one after the other, each of a few rows, about size numbers, that stay in the
    cache together."""
    rows = max(1, len(x) if on_gpu() else size // x.shape[1])  # on a GPU all of them
    return [slice(start, start + rows) for start in range(0, len(x), rows)]


def head_blocks(x):
    """Indices of x (B, H, ...), one for each two heads of a sequence, whose scores stay in the cache, and keep a thread
    busy for longer than it waits for Python's lock; on a GPU one for all."""
    if on_gpu():
        return [(slice(None), slice(None))]
    return [(slice(b, b + 1), slice(h, h + 2)) for b in range(x.shape[0]) for h in range(0, x.shape[1], 2)]


def by_rows(function):
    """Decorate a function of arrays, the first of shape (..., n), to be computed by blocks of its rows.

    Arguments, and items of saved, that have the same leading axes are cut likewise; all others are passed whole.
    Results with a row for each row of the block are put together; others are sums over the rows, added up in order.
    """

    @functools.wraps(function)
    def in_blocks(x, *others, **options):
        first = x[0] if isinstance(x, tuple) else x
        if first.size <= WORTH or on_gpu() or first.ndim < 2 or not first.flags.c_contiguous:
            return function(x, *others, **options)
        arguments = (x, *others)
        leaves = list(_leaves(arguments))
        lead, N = first.shape[:-1], math.prod(first.shape[:-1])
        has_rows = [getattr(leaf, "shape", ())[:-1] == lead for leaf in leaves]
        whole = [leaf.reshape(N, -1) if rows else leaf for leaf, rows in zip(leaves, has_rows, strict=True)]
        results: Any = None
        for part in row_blocks(whole[0]):
            blocks = [leaf[part] if rows else leaf for leaf, rows in zip(whole, has_rows, strict=True)]
            given = dict(zip(map(id, blocks), leaves, strict=True))
            found = function(*_shaped_like(arguments, iter(blocks)), **options)
            parts = list(_leaves(found))
            results = results or [None] * len(parts)
            results = [_with(r, leaf, part, N, given) for r, leaf in zip(results, parts, strict=True)]
        in_rows = (getattr(r, "shape", ())[:-1] == (N,) != lead for r in results)
        shaped = [r.reshape(*lead, -1) if rows else r for r, rows in zip(results, in_rows, strict=True)]
        return _shaped_like(found, iter(shaped))

    return in_blocks


def _with(total, result, part, N, given):
    """What one result is so far, with that of one more block."""
    if id(result) in given:  # an argument, handed on as it is
        return given[id(result)]
    if not hasattr(result, "ndim"):  # a constant
        return result
    if result.ndim == 2:  # rows
        total = xp.empty((N, result.shape[1]), dtype=result.dtype) if total is None else total
        total[part] = result
        return total
    return result if total is None else total + result


def _leaves(item):
    """What a nested tuple holds, in order."""
    if isinstance(item, tuple):
        for part in item:
            yield from _leaves(part)
    else:
        yield item


def _shaped_like(item, leaves):
    """The leaves as a nested tuple of the shape of item."""
    return tuple(_shaped_like(part, leaves) for part in item) if isinstance(item, tuple) else next(leaves)
