"""A linear layer."""

from ...layers import linear, linear_backward
from ..exercise import Pair
from .materials import DH, B, F, T, matrix, normal


def gradients(dy, *arguments):
    return dict(zip(("x", "weight", "bias"), linear_backward(dy, linear(*arguments)[1]), strict=True))


def _weights(rng):
    return matrix(rng, DH, F), normal(rng, F)


EXERCISE = Pair(
    "linear",
    "x weight bias",
    title="x W + b",
    points=(2, 3),
    tutorial=2,
    right=lambda x, weight, bias: linear(x, weight, bias)[0],
    gradients=gradients,
    cases=lambda rng: {"": (normal(rng, B, T, DH), *_weights(rng))},
    extra=lambda rng: {" with x of shape (d_in,)": (normal(rng, DH), *_weights(rng))},
)
