"""Why a gradient is wrong: the first change that turns it into the numeric one, tried in the order of how often it
happens. An explanation is given only if the gradient passes once it is applied; else a map of the wrong entries."""

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from .constants import COUNTS, constants_of, names_of, pool_of
from ..differences import Differences, Numeric
from .layer_remedies import general, smoothing, telling
from .parts import blame_part
from .remedies import misshapen
from .repair import repair
from ..report import Explanation, Report, wrong_entries
from ..subject import LayerSubject, Subject

SECONDS = 15.0  # for all explanations of a report
WHOLE = 3000  # entries: arrays up to here are compared in full
UNSOUND = {"forward leaves its inputs alone", "dtypes are kept", "no NaN or infinity"}
EVIDENCE = 4  # entries that must agree before an unnamed factor or a term is believed


@dataclass
class Case:
    """One wrong gradient and what is known about it."""

    name: str
    analytic: numpy.ndarray
    numeric: Numeric
    shape: tuple[int, ...]
    tolerance: float

    def agrees(self, candidate: Any) -> bool:
        candidate = numpy.asarray(candidate)
        if candidate.shape != self.shape:
            return False
        errors = self.numeric.errors(candidate)
        return bool(errors.size and errors.max() <= self.tolerance)

    @property
    def evidence(self) -> int:
        """Entries that say something: those that are not zero."""
        return int((numpy.abs(self.numeric.slopes) > self.numeric.floor).sum())


def explain_rows(
    report: Report, subject: Subject, dy: Any, analytic: dict, numeric: dict, tolerance: float, check: Callable
) -> None:
    """Add explanations, and maps where there is none, to a report that has wrong rows. check: gradcheck, for the
    parts of a layer."""
    if {p.name for p in report.properties if not p.ok} & UNSOUND:
        return  # the line about that property says what to mend first: what is compared means little before
    end = time.monotonic() + SECONDS
    y, saved = subject.forward()
    constants, pool = constants_of(subject, dy, y, saved), pool_of(subject, dy, y, saved)
    cases = [
        Case(row.name, analytic[row.name], numeric[row.name], row.shape, tolerance)
        for row in report.rows
        if not row.ok and analytic[row.name] is not None and numpy.isfinite(analytic[row.name]).all()
    ]
    found = _swapped(cases) or {
        case.name: e for case in cases if (e := _explained(case, pool, constants, numpy.shape(y)))
    }
    if cases and (len(found) < len(cases) or len({(e.cause, e.sentence) for e in found.values()}) > 1):
        whole = blame_part(subject, dy, cases, check) if isinstance(subject, LayerSubject) else None
        whole = whole or repair(subject, dy, cases, analytic, constants, pool, end)
        if whole and len(whole.names) > len(set(whole.names) & set(found)):
            found = {name: e for name, e in found.items() if name not in whole.names} | {whole.names[0]: whole}
    explained = {name for e in found.values() for name in e.names}
    for case in cases:
        if case.name not in explained:
            _compare_all(subject, dy, case.name, case.numeric, end)
            if e := _irreversible(case):
                found[case.name] = e
            else:
                report.maps[case.name] = _map(case)
    report.explanations = _merged(found.values())


def _swapped(cases):
    """Gradients that are right but stand in each other's place."""
    for a, b in itertools.combinations(cases, 2):
        if a.agrees(b.analytic) and b.agrees(a.analytic) and a.evidence >= EVIDENCE:
            e = Explanation(
                (a.name, b.name), "swapped", "each is the other's gradient: exchange them where they are returned"
            )
            rest = [case for case in cases if case is not a and case is not b]
            return {a.name: e} | _swapped(rest)
    return {}


def _explained(case, pool, constants, rows):
    """The explanation of one gradient from what can be seen from outside, or None."""
    v, shape = case.analytic, case.shape
    if v.shape != shape:
        for remedy in misshapen(v, shape, rows):
            if case.agrees(mended := remedy.apply(v, pool)):
                return _explanation(case, remedy)
            factor = _factor(case, mended)
            if factor and (named := _named_factor(case, mended, factor, constants)):
                return Explanation((case.name,), remedy.cause, f"{remedy.text}; then {named.sentence}")
        return None
    factor = _factor(case, v)
    if factor is not None and (named := _named_factor(case, v, factor, constants)):
        return named
    if case.evidence < EVIDENCE:
        return None
    with numpy.errstate(all="ignore"):
        for remedy in itertools.chain(telling(v, pool), general(v, pool)):
            mended = remedy.apply(v, pool)
            if mended is not v and case.agrees(mended):
                return _explanation(case, remedy)
        numbers = [n for n in constants.values() if 0 < n < 1]
        for remedy in smoothing(v, case.numeric.slopes, case.numeric.indices, pool, numbers):
            if case.agrees(remedy.apply(v, pool)):
                return _explanation(case, remedy)
    if factor is not None:
        return Explanation((case.name,), "factor", f"it is the right one times {1 / factor:.6g}, the same everywhere")
    return None


def _factor(case, v):
    """c with c · v = numeric everywhere, or None."""
    if v.shape != case.shape:
        return None
    a, n = v[case.numeric.indices], case.numeric.slopes
    square = float((a * a).sum())
    if not square:
        return None
    c = float((a * n).sum()) / square
    return c if c and case.agrees(c * v) else None


def _named_factor(case, v, c, constants):
    """The explanation of a constant factor that has a name."""
    if abs(c + 1) < 1e-6:
        return Explanation((case.name,), "sign", "it has the wrong sign: multiply by -1")
    names = names_of(c, constants)
    inverse = names_of(1 / c, constants)
    if not names and not (names_of(-c, constants)):
        return None
    if not names:
        return Explanation(
            (case.name,), "factor", f"it lacks the factor -({' or '.join(names_of(-c, constants))}), sign included"
        )
    sentence = f"it lacks the factor {' or '.join(names)}"
    if inverse:
        sentence += f", that is, it is {' or '.join(inverse)} times too large" if c < 1 else f": multiply by {c:.6g}"
    if any("labels" in n for n in names):
        return Explanation((case.name,), "not divided by the labels that count", sentence)
    if c > 1 and any(word in n for n in names for word in (*COUNTS, "length")):
        return Explanation((case.name,), "mean instead of sum", f"{sentence}; it is averaged where it must be summed")
    return Explanation((case.name,), "factor", sentence)


def _irreversible(case):
    """Mistakes that lose entries: the mistake is applied to the numeric gradient, and gives the analytic one."""
    right = _whole(case)
    if right is None:
        return None
    v = case.analytic
    for count in range(1, right.ndim + 1):
        for axes in itertools.combinations(range(right.ndim), count):
            if math.prod(right.shape[a] for a in axes) == 1:
                continue
            for keepdims in (False, True):
                for word, wrong in (
                    ("summed", right.sum(axes, keepdims=keepdims)),
                    ("averaged", right.mean(axes, keepdims=keepdims)),
                ):
                    same = v.shape == wrong.shape or (v.shape == right.shape and keepdims)
                    if same and numpy.allclose(v, wrong, rtol=1e-6, atol=1e-9 * abs(right).max()):
                        sentence = f"it is {word} over axes {axes}, one too many: each entry has a gradient of its own"
                        return Explanation((case.name,), "summed over too many axes", sentence)
    if v.shape == right.shape and v.ndim >= 1:
        order = _permutation(v, right)
        if order is not None:
            axis, blocks = order
            sentence = f"the right numbers in the wrong places: along axis {axis} its parts come in the order {blocks}"
            return Explanation((case.name,), "axes permuted", sentence)
    return None


def _permutation(v, right):
    """(axis, order) where v is `right` with equal parts of an axis (heads, or single entries) exchanged."""
    close = 1e-6 * abs(right).max()
    for axis, size in enumerate(right.shape):
        for parts in (h for h in range(2, min(size, 64) + 1) if size % h == 0):
            a, b = (numpy.moveaxis(x, axis, 0).reshape(parts, -1) for x in (v, right))
            order = [int(numpy.abs(b - row).max(-1).argmin()) for row in a]
            if sorted(order) == list(range(parts)) != order and numpy.abs(b[order] - a).max() <= close:
                return axis, order
    return None


def _compare_all(subject, dy, name, numeric, end):
    """Finite differences of every entry of a wrong gradient, in place of those of a few."""
    value = subject.values[name]
    if value.size <= WHOLE and len(numeric.slopes) + numeric.kinks < value.size:
        differences = Differences(lambda: subject.forward()[0], dy)
        seconds = max(0.5, (end - time.monotonic()) / 4)
        whole = differences.numeric(value, iter(range(value.size)), seconds)
        if len(whole.slopes) + whole.kinks == value.size:
            numeric.indices, numeric.slopes, numeric.kinks = whole.indices, whole.slopes, whole.kinks


def _whole(case):
    """The numeric gradient as an array, if every entry is known."""
    if len(case.numeric.slopes) != math.prod(case.shape):
        return None
    right = numpy.empty(case.shape)
    right[case.numeric.indices] = case.numeric.slopes
    return right


def _map(case):
    if case.analytic.shape != case.shape:
        return f"its shape is {case.analytic.shape}, not {case.shape}"
    wrong = numpy.zeros(case.shape, bool)
    wrong[case.numeric.indices] = case.numeric.errors(case.analytic) > case.tolerance
    some = "" if len(case.numeric.slopes) == wrong.size else f"\n({len(case.numeric.slopes)} entries compared)"
    return wrong_entries(wrong) + some


def _explanation(case, remedy):
    return Explanation((case.name,), remedy.cause, remedy.text)


def _merged(explanations):
    """One explanation for all gradients that have the same."""
    by_sentence: dict[tuple, Explanation] = {}
    for e in explanations:
        known = by_sentence.get((e.cause, e.sentence))
        if known:
            known.names += tuple(n for n in e.names if n not in known.names)
        else:
            by_sentence[e.cause, e.sentence] = e
    return list(by_sentence.values())
