"""One forward and backward pass, shown step by step: formulas, shapes, values, time, memory, lines of the source.

A step is a module's forward, or a pure function that has its backward beside it. They are observed from outside, by
Python's profiling hook, so no layer knows about it, and it works for a student's own modules too.
"""

import contextlib
import sys
import tracemalloc
from pathlib import Path
from typing import Any

from ..backend import backend_name, random_generator, to_device
from ..checks.values import count
from ..module import Module
from ..training import CrossEntropy
from .observers import Clock, Scales, Values
from .page import page, shape_text, short
from .steps import steps_of


class Trace:
    """The steps of a pass, in the order of the forward, as a list of Step in `steps`. print shows them as a table, a
    notebook as a page, and `save(path)` writes that page with the source. loss is None if no labels were given."""

    def __init__(self, title, steps, loss=None):
        self.title, self.steps, self.loss = title, steps, loss

    def __str__(self):
        head = ["", "step", "in → out", "values", "ms", "KiB", "forward", "backward", "values", "ms", "parameters"]
        rows = [head, *([str(number), *_row(step)] for number, step in enumerate(self.steps, 1))]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        numbers = (0, 4, 5, 9)
        lines = (
            "  ".join(f"{cell:{'>' if i in numbers else '<'}{widths[i]}}" for i, cell in enumerate(row)).rstrip()
            for row in rows
        )
        return "\n".join([self.title, *lines])

    def __repr__(self):
        return f"Trace({self.title!r}, {len(self.steps)} steps)"

    def _repr_html_(self):
        return page(self)

    def page(self) -> str:
        """The page, with the source of every step: one HTML document that needs no other file."""
        return page(self, whole=True)

    def save(self, path: Any) -> None:
        """Write the page to a file."""
        Path(path).write_text(self.page(), encoding="utf-8")


def trace(model: Module, *inputs: Any, labels: Any = None, repeats: int = 3, seed: int = 0, **options: Any) -> Trace:
    """Run model.forward(*inputs, **options) and its backward, and report every step.

    labels: for a CrossEntropy, whose forward and backward are then steps too; without labels the backward starts from
    a random gradient, drawn from seed. repeats: how many passes are timed; the fastest of each step counts. The
    gradients of the parameters are left as they were. Times are those of the host, which on a GPU only launches the
    work; memory is measured on NumPy only.
    Raises TypeError if model is not a Module or its forward does not return one array and what it saved, ValueError
    if repeats is below 1.
    """
    if not isinstance(model, Module):
        raise TypeError(f"trace takes a Module and the inputs of its forward, got a {type(model).__name__}")
    repeats = count("repeats", repeats, 1, 10_000)
    criterion = CrossEntropy()
    parameters = model.parameters()
    before = [parameter.grad.copy() for parameter in parameters]
    names = {id(module): path for path, module in reversed([*_modules(model)])}  # a shared one by its first name
    names[id(criterion)] = "loss"

    def observe(kind):
        observer, profiler = kind(names), sys.getprofile()
        sys.setprofile(observer)
        try:
            loss = _forward_and_backward(model, inputs, options, criterion, labels, seed)
        finally:
            sys.setprofile(profiler)
        return observer.calls, loss

    try:
        calls, loss = observe(Values)
        _add_times(calls, [observe(Clock)[0] for _ in range(repeats)])
        if backend_name() == "numpy":
            with _tracing():
                weighed, _ = observe(Scales)
            for call, again in zip(calls, weighed, strict=True):
                call.kept, call.peak = again.kept, again.peak
    finally:
        for parameter, grad in zip(parameters, before, strict=True):
            parameter.grad[...] = grad
    title = f"{type(model).__name__}, {model.num_parameters():,} parameters"
    return Trace(title if loss is None else f"{title}, loss {loss:.4f}", steps_of(calls), loss)


def _add_times(calls, timed):
    """Give each call the time of the fastest of its repetitions."""
    for call, *again in zip(calls, *timed, strict=True):
        fastest = min(again, key=lambda one: one.seconds)
        call.seconds, call.own_seconds = fastest.seconds, fastest.own_seconds


@contextlib.contextmanager
def _tracing():
    """Let tracemalloc run, and leave it as it was."""
    was_tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        yield
    finally:
        if not was_tracing:
            tracemalloc.stop()


def _forward_and_backward(model, inputs, options, criterion, labels, seed):
    result = model.forward(*inputs, **options)
    if not (isinstance(result, tuple) and len(result) == 2 and hasattr(result[0], "shape")):
        raise TypeError(f"the forward of {type(model).__name__} must return (an array, what its backward needs)")
    y, saved = result
    if labels is None:
        dy = to_device(random_generator(seed).standard_normal(y.shape), y.dtype)
        model.backward(dy, saved)
        return None
    loss, saved_loss = criterion.forward(y, labels)
    model.backward(criterion.backward(saved_loss), saved)
    return float(loss)


def _modules(module, path=""):
    """Yield (dotted name, module) for it and all inside it."""
    yield path, module
    for name, child in module.named_children():
        yield from _modules(child, f"{path}.{name}" if path else name)


def _row(step):
    forward, backward = step.forward, step.backward
    label = "  " * forward.depth + forward.name
    if forward.is_method and forward.path:
        label += f" ({forward.path.rpartition('.')[2]})"
    kept = "" if forward.kept is None else f"{forward.kept / 1024:.0f}"
    row = [label, f"{shape_text(forward.shapes_in)} → {shape_text(forward.shapes_out)}", _range(forward)]
    row += [f"{1e3 * forward.seconds:.2f}", kept, short(forward.place)]
    row += [short(backward.place), _range(backward), f"{1e3 * backward.seconds:.2f}"] if backward else [""] * 3
    return row + [", ".join(f"{name} {shape_text([shape])}" for name, shape in step.parameters.items())]


def _range(call):
    return "" if call.low is None else f"{call.low:.3g} … {call.high:.3g}"
