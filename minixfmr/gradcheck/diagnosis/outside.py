"""What can be seen of a wrong gradient from outside, without its source: shape, factor, order, the wrong formula."""

import itertools
from collections.abc import Iterator

import numpy

from ..report import Explanation
from .case import EVIDENCE, Case
from .constants import COUNTS, either, names_of, numbers_in, say
from .label_remedies import smoothing
from .layer_remedies import formulas, general
from .norm_remedies import normalization
from .remedies import IT, Remedy, misshapen
from .settings import Others, Setting


def explained(case: Case, first: Setting, others: Others, rows: tuple[int, ...]) -> Explanation | None:
    """The first explanation of one gradient that holds at other inputs too, or None. rows: the output's shape."""
    v = case.analytic
    if v.shape != case.shape:
        return _reshaped(case, first, others, rows)
    factor = case.factor(v)
    if factor is not None and (named := _named_factor(case, v, factor, first, others)):
        return named
    return _mended(case, first, others, _telling)


def likely(case: Case, first: Setting, others: Others) -> Explanation | None:
    """A change that fits any gradient: less than a line would tell."""
    if case.analytic.shape != case.shape:
        return None
    return _mended(case, first, others, _any) or scaled(case, others)


def _any(case, first):
    yield from normalization(case.analytic, first.pool)
    yield from general(case.analytic, first.pool)


def _mended(case, first, others, remedies):
    v = case.analytic
    if case.evidence < EVIDENCE:
        return None
    with numpy.errstate(all="ignore"):
        for remedy in remedies(case, first):
            mended = remedy.apply(v, first.pool)
            if mended is not v and case.agrees(mended) and others.hold(_test(case, remedy)):
                return _explanation(case, remedy)
    return None


def scaled(case: Case, others: Others) -> Explanation | None:
    """A factor without a name: less than a line would tell."""
    factor = case.factor(case.analytic)
    if factor is None or not others.hold(_test(case, Remedy("factor", "", lambda v, _: factor * v))):
        return None
    text = f"it is the right one times {1 / factor:.6g}, the same everywhere"
    return Explanation((case.name,), "factor", text)


def swapped(cases: list[Case], others: Others) -> list[Explanation]:
    """Gradients that are right but stand in each other's place."""
    for a, b in itertools.combinations(cases, 2):

        def exchanged(setting, a=a, b=b):
            return all(
                setting.cases[i].agrees(setting.cases[j].analytic)
                for i, j in ((a.name, b.name), (b.name, a.name))
                if i in setting.cases and j in setting.cases
            )

        if a.agrees(b.analytic) and b.agrees(a.analytic) and a.evidence > 1 and others.hold(exchanged):
            text = "each is the other's gradient: exchange them where they are returned"
            rest = [case for case in cases if case is not a and case is not b]
            return [Explanation((a.name, b.name), "swapped", text), *swapped(rest, others)]
    return []


def _telling(case: Case, first: Setting) -> Iterator[Remedy]:
    v = case.analytic
    yield from formulas(v, first.pool)
    numbers = [n for value in first.constants.values() for n in numbers_in(value) if 0 < n < 1]
    yield from smoothing(v, case.numeric.slopes, case.numeric.indices, first.pool, numbers)


def _test(case, remedy):
    """Does the remedy turn the gradient into the right one at another setting?"""

    def test(setting):
        there = setting.cases.get(case.name)
        if there is None:
            return True
        try:
            return there.agrees(remedy.apply(there.analytic, setting.pool))
        except (ValueError, KeyError, IndexError, ZeroDivisionError):
            return False

    return test


def _reshaped(case, first, others, rows):
    """A gradient of another shape than its array's."""
    for remedy in misshapen(case.analytic, case.name, case.shape, rows):
        mended = remedy.apply(case.analytic, first.pool)
        if case.agrees(mended) and others.hold(_test(case, remedy)):
            return _explanation(case, remedy)
        factor = case.factor(mended)
        if factor and (named := _named_factor(case, mended, factor, first, others, remedy)):
            return Explanation((case.name,), remedy.cause, f"{remedy.text}; then {named.sentence}")
    return None


def _named_factor(case, v, c, first, others, before=None):
    """The explanation of a constant factor that has a name, or that is the same number at every setting.

    before: a remedy that is applied first"""
    called = {"names": names_of(c, first.constants), "inverse": names_of(1 / c, first.constants)}
    called["minus"] = names_of(-c, first.constants)
    constant = [True]

    def test(setting):
        there = setting.cases.get(case.name)
        if there is None:
            return True
        try:
            mended = before.apply(there.analytic, setting.pool) if before else there.analytic
        except (ValueError, KeyError, IndexError):
            return False
        factor = there.factor(mended)
        if factor is None:
            return False
        constant[0] &= abs(factor - c) <= 1e-5 * abs(c)
        for key, number in (("names", factor), ("inverse", 1 / factor), ("minus", -factor)):
            here = {say(n) for n in names_of(number, setting.constants)}
            called[key] = [n for n in called[key] if say(n) in here]
        return constant[0] or bool(called["names"] or called["minus"])

    if not others.hold(test):
        return None
    if abs(c + 1) < 1e-6:
        return Explanation((case.name,), "sign", "it has the wrong sign: multiply by -1")
    if called["minus"] and not called["names"]:
        text = f"it lacks the factor -({either(called['minus'])}), sign included"
        return Explanation((case.name,), "factor", text)
    return _told(case, c, called["names"], called["inverse"]) if called["names"] else None


def _told(case, c, names, inverse):
    text = f"it lacks the factor {either(names)}"
    if inverse:
        text += f", that is, it is {either(inverse)} times too large" if c < 1 else f": multiply by {c:.6g}"
    if any("labels" in n for n in names):
        return Explanation((case.name,), "not divided by the labels that count", text)
    if c > 1 and any(word in n for n in names for word in (*COUNTS, "length")):
        text += "; it is averaged where it must be summed"
        return Explanation((case.name,), "mean instead of sum", text)
    return Explanation((case.name,), "factor", text)


def _explanation(case, remedy):
    return Explanation((case.name,), remedy.cause, remedy.text.replace(IT, f"d{case.name}"))
