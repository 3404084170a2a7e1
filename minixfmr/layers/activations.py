"""Activations: the one nonlinearity of a feed-forward layer. ReLU is the paper's, GELU that of BERT.
Derived in tutorials/11_every_gradient_derived, chapter 8."""

from math import pi, sqrt

from ..backend import Array, by_rows, check_array, erf, xp
from ..checks.values import choice
from ..module import Module
from .variants.activations import gelu_tanh, gelu_tanh_backward, silu, silu_backward, tanh, tanh_backward


def relu(x):
    """y = max(0, x), elementwise."""
    y = xp.maximum(0, x)
    return y, (y,)  # y > 0 exactly where x > 0, and the next layer keeps y anyway


def relu_backward(dy, saved):
    """dx = dy ⊙ [x > 0]  (at x = 0 the derivative is taken as 0)."""
    (y,) = saved
    return dy * (y > 0)


@by_rows
def gelu(x):
    """Exact GELU (Hendrycks & Gimpel 2016): x times the probability Φ(x) that a standard normal lies below x.

    Φ = ½ (1 + erf(x / √2)),   y = x Φ
    """
    Phi = 0.5 * (1 + erf(x / sqrt(2)))
    return x * Phi, (x, Phi)


@by_rows
def gelu_backward(dy, saved):
    """dx = dy ⊙ (Φ + x φ),   φ = Φ' = exp(-x²/2) / √(2π)."""
    x, Phi = saved
    phi = xp.exp(-0.5 * x * x) / sqrt(2 * pi)
    return dy * (Phi + x * phi)


ACTIVATIONS = {
    "relu": (relu, relu_backward),
    "gelu": (gelu, gelu_backward),
    "gelu_tanh": (gelu_tanh, gelu_tanh_backward),
    "silu": (silu, silu_backward),
    "tanh": (tanh, tanh_backward),
}


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
