"""Observers: set as Python's profiler, they are called at the start and at the end of every function."""

import inspect
import time
import tracemalloc
from typing import Any

from ..backend import to_numpy
from .steps import Call, is_of_a_pair


class Values:
    """Records the steps, their shapes and the range of their outputs."""

    def __init__(self, names):
        self.names, self.calls, self.open = names, [], []

    def __call__(self, frame, event, argument):
        if event == "return" and self.open and self.open[-1][0] is frame:
            self.end(self.open.pop()[1], argument)
        elif event == "call":
            function = _step_function(frame)
            if function is not None:
                call = self._call(frame, function)
                self.calls.append(call)
                self.open.append((frame, call))
                self.begin(call, frame)

    def _call(self, frame, function):
        inside = self.open[-1][1] if self.open else None
        is_method = function.__name__ in ("forward", "backward")
        owner = frame.f_locals["self"] if is_method else getattr(inside, "owner", None)
        caller, line = frame.f_back.f_code, frame.f_back.f_lineno
        path = self.names.get(id(owner), "")
        return Call(function, owner, path, inside, len(self.calls) + 1, caller, (caller.co_filename, line))

    def begin(self, call, frame):
        given, more = _given(frame, call.function)
        if not call.is_forward:  # backward(dy, saved), whatever the second argument is called
            call.saved = given.pop("saved") if "saved" in given else given.popitem()[1]
        arrays = (*given.values(), *more)
        call.shapes_in = [tuple(array.shape) for array in arrays if hasattr(array, "shape")]

    def end(self, call, result):
        if call.is_forward and isinstance(result, tuple) and len(result) == 2:
            result, call.saved = result
        arrays = [y for y in (result if isinstance(result, tuple) else (result,)) if y is not None]
        call.shapes_out = [tuple(getattr(y, "shape", ())) for y in arrays]
        if arrays:
            y = to_numpy(arrays[0])
            call.low, call.high = float(y.min()), float(y.max())


class Clock(Values):
    """Measures the seconds of each step."""

    def begin(self, call, frame):
        call.seconds -= time.perf_counter()

    def end(self, call, result):
        call.seconds += time.perf_counter()
        call.own_seconds += call.seconds
        if self.open:
            self.open[-1][1].own_seconds -= call.seconds


class Scales(Values):
    """Measures the memory of each step: NumPy reports its allocations to tracemalloc."""

    def begin(self, call, frame):
        call.peak = self._weigh()
        call.kept = -call.peak

    def end(self, call, result):
        self.open.append((None, call))
        now = self._weigh()
        self.open.pop()
        call.peak += call.kept
        call.kept += now

    def _weigh(self):
        """The bytes held now. The peak since the last call counts for every step that is still running."""
        now, peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _, call in self.open:
            call.peak = max(call.peak or 0, peak)
        return now


def _given(frame, function):
    """({name: argument}, the further positional arguments) with which a function was called, without self."""
    names, star, _, values = inspect.getargvalues(frame)
    given = {name: values[name] for name in names if name != "self"}
    more = values[star] if star else ()
    if frame.f_code is not function.__code__:  # a decorator's, which hands all of its arguments on
        return dict(inspect.signature(function).bind(*given.values(), *more).arguments), ()
    return given, more


def _step_function(frame):
    """The function that a frame runs, if it is a step: a method forward or backward, or one of a pair f, f_backward.
    A decorated function is a step where its decorator begins, which may run it several times."""
    code, known = frame.f_code, frame.f_globals
    if code.co_name in ("forward", "backward"):
        kinds = type(frame.f_locals.get("self")).__mro__
        candidates = [vars(kind).get(code.co_name) for kind in kinds]  # one class may override another's and call it
    elif inner := _decorated(frame):
        return inner if is_of_a_pair(inner.__name__, inner.__globals__) else None
    else:
        candidates = [known.get(code.co_name)] if is_of_a_pair(code.co_name, known) else []
    return next((function for function in candidates if getattr(function, "__code__", None) is code), None)


def _decorated(frame):
    """The function behind a decorator that the frame runs, or None if it runs none."""
    for name in frame.f_code.co_freevars:
        inner = frame.f_locals.get(name)
        if inspect.isfunction(inner):
            outer: Any = inner.__globals__.get(inner.__name__)
            if getattr(outer, "__wrapped__", None) is inner and outer.__code__ is frame.f_code:
                return inner
    return None
