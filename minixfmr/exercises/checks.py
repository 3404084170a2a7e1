"""How a student's functions are checked: the forward against right results, then the backward against the forward.

A check calls the functions and raises NotRight, with a sentence, where they are not right. Gradients are compared with
finite differences of the student's own forward, once that is right.
"""

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import gradcheck_function
from ..backend import random_generator, to_numpy
from ..gradcheck import GradcheckError
from ..gradcheck.diagnosis.forward import why_forward


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
            try:
                compare("y", y, self.right(*arguments), remark)
            except NotRight as error:
                why = why_forward(forward, self.right, arguments)
                raise NotRight(f"{error}{f'; {why}' if why else ''}") from None

    def backward(self, student):
        for remark, arguments in self.cases(random_generator(0)).items():
            forward, backward = self.functions(student, arguments)
            self.output(student, forward, arguments)  # what it raises is the student's, and told as such
            try:
                report = gradcheck_function(forward, backward, *arguments)
            except GradcheckError as error:
                if isinstance(error.original, NotImplementedError | MemoryError):
                    raise error.original from None
                raise NotRight(f"{error}{remark}") from None
            if not report.ok:
                raise NotRight(self.explanation(report) + remark, str(report))

    def explanation(self, report):
        """Why it is wrong, as far as the checker knows; else which property does not hold, or which gradients."""
        for explanation in report.explanations:
            return str(explanation)
        for line in report.properties:
            if not line.ok:
                return f"{line.name}: no, {line.remark}"
        return f"the gradient of {', '.join(row.name for row in report.rows if not row.ok)} is wrong"


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
