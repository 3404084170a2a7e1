"""Why a gradient is wrong: the first change that turns it into the numeric one, tried in the order of how often it
happens, and said only if it holds at other inputs and another shape. Else a map of the wrong entries."""

import contextlib
import io
import time
from collections.abc import Callable
from typing import Any

import numpy

from ..differences import Differences
from ..report import Explanation, Report, wrong_entries
from ..subject import LayerSubject, Subject
from .case import Case
from .lost import irreversible
from .outside import explained, likely, swapped
from .parts import blame_part
from .pencil import pencil_case
from .repair import repair
from .saved import wrongly_saved
from .settings import Others, Setting, first_setting
from .steps import first_wrong_step
from .words import in_their_words

SECONDS = 30.0  # for all explanations of a report, should the counts not end them before
WHOLE = 3000  # entries: arrays up to here are compared in full
UNSOUND = {"forward leaves its inputs alone", "dtypes are kept"}


def explain_rows(
    report: Report, subject: Subject, dy: Any, analytic: dict, numeric: dict, tolerance: float, check: Callable
) -> None:
    """Add explanations, and maps where there is none, to a report that has wrong rows. check: gradcheck, for the
    parts of a layer."""
    wrong = [row.name for row in report.rows if not row.ok]
    report.explanations = [e for name in wrong if (e := _without_numbers(name, analytic[name]))]
    if {p.name for p in report.properties if not p.ok} & UNSOUND:
        return  # the line about that property says what to mend first: what is compared means little before
    end = time.monotonic() + SECONDS
    first = first_setting(subject, dy, analytic, numeric, tolerance)
    told = _names(report.explanations)
    cases = [case for case in first.cases.values() if case.name in wrong and case.name not in told]
    if not cases or not numpy.isfinite(first.pool["the output"]).all():
        return
    others = Others(first)
    found = _or([], _explanations, first, cases, others, check, end)
    for case in cases:
        if case.name not in _names(found):
            if e := _or(None, _last_resort, case, first, others, end):
                found.append(e)
            else:
                report.maps[case.name] = _map(case)
    for e in found:
        e.sentence = in_their_words(e.sentence, subject)
    report.explanations += _merged(found)
    report.first_step = _or("", first_wrong_step, first, cases, end)
    report.pencil = _or({}, pencil_case, first, cases[0])


def _without_numbers(name: str, gradient: numpy.ndarray | None) -> Explanation | None:
    """Of a gradient that is missing, NaN or infinite there is nothing to compare."""
    if gradient is None:
        return Explanation((name,), "missing", "backward leaves none")
    finite = numpy.isfinite(gradient)
    if finite.all():
        return None
    where = "×".join(str(int(i)) for i in numpy.argwhere(~finite)[0])
    some = f"{(~finite).sum()} of its {finite.size} entries are" if finite.size > 1 else "it is"
    return Explanation((name,), "not finite", f"{some} NaN or infinite{f', the first at {where}' if where else ''}")


def _names(explanations):
    return {name for e in explanations for name in e.names}


def _or(nothing: Any, search: Callable, *arguments: Any) -> Any:
    """What a search finds. It runs code that was changed at random: whatever that raises, the verdict stands."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return search(*arguments)
    except Exception:
        return nothing


def _explanations(first: Setting, cases: list[Case], others: Others, check: Callable, end: float):
    """Explanations of the wrong gradients, from outside, from a layer's parts or from a line."""
    shape = numpy.shape(first.pool["the output"])
    found = swapped(cases, others) or [e for c in cases if (e := explained(c, first, others, shape))]
    told = _names(found)
    if told >= {c.name for c in cases} and len({(e.cause, e.sentence) for e in found}) == 1:
        return found
    whole = None
    if isinstance(first.subject, LayerSubject):
        whole = blame_part(first.subject, first.dy, cases, check)
    whole = whole or repair(first, cases, others, end)
    if whole is None or len(whole.names) < len(cases):
        whole = wrongly_saved(first, cases, others) or whole
    if whole and not set(whole.names) <= told:
        found = [*(e for e in found if not set(e.names) <= set(whole.names)), whole]
    return found


def _last_resort(case: Case, first: Setting, others: Others, end: float) -> Explanation | None:
    """What fits any gradient, of one that neither outside nor a line explains, compared in full."""
    _compare_all(first, case, end)
    return likely(case, first, others) or irreversible(case)


def _compare_all(first, case, end):
    """Finite differences of every entry of a wrong gradient, in place of those of a few."""
    value, numeric, subject = first.subject.values[case.name], case.numeric, first.subject
    if value.size <= WHOLE and len(numeric.slopes) + numeric.kinks < value.size:
        differences = Differences(lambda: subject.forward()[0], first.dy)
        seconds = max(0.5, (end - time.monotonic()) / 4)
        whole = differences.numeric(value, iter(range(value.size)), seconds)
        if len(whole.slopes) + whole.kinks == value.size:
            numeric.indices, numeric.slopes, numeric.bars = whole.indices, whole.slopes, whole.bars
            numeric.kinks, numeric.broken = whole.kinks, whole.broken


def _map(case):
    if case.analytic.shape != case.shape:
        return f"its shape is {case.analytic.shape}, not {case.shape}"
    wrong = numpy.zeros(case.shape, bool)
    wrong[case.numeric.indices] = case.numeric.errors(case.analytic) > case.tolerance
    compared = len(case.numeric.slopes)
    if wrong.sum() == compared:
        return f"each of the {compared} entries compared is wrong" if compared < wrong.size else "every entry is wrong"
    some = "" if compared == wrong.size else f"\n({compared} entries compared)"
    return wrong_entries(wrong) + some


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
