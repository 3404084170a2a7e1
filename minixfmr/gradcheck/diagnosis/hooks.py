"""The source of a function with a hook around every expression, index and statement, so that one can be changed."""

import ast
import copy
import inspect
import types
from collections.abc import Callable
from typing import Any

import numpy

from .sites import Function, Site

AXIS_NAMES = ("axis", "axes", "axis1", "axis2", "source", "destination")


class Hooks(ast.NodeTransformer):
    """Puts the hooks in. Sites are numbered from the outside in, so that whole expressions are tried first.

    inner: only inside functions and lambdas that are written in this one (a forward that returns its backward)
    """

    def __init__(self, sites: list[Site], inner: bool, filename: str, lines: list[str], first: int, namespace: dict):
        self.sites, self.filename, self.lines, self.first = sites, filename, lines, first
        self.namespace, self.silent = namespace, inner
        self.indent = len(lines[0]) - len(lines[0].lstrip())  # of a method; dedent took it away
        self.parents: list[Site] = []
        self.compared = 0
        self.function: Function | None = None

    def body(self, definition: ast.FunctionDef) -> list[ast.stmt]:
        """The statements of a function, with hooks."""
        self.function = Function(definition)
        return [self.visit(statement) for statement in definition.body]

    def visit(self, node: ast.AST) -> Any:
        inner = isinstance(node, ast.FunctionDef | ast.Lambda)
        return super().visit(node) if not self.silent or inner else self.generic_visit(node)

    # --- sites

    def _site(self, node, kind=""):
        text = ast.unparse(node)
        if getattr(node, "lineno", 0) and node.lineno == node.end_lineno:  # as the student wrote it
            line = self.lines[node.lineno - self.first]
            text = line.encode()[self.indent + node.col_offset : self.indent + node.end_col_offset].decode()
        site = Site(copy.deepcopy(node), self.filename, text.strip(), kind)  # as it is before the hooks
        site.function, site.compared = self.function, self.compared > 0
        site.axis, site.multiplied = getattr(node, "is_axis", False), getattr(node, "multiplied", False)
        self.sites.append(site)
        k = len(self.sites) - 1
        if self.parents:
            self.parents[-1].parts.append(k)
        return k, site

    def _inside(self, site, visit, node):
        self.parents.append(site)
        try:
            return visit(node)
        finally:
            self.parents.pop()

    def _hook(self, k, node):
        outside = self.function.names_outside() if self.function else []
        more = [_thunks(outside)] if outside else []
        return _call("__hook__", ast.Constant(k), node, *more)

    def _hooked(self, node):
        k, site = self._site(node)
        return self._hook(k, self._inside(site, self.generic_visit, node))

    def _loaded(self, node):
        return self._hooked(node) if isinstance(getattr(node, "ctx", ast.Load()), ast.Load) else node

    visit_UnaryOp = visit_IfExp = _hooked
    visit_Attribute = visit_Tuple = visit_List = _loaded

    def visit_Name(self, node: ast.Name) -> Any:
        return node if isinstance(self.namespace.get(node.id), types.ModuleType) else self._loaded(node)

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        node.left.multiplied = node.right.multiplied = isinstance(node.op, ast.Mult)  # type: ignore[attr-defined]
        return self._hooked(node)

    def visit_Compare(self, node: ast.Compare) -> Any:
        k, site = self._site(node)
        self.compared += 1
        inside = self._inside(site, self.generic_visit, node)
        self.compared -= 1
        return self._hook(k, inside)

    def visit_Constant(self, node: ast.Constant) -> Any:
        number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
        return self._hook(self._site(node)[0], node) if number or getattr(node, "is_spec", False) else node

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        if not isinstance(node.ctx, ast.Load):
            return node
        k, site = self._site(node)
        node.value = self._inside(site, self.visit, node.value)
        node.slice = self._inside(site, lambda n: self._index(n, site.text), node)
        return self._hook(k, node)

    def _index(self, subscript, text):
        """array[__hook__(k, index)], slices as slice(...), so that windows can be moved."""
        node = subscript.slice
        if isinstance(node, ast.Constant):
            return node
        k, site = self._site(node, "index")
        site.text = text
        return self._hook(k, self._inside(site, self._sliced, node))

    def _sliced(self, node):
        if isinstance(node, ast.Slice):
            ends = [self.visit(e) if e else ast.Constant(None) for e in (node.lower, node.upper, node.step)]
            return _call("slice", *ends)
        if isinstance(node, ast.Tuple):
            return ast.Tuple([self._sliced(e) for e in node.elts], ast.Load())
        return self.visit(node)

    def visit_Call(self, node: ast.Call) -> Any:
        _mark_axes(node, self.namespace)
        if getattr(node.func, "attr", "") == "einsum" and node.args:
            node.args[0].is_spec = True  # type: ignore[attr-defined]
        k, site = self._site(node)
        if isinstance(node.func, ast.Attribute):
            receiver = Site(node, self.filename, "")
            node.func.value = self._inside(receiver, self.visit, node.func.value)
            site.receiver = receiver.parts[0] if receiver.parts else None
        node.args = [self._inside(site, self.visit, a) for a in node.args]
        node.keywords = [ast.keyword(kw.arg, self.visit(kw.value)) for kw in node.keywords]
        return self._hook(k, node)

    # --- statements

    def visit_Assign(self, node: ast.Assign) -> Any:
        k, _ = self._site(node)
        node.value = self.visit(node.value)
        target = node.targets[0]
        if len(node.targets) != 1:
            return node
        if isinstance(target, ast.Subscript):
            return self._stored(k, target, node.value, "")
        if isinstance(target, ast.Name | ast.Attribute):
            before = ast.parse(f"lambda: {ast.unparse(target)}", mode="eval").body
            node.value = _call("__assign__", ast.Constant(k), node.value, before)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        k, site = self._site(node)
        node.value = self.visit(node.value)
        if isinstance(node.target, ast.Subscript) and not isinstance(node.target.slice, ast.Constant):
            if isinstance(node.op, ast.Add | ast.Sub):
                return self._stored(k, node.target, node.value, type(node.op).__name__)
            return node
        site.kind = "in place"
        load = ast.parse(ast.unparse(node.target), mode="eval").body
        operator = ast.Constant(type(node.op).__name__)
        return ast.Assign([node.target], _call("__in_place__", ast.Constant(k), load, node.value, operator))

    def _stored(self, k, target, value, operator):
        array = ast.parse(ast.unparse(target.value), mode="eval").body
        index = target.slice if isinstance(target.slice, ast.Constant) else self._index(target, ast.unparse(target))
        return ast.Expr(_call("__store__", ast.Constant(k), array, index, value, ast.Constant(operator)))

    def visit_Expr(self, node: ast.Expr) -> Any:
        if not isinstance(node.value, ast.Call):
            return node
        k, _ = self._site(node, "statement")
        node.value = self.visit(node.value)
        return ast.If(_call("__happens__", ast.Constant(k)), [node], [])

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        return self._nested(node, lambda: [self.visit(statement) for statement in node.body])

    def visit_Lambda(self, node: ast.Lambda) -> Any:
        return self._nested(node, lambda: self.visit(node.body))

    def _nested(self, node, body):
        outer, silent, parents = self.function, self.silent, self.parents
        self.function, self.silent, self.parents = Function(node, outer), False, []
        try:
            node.body = body()
        finally:
            self.function, self.silent, self.parents = outer, silent, parents
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> Any:
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        node.value = self.visit(node.value) if node.value else None
        return node


def _thunks(names):
    """{name: function that looks it up} of the functions around, as an expression."""
    lookups: list[ast.expr] = [ast.parse(f"lambda: {name}", mode="eval").body for name in names]
    return ast.Dict([ast.Constant(name) for name in names], lookups)


def _mark_axes(call: ast.Call, namespace: dict) -> None:
    """Mark the numbers among a call's arguments that say which axis: those whose parameter is one."""
    positions = _axis_positions(call.func, namespace)
    marked = [a for i, a in enumerate(call.args) if i in positions or (positions and min(positions) < 0)]
    marked += [kw.value for kw in call.keywords if kw.arg in AXIS_NAMES]
    for node in marked:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Constant | ast.Tuple | ast.UnaryOp):
                inner.is_axis = True  # type: ignore[union-attr]


def _axis_positions(func, namespace):
    """Of the positional arguments that are axes; {-1} where all of them are."""
    if isinstance(func, ast.Attribute) and func.attr == "transpose" and not _is_numpy(func.value, namespace):
        return {-1}
    if isinstance(func, ast.Attribute) and _is_numpy(func.value, namespace):
        return _positions(getattr(numpy, func.attr, None), 0)
    if isinstance(func, ast.Attribute) and hasattr(numpy.ndarray, func.attr):  # x.sum(0) is numpy.sum(x, 0)
        return _positions(getattr(numpy, func.attr, None), 1)
    return _positions(namespace.get(func.id), 0) if isinstance(func, ast.Name) else set()


def _positions(function: Callable | None, shift: int) -> set[int]:
    try:
        names = list(inspect.signature(function).parameters) if callable(function) else []
    except (ValueError, TypeError):
        return set()
    return {i - shift for i, name in enumerate(names) if name in AXIS_NAMES}


def _is_numpy(node, namespace):
    return isinstance(node, ast.Name) and namespace.get(node.id) is numpy


def _call(name, *arguments):
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])
