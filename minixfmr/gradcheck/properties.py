"""What finite differences cannot see: a right backward of a wrong forward passes every one of them."""

import copy
from typing import Any

import numpy

from ..backend import to_numpy
from .report import Property
from .subject import LOWEST, LayerSubject, Subject, arrays_in, is_float, is_mask

POSITIONS = 6  # hidden positions that the masks are tried at
OTHER_SIDE = ("memory", "context", "encoder_")  # inputs that have no residual path of their own to the output


def properties(subject: Subject, dy: Any, analytic: dict[str, numpy.ndarray | None]) -> list[Property]:
    """One line for each property; where it does not hold, with what was seen."""
    y, _ = subject.forward()
    changed_inputs = [
        name for name, a in _arguments(subject, subject.passed) if not _equal(a, _original(subject, name))
    ]
    again, _ = subject.forward()
    elsewhere, _ = subject.forward(turn=1)
    lines = [
        Property(
            "forward is deterministic",
            _equal(y, again) and _equal(y, elsewhere),
            "two calls with equal inputs differ: it "
            + ("draws from NumPy's global generator" if _equal(y, again) else "draws random numbers, or keeps state")
            + "; take a seeded generator as an argument",
        ),
        Property(
            "forward leaves its inputs alone",
            not changed_inputs,
            f"it changes {', '.join(changed_inputs)} in place: write x = x + ... instead of x += ...",
        ),
    ]
    return lines + _of_backward(subject, dy, analytic) + _of_arrays(subject, y, analytic) + _of_masks(subject, y)


def _of_backward(subject, dy, analytic):
    _, saved = subject.forward()
    upstream = copy.deepcopy(dy)
    kept = {label: to_numpy(a).copy() for label, a in arrays_in(saved)}
    layer = isinstance(subject, LayerSubject)
    parameters = set(subject.parameter_names.values()) if layer else set()
    if layer:
        subject.zero_grad()
    first = _copies(subject.backward(upstream, saved))
    spoiled = [label for label, a in arrays_in(saved) if label in kept and not _equal(a, kept[label])]
    spoiled = (["dy"] if not _equal(upstream, dy) else []) + spoiled
    # once more, with other random numbers: the same gradients of the inputs, twice the gradients of the parameters
    _, saved = subject.forward()
    second = _copies(subject.backward(copy.deepcopy(dy), saved, turn=2))
    repeated = [name for name in first if name not in parameters and not _close(first[name], second[name])]
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
    if parameters:
        overwritten = [n for n in parameters if first[n] is not None and not _close(2 * first[n], second[n])]
        lines.append(
            Property(
                "backward adds to gradients",
                not overwritten,
                f"a second backward does not double those of {', '.join(sorted(overwritten))}: "
                "it overwrites them; write grad += ...",
            )
        )
    return lines


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


# --- masks ---


def _of_masks(subject, y):
    """A line for each mask: no output may move when an input moves that the mask hides from it."""
    lines = []
    for name, mask in _masks(subject):
        target, reach = _reach(subject, name, to_numpy(mask), to_numpy(y))
        if reach is not None:
            leak = next((s for t in target if (s := _leak(subject, t, reach, to_numpy(y)))), None)
            lines.append(Property(f"{name} blocks {' and '.join(target)}", leak is None, leak or ""))
    return lines


def _masks(subject):
    named = [*zip(subject.names, subject.arguments, strict=True), *subject.options.items()]
    return [(name, a) for name, a in named if getattr(a, "ndim", 0) >= 2 and is_mask(name, a)]


def _reach(subject, name, mask, y):
    """(the inputs that the mask is about, (B, Tq, Tk) boolean: may position i of the output depend on input k)."""
    allowed = (
        mask if mask.dtype.kind == "b" else mask > LOWEST if mask.dtype.kind == "f" and mask.min() < 0 else mask != 0
    )
    square = allowed.shape[-1] == allowed.shape[-2]
    if square and not numpy.tril(allowed).any() and allowed.any():  # True = hidden, as a look-ahead mask of others
        allowed = ~allowed
    if y.ndim < 2:
        return None, None
    Tq, batch = y.shape[-2], y.shape[:-2]
    triangular = square and not numpy.triu(allowed, 1).all() and numpy.array_equal(allowed, numpy.tril(allowed))
    if allowed.ndim == 2 and batch and allowed.shape[0] == batch[0] and not (triangular and allowed.shape[0] == Tq):
        allowed = allowed[:, None, :]  # (B, 1, Tk): padding
    else:
        while allowed.ndim > 3:  # hidden in all heads
            allowed = allowed.any(1)
    if allowed.ndim == 2:
        allowed = allowed[None]
    Tk, B = allowed.shape[-1], batch[0] if batch else 1
    if allowed.shape[-2] not in (1, Tq) or allowed.shape[0] not in (1, B):
        return None, None
    target = _target(subject, name, Tk, batch)
    if not target:
        return None, None
    reach = numpy.broadcast_to(allowed, (B, Tq, Tk)).copy()
    if Tq == Tk and not any(word in target[0] for word in OTHER_SIDE):
        # its own position passes through the residual path; several layers reach what one reaches step by step
        reach |= numpy.eye(Tq, dtype=bool)
        for _ in range(int(numpy.ceil(numpy.log2(max(Tq, 2))))):
            reach = (reach.astype(int) @ reach.astype(int)) > 0
    return target, reach


def _target(subject, mask_name, Tk, batch):
    """The inputs whose positions the mask hides: named after it, else keys and values, else the first as long."""
    candidates = []
    for name, array in [*subject.values.items(), *subject.others.items()]:
        axis = -2 if is_float(array) else -1
        if is_mask(name, array) or array.ndim + (axis == -1) != len(batch) + 2 or array.shape[axis] != Tk:
            continue
        if name in subject.names and tuple(array.shape[: len(batch)]) == tuple(batch):
            candidates.append(name)
    stem = "".join(mask_name.replace("mask", "").replace("padding", "").replace("attention", "").split("_"))
    named = [c for c in candidates if stem and stem in c.replace("_", "")]
    keys = [c for c in candidates if c in ("q", "k", "v", "query", "key", "value", "queries", "keys", "values")]
    return named or keys or candidates[:1]


def _leak(subject, target, reach, y):
    """One sentence about an output that moves when a hidden input moves; None if there is none."""
    rng = numpy.random.default_rng(0)
    array = (subject.values | subject.others)[target]
    hidden = numpy.flatnonzero((~reach).any((0, 1)))
    for k in rng.permutation(hidden)[:POSITIONS]:
        kept = array.copy()
        if is_float(array):
            array[..., k, :] += 0.5
        else:
            array[..., k] = numpy.where(kept[..., k] > kept.min(), kept[..., k] - 1, kept[..., k] + 1)
        try:
            moved, _ = subject.forward()
        finally:
            array[...] = kept
        change = numpy.abs(to_numpy(moved) - y)
        change = change.reshape(reach.shape[0], -1, y.shape[-2], y.shape[-1]).max((1, 3))  # (B, Tq)
        leaks = numpy.argwhere((change > 1e-9 * numpy.abs(y).max()) & ~reach[:, :, k])
        if len(leaks):
            b, i = leaks[0]
            return (
                f"output at position {i} of sequence {b} moves when {target} at position {k} moves, "
                "which the mask hides from it (True = may attend)"
            )
    return None


# --- helpers ---


def _arguments(subject, arguments):
    for name, argument in zip(subject.names, arguments, strict=True):
        yield from arrays_in(argument, name)


def _original(subject, label):
    return dict(_arguments(subject, subject.arguments))[label]


def _copies(gradients):
    return {name: None if g is None else to_numpy(g).copy() for name, g in gradients.items()}


def _equal(a, b):
    return numpy.array_equal(to_numpy(a), to_numpy(b), equal_nan=True)


def _close(a, b):
    if a is None or b is None or a.shape != b.shape:
        return a is b
    largest = numpy.abs(a[numpy.isfinite(a)]).max(initial=0)
    return numpy.allclose(a, b, rtol=1e-9, atol=1e-12 * (1 + largest), equal_nan=True)
