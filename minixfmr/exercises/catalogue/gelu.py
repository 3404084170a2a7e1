"""GELU in its tanh form."""

from ...layers import gelu_tanh, gelu_tanh_backward
from ..exercise import Pair
from .materials import DH, B, T, normal

EXERCISE = Pair(
    "gelu",
    "x",
    title="a smooth ReLU",
    points=(2, 3),
    tutorial=2,
    right=lambda x: gelu_tanh(x)[0],
    gradients=lambda dy, x: {"x": gelu_tanh_backward(dy, gelu_tanh(x)[1])},
    cases=lambda rng: {"": (2 * normal(rng, B, T, DH),)},
)
