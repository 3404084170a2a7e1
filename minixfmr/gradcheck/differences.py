"""Finite differences: dL/dvalue of one entry at a time, for L = Σ dy · y.

    dL/dx = lim (L(x + h) - L(x - h)) / 2h

The error of that, of order h², is removed by combining h and h/2 (Richardson extrapolation). All in float64: in
float32 rounding drowns the difference.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy

from ..backend import to_numpy

STEPS = (2e-3, 2e-4, 2e-5, 2e-6)  # h; truncation is of order h⁴, rounding of order 1e-16 / h


@dataclass
class Numeric:
    """Finite differences of one array at some of its entries."""

    indices: tuple[numpy.ndarray, ...]  # of the entries, as value[indices] takes them
    slopes: numpy.ndarray  # (n,) dL/dvalue at them
    kinks: int  # entries left out, because L has a kink there
    floor: float = 0.0  # errors are relative to the entry, or to this where the entry is smaller

    def errors(self, gradient: numpy.ndarray) -> numpy.ndarray:
        """(n,) relative errors of a gradient of the value's shape."""
        a = numpy.asarray(gradient)[self.indices]
        size = numpy.maximum(numpy.maximum(numpy.abs(a), numpy.abs(self.slopes)), self.floor)
        with numpy.errstate(invalid="ignore"):
            errors = numpy.abs(a - self.slopes) / size
        return numpy.where(numpy.isfinite(errors), errors, numpy.inf)


class Differences:
    """Takes the derivatives of L by what output() returns, when the entries of an array are moved in place."""

    def __init__(self, output: Callable[[], Any], dy: Any):
        self.output, self.dy = output, dy
        self.y = output()
        precision = numpy.finfo(self.y.dtype).eps / numpy.finfo(numpy.float64).eps
        self.rounding = 1e-15 * precision * float(to_numpy(abs(dy * self.y).sum()))

    def numeric(self, value: Any, entries: Iterator[int], seconds: float, least: int = 4) -> Numeric:
        """The slopes at these flat entries, as many of them as the time allows, but at least `least`."""
        end = time.monotonic() + seconds
        found = []
        for n, entry in enumerate(entries):
            if n >= least and time.monotonic() > end:
                break
            index = numpy.unravel_index(entry, value.shape)
            found.append((index, self._slope(value, index)))
        slopes = numpy.array([slope for _, slope in found])
        smooth = ~numpy.isnan(slopes)
        kept = [index for (index, _), keep in zip(found, smooth, strict=True) if keep]
        indices = tuple(numpy.array(kept, dtype=int).reshape(len(kept), value.ndim).T)
        return Numeric(indices, slopes[smooth], int((~smooth).sum()))

    def _slope(self, value, index):
        """dL/dvalue[index] by central differences at h and h/2, extrapolated to h → 0; NaN at a kink of L.

        On a smooth L the slopes to the right and to the left differ by a multiple of h. Where a kink lies within h
        they do not, so h shrinks until it is smaller than the distance to the kink; exactly at a kink that never
        happens.
        """
        kept = value[index].copy()

        def slopes(h):
            value[index] = kept + h
            right = float(to_numpy(((self.output() - self.y) * self.dy).sum())) / h
            value[index] = kept - h
            left = float(to_numpy(((self.y - self.output()) * self.dy).sum())) / h
            return (right + left) / 2, right - left

        try:
            for h in STEPS:
                (coarse, bend), (fine, half_bend) = slopes(h), slopes(h / 2)
                straight = not abs(coarse - fine) > 1e-4 * abs(fine) + self.rounding / h
                if straight and not abs(bend - 2 * half_bend) > 1e-7 * abs(fine) + 4 * self.rounding / h:
                    return (4 * fine - coarse) / 3
        finally:
            value[index] = kept
        return numpy.nan


def entries_to_check(gradient: numpy.ndarray | None, size: int, most: int, rng: numpy.random.Generator) -> list[int]:
    """Flat entries: all of a small array; of a large one those of the largest gradient and random ones, in turns."""
    if size <= most:
        return list(range(size))
    count = most // 2 if gradient is not None else 0
    largest = numpy.abs(gradient).reshape(-1).argsort()[::-1][:count] if gradient is not None else numpy.zeros(0, int)
    others = rng.permutation(numpy.setdiff1d(numpy.arange(size), largest))[: most - count]
    turns = [e for pair in zip(largest, others, strict=False) for e in pair] + list(others[count:])
    return [int(e) for e in turns]
