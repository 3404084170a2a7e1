"""Softmax: scores to weights that are positive and sum to 1."""

from ..backend import row_sum, xp


def softmax(x):
    """p = exp(x) / Σ exp(x), over the last axis.

    x: (..., n) → p: (..., n)
    """
    e = xp.exp(x - x.max(axis=-1, keepdims=True))
    return e / row_sum(e)


def log_softmax(x):
    """log p = x - log Σ exp(x), over the last axis.

    x: (..., n) → (..., n)
    """
    z = x - x.max(axis=-1, keepdims=True)
    return z - xp.log(row_sum(xp.exp(z)))
