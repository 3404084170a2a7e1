"""Activations: the one nonlinearity of a feed-forward layer. ReLU is the paper's; those of its descendants, GELU first,
are in variants/activations.py. Derived in tutorials/11_every_gradient_derived, chapter 8."""

from ..backend import Array, check_array, xp
from ..checks.values import choice
from ..module import Module
from .variants.activations import LATER


def relu(x):
    """y = max(0, x), elementwise."""
    y = xp.maximum(0, x)
    return y, (y,)  # y > 0 exactly where x > 0, and the next layer keeps y anyway


def relu_backward(dy, saved):
    """dx = dy ⊙ [x > 0]  (at x = 0 the derivative is taken as 0)."""
    (y,) = saved
    return dy * (y > 0)


ACTIVATIONS = {"relu": (relu, relu_backward), **LATER}


class Activation(Module):
    """One of ACTIVATIONS by name."""

    def __init__(self, name: str) -> None:
        choice("activation", name, sorted(ACTIVATIONS))
        self.function, self.derivative = ACTIVATIONS[name]

    def forward(self, x: Array) -> tuple[Array, tuple]:
        """x: any shape → y: the same shape"""
        check_array(x, "x")
        return self.function(x)

    def backward(self, dy: Array, saved: tuple) -> Array:
        return self.derivative(dy, saved)
