"""Copies of forward and backward that tell what each name held after each assignment, and can be given other values."""

import ast
import functools
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from ..blame import file_of
from ..subject import Subject
from .instrument import copied, plain


@dataclass
class Assignment:
    """A place in the source where a name gets a value."""

    name: str  # z, also for self.z and z[...]
    file: str
    line: int
    backward: bool
    whole: bool  # not z[...] = or z +=


@dataclass
class Moment:
    """One run of an assignment: the turn-th of it, in loops at these values of their variables."""

    place: int
    turn: int
    loops: tuple
    value: Any


class Recorder:
    """The copies, and what happens in them.

    held: {(place, turn): array} that the name gets instead    moments: of the last run, where recording
    """

    def __init__(self, subject: Subject):
        self.places: list[Assignment] = []
        self.held: dict[tuple[int, int], numpy.ndarray] = {}
        self.moments: list[Moment] = []
        self.recording = False
        self._turns: dict[int, int] = {}
        self.hooks = {"step": self.step}
        self.copies: dict[Callable, Callable] = {}
        for function, backward in ((subject.forward_code, False), (subject.backward_code, True)):
            function = plain(function)
            if not isinstance(function, types.FunctionType):
                continue
            copy = copied(function, functools.partial(_Steps, self.places, backward))
            if copy is not None:
                self.copies[function] = copy

    def step(self, place: int, value: Any, loops: tuple) -> Any:
        """What a name gets: its value, or what is held for it."""
        turn = self._turns[place] = self._turns.get(place, -1) + 1
        held = self.held.get((place, turn))
        if held is not None:
            value = held.copy()
        if self.recording:
            kept = value.copy() if isinstance(value, numpy.ndarray) else value
            self.moments.append(Moment(place, turn, loops, kept))
        return value

    def restart(self) -> None:
        """A new run begins."""
        self._turns, self.moments = {}, []


class _Steps(ast.NodeTransformer):
    """name = __step__(place, name, loop variables) after each assignment."""

    def __init__(self, places, backward, filename, *_):
        self.places, self.filename, self.backward = places, filename, backward
        self.loops: list[str] = []

    def body(self, definition):
        """The statements of a function, with their steps."""
        new: list[ast.stmt] = []
        for statement in definition.body:
            result = self.visit(statement)
            new += result if isinstance(result, list) else [result]
        return new

    def visit_Assign(self, node):
        return self._followed(node, node.targets)

    def visit_AugAssign(self, node):
        return self._followed(node, [node.target])

    def visit_For(self, node):
        names = [n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)]
        self.loops += names
        node = self.generic_visit(node)
        del self.loops[len(self.loops) - len(names) :]
        return node

    def visit_FunctionDef(self, node):  # what is written inside runs at another time
        return node

    def _followed(self, node, targets):
        steps = [node]
        for target in targets:
            for part in target.elts if isinstance(target, ast.Tuple | ast.List) else [target]:
                whole = isinstance(node, ast.Assign) and not isinstance(part, ast.Subscript)
                base = part.value if isinstance(part, ast.Subscript) else part
                if isinstance(base, ast.Name):
                    name = base.id
                elif isinstance(base, ast.Attribute) and ast.unparse(base.value) == "self":
                    name = base.attr
                else:
                    continue
                self.places.append(Assignment(name, file_of(self.filename), node.lineno, self.backward, whole))
                loops = f"({''.join(f'{loop}, ' for loop in self.loops)})"
                spelled = ast.unparse(base)
                text = f"{spelled} = __step__({len(self.places) - 1}, {spelled}, {loops})"
                steps.append(ast.copy_location(ast.parse(text).body[0], node))
        return steps
