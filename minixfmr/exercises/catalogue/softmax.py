"""Softmax: scores to probabilities."""

from ...layers import softmax
from ..exercise import Pair
from .materials import B, H, S, T, normal


def gradients(dy, x):
    y = softmax(x)
    return {"x": y * (dy - (dy * y).sum(-1, keepdims=True))}


EXERCISE = Pair(
    "softmax",
    "x",
    title="scores to probabilities",
    points=(2, 3),
    tutorial=1,
    right=softmax,
    gradients=gradients,
    cases=lambda rng: {
        "": (normal(rng, B, H, T, S),),
        " with scores far from 0": (normal(rng, B, H, T, S) + 1e6 * normal(rng, B, H, T, 1),),  # no step is small there
    },
    extra=lambda rng: {" with large scores": (500 * normal(rng, T, S),)},
)
