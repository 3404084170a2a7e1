"""Each vector through a wide hidden layer."""

import numpy

from ...layers import FeedForward, gelu_tanh
from ..exercise import Mistake, Pair
from .materials import B, D, F, T, matrix, normal, run
from .plain import product


def _run(dy, x, w1, b1, w2, b2):
    parameters = {"hidden.weight": w1, "hidden.bias": b1, "output.weight": w2, "output.bias": b2}
    return run(FeedForward(*w1.shape, dtype="float64"), parameters, (x,), dy)


def gradients(dy, *arguments):
    dx, parameters = _run(dy, *arguments)
    return {"x": dx} | dict(zip(("w1", "b1", "w2", "b2"), parameters.values(), strict=True))


def cases(rng):
    return {"": (normal(rng, B, T, D), matrix(rng, D, F), normal(rng, F), matrix(rng, F, D), normal(rng, D))}


def _with(act=lambda h: numpy.maximum(h, 0), first=1, second=1):
    return lambda x, w1, b1, w2, b2: act(x @ w1 + first * b1) @ w2 + second * b2


def _back(slope=lambda h, da: h > 0):
    """The gradients with another derivative of the activation."""

    def gradients(dy, x, w1, b1, w2, b2):
        h, da = x @ w1 + b1, dy @ w2.T
        dh = da * slope(h, da)
        return {"x": dh @ w1.T, "w1": product(x, dh), "b1": dh.sum((0, 1))}

    return gradients


def _b1_of_da(dy, x, w1, b1, w2, b2):
    return {"b1": (dy @ w2.T).sum((0, 1))}


def _w2_of_h(dy, x, w1, b1, w2, b2):
    return {"w2": product(x @ w1 + b1, dy)}


def _w1_of_da(dy, x, w1, b1, w2, b2):
    return {"w1": product(x, dy @ w2.T)}


ABOVE = "ReLU lets a gradient pass where h, its input, is above 0; here it passes {}"
FORWARD = (
    Mistake("ReLU forgotten", "ReLU is missing: max(0, h)", _with(lambda h: h)),
    Mistake("leaky ReLU", "below 0 ReLU is 0: this is a leaky one", _with(lambda h: numpy.maximum(h, 0.01 * h))),
    Mistake("leaky ReLU", "below 0 ReLU is 0: this is a leaky one", _with(lambda h: numpy.maximum(h, 0.1 * h))),
    Mistake("min for max", "ReLU is max(0, h), not min", _with(lambda h: numpy.minimum(h, 0))),
    Mistake("another activation", "the absolute value is taken: ReLU is max(0, h)", _with(abs)),
    Mistake("another activation", "tanh is taken: ReLU is max(0, h)", _with(numpy.tanh)),
    Mistake("another activation", "GELU is taken: ReLU is max(0, h)", _with(lambda h: gelu_tanh(h)[0])),
    Mistake("bias forgotten", "b1 is missing", _with(first=0)),
    Mistake("bias forgotten", "b2 is missing", _with(second=0)),
    Mistake("bias forgotten", "b1 and b2 are missing", _with(first=0, second=0)),
    Mistake(
        "ReLU at the end",
        "ReLU stands at the end: it belongs between the two products",
        lambda x, w1, b1, w2, b2: numpy.maximum((x @ w1 + b1) @ w2 + b2, 0),
    ),
    Mistake(
        "ReLU at the end",
        "ReLU stands at the end too: between the two products alone",
        lambda x, w1, b1, w2, b2: numpy.maximum(_with()(x, w1, b1, w2, b2), 0),
    ),
)
BACKWARD = (
    Mistake("ReLU forgotten", "the derivative of ReLU is missing: dh = da · (h > 0)", _back(lambda h, da: 1.0), "dh"),
    Mistake("ReLU by the gradient", ABOVE.format("where da is above 0"), _back(lambda h, da: da > 0), "dh"),
    Mistake("ReLU upside down", ABOVE.format("where h is below 0"), _back(lambda h, da: h < 0), "dh"),
    Mistake(
        "ReLU itself",
        "this is multiplied by max(0, h): by 1 where h is above 0",
        _back(lambda h, da: numpy.maximum(h, 0)),
        "dh",
    ),
    Mistake("b1 from da", "db1 is the sum of dh, after ReLU's derivative, not of da", _b1_of_da, "db1"),
    Mistake("w1 from da", "dw1 takes da: dh, after ReLU's derivative, belongs there", _w1_of_da, "dw1"),
    Mistake("h in place of a", "dw2 takes h: a, after ReLU, stood before W₂", _w2_of_h, "dw2"),
)


TUTORIAL = 3
EXERCISE = Pair(
    "feed_forward",
    "x w1 b1 w2 b2",
    points=(2, 4),
    right=lambda *arguments: _run(None, *arguments),
    gradients=gradients,
    mistakes=(FORWARD, BACKWARD),
    cases=cases,
)
