"""Observers: what Python calls at the beginning and at the end of every function while they are its profiler."""

import inspect
import time
import tracemalloc

from ..backend import to_numpy
from .steps import Call


class Values:
    """Notes the steps, their shapes and the range of what comes out."""

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
        names, more, _, values = inspect.getargvalues(frame)
        arguments = [*(values[name] for name in names), *(values[more] if more else ())]
        given = inspect.signature(call.function).bind_partial(*arguments).arguments
        given.pop("self", None)
        if not call.is_forward:  # backward(dy, saved): whatever the second is called
            call.saved = given.pop("saved") if "saved" in given else given.popitem()[1]
        arrays = [a for value in given.values() for a in (value if isinstance(value, tuple) else (value,))]
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
    """The seconds of each step."""

    def begin(self, call, frame):
        call.seconds -= time.perf_counter()

    def end(self, call, result):
        call.seconds += time.perf_counter()
        call.own_seconds += call.seconds
        if self.open:
            self.open[-1][1].own_seconds -= call.seconds


class Scales(Values):
    """The memory of each step: NumPy tells tracemalloc what it takes."""

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
        """The bytes held now. The most since the last time counts for all steps that are open."""
        now, peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _, call in self.open:
            call.peak = max(call.peak or 0, peak)
        return now


def _step_function(frame):
    """The function that a frame runs, if it is a step: a method forward or backward, or one of a pair f, f_backward.
    One that is decorated is a step when its wrapper is called, however often that calls it."""
    code, known = frame.f_code, frame.f_globals
    decorated = frame.f_locals.get("function") if "function" in code.co_freevars else None
    if decorated is not None:
        known, name = decorated.__globals__, decorated.__name__
        return decorated if _is_pair(name, known) and inspect.unwrap(known[name]) is decorated else None
    if code.co_name in ("forward", "backward"):
        kinds = type(frame.f_locals.get("self")).__mro__
        candidates = [vars(kind).get(code.co_name) for kind in kinds]  # one may override another and call it
    else:
        candidates = [known.get(code.co_name)] if _is_pair(code.co_name, known) else []
    return next((function for function in candidates if getattr(function, "__code__", None) is code), None)


def _is_pair(name, known):
    base = name.removesuffix("_backward")
    return {base, f"{base}_backward"} <= known.keys()
