"""What moves the output and was not compared: found by moving it a little, and named with what to do about it."""

from typing import Any

import numpy

from ..backend import to_device, to_numpy
from ..module import Module
from .kinds import is_mask
from .places import Place, is_array, places_in
from .report import GradcheckError, Report
from .subject import Subject

MOVES = 1e-12  # relative change of the output that is more than rounding


def set_data_aside(subject: Subject, analytic: dict) -> None:
    """Inputs without a gradient: targets and the like are data, others are named where they move the output."""
    y = to_numpy(subject.forward()[0])
    for name in [n for n in subject.inputs if analytic.get(n) is None]:
        value = subject.values[name]
        kept = value.copy()
        value[...] = kept * (1 + 1e-3) + 1e-6
        try:
            moves = not numpy.array_equal(to_numpy(subject.forward()[0]), y, equal_nan=True)
        except GradcheckError:
            moves = True
        finally:
            value[...] = kept
        if moves and not subject.profile.looks_like_data(name.split("[")[0]):
            subject.unchecked.append(
                f"{name} moves the output and backward gives no gradient of it: return one, or say in the course's "
                f'profile that it is data (data = ["{name}"])'
            )
        elif moves:
            subject.notes.append(f"{name} is taken as data, without a gradient")
        subject.others[name] = subject.values.pop(name)
        analytic.pop(name)
        subject.inputs.remove(name)


def nothing_compared(report: Report) -> list[str]:
    """A sentence for each array of which no entry could be compared."""
    found = []
    for row in report.rows:
        if row.ok and not row.checked and row.verdict != "ok":
            why = "the output is NaN or infinite" if row.broken else "each is at a kink"
            found.append(f"{row.name}: no entry could be compared ({why}); give other inputs")
    return found


def name_unseen(subject: Subject) -> None:
    """Name what moves the output beside the values that are compared, and what to do about it."""
    arrays, numbers = _unseen(subject)
    for label in arrays:
        subject.unchecked.append(
            f"{label} moves the output, and no gradient of it was found: call it d{label.split('.')[-1]}, or name it "
            f'with parameters={{"{label}": ...}}, or say in the profile that it is data (data = ["{label}"])'
        )
    if numbers:
        subject.notes.append(f"taken as settings, without a gradient: {', '.join(numbers)}")


def _unseen(subject: Subject) -> tuple[list[str], list[str]]:
    """(arrays, numbers) that move the output, beside the values that are compared."""
    if isinstance(subject.layer, Module):  # its contract: what is no Parameter is not learned
        return [], []
    seen = {id(v) for v in subject.values.values()}
    spots = {(id(place.owner), place.key) for p in subject.parameters.values() for place in getattr(p, "aliases", [])}
    y = to_numpy(subject.forward()[0])
    subject.state.rewind({id(v) for v in subject.values.values()})
    arrays: list[str] = []
    numbers: list[str] = []
    tried = set()
    for place in list(places_in(subject.roots)):
        value = place.get()
        key = id(value) if is_array(value) else (id(place.owner), place.key)
        if key in seen or key in tried or (id(place.owner), place.key) in spots:
            continue
        if isinstance(place.owner, tuple) and not is_array(value):
            continue  # nothing can put another number there: it is not learned
        if subject.profile.is_data(place.label):
            subject.notes.append(f"{place.label} is data, as the profile says")
            continue
        tried.add(key)
        if not _moves(subject, place, value, y):
            continue
        if is_array(value) and _is_switch(subject, place, value, y):
            subject.notes.append(f"{place.label} is taken as a mask, without a gradient")
        else:
            (arrays if is_array(value) else numbers).append(place.label)
    return arrays, numbers


def _is_switch(subject: Subject, place: Place, value: Any, y: numpy.ndarray) -> bool:
    """Is it a mask? One that is added, or one of zeros and ones that is only compared with something: the output
    jumps, by as much for a step a thousand times smaller, and does not move where the zeros stay."""
    if is_mask("", value):
        return True
    zeros = to_numpy(value) == 0
    if not zeros.any() or numpy.unique(to_numpy(value)[~zeros]).size > 1:
        return False
    kept, pinned = value.copy(), subject.pinned
    subject.pinned = id(value)
    seen = []
    try:
        for step in (1e-3 * kept, 1e-6 * zeros, 1e-9 * zeros):
            value[...] = kept + to_device(step)
            seen.append(to_numpy(subject.forward()[0]))
    except (GradcheckError, ValueError):
        return False
    finally:
        value[...] = kept
        subject.pinned = pinned
    return _same(seen[0], y) and _same(seen[1], seen[2]) and not _same(seen[1], y)


def _same(a, b):
    return numpy.array_equal(a, b, equal_nan=True)


def _moves(subject: Subject, place: Place, value: Any, y: numpy.ndarray) -> bool:
    """Does the output move when this value moves a little?"""
    rng = numpy.random.default_rng(0)
    array = is_array(value)
    kept = value.copy() if array else value
    size = 1e-3 * (1e-3 + numpy.abs(to_numpy(value)))
    step = rng.uniform(0.5, 1, numpy.shape(value)) * (size if array else 1e-3 * (1e-3 + abs(value)))
    subject.pinned = id(value)
    try:
        if array:
            value[...] = kept + to_device(step)
            again = to_numpy(subject.forward()[0])
        else:
            again = to_numpy(subject.forward(pinned=(place, value + float(step)))[0])
    except (GradcheckError, ValueError):
        return False
    finally:
        subject.pinned = None
        if array and getattr(getattr(value, "flags", None), "writeable", True):
            value[...] = kept
    finite = numpy.isfinite(y)
    if again.shape != y.shape or not _same(finite, numpy.isfinite(again)):
        return True
    return bool((numpy.abs(again - y)[finite] > MOVES * numpy.abs(y[finite]).max(initial=0)).any())
