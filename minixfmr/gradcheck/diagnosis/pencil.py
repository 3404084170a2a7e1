"""A pencil case: the smallest shapes and plainest numbers at which a gradient is still wrong, to redo by hand."""

import itertools
from typing import Any

import numpy

from ...backend import to_device, to_numpy
from ..report import GradcheckError
from .case import Case
from .inputs import axes_of, resized
from .settings import Setting, numerics

TRIALS = 120  # settings that are looked at
ENTRIES = 8  # of the wrong gradient that are compared in each
CLEAR = 0.01  # between yours and the right one, and of the right one: what can be seen with a pencil
LARGEST = 40  # numbers in all inputs together: more is no pencil case


def pencil_case(first: Setting, case: Case) -> dict[str, Any]:
    """{"gradient", "inputs", "dy", "yours", "right"} as nested lists; {} where nothing small enough fails."""
    search = _Shrinking(first, case.name)
    try:
        with numpy.errstate(all="ignore"):
            return search.smallest()
    except (GradcheckError, ValueError, IndexError, TypeError):
        return {}


class _Shrinking:
    """Takes the first of ever smaller settings at which the gradient is still wrong."""

    def __init__(self, first: Setting, name: str):
        self.first, self.name, self.subject = first, name, first.subject
        self.rng = numpy.random.default_rng(2)
        self.left = TRIALS

    def smallest(self) -> dict[str, Any]:
        setting = self._smaller()
        if setting is None or sum(numpy.size(a) for a in setting.arrays.values()) > LARGEST:
            return {}
        setting = self._plainer(setting)
        with setting.entered():
            setting.analytic = setting.run()
            value = self.subject.values[self.name]
            numeric = numerics(setting, self.rng, [self.name], numpy.size(value))[self.name]
            if len(numeric.slopes) != numpy.size(value):
                return {}
            right = Case(self.name, setting.analytic[self.name], numeric, numpy.shape(value), 0).whole
        return {
            "gradient": f"d{self.name}",
            "inputs": {name: _plain(a) for name, a in setting.arrays.items()},
            "dy": _plain(setting.dy),
            "yours": _plain(setting.analytic[self.name]),
            "right": _plain(right),
        }

    def _fails(self, arrays: dict[str, Any], dy: Any = None) -> Setting | None:
        """The setting, if the gradient is clearly wrong there."""
        self.left -= 1
        if self.left < 0:
            return None
        setting = Setting(self.subject, arrays, dy, 0)
        try:
            with setting.entered():
                y, _ = self.subject.forward()
                if not numpy.isfinite(to_numpy(y)).all():
                    return None
                if dy is None:
                    setting.dy = self.subject.starting_gradient(y, self.rng)
                elif numpy.shape(dy) != numpy.shape(y):
                    return None
                gradient = setting.run()[self.name]
                value = self.subject.values[self.name]
                if gradient is None or gradient.shape != tuple(value.shape) or not numpy.isfinite(gradient).all():
                    return None
                setting.analytic = {self.name: gradient}
                numeric = numerics(setting, self.rng, [self.name], ENTRIES)[self.name]
        except (GradcheckError, ValueError, IndexError, TypeError):
            return None
        if not len(numeric.slopes):
            return None
        apart = numpy.abs(gradient[numeric.indices] - numeric.slopes).max()
        return setting if min(apart, numpy.abs(numeric.slopes).max()) > CLEAR else None

    def _smaller(self) -> Setting | None:
        """Axes as short as can be; equally long ones together, for most of them belong together."""
        axes, sizes = axes_of(self.subject), dict[tuple[str, int], int]()
        present = sorted(set(axes.values()) - {0, 1})
        found = self._fails(resized(self.subject, {}, self.rng))
        for size in present:
            group = [axis for axis, n in axes.items() if n == size]
            for new in (n for n in (1, 2, 3, 4, size // 2) if n < size):
                if setting := self._fails(resized(self.subject, sizes | dict.fromkeys(group, new), self.rng)):
                    found, sizes = setting, sizes | dict.fromkeys(group, new)
                    break
        return self._together(found, sizes, axes)

    def _together(self, found, sizes, axes):
        """Axes of which one is a multiple of the other, like the gates of a cell, shrink together."""
        for small, large in itertools.permutations(sorted({n for axis, n in axes.items() if axis not in sizes}), 2):
            group = {axis: n // small for axis, n in axes.items() if n in (small, large) and axis not in sizes}
            if small < 2 or large <= small or large % small or len(set(group.values())) < 2:
                continue
            for new in (1, 2):
                more = {axis: times * new for axis, times in group.items()}
                if setting := self._fails(resized(self.subject, sizes | more, self.rng)):
                    found, sizes = setting, sizes | more
                    break
        return found

    def _plainer(self, setting: Setting) -> Setting:
        """Whole numbers, or at least short ones; then a dy of ones."""
        for name, array in list(setting.arrays.items()):
            if numpy.asarray(array).dtype.kind != "f":
                continue
            for plain in self._rounded(numpy.asarray(array)):
                if numpy.array_equal(plain, array):
                    break
                if better := self._fails(setting.arrays | {name: to_device(plain)}, setting.dy):
                    setting = better
                    break
        for dy in (numpy.ones(numpy.shape(setting.dy)), *self._rounded(to_numpy(setting.dy))):
            if better := self._fails(setting.arrays, to_device(dy)):
                return better
        return setting

    def _rounded(self, a):
        low = 1 if a.size and a.min() > 0 else -2
        for _ in range(2):
            whole = self.rng.integers(low, 4, a.shape)
            yield numpy.where(whole == 0, 1, whole).astype(float)
        yield numpy.round(a * 2) / 2
        yield numpy.round(a, 1)


def _plain(a: Any) -> Any:
    """Nested lists of numbers with six digits."""
    a = numpy.asarray(to_numpy(a))
    if a.dtype.kind != "f" or not a.size:
        return a.tolist()
    a = numpy.where(abs(a) < 1e-9 * abs(a).max(), 0.0, a)  # rounding
    return numpy.vectorize(lambda x: float(f"{x:.6g}") + 0.0, otypes=[float])(a).tolist()
