"""Check one item of a student's file."""

import contextlib
import io
from collections.abc import Callable
from typing import Any

import numpy

from .blame import blame
from .check import check_subject
from .discovery import Item
from .finding import fit
from .guesses import from_hook, made_up, made_up_layers, remedy, told
from .losses import LossSubject
from .places import places_in, roots_of
from .profile import Profile
from .report import WRONG, GradcheckError, Report
from .subject import LayerSubject, Subject

FITTING = 6  # made-up inputs that forward runs with, for each shape of the first, of which the best is taken


def check_item(item: Item, hooks: list[Callable], profile: Profile, seed: int, tolerance: float) -> Report:
    """The report on one item. Raises GradcheckError where it cannot be called."""
    with contextlib.redirect_stdout(io.StringIO()):
        subject = _given(item, hooks, profile, seed) or _guessed(item, profile, seed)
    report = check_subject(subject, tolerance=tolerance, max_seconds=profile.seconds / 2)
    if item.doubt and report.verdict == WRONG:
        raise GradcheckError(item.doubt)
    return report


def _given(item, hooks, profile, seed):
    given = from_hook(item, hooks, seed)
    if given is None:
        return None
    if item.kind in ("layer", "network"):
        if isinstance(given[0], numpy.ndarray):
            raise GradcheckError(
                f'gradcheck_inputs("{item.name}", rng) returned no layer: return it first, then inputs'
            )
        return _subject(item, given[0], given[1:], profile, seed)
    return _subject(item, None, given, profile, seed)


def _guessed(item, profile, seed):
    """The subject with made-up inputs that fit best: gradients of the right shapes, or backward runs, or forward."""
    best: tuple[float, Any, tuple] | None = None
    first_error: GradcheckError | None = None
    try:
        layers = list(made_up_layers(item.forward, seed)) if item.kind in ("layer", "network") else [None]
    except GradcheckError as error:
        raise GradcheckError(f"{error}; {remedy(item)}") from None
    for layer in layers:
        forward = _forward(item, layer)
        runs: dict[tuple, int] = {}
        for arguments in made_up(forward, seed, _widths(layer)):
            first = numpy.shape(arguments[0]) if arguments else ()
            if runs.get(first, 0) >= FITTING:
                continue
            try:
                with numpy.errstate(all="ignore"), blame(forward):
                    forward(*arguments)
            except GradcheckError as error:  # these shapes do not fit: try others
                first_error = first_error or error
                continue
            runs[first] = runs.get(first, 0) + 1
            score = fit(_subject(item, layer, arguments, profile, seed))
            if best is None or score > best[0]:
                best = (score, layer, arguments)
            if score == 2:
                break
        if best and best[0] == 2:
            break
    if best is None:
        raise GradcheckError(f"no shapes were found that forward accepts ({first_error}); {remedy(item)}")
    subject = _subject(item, best[1], best[2], profile, seed)
    subject.notes.append(told(subject.names, tuple(subject.arguments)))
    return subject


def _widths(layer):
    """Sizes of the axes of a layer's arrays."""
    arrays = [place.get() for place in places_in(roots_of([], layer))] if layer is not None else []
    return tuple(dict.fromkeys(size for a in arrays for size in numpy.shape(a)))


def _forward(item, layer):
    if layer is None:
        return item.forward
    return getattr(layer, item.backward if item.kind == "network" else "forward", layer)


def _subject(item, layer, arguments, profile, seed) -> Subject:
    if item.kind == "layer":
        return LayerSubject(layer, {}, tuple(arguments), {}, seed, profile)
    if item.kind == "network":
        return LossSubject(getattr(layer, item.backward), tuple(arguments), seed, profile, layer)
    if item.kind == "loss":
        return LossSubject(item.forward, tuple(arguments), seed, profile)
    return Subject(item.forward, item.backward, tuple(arguments), {}, seed, profile)
