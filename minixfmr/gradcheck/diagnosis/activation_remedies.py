"""What people get wrong in an activation, y = f(x), whose gradient is dx = dy · f'(x)."""

import itertools
import math
from collections.abc import Callable, Iterator

import numpy

from ...backend import erf, to_device, to_numpy
from .remedies import Change, Pool, Remedy, same


def _sigmoid(x):
    return 1 / (1 + numpy.exp(-x))


def _t(x):  # the tanh of GELU's tanh form
    return numpy.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))


def _dt(x):
    return (1 - _t(x) ** 2) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)


def _Phi(x):
    return (1 + to_numpy(erf(to_device(x / math.sqrt(2))))) / 2


def _phi(x):
    return numpy.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _swish(x, b):
    return _sigmoid(b * x) * (1 + b * x * (1 - _sigmoid(b * x)))


ACTIVATIONS: dict[str, Callable] = {
    "ReLU": lambda x: numpy.maximum(x, 0),
    "exact GELU": lambda x: x * _Phi(x),
    "tanh GELU": lambda x: x * (1 + _t(x)) / 2,
    "sigmoid GELU": lambda x: x * _sigmoid(1.702 * x),
    "SiLU": lambda x: x * _sigmoid(x),
    "sigmoid": _sigmoid,
    "tanh": numpy.tanh,
}
SLOPES: dict[str, Callable] = {
    "ReLU": lambda x: (x > 0).astype(float),
    "exact GELU": lambda x: _Phi(x) + x * _phi(x),
    "tanh GELU": lambda x: (1 + _t(x)) / 2 + x / 2 * _dt(x),
    "sigmoid GELU": lambda x: _swish(x, 1.702),
    "SiLU": lambda x: _swish(x, 1),
    "sigmoid": lambda x: _sigmoid(x) * (1 - _sigmoid(x)),
    "tanh": lambda x: 1 - numpy.tanh(x) ** 2,
    "tanh from its output": lambda y: 1 - y * y,
    "sigmoid from its output": lambda y: y * (1 - y),
    "the first term of exact GELU's": _Phi,
    "the first term of tanh GELU's": lambda x: (1 + _t(x)) / 2,
    "the first term of SiLU's": _sigmoid,
}
PARTIAL = [name for name in SLOPES if "term" in name]


def is_activation_of(y: numpy.ndarray, x: numpy.ndarray) -> bool:
    """Is y one of the activations, taken of x?"""
    return (
        y.shape == x.shape and y.dtype.kind == x.dtype.kind == "f" and any(same(y, f(x)) for f in ACTIVATIONS.values())
    )


def activation(v: numpy.ndarray, pool: Pool) -> Iterator[Remedy]:
    """The derivative forgotten, of another function, at the output, or a part of it."""
    like = {name: a for name, a in pool.items() if a.shape == v.shape and a.dtype.kind == "f"}
    for (name, x), (f, act) in itertools.product(like.items(), ACTIVATIONS.items()):
        a = act(x)
        for y in like.values():
            if y is not x and same(y, a) and not same(y, x):
                text = f"the derivative of {f} is missing: multiply by {f}'({name})"
                yield Remedy("activation derivative missing", text, _times_slope(f, name))
    for f, (name, x) in itertools.product(ACTIVATIONS, like.items()):
        if same(v, ACTIVATIONS[f](x)) and not same(v, x):
            yield Remedy(
                "derivative at the output",
                f"this is {f} itself; its derivative at {name} belongs here",
                _slope_of(f, name, ""),
            )
    dy = pool.get("dy")
    for upstream in ("", "dy") if dy is not None and dy.shape == v.shape else ("",):  # f' itself, or dy · f'
        for (f, slope), (name, a) in itertools.product(SLOPES.items(), like.items()):
            if not same(v, (dy if upstream else 1) * slope(a)):
                continue
            for right, (of, x) in itertools.product(SLOPES, like.items()):
                if (f, name) == (right, of) or right in PARTIAL:
                    continue
                if "output" in f and not any(is_activation_of(a, other) for other in like.values()):
                    cause, text = "wrong variable", f"this takes {name} for the output of {f.partition(' ')[0]}"
                elif "output" in f + right or (a is not x and is_activation_of(a, x)):
                    cause, text = "derivative at the output", f"this is {_derivative(f, name)}, the output"
                elif f in PARTIAL:
                    cause, text = "term missing", f"this is {f}, only a part of the derivative"
                elif name == of and "GELU" in f and "GELU" in right:
                    cause, text = "other GELU", f"this is the derivative of {f}"
                else:
                    cause, text = "wrong derivative", f"this is {_derivative(f, name)}"
                yield Remedy(cause, f"{text}; take {_derivative(right, of)}", _slope_of(right, of, upstream))


def _derivative(f: str, name: str) -> str:
    f, from_output, _ = f.partition(" from its output")
    return f"{f}'s derivative, got from its output {name}" if from_output else f"{f}'s derivative at {name}"


def _times_slope(f: str, name: str) -> Change:
    return lambda v, q: v * SLOPES[f](q[name])


def _slope_of(f: str, name: str, upstream: str) -> Change:
    return lambda v, q: SLOPES[f](q[name]) * (q[upstream] if upstream else 1)
