"""Dropout: silence random units while training, so that no unit relies on another (Srivastava et al. 2014)."""

from ..backend import random_keep
from ..module import Module


def dropout(x, p, rng):
    """Zero each element with probability p and scale the rest, so that the expectation stays.

        y = x · keep / (1 - p)

    x: any shape    rng: the generator of the draws; None means evaluation, where y is x itself
    """
    if rng is None or p == 0:
        return x, None
    keep = random_keep(rng, x.shape, p)
    scale = 1 / (1 - round(p * 65536) / 65536)  # of the p that was drawn
    y = x * keep
    y *= scale
    return y, (keep, scale)


def dropout_backward(dy, saved):
    """dx = dy · keep / (1 - p), with the draws of the forward.
    Derived in tutorials/11_every_gradient_derived, chapter 9."""
    return dy if saved is None else (dy * saved[0]) * saved[1]


class Dropout(Module):
    """Dropout with probability p, active only where a generator is passed."""

    def __init__(self, p):
        self.p = p

    def forward(self, x, rng=None):
        """x: any shape → y: the same shape. rng None: the identity."""
        return dropout(x, self.p, rng)

    def backward(self, dy, saved):
        return dropout_backward(dy, saved)
