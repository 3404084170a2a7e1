"""Compare analytic gradients with finite differences: a row for each array, and what was not compared."""

import time
from typing import Any

import numpy

from ..backend import to_device, to_numpy
from .differences import Differences, Numeric, entries_to_check
from .report import Row
from .subject import Subject

DIRECTIONS = 3  # random ones, for the entries that are not compared one by one
FLOOR = 0.01  # errors are relative to the entry, but to no less than this share of the array's largest


class Comparison:
    """The numeric gradient of each value of a subject, and the rows that come of it."""

    def __init__(self, subject: Subject, dy: Any, analytic: dict, rng: numpy.random.Generator, max_entries: int):
        self.subject, self.dy, self.analytic, self.rng, self.max_entries = subject, dy, analytic, rng, max_entries
        self.differences = Differences(lambda: subject.forward()[0], dy)
        self.numeric: dict[str, Numeric] = {}
        self.unchecked: list[str] = []
        self.notes: list[str] = []

    def run(self, tolerance: float, max_seconds: float, names: list[str] | None = None) -> list[Row]:
        """The rows, of all values or of those named; tolerance is of the relative error."""
        end = time.monotonic() + max_seconds
        values = {n: v for n, v in self.subject.values.items() if names is None or n in names}
        rows = []
        for i, (name, value) in enumerate(values.items()):
            share = (end - time.monotonic()) / (len(values) - i)
            self.numeric[name] = self._entries(name, value, share)
            row = self._row(name, tolerance)
            if row.ok and row.checked and row.checked + row.kinks < value.size and self._fits(name):
                row = self._rest(name, value, row, tolerance, share)
            rows.append(row)
        return rows

    def _entries(self, name, value, seconds):
        known = self.analytic[name] if self._fits(name) else None
        entries = entries_to_check(known, value.size, self.max_entries, self.rng)
        found = self.differences.numeric(value, iter(entries), seconds)
        found.floor = FLOOR * float(numpy.abs(found.slopes).max(initial=0))
        return found

    def _fits(self, name):
        a = self.analytic[name]
        return a is not None and a.shape == tuple(self.subject.values[name].shape)

    def _row(self, name, tolerance):
        numeric, a, shape = self.numeric[name], self.analytic[name], tuple(self.subject.values[name].shape)
        count = len(numeric.slopes)
        if not self._fits(name):
            slope = float(numeric.slopes[0]) if count else numpy.nan
            return Row(name, shape, numpy.inf, (), numpy.nan, slope, False, count, numeric.kinks, numeric.broken)
        errors = numeric.errors(a)
        if not count:
            ok = bool(numpy.isfinite(a).all())
            return Row(name, shape, 0.0, (), numpy.nan, numpy.nan, ok, 0, numeric.kinks, numeric.broken)
        i = int(errors.argmax())
        where = tuple(int(axis[i]) for axis in numeric.indices)
        error, told, seen = float(errors[i]), float(a[where]), float(numeric.slopes[i])
        right = error <= tolerance
        return Row(name, shape, error, where, told, seen, right, count, numeric.kinks, numeric.broken)

    # --- the entries that are not compared one by one: together, along random directions ---

    def _rest(self, name, value, row, tolerance, seconds):
        a, numeric = self.analytic[name], self.numeric[name]
        rest = numpy.ones(row.shape, bool)
        rest[numeric.indices] = False
        left = int(rest.sum())
        for _ in range(DIRECTIONS):
            direction = rest * self.rng.choice((-1.0, 1.0), row.shape)
            agrees = self._agrees(value, a, direction, tolerance)
            if agrees is None:
                return self._one_by_one(name, value, row, tolerance, seconds, rest)
            if not agrees:
                entry = self._narrow(value, a, direction, tolerance)
                return self._with(name, value, [entry], tolerance)
        self.notes.append(f"{name}: {row.checked} entries one by one, the other {left} along random directions")
        return row

    def _agrees(self, value, a, direction, tolerance):
        """Does the slope along a direction agree? None where it cannot be told."""
        found = self.differences.along(value, direction)
        if found is None:
            return None
        slope, bar = found
        told = float((a * direction).sum())
        size = max(float(numpy.sqrt(((a * direction) ** 2).sum())), abs(slope))
        if bar > 0.01 * size and bar > 0 and size > 0:
            return None
        return bool(abs(told - slope) <= max(tolerance, 1e-9) * size + bar)

    def _narrow(self, value, a, direction, tolerance):
        """A flat entry that is wrong: halve the direction until one is left."""
        entries = numpy.flatnonzero(direction)
        while len(entries) > 1:
            half = entries[: len(entries) // 2]
            part = numpy.zeros(direction.size)
            part[half] = direction.reshape(-1)[half]
            wrong = self._agrees(value, a, part.reshape(direction.shape), tolerance) is False
            entries = half if wrong else entries[len(half) :]
        return int(entries[0])

    def _one_by_one(self, name, value, row, tolerance, seconds, rest):
        """Where directions meet kinks: more entries, some always, then as the time allows; the rest is named."""
        entries = [int(e) for e in self.rng.permutation(numpy.flatnonzero(rest))]
        row = self._with(name, value, entries, tolerance, seconds, least=16)
        done = row.checked + row.kinks
        if done < value.size:
            self.unchecked.append(
                f"{name}: {done} of its {value.size} entries were compared; "
                "give smaller arrays, or a larger max_entries"
            )
        return row

    def _with(self, name, value, entries, tolerance, seconds=5.0, least=4):
        """The row with these entries as well."""
        more = self.differences.numeric(value, iter(entries), seconds, least)
        known = self.numeric[name]
        known.indices = tuple(numpy.concatenate(pair) for pair in zip(known.indices, more.indices, strict=True))
        known.slopes = numpy.concatenate([known.slopes, more.slopes])
        known.bars = numpy.concatenate([known.bars, more.bars])
        known.kinks, known.broken = known.kinks + more.kinks, known.broken + more.broken
        return self._row(name, tolerance)


def moved_inputs(subject: Subject, rng: numpy.random.Generator) -> None:
    """Move the inputs to another point, in place: where a gradient is lost in rounding, its mistakes are too."""
    for name in subject.inputs:
        value = to_numpy(subject.values[name])
        size = float(numpy.abs(value).mean()) or 1.0
        subject.values[name][...] = to_device(value + 0.2 * size * rng.standard_normal(value.shape))
