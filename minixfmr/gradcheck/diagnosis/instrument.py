"""A student's functions, compiled anew with a hook around every expression, so that one of them can be changed.

Nothing of the student's is touched: the hooks sit in copies of the functions, which call each other.
"""

import ast
import functools
import inspect
import operator
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy

from ..blame import is_students
from ..subject import LayerSubject, Subject
from .hooks import Hooks
from .sites import Site, kept, sight

OPERATORS = {
    "Add": ("iadd", "add"),
    "Sub": ("isub", "sub"),
    "Mult": ("imul", "mul"),
    "Div": ("itruediv", "truediv"),
    "FloorDiv": ("ifloordiv", "floordiv"),
    "Mod": ("imod", "mod"),
    "Pow": ("ipow", "pow"),
    "MatMult": ("imatmul", "matmul"),
    "BitAnd": ("iand", "and_"),
    "BitOr": ("ior", "or_"),
    "BitXor": ("ixor", "xor"),
    "LShift": ("ilshift", "lshift"),
    "RShift": ("irshift", "rshift"),
}


class Instrumented:
    """Copies of functions with hooks. Sites that are .active are altered by .change.

    functions: hooked everywhere    makers: only in the functions that are written inside of them
    """

    def __init__(self, functions: list[Callable], makers: list[Callable] = ()):  # type: ignore[assignment]
        self.sites: list[Site] = []
        self.active: tuple[int, ...] = ()
        self.change: Callable[[Any, dict], Any] = lambda value, scope: value
        self.recording = False
        self.calls, self.limit = 0, sys.maxsize  # of hooks in a run: a changed number may make a loop endless
        self.watching = self.absorbed = False  # has a change made another expression vanish?
        self.latest: dict[int, Any] = {}  # the values of the active site's parts
        self.copies: dict[Callable, Callable] = {}
        self.hooks: dict[str, Callable] = {
            "hook": self.hook,
            "store": self.store,
            "assign": self.assign,
            "in_place": self.in_place,
        }
        self.hooks |= {"happens": self.happens}
        for function in [*functions, *makers]:
            inner = function not in functions
            copy = copied(function, functools.partial(Hooks, self.sites, inner))
            if copy and not (inner and not _makes_functions(function)):
                self.copies[function] = copy

    def run_with(self, active: tuple[int, ...], change: Callable[[Any, dict], Any]) -> None:
        """Alter these sites in the next run."""
        self.active, self.change, self.calls = active, change, 0
        needed = [part for k in active for part in (*self.sites[k].parts, self.sites[k].receiver) if part is not None]
        self.latest = dict.fromkeys([*needed, *(inner for part in needed for inner in self.sites[part].parts)])

    # --- the hooks

    def hook(self, k: int, value: Any, outside: dict[str, Callable] | None = None) -> Any:
        """What stands around an expression: passes its value on, changed if this is the site under trial."""
        self.calls += 1
        if self.active and self.calls > self.limit:
            raise RuntimeError("this change makes a loop endless")
        if k in self.latest:
            self.latest[k] = value
        if self.watching and k not in self.active and _vanished(value, self.sites[k].value):
            self.absorbed = True
        if not self.recording and k not in self.active:
            return value
        scope = sight(sys._getframe(1), self.sites[k].function, _looked_up(outside))
        if self.recording:
            self.sites[k].see(value, scope)
        return self.change(value, scope) if k in self.active else value

    def store(self, k: int, array: Any, index: Any, value: Any, op: str) -> None:
        """array[index] = value, or += value; a true sum over repeated indices if this is the site under trial."""
        if self.recording:
            self.sites[k].value = index
        if k in self.active:
            (numpy.subtract if op == "Sub" else numpy.add).at(array, index, value)
        elif op == "Add":
            array[index] += value
        elif op == "Sub":
            array[index] -= value
        else:
            array[index] = value

    def assign(self, k: int, value: Any, before: Callable[[], Any]) -> Any:
        """target = value; added to what the target held before if this is the site under trial."""
        if not (self.recording or k in self.active):
            return value
        try:
            old = before()
        except (NameError, AttributeError, KeyError, IndexError, TypeError):
            return value
        again = isinstance(old, numpy.ndarray) and isinstance(value, numpy.ndarray) and old.shape == value.shape
        if self.recording and again:
            self.sites[k].value = kept(value)
        return old + value if k in self.active and again else value

    def in_place(self, k: int, old: Any, value: Any, name: str) -> Any:
        """target op= value; a new array, or none of it, if this is the site under trial."""
        if self.recording:
            self.sites[k].value = kept(old)
        same, fresh = (getattr(operator, word) for word in OPERATORS[name])
        return self.change(old, {"value": value, "fresh": fresh}) if k in self.active else same(old, value)

    def happens(self, k: int) -> bool:
        """Does this statement run? Not if it is the site under trial."""
        if self.recording:
            self.sites[k].value = True
        return k not in self.active


def copied(function: Callable, hooks: Callable) -> Callable | None:
    """A function with hooks, in the student's own namespace; None for a lambda.

    hooks: (filename, lines, first line, namespace) → an object whose body(definition) gives the new statements
    """
    code = function.__code__
    lines, first = inspect.getsourcelines(function)
    tree = ast.parse(textwrap.dedent("".join(lines)))
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef):
        return None
    definition.decorator_list, definition.returns = [], None
    definition.args.defaults, definition.args.kw_defaults = [], [None] * len(definition.args.kwonlyargs)
    for argument in ast.walk(definition.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    ast.increment_lineno(tree, first - 1)
    definition.body = hooks(code.co_filename, lines, first, function.__globals__).body(definition)
    # what the function closes over (also __class__, for super()) comes in as arguments of a function around it
    outer = ast.parse(f"def __outer__({', '.join(code.co_freevars)}): return {function.__name__}").body[0]
    assert isinstance(outer, ast.FunctionDef)
    outer.body.insert(0, definition)
    space: dict[str, Any] = {}
    exec(compile(ast.fix_missing_locations(ast.Module([outer], [])), code.co_filename, "exec"), space)
    made = space["__outer__"](*code.co_freevars).__code__
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    closure = tuple(cells[name] for name in made.co_freevars)
    copy = types.FunctionType(made, function.__globals__, function.__name__, function.__defaults__, closure)
    copy.__kwdefaults__, copy.__qualname__ = function.__kwdefaults__, function.__qualname__
    return copy


def _makes_functions(function):
    return any(isinstance(c, types.CodeType) for c in function.__code__.co_consts)


def instrumented(subject: Subject) -> Instrumented:
    """The functions behind a subject's backward, hooked, and those inside its forward that backward may call."""
    layer = getattr(subject, "layer", None)
    behind = functions_behind(subject.backward_code, layer)
    return Instrumented(behind, [f for f in functions_behind(subject.forward_code, layer) if f not in behind])


@contextmanager
def standing_in(subject: Subject, copies: dict[Callable, Callable], hooks: dict[str, Callable]) -> Iterator[None]:
    """Let the subject, and the copies among themselves, call the copies; a layer gets them as methods of a class of
    its own. hooks: {name: function}, seen by the copies as __name__."""
    originals = subject.forward_code, subject.backward_code
    layer = subject.layer if isinstance(subject, LayerSubject) else None
    spaces = {id(f.__globals__): f.__globals__ for f in copies}
    kept_spaces = {key: dict(space) for key, space in spaces.items()}
    for space in spaces.values():
        space |= {name: copies[f] for name, f in space.items() if isinstance(f, types.FunctionType) and f in copies}
        space |= {f"__{name}__": hook for name, hook in hooks.items()}
    if layer is None:
        subject.forward_code, subject.backward_code = (copies.get(plain(f), f) for f in originals)
    else:
        kind = type(layer)
        methods = {f.__name__: copy for f, copy in copies.items() if getattr(kind, f.__name__, None) is f}
        layer.__class__ = type(kind.__name__, (kind,), methods)
        subject.forward_code, subject.backward_code = getattr(layer, "forward", layer), layer.backward
    try:
        yield
    finally:
        subject.forward_code, subject.backward_code = originals
        if layer is not None:
            layer.__class__ = kind
        for key, space in spaces.items():
            for name in [f"__{name}__" for name in hooks]:
                space.pop(name, None)
            space |= {n: f for n, f in kept_spaces[key].items() if isinstance(f, types.FunctionType) and f in copies}


def functions_behind(start: Callable, layer: Any = None) -> list[Callable]:
    """The student's own functions that a function calls, itself first; methods of the layer's class too."""
    found: list[Callable] = []
    queue: list[Any] = [plain(start)]
    while queue:
        function = queue.pop(0)
        if not isinstance(function, types.FunctionType) or function in found:
            continue
        if not is_students(function.__code__.co_filename):
            continue
        found.append(function)
        names = _names_in(function.__code__)
        queue += [function.__globals__.get(name) for name in names]
        queue += [getattr(type(layer), name, None) for name in names if layer is not None]
    return found


def plain(function: Callable) -> Any:
    """The function behind a method or a decorator."""
    function = inspect.unwrap(function)
    return getattr(function, "__func__", function)


def _names_in(code):
    inner = [_names_in(c) for c in code.co_consts if isinstance(c, types.CodeType)]
    return [*code.co_names, *(name for names in inner for name in names)]


def _looked_up(outside):
    values = {}
    for name, look_up in (outside or {}).items():
        try:
            values[name] = look_up()
        except NameError:  # not assigned yet
            continue
    return values


def _vanished(value, before):
    """Is it 0, to rounding, where it was not? Or a condition that is always met where it was not?"""
    if isinstance(value, numpy.ndarray) and value.dtype.kind == "b":
        return bool(value.all() and not numpy.all(before))
    real = all(isinstance(v, numpy.ndarray | float) for v in (value, before))
    return real and numpy.abs(value).max(initial=0) < 1e-12 * numpy.abs(before).max(initial=0)
