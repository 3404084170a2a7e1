"""Dropout: silence random units while training, so that no unit relies on another (Srivastava et al. 2014)."""

from typing import Any

from ..backend import Array, random_keep
from ..checks.values import number
from ..module import Module


def dropout(x, p, rng):
    """Zero each element with probability p and scale up the rest, so that the expectation stays the same.

        m = keep / (1 - p),   y = x ⊙ m

    x: any shape    rng: the generator of the draws; None means evaluation, where y is x itself
    """
    if rng is None or p == 0:
        return x, None
    keep, p = random_keep(rng, x, p)  # p rounded to 16 bits, as it was drawn
    m = keep.astype(x.dtype) / (1 - p)
    return x * m, m


def dropout_backward(dy, m):
    """dx = dy ⊙ m, with the forward's own draws.
    Derived in tutorials/11_every_gradient_derived, chapter 9."""
    return dy if m is None else dy * m


class Dropout(Module):
    """Dropout with probability p, active only where a generator is passed."""

    def __init__(self, p: float) -> None:
        self.p = number("dropout", p, "[0, 1)")

    def forward(self, x: Array, rng: Any = None) -> tuple[Array, Any]:
        """x: any shape → y: the same shape. rng None: the identity."""
        return dropout(x, self.p, rng)

    def backward(self, dy: Array, saved: Any) -> Array:
        return dropout_backward(dy, saved)
