"""A smooth ReLU."""

import numpy

from ...layers import gelu, gelu_backward, gelu_tanh, gelu_tanh_backward
from ..exercise import Mistake, Pair
from .materials import DH, B, T, normal

C, A = (2 / numpy.pi) ** 0.5, 0.044715


def _parts(x):
    """t, dt/dx without the inner derivative, and the inner derivative."""
    t = numpy.tanh(C * (x + A * x**3))
    return t, 1 - t * t, C * (1 + 3 * A * x * x)


def _slope(change):
    """x, t, 1 - t², the inner derivative → the wrong derivative."""
    return lambda dy, x: {"x": dy * change(x, *_parts(x))}


def _sigmoid(x):
    return 1 / (1 + numpy.exp(-1.702 * x))


def _tanh_of(inner):
    return lambda x: x * (1 + numpy.tanh(inner(x))) / 2


TERMS = "x stands in y twice, so the derivative has two terms; the {} is missing"
FORWARD = (
    Mistake("√(2/π) forgotten", "the factor √(2/π) of u is missing", _tanh_of(lambda x: x + A * x**3)),
    Mistake("√(2/π) on x alone", "the factor √(2/π) multiplies both terms of u", _tanh_of(lambda x: C * x + A * x**3)),
    Mistake(
        "√(2π)", "the factor of u is √(2/π), not √(2π)", _tanh_of(lambda x: (2 * numpy.pi) ** 0.5 * (x + A * x**3))
    ),
    Mistake(
        "2/π without its root",
        "the root is missing: the factor of u is √(2/π)",
        _tanh_of(lambda x: C * C * (x + A * x**3)),
    ),
    Mistake("square for cube", "u has x³, not x²", _tanh_of(lambda x: C * (x + A * x**2))),
    Mistake("√2/π", "the root goes over 2/π, not over 2 alone", _tanh_of(lambda x: 2**0.5 / numpy.pi * (x + A * x**3))),
    Mistake("cube forgotten", "the term with x³ is missing in u", _tanh_of(lambda x: C * x)),
    Mistake("factor x forgotten", "the factor x is missing: y = ½ x (1 + tanh u)", lambda x: (1 + _parts(x)[0]) / 2),
    Mistake("½ forgotten", "the factor ½ is missing", lambda x: x * (1 + _parts(x)[0])),
    Mistake("1 forgotten", "the 1 is missing: y = ½ x (1 + tanh u)", lambda x: x * _parts(x)[0] / 2),
    Mistake(
        "another GELU", "this is the sigmoid's form, with 1.702: the tanh form is asked for", lambda x: x * _sigmoid(x)
    ),
    Mistake(
        "another GELU",
        "this is the exact GELU, with the error function: the tanh form is asked for",
        lambda x: gelu(x)[0],
    ),
    Mistake("ReLU", "this is ReLU", lambda x: numpy.maximum(x, 0)),
    Mistake("SiLU", "this is SiLU, x · sigmoid(x)", lambda x: x / (1 + numpy.exp(-x))),
)
BACKWARD = (
    Mistake("second term forgotten", TERMS.format("second, ½ x (1 - t²) u'"), _slope(lambda x, t, s, u: (1 + t) / 2)),
    Mistake("first term forgotten", TERMS.format("first, ½ (1 + t)"), _slope(lambda x, t, s, u: x * s * u / 2)),
    Mistake(
        "inner derivative forgotten",
        "the inner derivative u' is missing in the second term: that is the chain rule",
        _slope(lambda x, t, s, u: (1 + t + x * s) / 2),
    ),
    Mistake(
        "derivative of tanh",
        "the derivative of tanh is 1 - t², not 1 - t",
        _slope(lambda x, t, s, u: (1 + t + x * (1 - t) * u) / 2),
    ),
    Mistake(
        "derivative of tanh",
        "the derivative of tanh(u) is 1 - tanh(u)², not tanh(u)",
        _slope(lambda x, t, s, u: (1 + t + x * t * u) / 2),
    ),
    Mistake(
        "3 forgotten",
        "the derivative of 0.044715 x³ is 3 · 0.044715 x²: the 3 is missing",
        _slope(lambda x, t, s, u: (1 + t + x * s * C * (1 + A * x * x)) / 2),
    ),
    Mistake(
        "√(2/π) forgotten",
        "the inner derivative lacks the factor √(2/π)",
        _slope(lambda x, t, s, u: (1 + t + x * s * u / C) / 2),
    ),
    Mistake(
        "factor x forgotten",
        "the second term lacks its factor x",
        _slope(lambda x, t, s, u: (1 + t + s * u) / 2),
    ),
    Mistake("½ forgotten", "the second term lacks its factor ½", _slope(lambda x, t, s, u: (1 + t) / 2 + x * s * u)),
    Mistake("½ forgotten", "the first term lacks its factor ½", _slope(lambda x, t, s, u: 1 + t + x * s * u / 2)),
    Mistake("wrong sign", "the second term has the wrong sign", _slope(lambda x, t, s, u: (1 + t - x * s * u) / 2)),
    Mistake(
        "another GELU",
        "this is the derivative of the exact GELU, with the error function: the forward is the tanh form",
        lambda dy, x: {"x": gelu_backward(dy, gelu(x)[1])},
    ),
    Mistake(
        "another GELU",
        "this is the derivative of the sigmoid's form, with 1.702: the forward is the tanh form",
        lambda dy, x: {"x": dy * (_sigmoid(x) + 1.702 * x * _sigmoid(x) * (1 - _sigmoid(x)))},
    ),
    Mistake(
        "derivative at the output",
        "the derivative is taken at y: it belongs at x",
        lambda dy, x: {"x": gelu_tanh_backward(dy, gelu_tanh(gelu_tanh(x)[0])[1])},
    ),
    Mistake("derivative of ReLU", "this is the derivative of ReLU", lambda dy, x: {"x": dy * (x > 0)}),
)


TUTORIAL = 2
EXERCISE = Pair(
    "gelu",
    "x",
    points=(2, 3),
    right=lambda x: gelu_tanh(x)[0],
    gradients=lambda dy, x: {"x": gelu_tanh_backward(dy, gelu_tanh(x)[1])},
    mistakes=(FORWARD, BACKWARD),
    cases=lambda rng: {"": (2 * normal(rng, B, T, DH),)},
)
