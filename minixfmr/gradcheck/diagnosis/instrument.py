"""A student's backward, compiled anew with a hook around every expression, so that one of them can be changed.

Nothing of the student's is touched: the hooks sit in copies of the functions, which call each other.
"""

import ast
import inspect
import sys
import textwrap
import types
from collections.abc import Callable
from typing import Any

import numpy

from ..blame import file_of, is_students

LARGEST = 100_000  # entries of an array that is worth keeping


class Site:
    """An expression, or a statement, of the source."""

    def __init__(self, node: ast.AST, filename: str, source: str, in_call: bool = False, compared: bool = False):
        self.node, self.in_call, self.compared = node, in_call, compared
        self.multiplied = getattr(node, "multiplied", False)  # a number in a product
        self.file, self.line = file_of(filename), node.lineno  # type: ignore[attr-defined]
        self.text = source if len(source) <= 60 else source[:57] + "..."
        self.value: Any = None  # what it gave when it first ran
        self.scope: dict[str, Any] = {}  # the arrays and numbers in sight of it

    def __str__(self) -> str:
        return f"{self.file}:{self.line}, `{self.text}`"


class Instrumented:
    """Copies of functions with hooks. Call .run(function) for a copy; set .active and .change to alter one site."""

    def __init__(self, functions: list[Callable]):
        self.sites: list[Site] = []
        self.active: int | None = None
        self.change: Callable[[Any, dict], Any] = lambda value, scope: value
        self.recording = False
        self.calls, self.limit = 0, sys.maxsize  # of hooks in a run: a changed number may make a loop endless
        self.watching = self.absorbed = False  # has a change made another expression vanish?
        self.copies: dict[Callable, Callable] = {}
        self._namespaces: dict[int, dict] = {}
        for function in functions:
            self._copy(function)
        for namespace in self._namespaces.values():  # the copies call each other
            for name, thing in list(namespace.items()):
                if isinstance(thing, types.FunctionType) and thing in self.copies:
                    namespace[name] = self.copies[thing]

    def hook(self, k: int, value: Any) -> Any:
        """What stands around an expression: passes its value on, changed if this is the site under trial."""
        self.calls += 1
        if self.calls > self.limit:
            raise RuntimeError("this change makes a loop endless")
        if self.watching and k != self.active and _vanished(value, self.sites[k].value):
            self.absorbed = True
        if not self.recording and k != self.active:
            return value
        scope = sys._getframe(1).f_locals
        if self.recording and self.sites[k].value is None:
            self.sites[k].value, self.sites[k].scope = (
                _kept(value),
                {n: _kept(a) for n, a in scope.items() if _worth(a)},
            )
        return self.change(value, scope) if k == self.active else value

    def store(self, k: int, array: Any, index: Any, value: Any, add: bool) -> None:
        """array[index] = value, or += value; a true sum over repeated indices if this is the site under trial."""
        if self.recording:
            self.sites[k].value = index
        if k == self.active:
            numpy.add.at(array, index, value)
        elif add:
            array[index] += value
        else:
            array[index] = value

    def assign(self, k: int, value: Any, before: Callable[[], Any]) -> Any:
        """target = value; added to what the target held before if this is the site under trial."""
        if not (self.recording or k == self.active):
            return value
        try:
            old = before()
        except (NameError, AttributeError, KeyError, IndexError, TypeError):
            return value
        again = isinstance(old, numpy.ndarray) and isinstance(value, numpy.ndarray) and old.shape == value.shape
        if self.recording and again:
            self.sites[k].value = _kept(value)
        return old + value if k == self.active and again else value

    def _copy(self, function):
        code = function.__code__
        lines, first = inspect.getsourcelines(function)
        source = textwrap.dedent("".join(lines))
        tree = ast.parse(source)
        definition = tree.body[0]
        if not isinstance(definition, ast.FunctionDef):  # a lambda
            return
        definition.decorator_list = []
        ast.increment_lineno(tree, first - 1)
        definition.body = _Hooks(self, code.co_filename, lines, first).all(definition.body)
        # what the function closes over (also __class__, for super()) comes in as arguments of a function around it
        outer = ast.parse(f"def __outer__({', '.join(code.co_freevars)}): return {function.__name__}").body[0]
        assert isinstance(outer, ast.FunctionDef)
        outer.body.insert(0, definition)
        module = ast.fix_missing_locations(ast.Module([outer], []))
        namespace = self._namespaces.setdefault(id(function.__globals__), dict(function.__globals__))
        namespace |= {"__hook__": self.hook, "__store__": self.store, "__assign__": self.assign}
        exec(compile(module, code.co_filename, "exec"), namespace)
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        self.copies[function] = namespace.pop("__outer__")(*cells)


class _Hooks(ast.NodeTransformer):
    """Puts the hooks in. Sites are numbered from the outside in, so that whole expressions are tried first."""

    def __init__(self, owner, filename, lines, first):
        self.owner, self.filename, self.lines, self.first = owner, filename, lines, first
        self.indent = len(lines[0]) - len(lines[0].lstrip())  # of a method; dedent took it away
        self.in_call = self.compared = 0

    def all(self, body):
        return [self.visit(statement) for statement in body]

    def _site(self, node):
        text = ast.unparse(node)
        if node.lineno == node.end_lineno:  # as the student wrote it, if it is on one line
            line = self.lines[node.lineno - self.first]
            text = line.encode()[self.indent + node.col_offset : self.indent + node.end_col_offset].decode()
        self.owner.sites.append(Site(node, self.filename, text.strip(), self.in_call > 0, self.compared > 0))
        return ast.Constant(len(self.owner.sites) - 1)

    def _hooked(self, node):
        k = self._site(node)
        inside = self.generic_visit(node)
        return _call("__hook__", k, inside)

    def _loaded(self, node):
        return self._hooked(node) if isinstance(getattr(node, "ctx", ast.Load()), ast.Load) else node

    visit_UnaryOp = visit_IfExp = _hooked
    visit_Name = visit_Attribute = _loaded

    def visit_BinOp(self, node):
        node.left.multiplied = node.right.multiplied = isinstance(node.op, ast.Mult)  # type: ignore[attr-defined]
        return self._hooked(node)

    def visit_Compare(self, node):
        self.compared += 1
        self.generic_visit(node)
        self.compared -= 1
        return node

    def visit_Constant(self, node):
        number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
        return _call("__hook__", self._site(node), node) if number else node

    def visit_Subscript(self, node):
        if not isinstance(node.ctx, ast.Load):
            return node
        k = self._site(node)
        node.value = self.visit(node.value)
        return _call("__hook__", k, node)

    def visit_Call(self, node):
        k = self._site(node)
        if isinstance(node.func, ast.Attribute):
            node.func.value = self.visit(node.func.value)
        self.in_call += 1
        node.args = [self.visit(a) for a in node.args]
        node.keywords = [ast.keyword(kw.arg, self.visit(kw.value)) for kw in node.keywords]
        self.in_call -= 1
        return _call("__hook__", k, node)

    def visit_Assign(self, node):
        k = self._site(node)
        node.value = self.visit(node.value)
        target = node.targets[0]
        if len(node.targets) == 1 and _indexed(target):
            return self._stored(k, target, node.value, False)
        if len(node.targets) == 1 and isinstance(target, ast.Name | ast.Attribute | ast.Subscript):
            before = ast.parse(f"lambda: {ast.unparse(target)}", mode="eval").body
            node.value = _call("__assign__", k, node.value, before)
        return node

    def visit_AugAssign(self, node):
        k = self._site(node)
        node.value = self.visit(node.value)
        if isinstance(node.op, ast.Add) and _indexed(node.target):
            return self._stored(k, node.target, node.value, True)
        return node

    def _stored(self, k, target, value, add):
        target.value.ctx = ast.Load()
        call = _call("__store__", k, target.value, target.slice, value, ast.Constant(add))
        return ast.Expr(call)

    def visit_FunctionDef(self, node):
        node.body = self.all(node.body)
        return node

    def visit_Lambda(self, node):
        return node

    def visit_JoinedStr(self, node):
        return node


def functions_behind(backward: Callable, layer: Any = None) -> list[Callable]:
    """The student's own functions that a backward calls, itself first; methods of the layer's class too."""
    found: list[Callable] = []
    queue = [getattr(inspect.unwrap(backward), "__func__", inspect.unwrap(backward))]
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


def _names_in(code):
    inner = [_names_in(c) for c in code.co_consts if isinstance(c, types.CodeType)]
    return [*code.co_names, *(name for names in inner for name in names)]


def _indexed(target):
    """array[ids] with a computed index: not a number, a string or a slice."""
    return isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Name | ast.Attribute | ast.Call)


def _call(name, *arguments):
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def _worth(thing):
    if isinstance(thing, numpy.ndarray):
        return thing.size <= LARGEST
    if isinstance(thing, tuple) or hasattr(thing, "backward"):  # a cache, a layer
        return True
    return isinstance(thing, int | float | numpy.number) and not isinstance(thing, bool)


def _kept(value):
    return value.copy() if isinstance(value, numpy.ndarray) and value.size <= LARGEST else value


def _vanished(value, before):
    """Is it 0, to rounding, where it was not?"""
    if not isinstance(value, numpy.ndarray | float) or not isinstance(before, numpy.ndarray | float):
        return False
    return numpy.abs(value).max(initial=0) < 1e-12 * numpy.abs(before).max(initial=0)
