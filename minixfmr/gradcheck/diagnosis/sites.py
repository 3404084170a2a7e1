"""Places in a student's source, and what is in sight of each while it runs."""

import ast
import types
from collections.abc import Iterator
from typing import Any

import numpy

from ..blame import file_of

LARGEST = 100_000  # entries of an array that is worth keeping
LONGEST = 12  # entries of a tuple, list or dictionary that are looked at one by one


class Site:
    """An expression, an index or a statement of the source, and what was seen there when it first ran."""

    def __init__(self, node: Any, filename: str, source: str, kind: str = ""):
        self.node = node
        self.kind = kind or type(node).__name__
        self.file, self.line = file_of(filename), node.lineno
        self.text = source if len(source) <= 60 else source[:57] + "..."
        self.function: Function | None = None
        self.parts: list[int] = []  # the sites of its operands or arguments
        self.receiver: int | None = None  # the site of x in x.sum()
        self.axis = False  # a number that says which axis
        self.compared = self.multiplied = False  # inside a comparison; a factor of a product
        self.value: Any = None
        self.scope: dict[str, Any] = {}  # the arrays, numbers, caches and layers in sight

    def __str__(self) -> str:
        return f"{self.file}:{self.line}, `{self.text}`"

    def see(self, value: Any, scope: dict[str, Any]) -> None:
        """Keep the first value, and every name that was ever in sight."""
        if self.value is None:
            self.value = kept(value)
        for name, thing in scope.items():
            if name not in self.scope:
                self.scope[name] = kept(thing)


class Function:
    """What the source of one function says of its names."""

    def __init__(self, node: ast.AST, outer: "Function | None" = None):
        names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
        self.read = {n.id for n in names if isinstance(n.ctx, ast.Load)}
        self.assigned = {n.id for n in names if isinstance(n.ctx, ast.Store)}
        loops = [n for n in ast.walk(node) if isinstance(n, ast.For)]
        self.loop_names = {n.id for loop in loops for n in ast.walk(loop.target) if isinstance(n, ast.Name)}
        self.unused = self.assigned - self.read - self.loop_names
        inside = {n for loop in loops for n in ast.walk(loop)}
        self.looped = {n.id for n in names if n in inside and isinstance(n.ctx, ast.Store)} - self.loop_names
        self.lost = self.looped - {n.id for n in names if n in inside and isinstance(n.ctx, ast.Load)}
        arguments = getattr(node, "args", None)
        self.arguments = [a.arg for a in arguments.args] if arguments else []
        self.outer = outer
        self.pieces = {
            ast.unparse(n): compile(ast.Expression(n), "<piece>", "eval")
            for n in ast.walk(node)
            if isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Load) and n.value is not None
        }

    def names_outside(self) -> list[str]:
        """Names of the functions around it, that a function inside of them could use."""
        around = self.outer
        return sorted(set(around.arguments) | around.assigned | set(around.names_outside())) if around else []


def sight(frame: types.FrameType, function: "Function | None", outside: dict[str, Any]) -> dict[str, Any]:
    """{how it is written: thing} for the arrays, numbers, caches and layers that an expression there could name."""
    names = outside | {n: a for n, a in frame.f_locals.items() if not n.startswith("__")}
    seen = {name: thing for name, thing in names.items() if worth(thing)}
    for text, code in function.pieces.items() if function else ():
        try:
            value = eval(code, frame.f_globals, names)
        except Exception:  # a piece of another turn of the loop
            continue
        if worth(value):
            seen.setdefault(text, value)
    known = {id(thing) for thing in seen.values()}
    for name, thing in names.items():
        seen |= {n: part for n, part in _parts(name, thing) if worth(part) and id(part) not in known}
    for name, thing in frame.f_globals.items():
        if not name.startswith("__") and isinstance(thing, numpy.ndarray | float):
            seen.setdefault(name, thing)
    return seen


def _parts(name: str, thing: Any) -> Iterator[tuple[str, Any]]:
    """(how it is written, part) of a cache, a dictionary or a layer."""
    if isinstance(thing, tuple | list) and len(thing) <= LONGEST:
        yield from ((f"{name}[{i}]", part) for i, part in enumerate(thing))
    elif isinstance(thing, dict) and len(thing) <= LONGEST:
        yield from ((f"{name}[{key!r}]", part) for key, part in thing.items() if isinstance(key, str))
    elif name == "self" and hasattr(thing, "__dict__"):
        yield from ((f"self.{attribute}", part) for attribute, part in vars(thing).items())


def worth(thing: Any) -> bool:
    """Is it something that a repair could put in another's place?"""
    if isinstance(thing, numpy.ndarray):
        return thing.size <= LARGEST
    if isinstance(thing, tuple) or hasattr(thing, "backward") or isinstance(thing, types.FunctionType):
        return True
    return isinstance(thing, int | float | numpy.number) and not isinstance(thing, bool)


def kept(value: Any) -> Any:
    """A copy that later steps do not change."""
    return value.copy() if isinstance(value, numpy.ndarray) and value.size <= LARGEST else value


def is_real(v: Any) -> bool:
    """A float, or an array of floats."""
    return getattr(getattr(v, "dtype", None), "kind", "f" if isinstance(v, float) else "") == "f"
