"""The descendants' activations: GELU (BERT), also by tanh (GPT-2), SiLU (LLaMA), and tanh in the heads of classifiers.
Derived in tutorials/11_every_gradient_derived, chapter 8."""

from math import pi, sqrt

from ...backend import by_rows, erf, xp


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


@by_rows
def gelu_tanh(x):
    """The tanh approximation of GELU (Hendrycks & Gimpel 2016, section 2), which GPT-2 uses.

    t = tanh(√(2/π) (x + 0.044715 x³)),   y = ½ x (1 + t)
    """
    t = xp.tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x))
    return 0.5 * x * (1 + t), (x, t)


@by_rows
def gelu_tanh_backward(dy, saved):
    """dt = (1 - t²) √(2/π) (1 + 3 · 0.044715 x²),   dx = ½ dy ⊙ (1 + t + x dt)   (dt: the slope of t in x)."""
    x, t = saved
    dt = (1 - t * t) * sqrt(2 / pi) * (1 + 3 * 0.044715 * x * x)
    return 0.5 * dy * (1 + t + x * dt)


@by_rows
def silu(x):
    """SiLU or swish (Elfwing et al. 2018):   s = 1 / (1 + exp(-x)),   y = x s."""
    s = 0.5 * (1 + xp.tanh(0.5 * x))  # the same s, and exp cannot overflow
    return x * s, (x, s)


@by_rows
def silu_backward(dy, saved):
    """dx = dy ⊙ s (1 + x (1 - s))."""
    x, s = saved
    return dy * s * (1 + x * (1 - s))


def tanh(x):
    """y = tanh(x)."""
    y = xp.tanh(x)
    return y, (y,)


def tanh_backward(dy, saved):
    """dx = dy ⊙ (1 - y²)."""
    (y,) = saved
    return dy * (1 - y * y)


LATER = {
    "gelu": (gelu, gelu_backward),
    "gelu_tanh": (gelu_tanh, gelu_tanh_backward),
    "silu": (silu, silu_backward),
    "tanh": (tanh, tanh_backward),
}
