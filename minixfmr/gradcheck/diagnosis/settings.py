"""The inputs at which an explanation is tried: those of the check, other numbers, and other shapes.

A repair that passes once may pass by accident, and a factor of 5 may be the batch or the length. So nothing is said
before it has held at a second random input and, where the code runs at one, at a second shape.
"""

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from ...backend import to_numpy
from ..differences import Differences, Numeric, entries_to_check
from ..report import GradcheckError
from ..subject import Subject
from .case import Case
from .constants import Constants, constants_of, pool_of
from .inputs import Sizes, axes_of, replaced, resized

LOUDER = 8  # backward is linear in dy: what holds at one size only, like a bound that is not reached, is no repair
ALONE = 8  # ways to grow one of several equally long axes that are tried
ENTRIES, SHARED = 12, 60  # of each array, and of all, that are compared at other inputs


class Setting:
    """One set of inputs of a subject, and its gradients there by backward and by differences.

    arrays: {name: array} in place of the subject's own, inside `with setting.entered()`
    """

    def __init__(self, subject: Subject, arrays: dict[str, Any], dy: Any, tolerance: float):
        self.subject, self.arrays, self.dy = subject, arrays, dy
        self.tolerance = tolerance
        self.cases: dict[str, Case] = {}
        self.analytic: dict[str, numpy.ndarray | None] = {}
        self.constants: Constants = {}
        self.pool: dict[str, numpy.ndarray] = {}

    def look(self) -> tuple[Any, Any]:
        """y and saved here; fills in the constants and the pool."""
        y, saved = self.subject.forward()
        self.constants = constants_of(self.subject, self.dy, y, saved)
        self.pool = pool_of(self.subject, self.dy, y, saved)
        return y, saved

    def run(self) -> dict[str, numpy.ndarray | None]:
        """Backward, as the subject has it now: {name: gradient}."""
        _, saved = self.subject.forward()
        self.subject.zero_grad()
        gradients = self.subject.backward(copy.deepcopy(self.dy), saved)
        return {name: None if g is None else to_numpy(g).copy() for name, g in gradients.items()}

    def agrees(self, gradients: dict[str, Any] | None, names: tuple[str, ...]) -> bool:
        """Are the gradients of these names right here?"""
        return gradients is not None and all(
            n in self.cases and gradients.get(n) is not None and self.cases[n].agrees(gradients[n]) for n in names
        )

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Let the subject have these inputs."""
        with replaced(self.subject, self.arrays):
            yield


def first_setting(subject: Subject, dy: Any, analytic: dict, numeric: dict, tolerance: float) -> Setting:
    """That of the check itself."""
    setting = Setting(subject, {}, dy, tolerance)
    setting.analytic = analytic
    setting.cases = {
        name: Case(name, analytic[name], numeric[name], tuple(value.shape), tolerance)
        for name, value in subject.values.items()
        if analytic.get(name) is not None
    }
    setting.look()
    return setting


def other_setting(first: Setting, sizes: Sizes, rng: numpy.random.Generator, spread: float = 0.4) -> Setting | None:
    """Fresh numbers, and axes of other sizes; None where the code cannot be run with them."""
    subject = first.subject
    setting = Setting(subject, resized(subject, sizes, rng, spread), None, max(first.tolerance, 1e-6))
    try:
        with setting.entered(), numpy.errstate(all="ignore"):
            y, _ = subject.forward()
            if not numpy.isfinite(to_numpy(y)).all():
                return None
            setting.dy = subject.starting_gradient(y, rng)
            if numpy.shape(setting.dy):
                setting.dy = LOUDER * setting.dy
            setting.look()
            setting.analytic = setting.run()
            for name, numeric in numerics(
                setting, rng, list(subject.values), max(4, min(ENTRIES, SHARED // len(subject.values)))
            ).items():
                if setting.analytic[name] is not None and len(numeric.slopes):
                    shape = tuple(subject.values[name].shape)
                    setting.cases[name] = Case(name, setting.analytic[name], numeric, shape, setting.tolerance)
    except (GradcheckError, ValueError, IndexError, TypeError):
        return None
    same_kind = all(_fits(first.cases[n]) == _fits(setting.cases[n]) for n in first.cases if n in setting.cases)
    return setting if setting.cases and same_kind else None


def another_shape(first: Setting, rng: numpy.random.Generator) -> Setting | None:
    """A setting in which as many axes as possible have another size, each its own; None if none can."""
    sizes = _grown(first.subject, rng)
    return other_setting(first, sizes, rng) if sizes else None


def _grown(subject, rng):
    """Sizes at which the code still runs: axes that are equally long grow alone if they can, else together."""
    axes = axes_of(subject)
    sizes: Sizes = {}
    for size in sorted(set(axes.values()) - {0, 1}):
        left, new = [axis for axis in axes if axes[axis] == size and axis not in sizes], size + 1
        while left:
            alone = [(left[0],), *((left[0], other) for other in left[1:]), tuple(left)]
            group = next(
                (g for g in alone[:ALONE] + alone[-1:] if runs(subject, sizes | dict.fromkeys(g, new), rng)), None
            )
            sizes |= dict.fromkeys(group or (), new)
            left = [axis for axis in left if axis not in (group or left[:1])]
            new += bool(group)
        multiples = {axis: n // size for axis, n in axes.items() if n % size == 0 and axis not in sizes}
        for new in (size + 1, 2 * size):  # with gates or heads, of which there are several to a width
            tried = sizes | {axis: times * new for axis, times in multiples.items()}
            if size in [axes[axis] for axis in multiples] and runs(subject, tried, rng):
                sizes = tried
                break
    return sizes


def runs(subject: Subject, sizes: Sizes, rng: numpy.random.Generator) -> bool:
    """Can forward and backward be called with axes of these sizes?"""
    setting = Setting(subject, resized(subject, sizes, rng), None, 0)
    try:
        with setting.entered(), numpy.errstate(all="ignore"):
            y, _ = subject.forward()
            setting.dy = subject.starting_gradient(y, rng)
            gradients = setting.run()
    except (GradcheckError, ValueError, IndexError, TypeError):
        return False
    return bool(numpy.isfinite(to_numpy(y)).all()) and any(g is not None for g in gradients.values())


def _fits(case):
    return case.analytic.shape == case.shape


def numerics(setting: Setting, rng: numpy.random.Generator, names: list[str], entries: int) -> dict[str, Numeric]:
    """{name: Numeric} of a few entries of each value, with floors, at a setting that has been entered."""
    subject = setting.subject
    differences = Differences(lambda: subject.forward()[0], setting.dy)
    found: dict[str, Numeric] = {}
    for name in names:
        value = subject.values[name]
        known = setting.analytic.get(name)
        known = known if known is not None and known.shape == tuple(value.shape) else None
        some = entries_to_check(known, math.prod(value.shape), entries, rng)
        found[name] = differences.numeric(value, iter(some), 5.0)
    largest = max((abs(n.slopes).max(initial=0) for n in found.values()), default=0)
    for n in found.values():
        n.floor = max(0.01 * abs(n.slopes).max(initial=0), 1e-4 * largest, 1e-12)
    return found


Test = Callable[[Setting], bool]  # does an explanation hold at this setting, which has been entered?


class Others:
    """The second input and the second shape, made when an explanation is first to be tested."""

    def __init__(self, first: Setting, seed: int = 1):
        self.first, self.rng = first, numpy.random.default_rng(seed)
        self._made: list[Setting] | None = None

    @property
    def settings(self) -> list[Setting]:
        if self._made is None:
            tried = (other_setting(self.first, {}, self.rng, spread) for spread in (0.4, 0.1, 0.0))
            made = [next(filter(None, tried), None), another_shape(self.first, self.rng)]
            self._made = [setting for setting in made if setting is not None]
        return self._made

    def hold(self, test: Test) -> bool:
        """Does it hold at all of them? Not if there is none: then nothing is known."""
        for setting in self.settings:
            with setting.entered(), numpy.errstate(all="ignore"):
                if not test(setting):
                    return False
        return bool(self.settings)
