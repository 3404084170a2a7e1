"""Does a backward difference the forward? Its calls are counted while backward runs.

Counted are calls of functions with the forward's own code, under whatever name, and of any function that returns
something next to the forward's y, yet not y: the forward, moved a little.
"""

import sys
from typing import Any

import numpy

LOOKED_AT = 20_000  # returned arrays, in one backward


class Watch:
    """Use as a context around backward."""

    def __init__(self, forward, y):
        self.forward, self.code = forward, _code_of(forward)
        self.y: Any = numpy.asarray(y) if isinstance(y, numpy.ndarray | numpy.generic | float) else None
        self.same, self.moved, self.left, self.watched = 0, 0, LOOKED_AT, True

    def calls(self):
        """{"same": calls of the forward, "moved": of functions that returned y moved a little, "unwatched"}"""
        return {"same": self.same, "moved": self.moved, "unwatched": not self.watched}

    def __enter__(self):
        self.hook = self._event
        sys.setprofile(self.hook)
        return self

    def __exit__(self, *_):
        self.watched = sys.getprofile() is self.hook
        sys.setprofile(None)

    def _event(self, frame, event, returned):
        if event == "call" and self.code and _code(frame.f_code) == self.code:
            self.same += 1
        elif event == "return" and self.y is not None and self.left and type(returned) in (tuple, numpy.ndarray):
            first = returned[0] if type(returned) is tuple and returned else returned
            if type(first) is numpy.ndarray and first.shape == self.y.shape and first.dtype.kind in "fc":
                self.left -= 1
                self.moved += self._is_moved(first)

    def _is_moved(self, array):
        with numpy.errstate(all="ignore"):
            largest = abs(self.y).max(initial=0)
            away = abs(array - self.y).max(initial=0)
            return array.dtype.kind == "c" or bool(1e-12 * largest < away < 1e-2 * largest)


def _code_of(function):
    code = getattr(function, "__code__", None)
    return _code(code) if code else None


def _code(code):
    return code.co_code, code.co_names
