"""Softmax: scores become weights, positive and with sum 1."""

from ..backend import hidden, row_max, row_sum, xp


def softmax(x, mask=None):
    """Turn each row of scores into weights.

        e = exp(x - max(x)),   p = e / Σ e

    Subtracting the maximum changes nothing, and exp cannot overflow.
    x: (..., n)    mask: boolean, broadcastable to x; where it is False, p is 0, and so is a row without any True
    → p: (..., n)

    Derived in tutorials/11_every_gradient_derived, chapter 4.
    """
    if mask is None:
        e = xp.exp(x - row_max(x))
        return e / row_sum(e)
    lowest = xp.finfo(x.dtype).min
    x = x + hidden(mask, x)
    e = xp.exp(x - xp.maximum(row_max(x), lowest / 2))  # 0 where hidden, even if all of the row is
    return e / xp.maximum(row_sum(e), 1)  # the maximum alone adds exp(0) = 1, so only an empty row has less


def softmax_backward(dp, p):
    """dL/dx for softmax. The weights of a row sum to 1: raising one lowers the others, hence the second term.

        dx = p ⊙ (dp - Σ dp ⊙ p)

    Derived in tutorials/11_every_gradient_derived, chapter 4.
    """
    return p * (dp - row_sum(dp * p))


def log_softmax(x):
    """The logarithm of softmax, without the detour over numbers that may round to 0.

        log p = z - log Σ exp(z),   z = x - max(x)

    x: (..., n) → log p: (..., n)
    """
    z = x - row_max(x)
    return z - xp.log(row_sum(xp.exp(z)))
