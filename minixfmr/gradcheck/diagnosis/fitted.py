"""Changes with a number in them that is found by running twice: gradients are A + c · B in one factor of backward.

The number is found anew at each setting. What it is called must fit at all of them: 5 may be the batch or the length.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from .case import Case
from .constants import either, names_of, say
from .remedies import Remedy
from .settings import Setting
from .sites import Site, is_real

Direction = Callable[[Any, dict], Any]  # (value, scope) → what is added to the value, c times


class Fitted(Remedy):
    """v → v + c · direction(v). offset: 1 where c + 1 is what people would call the factor."""

    def __init__(self, k: int, direction: Direction, name: str, offset: int, told: Callable[[str, float], tuple]):
        self.k, self.direction, self.name, self.offset, self.told = k, direction, name, offset, told
        self.c, self.names = 0.0, list[str]()
        self.sizes: dict[str, int] = {}  # the whole numbers in sight, at the setting under trial
        super().__init__("", "", self.apply_at(0.0))

    def apply_at(self, c: float) -> Callable:
        """The change with this c."""

        def apply(v, scope):
            self.sizes = {n: int(s) for n, s in scope.items() if isinstance(s, int | numpy.integer) and s > 1}
            return v + c * self.direction(v, scope)

        return apply

    def fit(self, setting: Setting, base: dict, moved: dict | None) -> float | None:
        """c at a setting, from the gradients with c = 0 and c = 1."""
        case = setting.cases.get(self.name)
        if case is None or moved is None or base.get(self.name) is None or moved.get(self.name) is None:
            return None
        G, G1 = base[self.name], moved[self.name]
        if G.shape != case.shape or G1.shape != case.shape or case.evidence < 2:
            return None
        return case.factor(G, G1 - G)

    def settle(self, c: float, setting: Setting) -> None:
        """Take this c, with its names at the first setting."""
        self.c, self.names = c, names_of(c + self.offset, setting.constants | self.sizes)
        self._tell()

    def at(self, setting: Setting, run: Callable) -> Callable | None:
        """The change at another setting; None where neither the number nor one of its names is the same there."""
        base, moved = run((), lambda v, _: v, setting), run((self.k,), self.apply_at(1.0), setting)
        c = self.fit(setting, base, moved) if base else None
        if c is None:
            return None
        if abs(c - self.c) > 1e-5 * abs(c):
            here = {say(n) for n in names_of(c + self.offset, setting.constants | self.sizes)}
            self.names = [n for n in self.names if say(n) in here]
            if not self.names:
                return None
        elif self.names:
            here = {say(n) for n in names_of(c + self.offset, setting.constants | self.sizes)}
            self.names = [n for n in self.names if say(n) in here]
        self._tell()
        return self.apply_at(c)

    def _tell(self):
        number = self.c + self.offset
        self.cause, self.text = self.told(either(self.names) or f"{number:.6g}", number)
        self.apply = self.apply_at(self.c)


def scalings(site: Site, k: int, doubled: dict | None, first: Setting, cases: list[Case]) -> Iterator[Fitted]:
    """A constant factor of this expression."""

    def told(called, c):
        if abs(c) < 1e-9:
            return "one term too many", "this must not be there"
        if abs(c + 1) < 1e-6:
            return "sign", "it has the wrong sign"
        mean = "mean(" in site.text and abs(c - round(c)) < 1e-6
        return "mean instead of sum" if mean else "factor", f"it lacks the factor {called}"

    for case in cases if doubled else ():
        fitted = Fitted(k, lambda v, _: v, case.name, 1, told)
        fitted.sizes = {n: int(s) for n, s in site.scope.items() if isinstance(s, int | numpy.integer) and s > 1}
        c = fitted.fit(first, first.analytic, doubled)
        if c is not None:
            fitted.settle(c, first)
            yield fitted
            return


def additions(site: Site, k: int, first: Setting, cases: list[Case], run: Callable) -> Iterator[Remedy]:
    """A name that backward works out and never uses: alone or times another array it is the missing term, or it is
    the function that was to be called."""
    v, function = site.value, site.function
    if function is None or site.kind in ("Compare", "Constant"):
        return
    for name in sorted(function.unused):
        thing = site.scope.get(name)
        if callable(thing) and isinstance(v, numpy.ndarray):
            text = f"{name} is never called: {name}({site.text}) belongs here"
            yield Remedy("activation derivative missing", text, _call_of(name))
    if not isinstance(v, numpy.ndarray) or v.ndim == 0:
        return
    unused = [n for n in sorted(function.unused) if _spreadable(site.scope.get(n), v)]
    partners = ["", *(n for n, a in site.scope.items() if _spreadable(a, v) and "[" not in n)]
    for name, partner in itertools.product(unused, partners):
        term = f"{name} · {partner}" if partner else name

        def direction(v, s, name=name, partner=partner):
            return s[name] * s[partner] if partner else s[name] + numpy.zeros_like(v)

        def told(called, c, name=name, term=term):
            times = "" if abs(c - 1) < 1e-9 else f"{called} · "
            return "missing branch", f"{name} is worked out and never used: add {times}{term}"

        fitted = Fitted(k, direction, cases[0].name, 0, told)
        moved = run((k,), fitted.apply_at(1.0))
        c = fitted.fit(first, first.analytic, moved)
        if c is not None:
            fitted.settle(c, first)
            if fitted.names or abs(c - round(c)) < 1e-6:
                yield fitted


def _call_of(name):
    return lambda v, s: s[name](v)


def _spreadable(a, v):
    """A float array that broadcasts to v's shape."""
    if not isinstance(a, numpy.ndarray) or not is_real(a) or a.ndim > v.ndim or a.size < 2:
        return False
    return all(m in (1, n) for m, n in zip(a.shape[::-1], v.shape[::-1], strict=False))
