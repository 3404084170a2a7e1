"""What an exercise is: a template, the right result, cases, the mistakes worth naming, and points.

Each is one file; its name is the exercise's, and the first line of its docstring the title. EXERCISE is an Exercise,
TEMPLATE the text that students are given, TUTORIAL the number of the tutorial that goes with it, if there is one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from .compare import BACKWARD, NotRight, compare, flat, gradients_of, table
from .reasons import Mistake, reason_of_gradients, reason_of_result
from .session import Seed, Session

Cases = Callable[[numpy.random.Generator], dict[str, tuple]]
Explainer = Callable[[str, str, tuple], "tuple[list[tuple[str, str]], str]"]


@dataclass(frozen=True)
class Check:
    """One part of an exercise, and its points. run raises NotRight, or NotStarted."""

    label: str  # such as "forward"
    points: int
    run: Callable[[Session, Explainer | None], None]


class Exercise:
    """Functions to be written, and the checks of them, each given a Session and an Explainer or None."""

    def __init__(self, functions: tuple[str, ...], checks: tuple[Check, ...]) -> None:
        self.functions, self.checks = functions, checks
        self.name = self.title = self.template = ""  # of its file
        self.tutorial = 0

    @property
    def points(self) -> tuple[int, ...]:
        """For each check."""
        return tuple(check.points for check in self.checks)


class Pair(Exercise):
    """A forward and its backward: y, saved = name_forward(*arguments); dx, ... = name_backward(dy, saved).

    name: the functions are name_forward and name_backward
    names: of the arguments, in their order
    right: the arguments → y
    gradients: dy and the arguments → {"x": dx, ...} for each argument that has a gradient, in their order; None: by
        differences of `right`, which is slow for more than a few hundred numbers
    cases: rng → {remark: arguments}; the remark, such as " with a mask", completes the messages. Those of `extra` are
        for the forward alone.
    mistakes: (those of the forward, those of the backward), see Mistake
    """

    def __init__(
        self,
        name: str,
        names: str,
        *,
        right: Callable,
        cases: Cases,
        points: tuple[int, int],
        gradients: Callable | None = None,
        extra: Cases | None = None,
        mistakes: tuple[tuple[Mistake, ...], tuple[Mistake, ...]] = ((), ()),
    ) -> None:
        checks = (Check("forward", points[0], self.forward), Check("backward", points[1], self.backward))
        self.pair = f"{name}_forward", f"{name}_backward"
        super().__init__(self.pair, checks)
        self.names, self.right, self.cases = names.split(), right, cases
        self.gradients = gradients or self._differences
        self.extra = extra or (lambda rng: {})
        self.mistakes = mistakes

    def forward(self, session: Session, explain: Explainer | None = None) -> None:
        """Raise NotRight, with the reason, unless y is right in every case."""
        for remark, arguments in (self.cases(session.rng) | self.extra(session.rng)).items():
            self.compare_y(session.forward(self.functions[0], arguments, self.names), arguments, remark)

    def backward(self, session: Session, explain: Explainer | None = None) -> None:
        """Raise NotRight, with the reason, unless every gradient is right in every case, for a dy drawn after it."""
        forward, backward = self.pair
        for remark, arguments in self.cases(session.rng).items():
            y = session.forward(forward, arguments, self.names)
            self.compare_y(y, arguments, remark)
            dy: Any = session.rng.standard_normal(numpy.shape(y))
            right = self.right_gradients(dy, arguments, y)
            got = gradients_of(backward, session.backward(backward, dy), right)
            try:
                for name, value in flat(right).items():
                    compare(f"d{name}", got[name], value, remark, BACKWARD)
            except NotRight as error:
                error.report = table(got, flat(right), BACKWARD)
                again = lambda dy, a=arguments, y=y: self.right_gradients(dy, a, y)  # noqa: E731
                found, whole = reason_of_gradients(self.backward_mistakes(y), got, flat(right), dy, arguments, again)
                searched = None if whole else self.searched(error, arguments, explain)
                raise searched or (found.of(error, remark) if found else error) from None

    def right_gradients(self, dy: Any, arguments: tuple, y: Any) -> dict[str, Any]:
        """{"x": dx, ...}. y: the student's, for what is drawn at random."""
        return self.gradients(dy, *arguments)

    def backward_mistakes(self, y: Any) -> tuple[Mistake, ...]:
        """Those worth naming. y: as for right_gradients."""
        return self.mistakes[1]

    def compare_y(self, y: Any, arguments: tuple, remark: str) -> None:
        """Raise NotRight, with the reason, unless y is right."""
        right = self.right(*arguments)
        try:
            compare("y", y, right, remark)
        except NotRight as error:
            named = reason_of_result(self.mistakes[0], y, numpy.asarray(right), arguments)
            raise named.of(error, remark) if named else error from None

    def searched(self, error: NotRight, arguments: tuple, explain: Explainer | None) -> NotRight | None:
        """The error with what the gradient checker says of it, where it says something."""
        reasons, report = explain(*self.pair, arguments) if explain else ([], "")
        if not reasons:
            return None
        cause, sentence = reasons[0]
        return NotRight(sentence, cause=cause, where=error.where, report=report or error.report)

    def _differences(self, dy, *arguments):
        """By central differences of the right result, with one extrapolation."""
        gradients = {}
        for i, name in enumerate(self.names):
            value = arguments[i]
            if isinstance(value, numpy.ndarray) and value.dtype.kind == "f":
                gradients[name] = gradient = numpy.empty_like(value)
                for at in numpy.ndindex(value.shape):
                    gradient[at] = _slope(lambda h, i=i, at=at: self._loss(dy, arguments, i, at, h))
        return gradients

    def _loss(self, dy, arguments, i, at, h):
        moved = arguments[i].copy()
        moved[at] += h
        return dy * numpy.asarray(self.right(*arguments[:i], moved, *arguments[i + 1 :]))


def _slope(loss, h=1e-3):
    """dL/dh at 0, to the sixth order."""
    d1, d2, d3 = (float((loss(k * h) - loss(-k * h)).sum()) / (2 * k * h) for k in (1, 2, 3))
    return (15 * d1 - 6 * d2 + d3) / 10


__all__ = ["Check", "Exercise", "Mistake", "Pair", "Seed", "Session"]
