"""The check itself: analytic gradients, finite differences, properties, and an explanation of what disagrees."""

import contextlib
import copy
import io
import time
from collections.abc import Callable
from typing import Any

import numpy

from ..backend import random_generator, to_numpy
from .adapter import parameters_of
from .differences import Differences, Numeric, entries_to_check
from .diagnosis.explain import explain_rows
from .properties import properties
from .report import GradcheckError, Report, Row
from .subject import LayerSubject, Subject, kind_of


def gradcheck(
    module: Any,
    *inputs: Any,
    tolerance: float = 1e-7,
    max_entries: int = 64,
    max_seconds: float = 30.0,
    seed: int = 0,
    explain: bool = True,
    parameters: dict[str, str] | None = None,
    **options: Any,
) -> Report:
    """Check backward against finite differences, for every parameter and every float input of a layer.

    module: anything with forward(*inputs, **options) → (y, saved) and backward(dy, saved) → the gradient of the
        inputs, a tuple where there are several. A layer that keeps what backward needs on itself will do as well:
        forward(*inputs) → y and backward(dy).
        Parameters: what named_parameters() gives, or else a student's plain arrays, see parameters_of.
    parameters: {"W": "dW", ...}: the attributes that hold a student's parameters and their gradients, where the
        checker does not find them by itself.
    inputs: float arrays are checked; integer arrays, masks, numbers, functions and None are passed through. A
        generator (dropout's rng) is copied for each call, so that the draws repeat.
    tolerance: of the relative error; a right gradient shows 1e-9 or less.
    max_entries: of each array; larger ones are sampled, the entries of the largest gradient always among them.
    explain: say what is wrong where something is (up to 15 seconds).
    max_seconds: for the differences; where they run out, fewer entries are compared (at least 4 of each array).
    Parameters are moved off their initial values (a gain of 1 or a bias of 0 hides mistakes), and put back at the end.
    Masks: a boolean mask is True where attention may go, except a strictly upper triangular one.
    → Report: .ok, .max_relative_error, .rows, .properties, .explanations, .to_dict(); print(report) is a table
    Raises GradcheckError (a ValueError) where the code cannot be run as it is, with the line to blame.
    """
    subject = LayerSubject(module, parameters_of(module, parameters), inputs, options, seed)
    rng = random_generator(seed)
    with _put_back(subject):
        subject.move_parameters(rng)
        return _check(subject, rng, tolerance, max_entries, max_seconds, explain)


def gradcheck_function(
    forward: Callable,
    backward: Callable,
    *arrays: Any,
    tolerance: float = 1e-7,
    max_entries: int = 64,
    max_seconds: float = 30.0,
    seed: int = 0,
    explain: bool = True,
    **options: Any,
) -> Report:
    """Check a pair of functions: y, cache = forward(*arrays, **options) and dx, dw, ... = backward(dy, cache).

    backward returns a gradient for each float argument, in their order (a single one may come bare; integers have
    none, or None). An argument may be a dictionary of arrays: its gradient is one with the same keys. A loss may have
    backward(cache). The rest is as in gradcheck."""
    subject = Subject(forward, backward, arrays, options, seed)
    with _put_back(subject):
        return _check(subject, random_generator(seed), tolerance, max_entries, max_seconds, explain)


def assert_gradients(module_or_forward: Any, *arguments: Any, **options: Any) -> Report:
    """gradcheck, or gradcheck_function where the first two arguments are functions; AssertionError with the table."""
    pair = len(arguments) > 0 and callable(arguments[0]) and not hasattr(module_or_forward, "backward")
    report = (gradcheck_function if pair else gradcheck)(module_or_forward, *arguments, **options)
    if not report.ok:
        raise AssertionError(f"gradients disagree\n{report}")
    return report


@contextlib.contextmanager
def _put_back(subject):
    """Leave parameters, their gradients and NumPy's global generator as they were found, bit for bit."""
    state = numpy.random.get_state()
    kept = {name: (p.data, p.grad) for name, p in getattr(subject, "parameters", {}).items()}
    try:
        yield
    finally:
        numpy.random.set_state(state)
        for namespace, name, generator in subject.generators:
            namespace[name] = generator
        for name, (data, grad) in kept.items():
            subject.parameters[name].data, subject.parameters[name].grad = data, grad


def _check(subject, rng, tolerance, max_entries, max_seconds, explain):
    if not subject.values:
        given = ", ".join(f"{n} is {kind_of(a)}" for n, a in zip(subject.names, subject.arguments, strict=True))
        raise GradcheckError(f"nothing to check: {given or 'no arguments'}; none of them is a float array")
    y, saved = subject.forward()
    dy = subject.starting_gradient(y, rng)
    gradients = subject.backward(copy.deepcopy(dy), saved)
    analytic = {name: None if gradients[name] is None else to_numpy(gradients[name]).copy() for name in subject.values}
    report = Report(tolerance)
    with contextlib.redirect_stdout(io.StringIO()):  # what the code under check prints was seen in its first calls
        report.properties = properties(subject, dy, analytic)
        numeric = _numeric(subject, dy, analytic, max_entries, max_seconds, rng)
        if to_numpy(y).dtype != numpy.float64:  # said in the properties; differences in float32 see no more than this
            tolerance = max(tolerance, 1e-2)
        report.rows = [
            _row(name, value.shape, analytic[name], numeric[name], tolerance) for name, value in subject.values.items()
        ]
        if explain and not all(row.ok for row in report.rows):
            explain_rows(report, subject, dy, analytic, numeric, tolerance, gradcheck)
    return report


def _numeric(subject, dy, analytic, max_entries, max_seconds, rng):
    """{name: Numeric} of all values."""
    differences = Differences(lambda: subject.forward()[0], dy)
    end = time.monotonic() + max_seconds
    numeric: dict[str, Numeric] = {}
    for i, (name, value) in enumerate(subject.values.items()):
        a = analytic[name]
        known = a if a is not None and a.shape == tuple(value.shape) else None
        entries = entries_to_check(known, value.size, max_entries, rng)
        share = (end - time.monotonic()) / (len(subject.values) - i)
        numeric[name] = differences.numeric(value, iter(entries), share)
    # relative to the entry, but to no less than 1 % of the array's largest, nor 10⁻⁵ of the largest of all arrays
    largest = max((abs(n.slopes).max(initial=0) for n in numeric.values()), default=0)
    for n in numeric.values():
        n.floor = max(0.01 * abs(n.slopes).max(initial=0), 1e-5 * largest, 1e-12)
    return numeric


def _row(name, shape, analytic, numeric, tolerance):
    shape = tuple(shape)
    if analytic is None or analytic.shape != shape:
        slope = float(numeric.slopes[0]) if len(numeric.slopes) else numpy.nan
        return Row(name, shape, numpy.inf, (), numpy.nan, slope, False, len(numeric.slopes), numeric.kinks)
    errors = numeric.errors(analytic)
    if not errors.size:
        return Row(name, shape, 0.0, (), numpy.nan, numpy.nan, True, 0, numeric.kinks)
    i = int(errors.argmax())
    where = tuple(int(axis[i]) for axis in numeric.indices)
    error, a, n = float(errors[i]), float(analytic[where]), float(numeric.slopes[i])
    return Row(name, shape, error, where, a, n, error <= tolerance, errors.size, numeric.kinks)
