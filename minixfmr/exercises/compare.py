"""What came back beside what is right, in sentences."""

from dataclasses import dataclass
from typing import Any

import numpy

from .child.channel import Other, kind_of


class NotRight(Exception):
    """A sentence for the student.

    cause: in a few words, for the tally of a class, where it is known. where: the array or function; place: the line
    or step. Hints are made of these. report: the table of gradients, if it came to that.
    """

    def __init__(self, message: str, *, cause: str = "", where: str = "", place: str = "", report: str = "") -> None:
        super().__init__(message)
        self.cause, self.where, self.place, self.report = cause, where, place, report


class NotStarted(Exception):
    """The function still raises NotImplementedError."""


@dataclass(frozen=True)
class Tolerance:
    """|got - right| ≤ relative · |right| + absolute · the largest |right|"""

    relative: float = 1e-8
    absolute: float = 1e-10

    def wrong(self, got: numpy.ndarray, right: numpy.ndarray) -> numpy.ndarray:
        """Where got is not right; NaN never is."""
        if right.dtype.kind != "f":
            return got != right
        with numpy.errstate(all="ignore"):
            allowed = self.relative * abs(right) + self.absolute * abs(right).max(initial=0) + 1e-13
            return ~(abs(got - right) <= allowed)


FORWARD = Tolerance()
BACKWARD = Tolerance(1e-9, 1e-10)  # finite differences seldom come so near


def compare(name: str, got: Any, right: Any, remark: str = "", tolerance: Tolerance = FORWARD) -> None:
    """Raise NotRight unless the student's number or array is the right one."""
    right = numpy.asarray(right)
    got = as_numbers(name, got, remark)
    if got.shape != right.shape:
        raise NotRight(f"{name} has shape {got.shape}{remark}, expected {right.shape}", where=name)
    if got.dtype.kind != right.dtype.kind or (right.dtype.kind == "f" and got.dtype.itemsize < right.dtype.itemsize):
        raise NotRight(f"{name} has dtype {got.dtype}{remark}, expected {right.dtype}", where=name)
    bad = tolerance.wrong(got, right)
    if bad.any():
        where = tuple(int(i[0]) for i in bad.nonzero()) if bad.shape else ()
        at = f" at {where}" if where else ""
        a, b = got[where], right[where]
        digits = 6 if f"{a:.6g}" != f"{b:.6g}" else 12
        raise NotRight(f"{name} is wrong{remark}: {a:.{digits}g}{at}, expected {b:.{digits}g}", where=name)


def as_numbers(name: str, got: Any, remark: str = "") -> numpy.ndarray:
    """It as an array; raises NotRight for anything that is none."""
    if got is None:
        raise NotRight(f"{name} is None{remark}: is a return missing?", where=name)
    try:
        array = None if isinstance(got, Other | str | dict) else numpy.asarray(got)
    except (TypeError, ValueError, OverflowError):
        array = None
    if array is None or array.dtype.kind not in "fiub":
        what = got.kind if isinstance(got, Other) else kind_of(got)
        raise NotRight(f"{name} is {what}{remark}, expected an array of numbers", where=name)
    return array


def gradients_of(function: str, result: Any, expected: dict[str, Any]) -> dict[str, numpy.ndarray]:
    """{"x": dx, "p[w_q]": ...} of what a backward returned, flat. Raises NotRight unless there is one of each.

    expected: {name: the right gradient, or a dictionary of them}, in the order in which they are to be returned.
    """
    names = list(expected)
    if result is None:
        raise NotRight(f"{function} returned nothing: return the gradient of {' and of '.join(names)}")
    parts = tuple(result) if isinstance(result, tuple | list) and len(names) > 1 else (result,)
    if isinstance(result, tuple) and len(names) == 1 and len(result) == 1:
        parts = result
    if len(parts) != len(names) or (len(names) == 1 and isinstance(result, tuple) and len(result) != 1):
        count = len(result) if isinstance(result, tuple | list) else 1
        raise NotRight(f"{function} returned {count} gradients, expected {len(names)}: of {', '.join(names)}")
    flat: dict[str, numpy.ndarray] = {}
    for name, part in zip(names, parts, strict=True):
        if isinstance(expected[name], dict):
            flat |= _of_dictionary(name, part, expected[name])
        else:
            flat[name] = as_numbers(f"d{name}", part)
    return flat


def flat(gradients: dict[str, Any]) -> dict[str, numpy.ndarray]:
    """The right gradients, those in dictionaries under names such as p[w_q]."""
    pairs: dict[str, numpy.ndarray] = {}
    for name, value in gradients.items():
        inner = value.items() if isinstance(value, dict) else [(None, value)]
        pairs |= {name if key is None else f"{name}[{key}]": numpy.asarray(part) for key, part in inner}
    return pairs


def _of_dictionary(name, part, expected):
    if not isinstance(part, dict):
        what = "None" if part is None else part.kind if isinstance(part, Other) else kind_of(part)
        raise NotRight(f"d{name} is {what}, expected a dictionary with the keys of {name}", where=f"d{name}")
    missing = [key for key in expected if key not in part]
    if missing or len(part) != len(expected):
        wrong = f"lacks {', '.join(missing)}" if missing else "has other keys than those of " + name
        raise NotRight(f"d{name} {wrong}", where=f"d{name}")
    return {f"{name}[{key}]": as_numbers(f"d{name}[{key}]", part[key]) for key in expected}


def table(got: dict[str, numpy.ndarray], right: dict[str, numpy.ndarray], tolerance: Tolerance) -> str:
    """A line for each gradient: right or wrong, its shape, and where it is farthest off."""
    lines = [f"{'':6}{'gradient of':22} {'shape':13} {'at':>14} {'yours':>12} {'right':>12}"]
    for name, value in right.items():
        mine, shape = got[name], "×".join(map(str, value.shape))
        if mine.shape != value.shape:
            lines.append(f"{'WRONG':6}{name:22} {shape:13} {'':>14} shape {'×'.join(map(str, mine.shape))}")
            continue
        with numpy.errstate(all="ignore"):
            away = numpy.nan_to_num(abs(mine - value), nan=numpy.inf)
        at = numpy.unravel_index(int(away.argmax()), value.shape) if value.size else ()
        verdict = "WRONG" if tolerance.wrong(mine, value).any() else "ok"
        where = "×".join(str(int(i)) for i in at)
        lines.append(f"{verdict:6}{name:22} {shape:13} {where:>14} {mine[at]:12.4g} {value[at]:12.4g}")
    return "\n".join(lines)
