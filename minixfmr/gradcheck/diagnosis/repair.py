"""Find the line: change one expression of the student's backward at a time, run it, and see whether it passes."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy

from ...backend import backend_name, to_numpy
from .activation_remedies import is_activation_of
from .constants import names_of
from .instrument import Instrumented, Site, functions_behind
from .layer_remedies import general, telling
from .remedies import Pool, Remedy
from ..report import Explanation, GradcheckError
from ..subject import LayerSubject, Subject

POWERS = {"squared": 2.0, "its square root": 0.5, "its inverse": -1.0, "cubed": 3.0}
POWERS |= {"the inverse of its square": -2.0, "the inverse of its square root": -0.5}


def repair(
    subject: Subject, dy: Any, cases: list, analytic: dict, constants: dict, pool: Pool, end: float
) -> Explanation | None:
    """The first change of one expression that makes all wrong gradients pass, or the one that mends most of them.

    cases: the wrong gradients    analytic: all of them, for those that pass now must still pass
    pool: the arrays of the check, for what an expression may lack    → an Explanation with the line, or None
    """
    if backend_name() != "numpy":  # the remedies know NumPy's arrays, as students write them
        return None
    try:
        code = Instrumented(functions_behind(subject.backward_code, getattr(subject, "layer", None)))
    except (OSError, TypeError, SyntaxError, ValueError):  # no source: written at a prompt, or compiled
        return None
    right = {n: g for n, g in analytic.items() if n not in {case.name for case in cases} and g is not None}
    best: Explanation | None = None
    with _in_place_of_backward(subject, code):
        trial = Trial(subject, dy, code, cases, analytic, constants, pool)
        for k, site, remedy in trial.candidates():
            if time.monotonic() > end:
                return best
            gradients = trial.run(k, remedy.apply)
            if gradients is None:
                continue
            mended = tuple(c.name for c in cases if gradients[c.name] is not None and c.agrees(gradients[c.name]))
            kept = all(_unchanged(gradients[n], g) for n, g in right.items())
            if mended and kept and not trial.absorbs(k, remedy.apply):
                if best is None or len(mended) > len(best.names):
                    best = Explanation(mended, remedy.cause, f"{site}: {remedy.text}", site.line)
                if len(mended) == len(cases):
                    return best
    return best


class Trial:
    """Runs of the instrumented backward, and what to try in them: small slips first, missing terms last."""

    def __init__(
        self, subject: Subject, dy: Any, code: Instrumented, cases: list, analytic: dict, constants: dict, pool: Pool
    ):
        self.subject, self.dy, self.code, self.cases = subject, dy, code, cases
        self.analytic, self.constants = analytic, constants
        self.inputs = {name: a for name, a in pool.items() if name.startswith("self.") or name in subject.names}
        self.forward_again = getattr(subject, "stateful", False)
        _, self.saved = subject.forward()
        code.recording = True
        self.run(None, code.change)
        code.recording, code.limit = False, 10 * code.calls

    def run(self, k: int | None, change: Callable) -> dict[str, Any] | None:
        """The gradients with one site changed; None where it cannot run."""
        self.code.active, self.code.change, self.code.calls = k, change, 0
        try:
            with numpy.errstate(all="ignore"):
                if self.forward_again:
                    _, self.saved = self.subject.forward()
                if isinstance(self.subject, LayerSubject):
                    self.subject.zero_grad()
                gradients = self.subject.backward(self.dy.copy(), self.saved)
            return {name: None if g is None else to_numpy(g).copy() for name, g in gradients.items()}
        except GradcheckError:
            return None
        finally:
            self.code.active = None

    def absorbs(self, k: int, change: Callable) -> bool:
        """Does the change pass only because a later step, itself at fault, comes to nothing by it?"""
        self.code.watching, self.code.absorbed = True, False
        self.run(k, change)
        self.code.watching = False
        return self.code.absorbed

    def candidates(self) -> Iterator[tuple[int, Site, Remedy]]:
        """Sites that right gradients do not depend on come first, then the others; in each, the small slips first."""
        sites = [(k, site, self._doubled(k, site)) for k, site in enumerate(self.code.sites) if site.value is not None]
        sites = [entry for entry in sites if self._matters(entry[2])]
        clean = [entry for entry in sites if not self._spreads(entry[2])]
        families = (_statements, _numbers, _swaps, _variables, self._factors, _powers, self._telling, self._general)
        for some in (clean, [entry for entry in sites if entry not in clean]):
            for family, (k, site, doubled) in itertools.product(families, some):
                more = (doubled,) if family == self._factors else ()
                yield from ((k, site, remedy) for remedy in family(site, *more))

    def _doubled(self, k, site):
        """The gradients with this expression twice as large: what depends on it, and how. None: not to be doubled."""
        return self.run(k, lambda v, _: 2 * v) if _is_real(site.value) and not site.compared else None

    def _matters(self, doubled):
        return doubled is None or any(_moved(doubled[c.name], self.analytic[c.name]) for c in self.cases)

    def _spreads(self, doubled):
        wrong = {case.name for case in self.cases}
        return doubled is not None and any(_moved(doubled[n], g) for n, g in self.analytic.items() if n not in wrong)

    def _factors(self, site, doubled):
        """A constant: gradients are A + c·B in the factor c of an expression, so two runs tell A, B and then c."""
        for case in self.cases if doubled else ():
            G, G2 = self.analytic[case.name], doubled[case.name]
            if G is None or G2 is None or G.shape != case.shape or G2.shape != case.shape or case.evidence < 3:
                continue
            B = (G2 - G)[case.numeric.indices]
            square = float((B * B).sum())
            if square < 1e-24:
                continue
            c = 1 + float(((case.numeric.slopes - G[case.numeric.indices]) * B).sum()) / square
            if not case.agrees(G + (c - 1) * (G2 - G)):
                continue
            if abs(c) < 1e-9:
                yield Remedy("one term too many", "this must not be there", lambda v, _: 0 * v)
            elif abs(c + 1) < 1e-6:
                yield Remedy("sign", "it has the wrong sign", lambda v, _: -v)
            else:
                here = {n: s for n, s in site.scope.items() if isinstance(s, int | numpy.integer) and s > 1}
                names, inverse = names_of(c, self.constants | here), names_of(1 / c, self.constants | here)
                text = f"it lacks the factor {' or '.join(names) or f'{c:.6g}'}"
                text += f", that is, it is {' or '.join(inverse)} times too large" if inverse and c < 1 else ""
                mean = "mean(" in site.text and abs(c - round(c)) < 1e-6
                yield Remedy("mean instead of sum" if mean else "factor", text, _scale(c))
            return

    def _with_inputs(self, remedy):
        return lambda v, scope: remedy.apply(v, self.inputs | scope)

    def _telling(self, site):
        return self._remedies(site, telling)

    def _general(self, site):
        return self._remedies(site, general)

    def _remedies(self, site, kind):
        v = site.value
        if isinstance(v, numpy.ndarray) and v.ndim and _is_real(v):
            here = {name: a for name, a in site.scope.items() if isinstance(a, numpy.ndarray)}
            for name, a in self.inputs.items():
                if not any(a.shape == h.shape and numpy.array_equal(a, h) for h in here.values()):
                    here.setdefault(name, a)
            for remedy in kind(v, here):
                yield Remedy(remedy.cause, remedy.text, self._with_inputs(remedy))


@contextmanager
def _in_place_of_backward(subject: Subject, code: Instrumented) -> Iterator[None]:
    """Let the subject call the copies; a layer gets them as methods of a class of its own."""
    original = subject.backward_code
    layer = subject.layer if isinstance(subject, LayerSubject) else None
    if layer is None:
        subject.backward_code = code.copies.get(original, original)
    else:
        kind = type(layer)
        methods = {f.__name__: copy for f, copy in code.copies.items() if getattr(kind, f.__name__, None) is f}
        layer.__class__ = type(kind.__name__, (kind,), methods)
        subject.backward_code = layer.backward
    try:
        yield
    finally:
        subject.backward_code = original
        if layer is not None:
            layer.__class__ = kind


# --- small slips ---


def _statements(site):
    if type(site.node).__name__ not in ("Assign", "AugAssign"):
        return
    if isinstance(site.value, numpy.ndarray) and site.value.dtype.kind in "iu":
        text = (
            "an index that occurs twice keeps its last value only, with += too; use numpy.add.at(array, index, value)"
        )
        yield Remedy("assigned instead of accumulated", text, lambda v, _: v)
    else:
        yield Remedy("overwritten", "this overwrites what was added before: write +=", lambda v, _: v)


def _numbers(site):
    if isinstance(site.value, int) and site.text.lstrip("-").isdigit():  # written as such: no size that was computed
        for other in range(-4, 5):
            if other != site.value and site.in_call:
                yield Remedy("wrong axis", f"the axis must be {other}", _always(other))
            elif other != site.value:
                twice = site.multiplied and (site.value, other) == (2, 1)
                text = "counts twice: this must be 1" if twice else f"the number must be {other}"
                yield Remedy("doubled branch" if twice else "wrong number", text, _always(other))


def _swaps(site):
    """Results taken for each other: a, b = f(...) where b, a is what f returns."""
    if type(site.node).__name__ == "Call" and isinstance(site.value, tuple):
        shapes = [numpy.shape(part) if hasattr(part, "shape") else None for part in site.value]
        for i, j in itertools.combinations(range(len(shapes)), 2):
            if shapes[i] == shapes[j] is not None:
                text = f"results {i} and {j} are taken for each other: exchange them"
                yield Remedy("swapped", text, _exchange(i, j))


def _variables(site):
    """Another name belongs here: of an array of this shape, of a cache like this one, of a layer of this kind."""
    v = site.value
    if type(site.node).__name__ not in ("Name", "Attribute", "Subscript"):
        return
    layer = site.scope.get("self")
    names: dict[str, Callable] = {name: _look_up(name) for name in site.scope}
    names |= {f"self.{name}": _look_up_attribute(name) for name in getattr(layer, "__dict__", {})}
    for name, look_up in names.items():
        other = look_up(v, site.scope)
        if name != site.text and _alike(v, other):
            if isinstance(v, numpy.ndarray) and is_activation_of(v, other):
                text = f"{name}, the activation's input, belongs here, not {site.text}, its output"
                yield Remedy("derivative at the output", text, look_up)
            else:
                yield Remedy("wrong variable", f"{name} belongs here, not {site.text}", look_up)


def _powers(site):
    if _is_real(site.value) and numpy.size(site.value) and numpy.all(site.value > 0):
        for word, power in POWERS.items():
            yield Remedy("wrong power", f"what belongs here is {word}", _raise(power))


# --- helpers ---


def _is_real(v):
    return getattr(getattr(v, "dtype", None), "kind", "f" if isinstance(v, float) else "") == "f"


def _alike(v, other):
    if isinstance(v, tuple):
        return isinstance(other, tuple) and len(v) == len(other) and other is not v
    if hasattr(v, "backward"):
        return type(other) is type(v) and other is not v
    if (
        not isinstance(v, numpy.ndarray)
        or not isinstance(other, numpy.ndarray)
        or other.shape != v.shape
        or other.dtype.kind != v.dtype.kind
    ):
        return False
    return not numpy.array_equal(v, other)


def _exchange(i, j):
    def exchange(values, scope):
        order = list(values)
        order[i], order[j] = order[j], order[i]
        return tuple(order)

    return exchange


def _scale(c):
    return lambda v, scope: c * v


def _raise(power):
    return lambda v, scope: v**power


def _look_up(name):
    return lambda v, scope: scope[name]


def _look_up_attribute(name):
    return lambda v, scope: getattr(scope["self"], name)


def _always(value):
    return lambda v, _: value


def _moved(a, b):
    return a is None or b is None or a.shape != b.shape or not numpy.array_equal(a, b)


def _unchanged(a, b):
    return a is not None and a.shape == b.shape and numpy.allclose(a, b, rtol=1e-7, atol=1e-10 * abs(b).max(initial=0))
