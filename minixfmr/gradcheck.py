"""Check a hand-written backward against finite differences, entry by entry.

    report = gradcheck(module, x)
    print(report)

The loss is L = Σ dy · y with a random dy, so that no error can hide behind a symmetric upstream gradient. Then
dL/dx is the limit of (L(x + h) - L(x - h)) / 2h; the error of that, of order h², is removed by combining h and h/2
(Richardson extrapolation). All in float64: in float32 rounding drowns the difference.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy

from .backend import random_generator, to_device, to_numpy

STEPS = (2e-3, 2e-4, 2e-5, 2e-6)  # h; truncation is of order h⁴, rounding of order 1e-16 / h


@dataclass
class Row:
    """The check of one array: a parameter or an input."""

    name: str
    shape: tuple
    relative_error: float  # the largest over the entries that were checked
    where: tuple  # the index of that entry
    analytic: float  # what backward says there
    numeric: float  # what finite differences say there
    ok: bool
    kinks: int = 0  # entries left out: L has a kink there (ReLU at 0), so no derivative to compare with


@dataclass
class Report:
    """The outcome of a gradient check; print it for a table."""

    tolerance: float
    rows: list[Row] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return all(row.ok for row in self.rows)

    @property
    def max_relative_error(self) -> float:
        return max((row.relative_error for row in self.rows), default=0.0)

    def __str__(self) -> str:
        lines = [f"{'':6}{'name':40} {'shape':10} {'error':>7} {'at':>9} {'analytic':>11} {'numeric':>11}"]
        for r in self.rows:
            name = r.name if len(r.name) <= 40 else "…" + r.name[-39:]
            shape, where = ("×".join(map(str, index)) for index in (r.shape, r.where))
            lines.append(
                f"{'ok' if r.ok else 'WRONG':6}{name:40} {shape:10} {r.relative_error:7.0e} {where:>9} "
                f"{r.analytic:11.4g} {r.numeric:11.4g}"
            )
        verdict = "all gradients agree" if self.ok else f"{sum(not r.ok for r in self.rows)} wrong"
        kinks = sum(r.kinks for r in self.rows)
        left_out = f"; {kinks} entries left out, at a kink" if kinks else ""
        worst = f"largest relative error {self.max_relative_error:.1e}, allowed {self.tolerance:.0e}"
        lines.append(f"{verdict}: {worst}{left_out}")
        return "\n".join(lines)


def gradcheck(
    module: Any, *inputs: Any, tolerance: float = 1e-7, max_entries: int = 64, seed: int = 0, **options: Any
) -> Report:
    """Check backward against finite differences, for every parameter and every float input.

    module: anything with forward(*inputs, **options) → (y, saved) and backward(dy, saved) → gradient, or a tuple of
    them in the order of the inputs; parameters through named_parameters(), if it has that.
    inputs: float arrays are checked; integer arrays, masks and None are passed through. A generator among the options
    (dropout's rng) is copied for each call, so that the draws repeat.
    max_entries: of each array; larger ones are sampled, the entries of the largest gradient always among them.
    Parameters are moved off their initial values (a gain of 1 or a bias of 0 hides mistakes), and put back at the end.
    → Report: .ok, .max_relative_error, .rows; print(report) is a table
    """
    rng = random_generator(seed)
    parameters = dict(module.named_parameters()) if hasattr(module, "named_parameters") else {}
    kept = {name: (p.data, p.grad) for name, p in parameters.items()}
    inputs = tuple(to_device(_double(x)) if _is_float(x) else x for x in inputs)
    floats = {f"input {i}": x for i, x in enumerate(inputs) if _is_float(x)}
    try:
        for p in parameters.values():
            data = to_numpy(p.data)
            spread = 0.1 * (1 + numpy.abs(data).mean())
            p.data = to_device(_double(data) + rng.uniform(-spread, spread, data.shape))
            p.grad = to_device(numpy.zeros(data.shape))

        def forward():
            return module.forward(*inputs, **copy.deepcopy(options))

        y, saved = forward()
        dy = to_device(rng.standard_normal(y.shape))
        gradients = module.backward(dy, saved)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        analytic = dict(zip(floats, gradients, strict=False)) | {name: p.grad for name, p in parameters.items()}
        values = floats | {name: p.data for name, p in parameters.items()}
        return _compare(lambda: forward()[0], dy, values, analytic, tolerance, max_entries, rng)
    finally:
        for name, p in parameters.items():
            p.data, p.grad = kept[name]


def gradcheck_function(
    forward: Callable,
    backward: Callable,
    *arrays: Any,
    tolerance: float = 1e-7,
    max_entries: int = 64,
    seed: int = 0,
) -> Report:
    """Check a pair of functions: y, saved = forward(*arrays), and gradients = backward(dy, saved), a tuple with one
    gradient for each float array, in their order (a single one may come bare). Other arguments as in gradcheck."""
    rng = random_generator(seed)
    arrays = tuple(to_device(_double(a)) if _is_float(a) else a for a in arrays)
    values = {f"argument {i}": a for i, a in enumerate(arrays) if _is_float(a)}
    y, saved = forward(*arrays)
    dy = to_device(rng.standard_normal(y.shape))
    gradients = backward(dy, saved)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    analytic = dict(zip(values, gradients, strict=False))
    return _compare(lambda: forward(*arrays)[0], dy, values, analytic, tolerance, max_entries, rng)


def _compare(output, dy, values, analytic, tolerance, max_entries, rng):
    """The report of all values: {name: array that output() reads}, analytic: {name: its gradient}."""
    for name, value in values.items():
        gradient = analytic.get(name)
        if gradient is None or tuple(gradient.shape) != tuple(value.shape):
            got = "nothing" if gradient is None else f"an array of shape {tuple(gradient.shape)}"
            raise ValueError(f"backward returned {got} as the gradient of {name}, which has shape {tuple(value.shape)}")
    y = output()
    rounding = 1e-15 * float(to_numpy(abs(dy * y).sum()))
    checked = {}  # name: (indices, analytic, numeric, number of kinks)
    for name, value in values.items():
        indices = _entries(to_numpy(analytic[name]), max_entries, rng)
        numeric = numpy.array([_derivative(output, y, dy, value, index, rounding) for index in indices])
        smooth = ~numpy.isnan(numeric)
        there = [index for index, keep in zip(indices, smooth, strict=True) if keep]
        exact = numpy.array([float(analytic[name][index]) for index in there])
        checked[name] = there, exact, numeric[smooth], int((~smooth).sum())
    report = Report(tolerance)
    largest = max((numpy.abs(numeric).max(initial=0) for _, _, numeric, _ in checked.values()), default=0)
    for name, (indices, a, n, kinks) in checked.items():
        if not indices:
            continue
        # relative to the entry, but to no less than 1 % of the array's largest, nor 10⁻⁵ of the largest of all arrays
        floor = max(0.01 * numpy.abs(n).max(), 1e-5 * largest, 1e-12)
        errors = numpy.abs(a - n) / numpy.maximum(numpy.maximum(numpy.abs(a), numpy.abs(n)), floor)
        errors = numpy.where(numpy.isfinite(errors), errors, numpy.inf)
        i = int(errors.argmax())
        ok = bool(errors[i] <= tolerance)
        where = tuple(map(int, indices[i]))
        report.rows.append(
            Row(name, tuple(values[name].shape), float(errors[i]), where, float(a[i]), float(n[i]), ok, kinks)
        )
    return report


def _entries(gradient, max_entries, rng):
    """Indices to check: all, or those of the largest gradients and as many random ones."""
    flat = numpy.arange(gradient.size)
    if gradient.size > max_entries:
        largest = numpy.abs(gradient).reshape(-1).argsort()[-(max_entries // 2) :]
        rest = numpy.setdiff1d(flat, largest)
        flat = numpy.concatenate([largest, rng.choice(rest, max_entries - len(largest), replace=False)])
    return [numpy.unravel_index(i, gradient.shape) for i in flat]


def _derivative(output, y, dy, value, index, rounding):
    """dL/dvalue[index] by central differences at h and h/2, extrapolated to h → 0; NaN at a kink of L.

    On a smooth L the slopes to the right and to the left differ by a multiple of h. Where a kink lies within h they
    do not, so h shrinks until it is smaller than the distance to the kink; exactly at a kink that never happens.
    """
    kept = value[index].copy()

    def slopes(h):
        value[index] = kept + h
        right = float(to_numpy(((output() - y) * dy).sum())) / h
        value[index] = kept - h
        left = float(to_numpy(((y - output()) * dy).sum())) / h
        value[index] = kept
        return (right + left) / 2, right - left

    for h in STEPS:
        (coarse, bend), (fine, half_bend) = slopes(h), slopes(h / 2)
        straight = not abs(coarse - fine) > 1e-4 * abs(fine) + rounding / h
        if straight and not abs(bend - 2 * half_bend) > 1e-7 * abs(fine) + 4 * rounding / h:
            return (4 * fine - coarse) / 3
    return numpy.nan


def _is_float(x):
    return getattr(getattr(x, "dtype", None), "kind", "") == "f"


def _double(x):
    return to_numpy(x).astype(numpy.float64)
