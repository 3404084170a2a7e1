"""Why something is wrong: the mistake whose result is the student's, number by number."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from .compare import NotRight


@dataclass(frozen=True)
class Mistake:
    """A mistake worth naming: what it gives is computed, and it is named only where the student's result is that.

    cause: in a few words, for the tally of a class    text: what is wrong and how to mend it, a sentence
    wrong: for a forward, the arguments → the wrong y; for a backward, dy and the arguments → {"x": the wrong dx, ...}
    place: the step in which it is made, for the second hint
    """

    cause: str
    text: str
    wrong: Callable
    place: str = ""


@dataclass(frozen=True)
class Reason:
    """A mistake that was found, and what it spoils."""

    cause: str
    text: str
    names: tuple[str, ...]
    place: str = ""

    def of(self, error: NotRight, remark: str) -> NotRight:
        """The error with this reason."""
        where = ", ".join(self.names)
        return NotRight(
            f"{where}: {self.text}{remark and f' (seen{remark})'}",
            cause=self.cause,
            where=where,
            place=self.place,
            report=error.report,
        )


def reason_of_result(mistakes: tuple[Mistake, ...], y: Any, right: numpy.ndarray, arguments: tuple) -> Reason | None:
    """Why y is not the right one, or None."""
    return None


def reason_of_gradients(
    mistakes: tuple[Mistake, ...], got: dict, right: dict, dy: Any, arguments: tuple
) -> Reason | None:
    """Why these gradients, flat, are not the right ones, or None."""
    return None
