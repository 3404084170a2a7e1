"""Why a forward is wrong, where the right results are known: the change of one expression that gives them.

As in repair.py a change is tried, never believed: it must also give the right results for other numbers and shapes.
"""

import ast
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from ...backend import backend_name, to_numpy
from ..report import GradcheckError
from ..subject import Subject
from . import rewrites, slips
from .constants import Constants, constants_of, numbers_in
from .inputs import replaced, resized
from .instrument import Instrumented, functions_behind, standing_in
from .remedies import Remedy
from .sites import Site, is_real

RUNS = 1500


def why_forward(forward: Callable, right: Callable, arguments: tuple) -> str:
    """One sentence with the line that makes forward(*arguments) differ from right(*arguments); '' if none is found.

    forward: arguments → y or (y, cache)    right: the same arguments → y
    """
    if backend_name() != "numpy":
        return ""
    try:
        subject = Subject(forward, lambda dy, saved: None, arguments, {})
        code = Instrumented(functions_behind(forward))
        with standing_in(subject, code.copies, code.hooks), numpy.errstate(all="ignore"):
            return _Search(subject, code, right).told()
    except (OSError, TypeError, SyntaxError, ValueError):  # no source, or it does not run that way
        return ""


class _Search:
    """Runs of the forward with one expression changed."""

    def __init__(self, subject: Subject, code: Instrumented, right: Callable):
        self.subject, self.code, self.right = subject, code, right
        self.runs = 0
        self._known: Constants | None = None
        code.recording = True
        self.run((), code.change)
        code.recording, code.limit = False, 10 * code.calls
        rng = numpy.random.default_rng(1)
        lengths = {axis: n + 1 for axis, n in self._first_axes().items()}
        self.others = [resized(subject, {}, rng), resized(subject, lengths, rng)]

    def _first_axes(self):
        """The examples of every input: they can always be one more."""
        values = {n: a for n, a in {**self.subject.others, **self.subject.values}.items() if a.ndim > 1}
        count = len(next(iter(values.values()), ()))
        return {(name, 0): count for name, a in values.items() if len(a) == count}

    def run(self, active: tuple[int, ...], change: Callable) -> Any:
        """y, or None where it cannot run."""
        self.runs += 1
        self.code.run_with(active, change)
        try:
            return to_numpy(self.subject.forward()[0])
        except GradcheckError:
            return None
        finally:
            self.code.active = ()

    def told(self) -> str:
        target = self._target()
        if self._equal(self.run((), self.code.change), target):
            return ""
        self._constants()
        for k, site, remedy in self._candidates():
            if self.runs > RUNS:
                return ""
            if self._equal(self.run((k,), remedy.apply), target) and self._holds(k, remedy):
                return f"{site}: {remedy.text}"
        return ""

    def _target(self):
        return to_numpy(self.right(*self.subject.arguments))

    def _equal(self, y, target):
        return y is not None and y.shape == target.shape and numpy.allclose(y, target, rtol=1e-7, atol=1e-10)

    def _holds(self, k, remedy):
        tried = 0
        for arrays in self.others:
            known, self._known = self._known, None
            with replaced(self.subject, arrays):
                try:
                    target = self._target()
                    self._constants()
                    if not self._equal(self.run((k,), remedy.apply), target):
                        return False
                    tried += 1
                except (ValueError, IndexError, TypeError, KeyError):
                    continue
                finally:
                    self._known = known
        return tried > 0

    def _candidates(self) -> Iterator[tuple[int, Site, Remedy]]:
        families = [slips.loops, slips.numbers, slips.variables, slips.comparisons, self._roots, self._masked]
        families += [functools.partial(f, code=self.code) for f in (rewrites.reductions, rewrites.transposes)]
        families += [self._factors, slips.powers]
        families += [functools.partial(f, code=self.code) for f in (slips.operations, rewrites.letters)]
        sites = [(k, site) for k, site in enumerate(self.code.sites) if site.value is not None]
        functions = list(dict.fromkeys(site.function for _, site in sites))
        upwards = sorted(sites, key=lambda entry: (functions.index(entry[1].function), -entry[0]))
        for family in families:
            for k, site in upwards if family == self._factors else sites:  # a factor is written where the result is
                yield from ((k, site, remedy) for remedy in family(site))

    def _roots(self, site: Site) -> Iterator[Remedy]:
        """sqrt(var) + eps for sqrt(var + eps), and the other way round."""
        node, parts = site.node, site.parts
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and len(parts) == 2:
            inner = self.code.sites[parts[0]].parts
            if "sqrt" in ast.unparse(node.left) and inner:

                def inside(v, s):
                    return numpy.sqrt(self.code.latest[inner[0]] + self.code.latest[parts[1]])

                text = f"{ast.unparse(node.right)} belongs inside the root"
                yield Remedy("wrong place", text, inside)

    def _masked(self, site: Site) -> Iterator[Remedy]:
        """A mask after softmax: the rows no longer sum to 1."""
        v = site.value
        if isinstance(v, numpy.ndarray) and is_real(v) and v.ndim > 1 and (v >= 0).all() and (v == 0).any():
            text = "the mask comes after softmax, so rows no longer sum to 1: hide scores (-inf) before it"
            yield Remedy("mask after softmax", text, lambda v, s: v / v.sum(-1, keepdims=True))

    def _factors(self, site: Site) -> Iterator[Remedy]:
        """√d_head, the width, the number of labels that count."""
        if not is_real(site.value) or site.kind == "Constant":
            return
        for name, (n, *_) in ((name, numbers_in(value)) for name, value in self._constants().items()):
            for power in (-0.5, 0.5, -1.0, 1.0) if n > 1 else ():
                root, over = "√" if abs(power) < 1 else "", "1/" if power < 0 else ""
                text = f"it lacks the factor {over}{root}({name}) = {over}{root}{n:.6g}"
                yield Remedy("factor", text, self._scaled(name, power))

    def _scaled(self, name, power):
        return lambda v, s: numbers_in(self._constants()[name])[0] ** power * v

    def _constants(self):
        """The sizes and counts of the present arguments."""
        if self._known is None:
            active, change = self.code.active, self.code.change
            y = self.run((), lambda v, s: v)
            self._known = constants_of(self.subject, 1, y, None)
            self.code.run_with(active, change)
        return self._known
