"""The check itself: analytic gradients, finite differences, properties, and an explanation of what disagrees."""

import contextlib
import copy
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from ..backend import random_generator, to_numpy
from ..checks.values import count, flag, number
from .adapter import parameters_of
from .coverage import Watch, float32_line
from .diagnosis.explain import explain_rows
from .finding import prepare
from .profile import Profile, profile_of
from .properties import properties
from .report import GradcheckError, Report
from .subject import LayerSubject, Subject, kind_of
from .unseen import name_unseen, nothing_compared, set_data_aside
from .verdict import Comparison, moved_inputs

TOLERANCE = 1e-7  # of the relative error


def gradcheck(
    module: Any,
    *inputs: Any,
    tolerance: float = TOLERANCE,
    max_entries: int = 64,
    max_seconds: float = 30.0,
    seed: int = 0,
    explain: bool = True,
    parameters: dict[str, str] | None = None,
    profile: Profile | dict | str | None = None,
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
    explain: say what is wrong where something is (up to 30 seconds).
    max_seconds: for the differences; where they run out, fewer entries are compared (at least 4 of each array).
    Parameters are moved off their initial values (a gain of 1 or a bias of 0 hides mistakes), and put back at the end.
    Masks: a boolean mask is True where attention may go, except a strictly upper triangular one.
    → Report: .ok, .max_relative_error, .rows, .properties, .explanations, .to_dict(); print(report) is a table
    Raises GradcheckError (a ValueError) where the code cannot be run as it is, with the line to blame.
    """
    course = profile_of(profile)
    settings = _settings(course, tolerance, max_entries, max_seconds, seed, explain)
    subject = LayerSubject(module, {}, inputs, options, settings["seed"], course)
    declared = parameters is not None or hasattr(module, "named_parameters")
    return _check(subject, settings, parameters_of(module, parameters) if declared else None)


def gradcheck_function(
    forward: Callable,
    backward: Callable,
    *arrays: Any,
    tolerance: float = TOLERANCE,
    max_entries: int = 64,
    max_seconds: float = 30.0,
    seed: int = 0,
    explain: bool = True,
    profile: Profile | dict | str | None = None,
    **options: Any,
) -> Report:
    """Check a pair of functions: y, cache = forward(*arrays, **options) and dx, dw, ... = backward(dy, cache).

    backward returns a gradient for each float argument, in their order (a single one may come bare; integers have
    none, or None). An argument may be a dictionary of arrays: its gradient is one with the same keys. A loss may have
    backward(cache). The rest is as in gradcheck."""
    course = profile_of(profile)
    settings = _settings(course, tolerance, max_entries, max_seconds, seed, explain)
    return _check(Subject(forward, backward, arrays, options, settings["seed"], course), settings)


def assert_gradients(module_or_forward: Any, *arguments: Any, **options: Any) -> Report:
    """gradcheck, or gradcheck_function where the first two arguments are functions; AssertionError with the table."""
    pair = len(arguments) > 0 and callable(arguments[0]) and not hasattr(module_or_forward, "backward")
    report = (gradcheck_function if pair else gradcheck)(module_or_forward, *arguments, **options)
    if not report.ok:
        raise AssertionError(f"gradients disagree\n{report}")
    return report


def _settings(course, tolerance, max_entries, max_seconds, seed, explain):
    tolerance = number("tolerance", tolerance, "(0, 0.5]", ": a right gradient shows 1e-9 or less")
    return {
        "tolerance": course.tolerance if "tolerance" in course.given and tolerance == TOLERANCE else tolerance,
        "max_entries": count("max_entries", max_entries, hint=", or nothing is compared"),
        "max_seconds": number("max_seconds", max_seconds, "[0, inf)"),
        "seed": count("seed", seed, 0),
        "explain": flag("explain", explain),
    }


@contextlib.contextmanager
def _put_back(subject: Subject) -> Iterator[None]:
    """Leave all that is reachable as it was found, bit for bit."""
    try:
        yield
    finally:
        subject.put_back()


def check_subject(subject: Subject, **changed: Any) -> Report:
    """The report on a subject. changed: tolerance, max_entries, max_seconds, seed or explain, if not as usual"""
    usual = {"tolerance": TOLERANCE, "max_entries": 64, "max_seconds": 30.0, "seed": subject.seed, "explain": True}
    declared = hasattr(subject.layer, "named_parameters")
    return _check(subject, usual | changed, parameters_of(subject.layer) if declared else None)


def _check(subject, settings, parameters=None):
    """The report. settings: tolerance, max_entries, max_seconds, seed, explain"""
    rng = random_generator(settings["seed"])
    with _put_back(subject):
        if parameters is not None:
            subject.add_parameters(parameters)
        with contextlib.redirect_stdout(io.StringIO()):
            prepare(subject, rng, explicit=bool(parameters))
        if not any(value.size for value in subject.values.values()):
            raise _nothing(subject)
        return _compared(subject, rng, **settings)


def _compared(subject, rng, tolerance, max_entries, max_seconds, seed, explain):
    y, saved = subject.forward()
    dy = subject.starting_gradient(y, rng)
    subject.zero_grad()
    with Watch(subject.backward_code) as watch:
        gradients = subject.backward(copy.deepcopy(dy), saved)
    analytic = {name: None if gradients[name] is None else to_numpy(gradients[name]).copy() for name in subject.values}
    report = Report(tolerance)
    with contextlib.redirect_stdout(io.StringIO()):  # what the code under check prints was seen in its first calls
        set_data_aside(subject, analytic)
        _apply_factor(subject, analytic)
        if not subject.values:
            raise _nothing(subject)
        report.properties = properties(subject, dy, analytic)
        low = to_numpy(y).dtype != numpy.float64
        tolerance = max(tolerance, 1e-2) if low else tolerance  # differences in float32 see no more than this
        comparison = Comparison(subject, dy, analytic, rng, max_entries)
        report.rows = comparison.run(tolerance, max_seconds)
        subject.notes += comparison.notes
        subject.unchecked += comparison.unchecked + watch.never_ran() + nothing_compared(report)
        name_unseen(subject)
        _look_again(subject, rng, report, comparison, tolerance)
        if low or not report.ok:
            _name_float32(subject, report)
        if explain and not all(row.ok for row in report.rows):
            numeric = {name: comparison.numeric[name] for name in subject.values}
            explain_rows(report, subject, dy, analytic, numeric, tolerance, gradcheck)
    report.notes, report.unchecked = subject.notes, subject.unchecked
    return report


def _nothing(subject):
    given = ", ".join(f"{n} is {kind_of(a)}" for n, a in zip(subject.names, subject.arguments, strict=True))
    return GradcheckError(
        f"nothing to check: {given or 'no arguments'}; none of them is a float array, or they are empty"
    )


def _apply_factor(subject, analytic):
    """A course's own scale of the gradients of parameters, undone before they are compared."""
    factor, first = subject.profile.factor, next((subject.values[n] for n in subject.inputs), None)
    if not factor or first is None or first.ndim < 2:
        return
    count = first.shape[-1] if factor == "examples in columns" else first.shape[0]
    names = [n for n in subject.values if n not in subject.inputs] or list(subject.inputs)[1:]
    for name in names:
        if analytic[name] is not None:
            analytic[name] = analytic[name] * count
    if names:
        subject.notes.append(f"the course divides the gradients of {', '.join(names)} by {count}, its {factor}")


def _look_again(subject, rng, report, comparison, tolerance):
    """At a minimum every gradient is rounding, and a wrong one too: compare those arrays at another point as well."""
    faint = [row.name for row in report.rows if row.ok and row.checked and comparison.numeric[row.name].faint]
    if not faint or not subject.inputs:
        return
    kept = {name: subject.values[name].copy() for name in subject.inputs}
    try:
        moved_inputs(subject, rng)
        y, saved = subject.forward()
        if not numpy.isfinite(to_numpy(y)).all():
            return
        dy = subject.starting_gradient(y, rng)
        subject.zero_grad()
        found = subject.backward(copy.deepcopy(dy), saved)
        analytic = {n: None if found.get(n) is None else to_numpy(found[n]).copy() for n in subject.values}
        _apply_factor(subject, analytic)
        second = Comparison(subject, dy, analytic, rng, 16)
        rows = {row.name: row for row in second.run(tolerance, 5.0, faint)}
    except GradcheckError:
        return
    finally:
        for name, value in kept.items():
            subject.values[name][...] = value
    for i, row in enumerate(report.rows):
        if row.name in rows and not rows[row.name].ok:
            report.rows[i] = rows[row.name]
            subject.notes.append(f"{row.name}: lost in rounding at the inputs given; wrong at others nearby")


def _name_float32(subject, report):
    line = float32_line(subject)
    for p in report.properties:
        if line and p.name == "dtypes are kept" and not p.ok:
            p.remark += f"; the first is at {line}"
    if line and all(p.ok for p in report.properties if p.name == "dtypes are kept"):
        subject.notes.append(f"float32 inside, at {line}: differences see no more than its rounding")
