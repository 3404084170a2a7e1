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
UNSOUND = {"forward leaves its inputs alone", "dtypes are kept", "no NaN or infinity"}


def explain_rows(
    report: Report, subject: Subject, dy: Any, analytic: dict, numeric: dict, tolerance: float, check: Callable
) -> None:
    """Add explanations, and maps where there is none, to a report that has wrong rows. check: gradcheck, for the
    parts of a layer."""
    if {p.name for p in report.properties if not p.ok} & UNSOUND:
        return  # the line about that property says what to mend first: what is compared means little before
    end = time.monotonic() + SECONDS
    first = first_setting(subject, dy, analytic, numeric, tolerance)
    others = Others(first)
    wrong = {row.name for row in report.rows if not row.ok}
    cases = [c for c in first.cases.values() if c.name in wrong and numpy.isfinite(c.analytic).all()]
    if not cases:
        return
    found = _or({}, _explanations, first, cases, others, check, end)
    told = {name for e in found.values() for name in e.names}
    for case in cases:
        if case.name not in told:
            _compare_all(first, case, end)
            if e := _or(None, likely, case, first, others) or irreversible(case):
                found[case.name] = e
            else:
                report.maps[case.name] = _map(case)
    for e in found.values():
        e.sentence = in_their_words(e.sentence, subject)
    report.explanations = _merged(found.values())
    report.first_step = _or("", first_wrong_step, first, cases, end)
    report.pencil = _or({}, pencil_case, first, cases[0])


def _or(nothing: Any, search: Callable, *arguments: Any) -> Any:
    """What a search finds. It runs code that was changed at random: whatever that raises, the verdict stands."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return search(*arguments)
    except Exception:
        return nothing


def _explanations(first: Setting, cases: list[Case], others: Others, check: Callable, end: float):
    """{name of a wrong gradient: its explanation}, from outside, from a layer's parts or from a line."""
    shape = numpy.shape(first.pool["the output"])
    found = swapped(cases, others) or {c.name: e for c in cases if (e := explained(c, first, others, shape))}
    told = {name for e in found.values() for name in e.names}
    if told >= {c.name for c in cases} and len({(e.cause, e.sentence) for e in found.values()}) == 1:
        return found
    whole = None
    if isinstance(first.subject, LayerSubject):
        whole = blame_part(first.subject, first.dy, cases, check)
    whole = whole or repair(first, cases, others, end)
    if whole is None or len(whole.names) < len(cases):
        whole = wrongly_saved(first, cases, others) or whole
    if whole and len(whole.names) > len(set(whole.names) & told):
        found = {name: e for name, e in found.items() if not set(e.names) <= set(whole.names)}
        found[whole.names[0]] = whole
    return found


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
