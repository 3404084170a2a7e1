"""Which lines of a student's code ran: branches of backward that never did, and where float32 came in."""

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import numpy

from .blame import file_of, is_students

QUIET = (ast.Raise, ast.Pass, ast.Assert, ast.Global, ast.Nonlocal, ast.Import, ast.ImportFrom)


class Watch:
    """Notes the lines of the student's code that run while it is open: with Watch(backward) as watch: ..."""

    def __init__(self, function: Callable):
        self.function = getattr(inspect.unwrap(function), "__func__", inspect.unwrap(function))
        self.lines: set[int] = set()

    def __enter__(self) -> "Watch":
        self.before, self.code = sys.gettrace(), getattr(self.function, "__code__", None)
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: Any) -> None:
        sys.settrace(self.before)

    def _call(self, frame, event, _):
        if frame.f_code is not self.code:
            return None
        self.lines.add(frame.f_lineno)
        return self._line

    def _line(self, frame, event, _):
        self.lines.add(frame.f_lineno)
        return self._line

    def never_ran(self) -> list[str]:
        """A sentence for each branch that never ran and computes something."""
        if self.code is None or not is_students(self.code.co_filename) or not self.lines:
            return []
        try:
            source, first = inspect.getsourcelines(self.function)
            definition = ast.parse(textwrap.dedent("".join(source))).body[0]
        except (OSError, TypeError, SyntaxError, IndexError):
            return []
        ast.increment_lineno(definition, first - 1)
        found = []
        for start, text in self._branches(definition):
            place = f"{file_of(self.code.co_filename)}:{start}"
            found.append(f"the branch at {place}, `{text}`, never ran: give inputs with which it does")
        return found

    def _branches(self, node):
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, ast.FunctionDef | ast.Lambda):
                continue
            for body in (getattr(inner, part, None) for part in ("body", "orelse")):
                if not isinstance(inner, ast.If | ast.For | ast.While) or not body:
                    continue
                lines = {line for s in body for line in range(s.lineno, (s.end_lineno or s.lineno) + 1)}
                if inner.lineno in self.lines and not lines & self.lines and any(map(_computes, body)):
                    text = ast.unparse(body[0]).splitlines()[0]
                    yield body[0].lineno, text if len(text) <= 50 else text[:47] + "..."
            yield from self._branches(inner)


def float32_line(subject: Any) -> str | None:
    """'homework.py:12' of the first line of forward or backward after which a float32 array is in sight."""
    found: list[str] = []

    def call(frame, event, _):
        return line if is_students(frame.f_code.co_filename) and not found else None

    def line(frame, event, _):
        if not found:
            for thing in frame.f_locals.values():
                if isinstance(thing, numpy.ndarray | numpy.generic) and thing.dtype in (numpy.float32, numpy.float16):
                    found.append(f"{file_of(frame.f_code.co_filename)}:{last.get(id(frame), frame.f_lineno)}")
                    break
        last[id(frame)] = frame.f_lineno
        return line

    last: dict[int, int] = {}
    before = sys.gettrace()
    sys.settrace(call)
    try:
        y, saved = subject.forward()
        subject.backward(subject.starting_gradient(y, numpy.random.default_rng(0)), saved)
    finally:
        sys.settrace(before)
    return found[0] if found else None


def _computes(statement):
    """Is it more than a guard, a print or a string?"""
    if isinstance(statement, QUIET):
        return False
    if isinstance(statement, ast.Expr):
        call = statement.value
        if isinstance(call, ast.Constant):
            return False
        return not (isinstance(call, ast.Call) and getattr(call.func, "id", "") == "print")
    return True
