"""What finite differences cannot see: a right backward of a wrong forward passes every one of them."""

import copy
from typing import Any

import numpy

from ..backend import to_device, to_numpy
from ..module import Module
from .kinds import arrays_in
from .masks import of_masks
from .report import Property
from .subject import Subject


def properties(subject: Subject, dy: Any, analytic: dict[str, numpy.ndarray | None]) -> list[Property]:
    """One line for each property; where it does not hold, with what was seen. Conventions go to subject.notes."""
    y, _ = subject.forward()
    known = subject.values | {name: a for name, a in subject.others.items() if "[" not in name}
    changed = [name for name, a in subject.held if name in known and not _equal(a, known[name])]
    again, _ = subject.forward()
    elsewhere, _ = subject.forward(turn=1)
    if not _equal(y, elsewhere):
        subject.notes.append("forward draws random numbers: seeded before each call, so that they repeat")
    lines = [
        Property(
            "forward is deterministic",
            _equal(y, again),
            "two calls with equal inputs and seeds differ: it draws random numbers that no seed reaches, or keeps "
            "state out of sight; take a seeded generator as an argument",
        ),
        Property(
            "forward leaves its inputs alone",
            not changed,
            f"it changes {', '.join(changed)} in place: write x = x + ... instead of x += ...",
        ),
    ]
    return lines + _of_backward(subject, dy) + _of_arrays(subject, y, analytic) + of_masks(subject, y)


def _of_backward(subject, dy):
    parameters = {label: subject.parameters[name] for name, label in subject.parameter_names.items()}
    first, second, spoiled = _two_backwards(subject, dy, parameters)
    added = [n for n in parameters if first[n] is not None and _close(_twice(first[n]), second[n])]
    kept_equal = [n for n in first if _close(first[n], second[n])]
    repeated = [n for n in first if n not in added and n not in kept_equal]
    lines = [
        Property(
            "backward leaves dy and saved alone",
            not spoiled,
            f"it changes {', '.join(spoiled)} in place: a second backward, or a layer that shares the array, is wrong",
        ),
        Property(
            "backward is deterministic",
            not repeated,
            f"two calls give different gradients of {', '.join(repeated)}: it draws random numbers; "
            "use those of forward, kept in what it saved",
        ),
    ]
    overwritten = [
        n for n in parameters if n in kept_equal and n not in added and getattr(parameters[n], "stays", True)
    ]
    if parameters and isinstance(subject.layer, Module):
        lines.append(
            Property(
                "backward adds to gradients",
                not overwritten,
                f"a second backward does not double those of {', '.join(sorted(overwritten))}: "
                "it overwrites them; write grad += ...",
            )
        )
    elif overwritten:
        subject.notes.append(f"backward sets the gradients of {', '.join(overwritten)} anew, and does not add to them")
    return lines


def _two_backwards(subject, dy, parameters):
    """(gradients, those of a second call, what the first has changed in place).

    The second draws other random numbers, and finds the parameters' gradients of the first: to give the same for the
    inputs, and twice or once as much for the parameters."""
    _, saved = subject.forward()
    upstream = copy.deepcopy(dy)
    kept = {label: to_numpy(a).copy() for label, a in arrays_in(saved)}
    subject.zero_grad()
    first = _copies(subject.backward(upstream, saved))
    spoiled = [label for label, a in arrays_in(saved) if label in kept and not _equal(a, kept[label])]
    spoiled = (["dy"] if not _equal(upstream, dy) else []) + spoiled
    _, saved = subject.forward()
    for label, p in parameters.items():
        if first[label] is not None and hasattr(p.grad, "dtype"):
            p.grad = p.grad * 0 + _as_held(p.grad, first[label])
    return first, _copies(subject.backward(copy.deepcopy(dy), saved, turn=2)), spoiled


def _of_arrays(subject, y, analytic):
    lines = []
    misshapen = [
        f"d{name} is {'missing' if a is None else 'of shape ' + str(a.shape)}, not {tuple(subject.values[name].shape)}"
        for name, a in analytic.items()
        if a is None or a.shape != tuple(subject.values[name].shape)
    ]
    lines.append(Property("gradients have the shape of their arrays", not misshapen, "; ".join(misshapen)))
    dtypes = {"forward's output": y.dtype} | {f"d{n}": a.dtype for n, a in analytic.items() if a is not None}
    low = [f"{label} is {dtype}" for label, dtype in dtypes.items() if dtype != numpy.float64]
    remark = f"{', '.join(low)} for float64 inputs: a constant or an astype changes the precision"
    lines.append(Property("dtypes are kept", not low, remark))
    named = {"forward's output": to_numpy(y)} | {f"d{n}": a for n, a in analytic.items() if a is not None}
    broken = [label for label, a in named.items() if a.dtype.kind == "f" and not numpy.isfinite(a).all()]
    lines.append(Property("no NaN or infinity", not broken, f"{', '.join(broken)} contains some"))
    return lines


# --- helpers ---


def _copies(gradients):
    return {name: None if g is None else to_numpy(g).copy() for name, g in gradients.items()}


def _twice(a):
    return None if a is None else 2 * a


def _as_held(place, a):
    """A gradient as its place holds it: a number or an array."""
    return float(a) if not numpy.shape(place) else to_device(a)


def _equal(a, b):
    return numpy.array_equal(to_numpy(a), to_numpy(b), equal_nan=True)


def _close(a, b):
    if a is None or b is None or a.shape != b.shape:
        return a is b
    largest = numpy.abs(a[numpy.isfinite(a)]).max(initial=0)
    return numpy.allclose(a, b, rtol=1e-9, atol=1e-12 * (1 + largest), equal_nan=True)
