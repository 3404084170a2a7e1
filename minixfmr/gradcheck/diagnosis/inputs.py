"""Other inputs for a subject: fresh numbers, other sizes, put in the place of its own for a while."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy

from ...backend import to_device, to_numpy
from ..places import State
from ..subject import Subject

Sizes = dict[tuple[str, int], int]  # {(name, axis): another size}


def axes_of(subject: Subject) -> dict[tuple[str, int], int]:
    """{(name, axis): size} of all arrays that a setting may replace."""
    return {(name, i): size for name, a in all_arrays(subject).items() for i, size in enumerate(numpy.shape(a))}


def resized(subject: Subject, sizes: Sizes, rng: numpy.random.Generator, spread: float = 0.4) -> dict[str, Any]:
    """{name: fresh array} for all arrays that a setting may replace: their own entries in another order, a little
    larger or smaller, so that what is positive or a label stays so; masks keep their pattern."""
    new, axes = {}, axes_of(subject)
    for name, a in all_arrays(subject).items():
        a = to_numpy(a)
        shape = tuple(sizes.get((name, i), size) for i, size in enumerate(a.shape))
        if a.dtype.kind == "f" and name in subject.values:
            mixed = numpy.resize(rng.permutation(a.reshape(-1)), shape) if a.size else a
            new[name] = to_device(numpy.asarray(mixed * rng.uniform(1 - spread, 1 + spread, shape)))
        elif a.dtype.kind in "iu" and a.ndim:
            ids = numpy.resize(rng.permutation(a.reshape(-1)), shape) if a.size else a
            largest = int(a.max(initial=0)) + 1
            smaller = [n for axis, n in sizes.items() if n < largest <= axes[axis]]
            new[name] = to_device(numpy.where(ids >= 0, ids % min(smaller, default=largest), ids).astype(a.dtype))
        elif shape != a.shape:
            index = numpy.ix_(*(numpy.minimum(numpy.arange(n), o - 1) for n, o in zip(shape, a.shape, strict=True)))
            new[name] = to_device(a[index])
    return new


@contextlib.contextmanager
def replaced(subject: Subject, arrays: dict[str, Any]) -> Iterator[None]:
    """Other arrays for a while: in place where the shape stays, else wherever the subject holds the array."""
    kept = {name: to_numpy(a).copy() for name, a in all_arrays(subject).items() if name in arrays}
    moved: list[tuple[Any, Any, Any]] = []  # (container, key, what it held)
    parameters = list(getattr(subject, "parameters", {}).values())
    data = [(p, p.data, p.grad) for p in parameters]
    originals = dict(all_arrays(subject))
    try:
        for name, new in arrays.items():
            old = originals[name]
            if numpy.shape(old) == numpy.shape(new):
                old[...] = new
            else:
                moved += _exchanged(subject, old, new)
                for p in parameters:
                    if p.data is old:
                        p.data = new
                        if numpy.shape(p.grad) == numpy.shape(old):
                            p.grad = 0 * new
        with restarting(subject) if moved else contextlib.nullcontext():
            yield
    finally:
        for container, key, old in reversed(moved):
            container[key] = old
        for p, old, grad in data:
            if p.data is not old and numpy.shape(p.data):
                p.data, p.grad = old, grad
        for name, values in kept.items():
            originals[name][...] = to_device(values)


@contextlib.contextmanager
def restarting(subject: Subject) -> Iterator[None]:
    """Let each forward start from things as they are now, which the caller has changed."""
    state = subject.state
    subject.state, subject.settled = State(subject.roots, subject.layer), False
    try:
        yield
    finally:
        subject.state, subject.settled = state, False


def _exchanged(subject, old, new):
    """Put new in place of old in the subject's containers → what was where."""
    moved: list[tuple[Any, Any, Any]] = []
    queue: list[Any] = [subject.arguments, subject.options, subject.values, subject.others]
    while queue:
        container = queue.pop()
        for key, thing in list(container.items() if isinstance(container, dict) else enumerate(container)):
            if thing is old:
                moved.append((container, key, thing))
                container[key] = new
            elif isinstance(thing, list | dict):
                queue.append(thing)
    return moved


def all_arrays(subject: Subject) -> dict[str, Any]:
    """{name: array} of everything that a setting may replace."""
    return {**subject.others, **subject.values}
