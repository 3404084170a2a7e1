"""How a student's functions are checked: the forward against right results, then the backward against the forward.

A check calls the functions and raises NotRight, with a sentence, where they are not right. Gradients are compared with
finite differences of the student's own forward, once that is right.
"""

import copy
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from .. import gradcheck_function
from ..backend import random_generator, to_numpy, xp


class NotRight(Exception):
    """A sentence for the student; report: the table of gradients, if it came to that."""

    def __init__(self, message: str, report: str = "") -> None:
        super().__init__(message)
        self.report = report


@dataclass
class Exercise:
    functions: tuple[str, ...]  # to be written; the first one tells whether the exercise was started
    checks: tuple[Callable, ...]  # each is given a Student
    points: tuple[int, ...]  # for each check


# --- comparison


def compare(name: str, got: Any, right: Any, remark: str = "") -> None:
    """Raise NotRight unless the student's number or array is the right one."""
    right = to_numpy(right)
    got = as_numbers(name, got, remark)
    if got.shape != right.shape:
        raise NotRight(f"{name} has shape {got.shape}{remark}, expected {right.shape}")
    if got.dtype.kind != right.dtype.kind:
        raise NotRight(f"{name} has dtype {got.dtype}{remark}, expected {right.dtype}")
    bad = got != right
    if right.dtype.kind == "f":
        bad = ~(abs(got - right) <= 1e-8 * abs(right) + 1e-12)  # NaN is bad too
    if bad.any():
        where = tuple(int(i[0]) for i in bad.nonzero()) if bad.shape else ()
        at = f" at {where}" if where else ""
        raise NotRight(f"{name} is wrong{remark}: {got[where]:.6g}{at}, expected {right[where]:.6g}")


def as_numbers(name, got, remark=""):
    """It as an array; raises NotRight for anything that is none."""
    if got is None:
        raise NotRight(f"{name} is None{remark}: is a return missing?")
    try:
        array = to_numpy(got)
    except (TypeError, ValueError):
        array = None
    if array is None or array.dtype.kind not in "fiub":
        raise NotRight(f"{name} is {kind_of(got)}{remark}, expected an array of numbers")
    return array


def check_unchanged(function, names, before, after):
    """Raise NotRight if the function wrote into an array that it was given."""
    for name, old, new in zip(names, before, after, strict=True):
        if isinstance(old, dict):
            check_unchanged(
                function, [f'{name}["{key}"]' for key in old], list(old.values()), [new.get(key) for key in old]
            )
        elif hasattr(old, "shape") and not (old == new).all():
            raise NotRight(f"{function} changes {name}, which it was given: work on a copy")


def kind_of(value):
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, tuple | list | dict) else "")


def returned(student, function, result, what, count):
    """The parts of a returned tuple; raises NotRight if it is no tuple of that many."""
    if not isinstance(result, tuple) or len(result) != count:
        got = "nothing" if result is None else kind_of(result)
        raise NotRight(f"{student.place(function)}{function.__name__} returned {got}, expected {what}")
    return result


# --- a forward and its backward


class Pair:
    """The two checks of name_forward and name_backward.

    right: the arguments → y. cases: rng → {remark: arguments}; those of `extra` are for the forward alone.
    """

    def __init__(self, name, right, cases, extra=lambda rng: {}):
        self.name, self.right, self.cases, self.extra = name, right, cases, extra
        self.names = list(inspect.signature(right).parameters)

    def functions(self, student, arguments):
        forward = student.function(f"{self.name}_forward", *arguments)
        return forward, student.function(f"{self.name}_backward", None, None)

    def output(self, student, forward, arguments):
        """y and the cache, made with arguments that stay as they are."""
        given = copy.deepcopy(arguments)
        result = forward(*given)
        y, cache = returned(student, forward, result, "a tuple (y, cache)", 2)
        check_unchanged(forward.__name__, self.names, arguments, given)
        return y, cache

    def forward(self, student):
        rng = random_generator(0)
        for remark, arguments in (self.cases(rng) | self.extra(rng)).items():
            forward = student.function(f"{self.name}_forward", *arguments)
            y, _ = self.output(student, forward, arguments)
            compare("y", y, self.right(*arguments), remark)

    def backward(self, student):
        for remark, arguments in self.cases(random_generator(0)).items():
            forward, backward = self.functions(student, arguments)
            y, cache = self.output(student, forward, arguments)
            dout = random_generator(1).standard_normal(to_numpy(y).shape)
            self.shapes(student, backward, backward(dout, cache), arguments, remark)
            report = gradcheck_function(_with_array(forward), backward, *arguments)
            if not report.ok:
                raise NotRight(self.explanation(report) + remark, str(report))

    def shapes(self, student, backward, gradients, arguments, remark):
        """Raise NotRight unless there is an array of the right shape for each float argument."""
        floats = {f"d{n}": a for n, a in zip(self.names, arguments, strict=True) if _has_gradient(a)}
        if len(floats) > 1:
            gradients = returned(student, backward, gradients, f"a tuple ({', '.join(floats)})", len(floats))
        else:  # a single one may come bare
            bare = (gradients,) if not isinstance(gradients, tuple) else gradients
            gradients = returned(student, backward, bare, ", ".join(floats), 1)
        for (name, argument), gradient in zip(floats.items(), gradients, strict=True):
            parts = [(name, argument, gradient)]
            if isinstance(argument, dict):
                if not isinstance(gradient, dict) or gradient.keys() != argument.keys():
                    keys = f" with the keys {', '.join(gradient)}" if isinstance(gradient, dict) else ""
                    raise NotRight(
                        f"{student.place(backward)}{name} is {kind_of(gradient)}{keys}, expected a dictionary with "
                        f"the keys {', '.join(argument)}"
                    )
                parts = [(f'{name}["{key}"]', argument[key], gradient[key]) for key in argument]
            for part, value, got in parts:
                shape = as_numbers(part, got, remark).shape
                if shape != value.shape:
                    raise NotRight(f"{student.place(backward)}{part} has shape {shape}{remark}, expected {value.shape}")

    def explanation(self, report):
        """The checker's first explanation, or which gradients are wrong."""
        for explanation in getattr(report, "explanations", None) or []:
            return str(explanation).splitlines()[0]
        wrong = [re.sub(r"argument (\d+)", lambda i: self.names[int(i[1])], r.name) for r in report.rows if not r.ok]
        return f"the gradient of {', '.join(wrong)} is wrong" if wrong else "backward is not right"


def _has_gradient(argument):
    return isinstance(argument, dict) or getattr(getattr(argument, "dtype", None), "kind", "") == "f"


def _with_array(forward):
    """The same forward, its y an array even where the student returns a Python number."""

    @wraps(forward)
    def with_array(*arguments):
        y, cache = forward(*arguments)
        return (y if hasattr(y, "shape") else xp.asarray(y)), cache

    return with_array


class DropoutPair(Pair):
    """Dropout draws as it likes, so its forward is judged by what holds for every draw."""

    def forward(self, student):
        x, p = random_generator(0).uniform(1, 2, (40, 50)), 0.3
        forward = student.function("dropout_forward", x, p, None)
        y, _ = self.output(student, forward, (x, p, None))
        compare("y", y, x, " in evaluation (rng None)")

        rng = random_generator(1)
        y, _ = self.output(student, forward, (x, p, rng))
        y = as_numbers("y", y)
        if y.shape != x.shape:
            raise NotRight(f"y has shape {y.shape}, expected {x.shape}")
        compare("y, where it is not 0,", y[y != 0], (x / (1 - p))[y != 0])
        share = float((y == 0).mean())
        if abs(share - p) > 0.06:  # six standard deviations
            raise NotRight(f"{share:.0%} of y are 0, expected about {p:.0%}")
        if (self.output(student, forward, (x, p, rng))[0] != y).any():
            raise NotRight("y differs between two calls with equal generators: draw from rng alone")
        first, _ = forward(x, p, rng)
        if (first == forward(x, p, rng)[0]).all():
            raise NotRight("y is the same in two calls with one generator: draw anew in each")

    def functions(self, student, arguments):
        """With a seed in place of the generator, so that every call draws the same."""
        forward, backward = super().functions(student, arguments)

        @wraps(forward)
        def seeded(x, p, seed):
            return forward(x, p, None if seed is None else random_generator(seed))

        return seeded, backward
