"""Find the line: change one expression of the student's backward at a time, run it, and see whether it passes."""

import functools
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from ...backend import backend_name, to_numpy
from ..report import Explanation, GradcheckError
from ..subject import arrays_in
from . import rewrites, slips
from .case import Case
from .fitted import Fitted, additions, scalings
from .instrument import Instrumented, instrumented, standing_in
from .layer_remedies import at_sites, telling
from .remedies import IT, Remedy, branches
from .settings import Others, Setting
from .sites import Site, is_real
from .windows import windows, wraps

RUNS = 6000  # of backward, in one search
REWRITES = (slips.operations, *(getattr(rewrites, n) for n in ("transposes", "reductions", "reshapes", "letters")))
REWRITES += (rewrites.shared_factors, wraps)
SLIPS = (
    *(slips.statements, slips.loops, slips.numbers, slips.swaps, windows),
    *(slips.variables, slips.comparisons, slips.upstream),
)


def repair(first: Setting, cases: list[Case], others: Others, end: float) -> Explanation | None:
    """The first change of one expression that makes all wrong gradients pass, or the one that mends most of them.

    cases: the wrong gradients; all others that are right now must still pass
    → an Explanation with the line, or None
    """
    if backend_name() != "numpy":  # the remedies know NumPy's arrays, as students write them
        return None
    try:
        code = instrumented(first.subject)
    except (OSError, TypeError, SyntaxError, ValueError):  # no source: written at a prompt, or compiled
        return None
    with standing_in(first.subject, code.copies, code.hooks):
        try:
            return Search(first, cases, code, others).best(end)
        except GradcheckError:  # the copies do not run as the student's functions do
            return None


class Search:
    """Runs of the instrumented backward, and what to try in them: small slips first, missing terms last."""

    def __init__(self, first: Setting, cases: list[Case], code: Instrumented, others: Others):
        self.first, self.cases, self.code, self.others = first, cases, code, others
        self.subject = first.subject
        self.wrong = {case.name for case in cases}
        self.runs = 0
        self.last: Setting | None = None  # where forward ran last
        self.saved: Any = None  # and what it saved
        self.untouched: list[tuple[Any, Any]] = []  # and the arrays that a change might write into, as they were
        code.recording = True
        _, saved = self.subject.forward()
        makes = any(callable(part) for part in (saved if isinstance(saved, tuple | list) else [saved]))
        self.again = makes or self.subject.stateful  # forward runs before each backward
        self.run((), code.change)
        code.recording, code.limit = False, 10 * code.calls

    def run(self, active: tuple[int, ...], change: Callable, setting: Setting | None = None) -> dict[str, Any] | None:
        """The gradients with some sites changed; None where it cannot run."""
        self.here = setting = setting or self.first
        self.runs += 1
        self.code.run_with(active, change)
        try:
            with numpy.errstate(all="ignore"):
                if self.again or self.last is not setting:
                    _, self.saved = self.subject.forward()
                    self.last = setting
                    self._keep()
                self.subject.zero_grad()
                gradients = self.subject.backward(setting.dy.copy(), self.saved)
            return {name: None if g is None else to_numpy(g).copy() for name, g in gradients.items()}
        except GradcheckError:
            return None
        finally:
            self.code.active = ()
            for array, before in self.untouched:
                if not numpy.array_equal(array, before):
                    array[...] = before

    def _keep(self):
        """Remember the subject's arrays and what forward saved, which a change may write into."""
        arrays = [to_numpy(a) for a in (*self.subject.values.values(), *self.subject.others.values())]
        arrays += [to_numpy(a) for _, a in arrays_in(self.saved)]
        self.untouched = [(a, a.copy()) for a in arrays]

    def best(self, end: float) -> Explanation | None:
        """The change that mends most."""
        found: Explanation | None = None
        for active, site, remedy in self.candidates():
            if self.runs > RUNS or time.monotonic() > end:
                return found
            gradients = self.run(active, remedy.apply)
            if gradients is None:
                continue
            mended = tuple(c.name for c in self.cases if self._agrees(c, gradients))
            if len(mended) <= (len(found.names) if found else 0) or not self._keeps(gradients):
                continue
            absorbed = not remedy.zeroes and self._absorbs(active, remedy.apply)
            if absorbed or not self.others.hold(self._test(active, remedy, mended)):
                continue
            text = remedy.text.replace(IT, f"`{site.text}`" if len(site.text) <= 40 else "all this")
            found = Explanation(mended, remedy.cause, f"{site}: {text}", site.line)
            if len(mended) == len(self.cases):
                return found
        return found

    def candidates(self) -> Iterator[tuple[tuple[int, ...], Site, Remedy]]:
        """Sites that right gradients do not depend on come first, then the others; in each, the small slips first."""
        sites = [(k, site, self._doubled(k, site)) for k, site in enumerate(self.code.sites) if site.value is not None]
        sites = [entry for entry in sites if self._matters(entry[2])]
        clean = [entry for entry in sites if not self._spreads(entry[2])]
        numerals = functools.partial(slips.numerals, code=self.code)
        families = (
            *SLIPS,
            numerals,
            self._factors,
            slips.powers,
            self._telling,
            self._branches,
            *self._rewrites,
            self._general,
            self._unused,
        )
        for some in (clean, [entry for entry in sites if entry not in clean]):
            for family, (k, site, doubled) in itertools.product(families, some):
                more = (k, doubled) if family in (self._factors, self._unused) else ()
                yield from (((k,), site, remedy) for remedy in family(site, *more))
            yield from self._repeated(some)

    def _repeated(self, some):
        """The same slip in several places of a function: copied, or a name taken for another throughout."""
        groups: dict[tuple, list[int]] = {}
        for k, site, _ in some:
            if site.axis or site.kind == "Name":
                groups.setdefault((id(site.function), site.kind, site.text), []).append(k)
        for active in map(tuple, groups.values()):
            site = self.code.sites[active[0]]
            for remedy in (*slips.numbers(site), *slips.variables(site)) if len(active) > 1 else ():
                yield active, site, Remedy(remedy.cause, f"here and below, {remedy.text}", remedy.apply)

    # --- what a change must do

    def _agrees(self, case, gradients):
        return gradients[case.name] is not None and case.agrees(gradients[case.name])

    def _keeps(self, gradients):
        """What was right is as it was."""
        right = {n: g for n, g in self.first.analytic.items() if n not in self.wrong and g is not None}
        return all(_unchanged(gradients[n], g) for n, g in right.items())

    def _absorbs(self, active, change):
        """Does the change pass only because a later step, itself at fault, comes to nothing by it?"""
        self.code.watching, self.code.absorbed = True, False
        self.run(active, change)
        self.code.watching = False
        return self.code.absorbed

    def _test(self, active, remedy, mended):
        """Does it hold at another setting? A fitted number is fitted anew there."""

        def test(setting):
            if not any(n in setting.cases for n in mended):
                return True
            change = remedy.at(setting, self.run) if isinstance(remedy, Fitted) else remedy.apply
            return change is not None and setting.agrees(self.run(active, change, setting), mended)

        return test

    # --- the sites

    def _doubled(self, k, site):
        """The gradients with this expression twice as large: what depends on it, and how. None: not to be doubled."""
        if not is_real(site.value) or site.compared:
            return None
        doubled = self.run((k,), lambda v, _: 2 * v)
        return doubled if numpy.any(site.value) else None  # twice 0 tells nothing

    def _matters(self, doubled):
        return doubled is None or any(_moved(doubled[c.name], self.first.analytic[c.name]) for c in self.cases)

    def _spreads(self, doubled):
        return doubled is not None and any(
            _moved(doubled[n], g) for n, g in self.first.analytic.items() if n not in self.wrong
        )

    # --- families that need the search

    def _factors(self, site, k, doubled):
        return scalings(site, k, doubled, self.first, self.cases)

    def _unused(self, site, k, doubled):
        return additions(site, k, self.first, self.cases, self.run) if doubled is not None else ()

    @property
    def _rewrites(self):
        return [functools.partial(family, code=self.code) for family in REWRITES]

    def _telling(self, site):
        return self._remedies(site, telling)

    def _branches(self, site):
        return self._remedies(site, branches)

    def _general(self, site):
        return self._remedies(site, at_sites)

    def _remedies(self, site, kind):
        v = site.value
        if isinstance(v, numpy.ndarray) and v.ndim and is_real(v):
            here = {name: a for name, a in site.scope.items() if isinstance(a, numpy.ndarray)}
            here |= {name: numpy.asarray(a) for name, a in site.scope.items() if isinstance(a, float)}
            for name in self._inputs():
                a = self.first.pool[name]
                if not any(a.shape == h.shape and numpy.array_equal(a, h) for h in here.values()):
                    here.setdefault(name, a)
            for remedy in kind(v, here):
                yield Remedy(remedy.cause, remedy.text, self._with_inputs(remedy))

    def _inputs(self):
        return [n for n in self.first.pool if n.startswith("self.") or n in self.subject.names]

    def _with_inputs(self, remedy):
        def apply(v, scope):
            pool = self.here.pool
            return remedy.apply(v, {n: pool[n] for n in self._inputs() if n in pool} | scope)

        return apply


def _moved(a, b):
    return a is None or b is None or a.shape != b.shape or not numpy.array_equal(a, b)


def _unchanged(a, b):
    return a is not None and a.shape == b.shape and numpy.allclose(a, b, rtol=1e-7, atol=1e-10 * abs(b).max(initial=0))
