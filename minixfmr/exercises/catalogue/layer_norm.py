"""Layer normalization."""

from ...layers import layer_norm, layer_norm_backward
from ..exercise import Pair
from .materials import EPS, B, D, T, gain, normal


def gradients(dy, *arguments):
    return dict(zip(("x", "weight", "bias"), layer_norm_backward(dy, layer_norm(*arguments)[1]), strict=True))


EXERCISE = Pair(
    "layer_norm",
    "x weight bias eps",
    title="mean 0, variance 1",
    points=(3, 6),
    tutorial=2,
    right=lambda *arguments: layer_norm(*arguments)[0],
    gradients=gradients,
    cases=lambda rng: {"": (normal(rng, B, T, D), gain(rng), normal(rng, D), EPS)},
    extra=lambda rng: {" with a large eps": (normal(rng, T, D), gain(rng), normal(rng, D), 0.5)},
)
