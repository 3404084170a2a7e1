"""The feed-forward layer."""

from ...layers import FeedForward
from ..exercise import Pair
from .materials import B, D, F, T, matrix, normal, run


def _run(x, w1, b1, w2, b2, dy=None):
    parameters = {"hidden.weight": w1, "hidden.bias": b1, "output.weight": w2, "output.bias": b2}
    return run(FeedForward(*w1.shape, dtype="float64"), parameters, (x,), dy)


def gradients(dy, *arguments):
    dx, parameters = _run(*arguments, dy=dy)
    return {"x": dx} | dict(zip(("w1", "b1", "w2", "b2"), parameters.values(), strict=True))


def cases(rng):
    return {"": (normal(rng, B, T, D), matrix(rng, D, F), normal(rng, F), matrix(rng, F, D), normal(rng, D))}


EXERCISE = Pair(
    "feed_forward",
    "x w1 b1 w2 b2",
    title="each vector through a wide hidden layer",
    points=(2, 4),
    tutorial=3,
    right=_run,
    gradients=gradients,
    cases=cases,
)
