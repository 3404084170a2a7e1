"""Whole calls and products that were meant otherwise: sums over other axes, reshapes, einsum's letters."""

import ast
import itertools
from collections.abc import Iterator
from typing import Any

import numpy

from .remedies import Remedy
from .sites import Site, is_real

REDUCTIONS = ("sum", "mean", "max", "min", "prod", "var", "std")


def reductions(site: Site, code: Any) -> Iterator[Remedy]:
    """A sum over other axes, or of another product. code.latest: the values of the call's operands."""
    operand, name = _operand(site), _called(site)
    v = site.value
    if operand is None or name not in REDUCTIONS or not is_real(v):
        return
    ndim = getattr(code.sites[operand].value, "ndim", 0)
    written = {kw.arg for kw in site.node.keywords} | set(map(str, range(len(site.node.args))))
    cause = "wrong axis" if "axis" in written else "summed over too many axes"
    for keepdims, count in itertools.product((True, False), range(1, ndim + 1)):
        for axes in itertools.combinations(range(ndim), count):

            def change(_, s, axes=axes, keepdims=keepdims):
                return getattr(numpy, name)(code.latest[operand], axis=axes, keepdims=keepdims)

            which = f"axis {axes[0] if axes[0] < ndim - 1 else -1}" if count == 1 else f"axes {axes}"
            text = f"take the {name} over {which}{', with keepdims=True' if keepdims else ''}"
            yield Remedy(cause, text, change)
    yield from _products(site, code, operand, name)


def _products(site, code, operand, name):
    """The sum of the product of two other arrays, as softmax's row term has it."""
    product = code.sites[operand]
    if name not in ("sum", "mean") or product.kind != "BinOp" or not isinstance(product.node.op, ast.Mult):
        return
    arrays = {n: a for n, a in site.scope.items() if is_real(a) and isinstance(a, numpy.ndarray) and "[" not in n}
    keywords: dict[str, Any] = {"axis": -1, "keepdims": True}
    for (a, x), (b, y) in itertools.combinations(arrays.items(), 2):
        if x.shape == y.shape and x.ndim > 1 and x.sum(**keywords).shape == numpy.shape(site.value):

            def change(_, s, a=a, b=b):
                return getattr(numpy, name)(s[a] * s[b], **keywords)

            text = f"{a} · {b} belongs in this {name}, not {product.text}"
            yield Remedy("wrong variable", text, change)


def reshapes(site: Site, code: Any) -> Iterator[Remedy]:
    """A reshape of an array whose axes should be moved first."""
    operand = _operand(site)
    if operand is None or _called(site) not in ("reshape", "ravel") or not isinstance(site.value, numpy.ndarray):
        return
    ndim = getattr(code.sites[operand].value, "ndim", 0)
    for order in itertools.permutations(range(ndim)) if 2 <= ndim <= 4 else ():
        if order != tuple(range(ndim)):

            def change(v, s, order=order):
                return code.latest[operand].transpose(order).reshape(v.shape)

            first = ".T" if ndim == 2 else f".transpose{order}"
            text = f"a reshape reads row by row and moves no axes: use {first} before it"
            yield Remedy("axes permuted", text, change)


def transposes(site: Site, code: Any) -> Iterator[Remedy]:
    """A .T too many, of an index too."""
    if site.kind == "Attribute" and site.node.attr == "T" and site.parts:
        inner = ast.unparse(site.node.value)
        yield Remedy(
            "transposed", f"{inner} itself belongs here, not transposed", lambda v, s: code.latest[site.parts[0]]
        )


def letters(site: Site, code: Any) -> Iterator[Remedy]:
    """Another letter in einsum's subscripts."""
    if site.kind != "Constant" or not isinstance(site.value, str):
        return
    known = sorted(set(site.value) - set(", ->."))
    for i, letter in itertools.product(range(len(site.value)), known):
        if site.value[i] in known and site.value[i] != letter:
            new = f"{site.value[:i]}{letter}{site.value[i + 1 :]}"
            yield Remedy("wrong subscripts", f'the subscripts must be "{new}"', _always(new))


def shared_factors(site: Site, code: Any) -> Iterator[Remedy]:
    """(a + b) @ w.T where a and b go back through weights of their own."""
    node, parts = site.node, site.parts
    product = isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult) and len(parts) == 2
    if not product or len(code.sites[parts[0]].parts) != 2:
        return
    total = node.left
    if not isinstance(total, ast.BinOp) or not isinstance(total.op, ast.Add):
        return
    (a, b), w = code.sites[parts[0]].parts, code.sites[parts[1]].value
    left, right, shared = (ast.unparse(n) for n in (total.left, total.right, node.right))
    for name, other in site.scope.items():
        for flip in (False, True) if getattr(other, "ndim", 0) == 2 else ():
            if (other.T if flip else other).shape != numpy.shape(w):
                continue
            spelled = f"{name}.T" if flip else name

            def second(v, s, name=name, flip=flip):
                mine = s[name].T if flip else s[name]
                return code.latest[a] @ code.latest[parts[1]] + code.latest[b] @ mine

            def first(v, s, name=name, flip=flip):
                mine = s[name].T if flip else s[name]
                return code.latest[a] @ mine + code.latest[b] @ code.latest[parts[1]]

            if spelled != shared:
                yield Remedy("wrong variable", f"{left} @ {shared} + {right} @ {spelled} belongs here", second)
                yield Remedy("wrong variable", f"{left} @ {spelled} + {right} @ {shared} belongs here", first)


def _always(value):
    return lambda v, s: value


def _operand(site):
    """The site of what a call works on: x in x.sum() and numpy.sum(x)."""
    if site.kind != "Call":
        return None
    if site.receiver is not None:
        return site.receiver
    given = site.node.args and not isinstance(site.node.args[0], ast.Constant)
    return site.parts[0] if site.parts and given else None


def _called(site):
    func = getattr(site.node, "func", None)
    return func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
