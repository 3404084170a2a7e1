"""Activations: the one nonlinearity of a feed-forward layer.
Derived in tutorials/11_every_gradient_derived, chapter 8."""

import math

from ..backend import erf, in_blocks, xp
from ..module import Module


def relu(x):
    """y = max(0, x), elementwise."""
    y = xp.maximum(x, 0)
    return y, (y,)  # y > 0 exactly where x > 0


def relu_backward(dy, saved):
    """dx = dy where x > 0, else 0 (at x = 0 the derivative is taken as 0)."""
    (y,) = saved
    return dy * (y > 0)


def gelu(x):
    """Exact GELU (Hendrycks & Gimpel 2016): x times the chance that a standard normal lies below x.

    Φ = ½ (1 + erf(x / √2)),   φ = Φ' = exp(-x²/2) / √(2π),   y = x Φ,   y' = Φ + x φ

    The backward needs y' alone. It is made here, where x and Φ are in the cache.
    """
    y, slope = in_blocks(_gelu, x, results=2)
    return y, (slope,)


def _gelu(x, y, slope):
    phi = erf(x * (1 / math.sqrt(2)))
    phi += 1
    phi *= 0.5  # Φ
    xp.multiply(x, phi, out=y)
    xp.multiply(x, x, out=slope)
    slope *= -0.5
    xp.exp(slope, out=slope)
    slope *= 1 / math.sqrt(2 * math.pi)  # φ
    slope *= x
    slope += phi


def gelu_backward(dy, saved):
    """dx = dy · y' = dy · (Φ + x φ)."""
    (slope,) = saved
    return dy * slope


def gelu_tanh(x):
    """The tanh approximation of GELU (Hendrycks & Gimpel 2016, section 2), which GPT-2 uses.

    t = tanh(√(2/π) (x + 0.044715 x³)),   y = ½ x (1 + t)
    """
    t = x * x
    t *= 0.044715
    t += 1
    t *= x
    t *= math.sqrt(2 / math.pi)
    xp.tanh(t, out=t)
    y = t + 1
    y *= x
    y *= 0.5
    return y, (x, t)


def gelu_tanh_backward(dy, saved):
    """dx = dy · ½ (1 + t + x (1 - t²) √(2/π) (1 + 3 · 0.044715 x²))."""
    x, t = saved
    d = x * x
    d *= 3 * 0.044715
    d += 1
    d *= math.sqrt(2 / math.pi)
    d *= x
    d *= 1 - t * t
    d += t
    d += 1
    d *= 0.5
    d *= dy
    return d


def silu(x):
    """SiLU or swish (Elfwing et al. 2018):   s = 1 / (1 + exp(-x)) = ½ (1 + tanh(x / 2)),   y = x s."""
    s = xp.tanh(x * 0.5)
    s += 1
    s *= 0.5
    return x * s, (x, s)


def silu_backward(dy, saved):
    """dx = dy · s (1 + x (1 - s))."""
    x, s = saved
    d = 1 - s
    d *= x
    d += 1
    d *= s
    d *= dy
    return d


def tanh(x):
    """y = tanh(x)."""
    y = xp.tanh(x)
    return y, (y,)


def tanh_backward(dy, saved):
    """dx = dy · (1 - y²)."""
    (y,) = saved
    return dy * (1 - y * y)


ACTIVATIONS = {
    "relu": (relu, relu_backward),
    "gelu": (gelu, gelu_backward),
    "gelu_tanh": (gelu_tanh, gelu_tanh_backward),
    "silu": (silu, silu_backward),
    "tanh": (tanh, tanh_backward),
}


class Activation(Module):
    """One of ACTIVATIONS by name."""

    def __init__(self, name):
        if name not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {sorted(ACTIVATIONS)}, got {name!r}")
        self.function, self.derivative = ACTIVATIONS[name]

    def forward(self, x):
        """x: any shape → y: the same shape"""
        return self.function(x)

    def backward(self, dy, saved):
        return self.derivative(dy, saved)
