"""Finite differences: dL/dvalue of one entry at a time, for L = Σ dy · y.

    dL/dx = lim (L(x + h) - L(x - h)) / 2h

The error of that, of order h², is removed by combining h and h/2 (Richardson extrapolation). All in float64: in
float32 rounding drowns the difference. Each slope comes with a bar: what rounding alone may have added to it.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy

from ..backend import to_device, to_numpy

STEPS = tuple(2e-3 * 10.0**-k for k in range(7))  # h relative to the value; truncation is of order h⁴, rounding 1e-16/h
ULPS = 4  # an input moves by so many units of its last place to see how much of L is rounding
ROUGH = (1e-4, 1e-6, 1e-8)  # distances, relative to the value, at which L is looked at for rounding
INSIDE = 100  # times the rounding of y: more than that comes from larger numbers inside
LONG = 0.1  # a step that may be longer than what L turns within, however large the value
NAN, KINK = "NaN", "kink"  # why an entry has no slope


@dataclass
class Numeric:
    """Finite differences of one array at some of its entries."""

    indices: tuple[numpy.ndarray, ...]  # of the entries, as value[indices] takes them
    slopes: numpy.ndarray  # (n,) dL/dvalue at them
    kinks: int  # entries left out, because L has a kink there
    floor: float = 0.0  # errors are relative to the entry, or to this where the entry is smaller
    bars: numpy.ndarray = field(default_factory=lambda: numpy.zeros(0))  # (n,) what rounding may add to a slope
    broken: int = 0  # entries left out, because L is NaN or infinite there or right beside it

    def errors(self, gradient: numpy.ndarray) -> numpy.ndarray:
        """(n,) relative errors of a gradient of the value's shape, beyond rounding."""
        a = numpy.asarray(gradient)[self.indices]
        size = numpy.maximum(numpy.maximum(numpy.abs(a), numpy.abs(self.slopes)), self.floor)
        bars = self.bars if len(self.bars) == len(self.slopes) else numpy.zeros(len(self.slopes))
        bars = numpy.where(bars > 1e-8 * size, bars, 0)  # smaller ones only blur what is shown
        with numpy.errstate(invalid="ignore", divide="ignore"):
            beyond = numpy.maximum(numpy.abs(a - self.slopes) - bars, 0)
            errors = numpy.where(beyond == 0, 0, beyond / size)
        return numpy.where(numpy.isfinite(errors) & numpy.isfinite(a), errors, numpy.inf)

    @property
    def faint(self) -> bool:
        """Is all of it lost in rounding, so that no gradient of this size can be told from zero?"""
        return bool(len(self.bars)) and bool((self.bars > 0.01 * numpy.abs(self.slopes)).all())


class Differences:
    """Takes the derivatives of L by what output() returns, when the entries of an array are moved in place."""

    def __init__(self, output: Callable[[], Any], dy: Any):
        self.output, self.dy = output, dy
        self.y = output()
        self.finite = bool(numpy.isfinite(to_numpy(self.y)).all())
        precision = numpy.finfo(self.y.dtype).eps / numpy.finfo(numpy.float64).eps
        weights = numpy.abs(to_numpy(dy)) * numpy.maximum(1.0, numpy.nan_to_num(numpy.abs(to_numpy(self.y))))
        self.unit = 32 * numpy.finfo(numpy.float64).eps * precision * float(weights.sum())
        self.noise = self.rounding = 1e-15 * precision * float(numpy.nan_to_num(to_numpy(abs(dy * self.y))).sum())

    def numeric(self, value: Any, entries: Iterator[int], seconds: float, least: int = 4) -> Numeric:
        """The slopes at these flat entries, as many of them as the time allows, but at least `least`."""
        end = time.monotonic() + seconds
        scale = self._scale(value)
        self._listen(value, scale)
        found, lost = [], {KINK: 0, NAN: 0}
        for n, entry in enumerate(entries):
            if n >= least and time.monotonic() > end:
                break
            index = numpy.unravel_index(entry, value.shape)
            slope = self._entry(value, index, max(abs(float(value[index])), scale))
            if isinstance(slope, str):
                lost[slope] += 1
            else:
                found.append((index, *slope))
        indices = tuple(numpy.array([index for index, _, _ in found], dtype=int).reshape(len(found), value.ndim).T)
        slopes, bars = (numpy.array([f[k] for f in found], dtype=float) for k in (1, 2))
        return Numeric(indices, slopes, lost[KINK], bars=bars, broken=lost[NAN])

    def along(self, value: Any, direction: numpy.ndarray) -> tuple[float, float] | None:
        """(slope, bar) of L when the whole array moves along a direction; None at a kink."""
        kept, step = value.copy(), to_device(direction)

        def move(t):
            value[...] = kept + t * step

        try:
            slope = self._slope(move, self._scale(value) / max(1.0, float(numpy.abs(direction).max(initial=0))))
        finally:
            value[...] = kept
        return None if isinstance(slope, str) else slope

    def _scale(self, value):
        size = to_numpy(value)
        return float(numpy.sqrt((size * size).mean())) if size.size and size.any() else 1.0

    def _listen(self, value, scale):
        """How much of L is rounding: what moves when all entries move by a few units of their last places, and what
        is rough about five points in a row, where a smooth L has next to no fourth difference.

        Where numbers inside are far larger than y, as in log(1 + x²) at 1e-5, y moves in jumps of their rounding,
        which a few looks may miss: then the noise is one such jump at least, and so it is where nothing moves."""
        kept, rng = value.copy(), numpy.random.default_rng(0)
        signs = [to_device(rng.choice((-1.0, 1.0), value.shape)) for _ in range(3)]
        ways = [sign * to_device(rng.uniform(0.5, 1, value.shape)) for sign in signs]  # no two of one length
        ulps = ULPS * numpy.finfo(numpy.float64).eps

        def at(moved):
            value[...] = moved
            return self._change()

        try:
            jitter = [abs(at(kept * (1 + ulps * sign))) for sign in signs]
            rough = []
            for step in (scale * small for small in ROUGH):
                for way in (step * w for w in ways):
                    far, near = at(kept + 2 * way) + at(kept - 2 * way), at(kept + way) + at(kept - way)
                    rough.append(abs(far - 4 * near) / 2)
        finally:
            value[...] = kept
        still = not any(jitter) and not any(rough)
        rough = [noise for noise in rough if noise > 0 and numpy.isfinite(noise)]
        usual = [noise for noise in rough if noise <= self.unit]  # of numbers about 1 inside; more is curvature
        heard = max(usual or [min(rough, default=0.0)])
        self.noise = max([self.rounding, *filter(numpy.isfinite, jitter), heard])
        if still or heard > INSIDE * self.rounding:
            self.noise = max(self.noise, self.unit / 32)

    def _change(self):
        """L - L at the point itself, without the entries of y that are NaN or infinite there."""
        with numpy.errstate(all="ignore"):
            return float(to_numpy(((self.output() - self.y) * self.dy).sum()))

    def _entry(self, value, index, scale):
        kept = value[index].copy()

        def move(t):
            value[index] = kept + t

        try:
            return self._slope(move, scale)
        finally:
            value[index] = kept

    def _slope(self, move: Callable[[float], None], scale: float) -> tuple[float, float] | str:
        """(slope, bar) by central differences at h and h/2, extrapolated to h → 0; KINK or NAN where there is none.

        On a smooth L the slopes to the right and to the left differ by a multiple of h. Where a kink lies within h
        they do not, so h shrinks until it is smaller than the distance to the kink; exactly at a kink that never
        happens. Where L ends within h, as log does at 0, h shrinks as well.
        """
        if not self.finite:
            return NAN
        bends: list[tuple[float, float]] = []  # (h, how far the slopes to both sides differ)
        linear: list[tuple[float, float]] = []
        before = numpy.inf
        for h in (scale * step for step in STEPS):
            noise = 4 * self.noise / h
            with numpy.errstate(all="ignore"):
                (coarse, bend), (fine, half) = self._sides(move, h), self._sides(move, h / 2)
            if not numpy.isfinite([coarse, bend, fine, half]).all():
                continue
            straight = abs(coarse - fine) <= 1e-4 * abs(fine) + noise
            smooth = abs(bend - 2 * half) <= 1e-7 * abs(fine) + 4 * noise
            if straight and smooth and not _is_kink(bends, noise):
                if h > LONG and not abs(fine - before) <= 1e-3 * abs(fine) + 10 * noise:
                    before = fine  # of an L that turns within the step: the next one must confirm it
                    continue
                return self._louder(move, h, scale, (4 * fine - coarse) / 3, noise + 1e-3 * abs(coarse - fine))
            if abs(half) <= 0.6 * abs(bend) + noise:  # two curvatures, one slope: the error is of order h
                linear.append((2 * fine - coarse, noise))
                apart = abs(linear[-1][0] - linear[-2][0]) if len(linear) > 1 else numpy.inf
                if apart <= 1e-7 * abs(fine) + 2 * noise and not _is_kink(bends, noise):
                    return linear[-1][0], 2 * noise + 0.1 * apart
            else:
                linear.clear()
            bends.append((h, abs(half)))
        return KINK if bends else self._at_the_end(move, scale)

    def _louder(self, move, h, scale, slope, bar):
        """The same slope with less rounding: where that is much of it, h grows as long as L is as smooth."""
        for h in (h * 10.0**k for k in range(1, 4)):
            if bar <= 1e-6 * abs(slope):
                break
            noise = 4 * self.noise * (1 / h + 1 / scale)  # larger numbers round more
            with numpy.errstate(all="ignore"):
                (coarse, bend), (fine, half) = self._sides(move, h), self._sides(move, h / 2)
            better = (4 * fine - coarse) / 3
            smooth = (
                abs(coarse - fine) <= 1e-4 * abs(fine) + noise and abs(bend - 2 * half) <= 1e-7 * abs(fine) + 4 * noise
            )
            if not (smooth and abs(better - slope) <= bar + noise):  # NaN is not smooth
                break
            slope, bar = better, min(bar, noise + 1e-3 * abs(coarse - fine))
        return slope, bar

    def _sides(self, move, h):
        """(central slope, right slope - left slope)"""
        right, left = self._moved(move, h) / h, -self._moved(move, -h) / h
        return (right + left) / 2, right - left

    def _moved(self, move, t):
        move(t)
        return self._change()

    def _at_the_end(self, move, scale):
        """The slope from the side where L is defined."""
        for h in (scale * step for step in STEPS[2:]):
            for side in (h, -h):
                one, two, four = (self._moved(move, side / k) / (side / k) for k in (1, 2, 4))
                if numpy.isfinite([one, two, four]).all():
                    coarse, fine = 2 * two - one, 2 * four - two
                    noise = 16 * self.noise / h
                    if abs(coarse - fine) <= 1e-5 * abs(fine) + noise:
                        return fine, noise + abs(coarse - fine)
        return NAN


def _is_kink(bends, noise):
    """The slopes to both sides differed by as much at every step so far, and rounding now hides it."""
    if len(bends) < 2:
        return False
    (_, first), (_, last) = bends[-2:]
    return last > 0.3 * first and noise > 0.1 * last


def entries_to_check(gradient: numpy.ndarray | None, size: int, most: int, rng: numpy.random.Generator) -> list[int]:
    """Flat entries: all of a small array; of a large one those of the largest gradient and random ones, in turns."""
    if size <= most:
        return list(range(size))
    count = most // 2 if gradient is not None else 0
    largest = numpy.abs(gradient).reshape(-1).argsort()[::-1][:count] if gradient is not None else numpy.zeros(0, int)
    others = rng.permutation(numpy.setdiff1d(numpy.arange(size), largest))[: most - count]
    turns = [e for pair in zip(largest, others, strict=False) for e in pair] + list(others[count:])
    return [int(e) for e in turns]
