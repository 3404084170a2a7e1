"""Scores to probabilities."""

import numpy

from ...layers import softmax
from ..exercise import Mistake, Pair
from .materials import B, H, S, T, normal


def gradients(dy, x):
    y = softmax(x)
    return {"x": y * (dy - (dy * y).sum(-1, keepdims=True))}


def _over(axis, top=None):
    """exp(x - max) / Σ exp(x - max), the sum over another axis; top: of the maximum, if it is not the same."""

    def wrong(x):
        e = numpy.exp(x - x.max(axis if top is None else top, keepdims=True))
        return e / e.sum(axis, keepdims=True)

    return wrong


def _exp(x):
    return numpy.exp(x - x.max(-1, keepdims=True))


def _rows(change):
    """Backward mistakes: y and dy → the wrong dx."""
    return lambda dy, x: {"x": change(softmax(x), dy)}


AXIS = "the sum goes over axis {}: the scores of one row are the last axis, axis=-1 with keepdims=True"
WHOLE = "the sum goes over the whole array: each row, the last axis, has a sum of its own"
FORWARD = (
    *(Mistake("softmax over the wrong axis", AXIS.format(a), _over(a, top)) for a in (-2, 0, 1) for top in (None, -1)),
    *(Mistake("softmax over the whole array", WHOLE, _over(None, top)) for top in (None, -1)),
    Mistake(
        "exp overflows",
        "exp overflows for large scores: subtract the largest score of each row first",
        lambda x: numpy.exp(x) / numpy.exp(x).sum(-1, keepdims=True),
    ),
    Mistake(
        "largest in place of the sum",
        "it is divided by the row's largest exp; the sum of them belongs there",
        lambda x: _exp(x) / _exp(x).max(-1, keepdims=True),
    ),
    Mistake("log of the softmax", "this is the logarithm of the softmax", lambda x: numpy.log(softmax(x))),
    Mistake("not normalised", "it is not normalised: divide by the sum of each row", _exp),
    Mistake("not normalised", "it is not normalised: divide by the sum of each row", numpy.exp),
    Mistake(
        "exp forgotten",
        "the exp is missing: the scores themselves are divided by their sum",
        lambda x: x / x.sum(-1, keepdims=True),
    ),
    Mistake(
        "exp forgotten",
        "the exp is missing: the scores themselves are divided by their sum",
        lambda x: (x - x.max(-1, keepdims=True)) / (x - x.max(-1, keepdims=True)).sum(-1, keepdims=True),
    ),
    Mistake("wrong sign", "the scores have the wrong sign: a larger score is a larger y", lambda x: softmax(-x)),
)
ROW = "the row term is missing: each y depends on every x of its row, so subtract y · Σ (dy · y) of the row"
BACKWARD = (
    Mistake("row term forgotten", ROW, _rows(lambda y, dy: dy * y), "the sum over the row"),
    Mistake(
        "Jacobian's diagonal only",
        "only the diagonal y (1 - y) is used: the row's other outputs depend on each x too, so subtract y · Σ (dy · y)",
        _rows(lambda y, dy: dy * y * (1 - y)),
        "the sum over the row",
    ),
    *(
        Mistake(
            "sum over the wrong axis",
            f"Σ (dy · y) goes over axis {axis}: it belongs to one row, the last axis, with keepdims=True",
            _rows(lambda y, dy, axis=axis: y * (dy - (dy * y).sum(axis, keepdims=True))),
            "the sum over the row",
        )
        for axis in (-2, 0, 1)
    ),
    Mistake(
        "sum over the whole array",
        "Σ (dy · y) goes over the whole array: each row has a sum of its own",
        _rows(lambda y, dy: y * (dy - (dy * y).sum())),
        "the sum over the row",
    ),
    Mistake(
        "mean instead of sum",
        "the row term is a mean: it is the sum of dy · y over the row",
        _rows(lambda y, dy: y * (dy - (dy * y).mean(-1, keepdims=True))),
        "the sum over the row",
    ),
    Mistake(
        "factor y forgotten",
        "the factor y in front is missing: dx = y · (dy - Σ (dy · y))",
        _rows(lambda y, dy: dy - (dy * y).sum(-1, keepdims=True)),
        "the last line",
    ),
    Mistake(
        "factor y forgotten",
        "the row term lacks a factor y: sum dy · y, not dy",
        _rows(lambda y, dy: y * (dy - dy.sum(-1, keepdims=True))),
        "the sum over the row",
    ),
    Mistake(
        "factor y forgotten",
        "the row term lacks its factor y: subtract y · Σ (dy · y)",
        _rows(lambda y, dy: dy * y - (dy * y).sum(-1, keepdims=True)),
        "the last line",
    ),
    Mistake(
        "factor y twice",
        "the row term has a factor y too many: dx = y · (dy - Σ (dy · y))",
        _rows(lambda y, dy: y * (dy - y * (dy * y).sum(-1, keepdims=True))),
        "the last line",
    ),
    Mistake(
        "wrong sign of the row term",
        "the row term has the wrong sign: it is subtracted",
        _rows(lambda y, dy: y * (dy + (dy * y).sum(-1, keepdims=True))),
        "the last line",
    ),
    Mistake(
        "backward of log-softmax",
        "this is the backward of the log-softmax",
        _rows(lambda y, dy: dy - y * dy.sum(-1, keepdims=True)),
        "the last line",
    ),
)


TUTORIAL = 1
EXERCISE = Pair(
    "softmax",
    "x",
    points=(2, 3),
    right=softmax,
    gradients=gradients,
    cases=lambda rng: {
        "": (normal(rng, B, H, T, S),),
        " with scores far from 0": (normal(rng, B, H, T, S) + 1e6 * normal(rng, B, H, T, 1),),  # no step is small there
    },
    mistakes=(FORWARD, BACKWARD),
    extra=lambda rng: {" with large scores": (500 * normal(rng, T, S),)},
)
