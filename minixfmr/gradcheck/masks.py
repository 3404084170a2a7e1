"""A mask must block: no output may move when an input moves that the mask hides from it."""

from typing import Any

import numpy

from ..backend import to_numpy
from .kinds import LOWEST, is_float, is_mask
from .report import Property
from .subject import Subject

POSITIONS = 6  # hidden positions that the masks are tried at
OTHER_SIDE = ("memory", "context", "encoder_")  # inputs that have no residual path of their own to the output


def of_masks(subject: Subject, y: Any) -> list[Property]:
    """A line for each mask whose positions are known; both meanings of True are tried, unless the course says one."""
    lines = []
    for name, mask in _masks(subject):
        leaks = []
        for allowed in _meanings(subject, name, to_numpy(mask)):
            target, reach = _reach(subject, name, allowed, to_numpy(y))
            if reach is None:
                continue
            leak = next((s for t in target if (s := _leak(subject, t, reach, to_numpy(y)))), None)
            leaks.append((leak, target))
            if leak is None:
                break
        if leaks:
            leak, target = leaks[-1] if leaks[-1][0] is None else leaks[0]
            lines.append(Property(f"{name} blocks {' and '.join(target)}", leak is None, leak or ""))
    return lines


def _meanings(subject, name, mask):
    """Where attention may go, the likelier meaning first."""
    if mask.dtype.kind == "f" and mask.min(initial=0) < 0:
        return [mask > LOWEST]
    allowed = mask if mask.dtype.kind == "b" else mask != 0
    square = allowed.shape[-1] == allowed.shape[-2]
    hidden = square and not numpy.tril(allowed).any() and allowed.any()  # True = hidden, as a look-ahead mask of others
    hidden = hidden or ("padding_mask" in name and not allowed.any(-1).all())
    if subject.profile.mask:
        return [~allowed if subject.profile.mask == "padding" else allowed]
    itself = numpy.eye(allowed.shape[-1], dtype=bool) if square else False
    if square and not numpy.triu(allowed, 1).any() and (allowed | ~itself).all():
        return [allowed]  # what a position sees up to itself: nobody hides that and shows the future
    return [~allowed, allowed] if hidden else [allowed, ~allowed]


def _masks(subject):
    named = [*zip(subject.names, subject.arguments, strict=True), *subject.options.items()]
    return [(name, a) for name, a in named if getattr(a, "ndim", 0) >= 2 and is_mask(name, a)]


def _reach(subject, name, mask, y):
    """(the inputs that the mask is about, (B, Tq, Tk) boolean: may position i of the output depend on input k)."""
    allowed, square = mask, mask.shape[-1] == mask.shape[-2]
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
                "which the mask hides from it, whether its True means may attend or is hidden"
            )
    return None
