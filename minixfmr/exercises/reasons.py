"""Why something is wrong: the mistake whose result is the student's, number by number."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from .compare import NotRight, as_numbers, flat


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
        seen = f" (seen{remark})" if remark else ""
        more = {"cause": self.cause, "where": where, "place": self.place, "report": error.report}
        return NotRight(f"{where}: {self.text}{seen}", **more)


def reason_of_result(mistakes: tuple[Mistake, ...], y: Any, right: numpy.ndarray, arguments: tuple) -> Reason | None:
    """Why y is not the right one, or None."""
    try:
        y = as_numbers("y", y)
    except NotRight:
        return None
    for mistake in mistakes:
        wrong = _tried(mistake.wrong, *arguments)
        if wrong is not None and _is(y, wrong) and not _is(right, wrong):
            return Reason(mistake.cause, mistake.text, ("y",), mistake.place)
    found = _scaled(y, right, {})
    return Reason(found[0], found[1], ("y",)) if found else None


def reason_of_gradients(
    mistakes: tuple[Mistake, ...],
    got: dict[str, numpy.ndarray],
    right: dict[str, numpy.ndarray],
    dy: Any,
    arguments: tuple,
    gradients: Callable,
) -> tuple[Reason | None, bool]:
    """(why these gradients, flat, are not the right ones, whether that explains all that are wrong).

    gradients: dy → the right ones, nested, to see whether dy was used at all.
    """
    wrong = [name for name in right if not _is(got[name], right[name])]
    best: Reason | None = None
    for mistake in mistakes:
        given = _tried(mistake.wrong, dy, *arguments)
        of = flat(given) if isinstance(given, dict) else {}
        spoiled = [n for n in of if n in right and not _is(right[n], of[n])]
        if any(n not in wrong for n in spoiled):  # it would have spoiled what is right
            continue
        names = [n for n in spoiled if _is(got[n], of[n])]
        if len(names) > (len(best.names) if best else 0):
            best = Reason(mistake.cause, mistake.text, tuple(f"d{n}" for n in names), mistake.place)
    if best:
        return best, len(best.names) == len(wrong)
    found = _general(got, right, wrong, dy, gradients)
    by_text: dict[tuple[str, str], list[str]] = {}
    for name, reason in found.items():
        by_text.setdefault(reason, []).append(f"d{name}")
    for (cause, text), names in by_text.items():
        return Reason(cause, text, tuple(names)), len(found) == len(wrong)
    return None, False


# --- what can go wrong with any gradient


def _general(got, right, wrong, dy, gradients):
    """{name: (cause, text)} of the wrong ones that can be told from the right one."""
    found = {}
    ones = flat(gradients(numpy.ones_like(dy) if numpy.ndim(dy) else 1.0))
    sizes = _sizes(dy, right)
    for name in wrong:
        mine, value = got[name], right[name]
        others = [n for n in wrong if n != name and _is(mine, right[n])]
        if others:
            found[name] = ("gradients exchanged", f"this is d{others[0]}: mind the order in which they are returned")
        elif _is(mine, ones[name]) and value.size > 1:
            found[name] = ("dy not used", "this is the gradient for a dy of ones: dy has to enter")
        elif mine.size > 1 and (mine == mine.flat[0]).all():
            found[name] = ("gradient is a constant", f"it is {mine.flat[0]:g} everywhere: dy has to enter")
        elif reason := _scaled(mine, value, sizes) or _laid_out(mine, value):
            found[name] = reason
    return found


def _scaled(mine, right, sizes):
    """(cause, text) where it is the right one times a number."""
    if mine.shape != right.shape or right.dtype.kind != "f" or right.size < 4:
        return None
    square = float((right * right).sum())
    c = float((mine * right).sum()) / square if square and numpy.isfinite(mine).all() else 0.0
    if not c or not _is(mine, c * right):
        return None
    if abs(c + 1) < 1e-9:
        return "wrong sign", "it has the wrong sign"
    for size, axis in sizes.items():
        if abs(c * size - 1) < 1e-9:
            text = f"it is the right one divided by {size} ({size} is {axis}): gradients add up, nothing is averaged"
            return "mean instead of sum", text
    for size, axis in sizes.items():
        for power, text in ((0.5, f"√{size}"), (-0.5, f"1/√{size}"), (1, f"{size}")):
            if abs(c / size**power - 1) < 1e-9:
                return f"wrong factor {text}", f"it is {text} times the right one ({size} is {axis})"
    return "wrong factor", f"it is {c:.6g} times the right one, everywhere"


def _laid_out(mine, right):
    """(cause, text) where the right numbers stand in the wrong places, or still have to be summed."""
    if mine.ndim == right.ndim == 2 and _is(mine.T, right):
        return "transposed", "it is transposed"
    if mine.ndim > right.ndim:
        axes = tuple(range(mine.ndim - right.ndim))
        if _is(mine.sum(axes), right):
            over = f"axis {axes[0]}" if len(axes) == 1 else f"axes {' and '.join(map(str, axes))}"
            return "not summed", f"it has to be summed over {over} too: its array serves every row, and the rows add up"
    if mine.size == right.size and _is(mine.reshape(right.shape), right):
        return "wrong shape", f"the numbers are right, but the shape must be {right.shape}"
    if mine.shape == right.shape and mine.size > 1:
        for axis in range(right.ndim):
            for take, word in ((right.sum, "summed"), (right.mean, "averaged")):
                if right.shape[axis] > 1 and _is(mine, numpy.broadcast_to(take(axis, keepdims=True), right.shape)):
                    return "summed too far", f"it is {word} over axis {axis}: each entry has a gradient of its own"
    return None


def _sizes(dy, right):
    """{size: what it is the size of}"""
    shape = numpy.shape(dy)
    sizes = {}
    rows = int(numpy.prod(shape[:-1])) if len(shape) > 1 else 0
    if rows > 1:
        sizes[rows] = "the number of rows of dy"
    for axis, n in enumerate(shape):
        if n > 1:
            sizes.setdefault(n, f"the size of axis {axis} of dy")
    for n in {n for value in right.values() for n in value.shape if n > 1}:
        sizes.setdefault(n, "the size of an axis")
    return sizes


def _tried(wrong, *arguments):
    """What a mistake gives; None where it cannot be made with these arguments."""
    try:
        with numpy.errstate(all="ignore"):
            return wrong(*arguments)
    except Exception:  # a mistake that fails here is not the one
        return None


def _is(a, b):
    """Are these the same numbers, NaN included?"""
    a, b = numpy.asarray(a), numpy.asarray(b)
    if a.shape != b.shape:
        return False
    with numpy.errstate(all="ignore"):
        largest = abs(b[numpy.isfinite(b)]).max(initial=0) if b.dtype.kind == "f" else 0
        return bool(numpy.allclose(a, b, rtol=1e-9, atol=1e-10 * largest + 1e-14, equal_nan=True))
