"""Small slips in one line: what an expression may have been meant to be. Each is tried by repair.py.

A slip's change gets (value, scope): what the expression gave, and what was in sight of it just then.
"""

import ast
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from .activation_remedies import is_activation_of
from .remedies import Remedy
from .sites import Site, is_real

POWERS = {"squared": 2.0, "its square root": 0.5, "its inverse": -1.0, "cubed": 3.0}
POWERS |= {"the inverse of its square": -2.0, "the inverse of its square root": -0.5}
NOT_HANDED_ON = "not handed on"


def statements(site: Site) -> Iterator[Remedy]:
    """Assigned where it must be added; added or clipped where nothing must happen; changed in place."""
    if site.kind in ("Assign", "AugAssign"):
        if _has_repeats(site.value):
            text = (
                "an index that occurs twice keeps only its last value, with += too: numpy.add.at(array, index, value)"
            )
            yield Remedy("assigned instead of accumulated", text, lambda v, _: v)
        elif site.kind == "Assign":
            yield Remedy("overwritten", "this overwrites what was added before: write +=", lambda v, _: v)
    elif site.kind == "in place":
        text = "this changes an array that has another name, too: write x = x ... instead of x ...="
        yield Remedy("changed in place", text, lambda v, s: s["fresh"](v, s["value"]))
        yield Remedy("one term too many", "this line must not be there", lambda v, _: v)
    elif site.kind == "statement":
        clips = "clip" in site.text
        text = "clipping belongs in the update of the weights: with it this is not the gradient" if clips else ""
        yield Remedy("clipped" if clips else "one term too many", text or "this line must not be there", lambda v, _: v)


def numbers(site: Site) -> Iterator[Remedy]:
    """Another number, written as such; another axis only where the parameter is an axis."""
    if site.axis and site.kind == "Tuple" and isinstance(site.value, tuple):
        for count in range(1, 4):
            for axes in itertools.combinations(range(4), count):
                if axes != site.value:
                    yield Remedy("wrong axis", f"the axes must be {axes}", _always(axes))
    if not isinstance(site.value, int) or not site.text.lstrip("-").isdigit():  # no size that was computed
        return
    for other in (0, -1, 1, -2, 2, -3, 3, -4, 4):
        if other == site.value or (other == -site.value and not site.axis):  # the sign is a matter of its own
            continue
        if site.axis:
            yield Remedy("wrong axis", f"the axis must be {other}", _always(other))
        else:
            twice = site.multiplied and (site.value, other) == (2, 1)
            text = "counts twice: this must be 1" if twice else f"the number must be {other}"
            yield Remedy("doubled branch" if twice else "wrong number", text, _always(other))


def loops(site: Site) -> Iterator[Remedy]:
    """A loop that leaves a step out, or runs the wrong way."""
    v = site.value
    if site.kind != "Call" or not isinstance(v, range) or not len(v):
        return
    if v.start > 0 and v.step > 0:
        text = f"the loop leaves out its first {'step' if v.start == 1 else 'steps'}: it must start at 0"
        yield Remedy("step skipped", text, lambda v, _: range(0, v.stop, v.step))
    yield Remedy(
        "step skipped", "the loop leaves out its last step", lambda v, _: range(v.start, v.stop + v.step, v.step)
    )
    backwards = (
        "the gradient of each step needs that of the step after it: go through the steps backwards, reversed(...)"
    )
    yield Remedy("wrong direction", backwards, lambda v, _: v[::-1])


def swaps(site: Site) -> Iterator[Remedy]:
    """Results taken for each other, a, b = f(...) where b, a is what f returns; entries listed in the wrong order."""
    if not isinstance(site.value, tuple | list) or site.kind not in ("Call", "Tuple", "List"):
        return
    shapes = [numpy.shape(part) if hasattr(part, "shape") else None for part in site.value]
    for i, j in itertools.combinations(range(len(shapes)), 2):
        if shapes[i] == shapes[j] is not None:
            nodes = getattr(site.node, "elts", None)
            names = [ast.unparse(nodes[n]) for n in (i, j)] if nodes else []
            text = (
                f"{names[0]} and {names[1]} stand in each other's place"
                if names
                else f"results {i} and {j} are taken for each other"
            )
            yield Remedy("swapped", f"{text}: exchange them", _exchange(i, j))


def variables(site: Site) -> Iterator[Remedy]:
    """Another name belongs here: of an array of this shape, of a cache like this one, of a layer of this kind."""
    v = site.value
    if site.kind not in ("Name", "Attribute", "Subscript"):
        return
    function = site.function
    for name, other in site.scope.items():
        if name == site.text or not _alike(v, other):
            continue
        look_up = _look_up(name)
        if isinstance(v, numpy.ndarray) and is_activation_of(v, other):
            text = f"{name}, the activation's input, belongs here, not {site.text}, its output"
            yield Remedy("derivative at the output", text, look_up)
        elif function and name in function.lost and site.kind == "Name":
            text = f"{name} of the step after is never handed on: it belongs here, so assign it to {site.text}"
            yield Remedy(NOT_HANDED_ON, text, look_up)
        else:
            yield Remedy("wrong variable", f"{name} belongs here, not {site.text}", look_up)


def upstream(site: Site) -> Iterator[Remedy]:
    """A plain slope where its product with dy belongs: np.where(x > 0, dy, alpha)."""
    first = site.function.arguments[:1] if site.function and isinstance(site.value, float) and not site.compared else []
    for name in first:
        if isinstance(site.scope.get(name), numpy.ndarray):
            yield Remedy("factor missing", f"{site.text} · {name} belongs here", _times(name))


def powers(site: Site) -> Iterator[Remedy]:
    """Another power of it."""
    if is_real(site.value) and numpy.size(site.value):
        positive = bool(numpy.all(site.value > 0))
        for word, power in POWERS.items():
            if positive or power in (2.0, 3.0):
                yield Remedy("wrong power", f"what belongs here is {word}", _raise(power))


def comparisons(site: Site) -> Iterator[Remedy]:
    """A mask the wrong way round."""
    if site.kind == "Compare" and getattr(getattr(site.value, "dtype", None), "kind", "") == "b":
        yield Remedy(
            "mask inverted", "the comparison is the wrong way round: this is True where it must be False", _invert
        )


def numerals(site: Site, code: Any) -> Iterator[Remedy]:
    """A plain number that does not belong in a product or a sum."""
    sides = (getattr(site.node, "left", None), getattr(site.node, "right", None))
    if any(isinstance(side, ast.Constant) for side in sides):
        found = [r for r in operations(site, code) if "one too many" in r.text]
        yield from (Remedy(r.cause.replace("factor doubled", "factor"), r.text, r.apply) for r in found)


def operations(site: Site, code: Any) -> Iterator[Remedy]:
    """An operation too many, or one in place of another. code.latest: the values of the parts."""
    node, parts = site.node, site.parts
    if site.kind == "Call" and parts and isinstance(node, ast.Call) and not site.axis:
        yield from _unwrapped(site, code)
    if len(parts) != 2 or not isinstance(node, ast.BinOp):
        return
    a, b = parts
    left, right = (ast.unparse(side) for side in (node.left, node.right))
    product = isinstance(node.op, ast.Mult | ast.Div | ast.MatMult)
    cause, word = ("factor doubled", "factor") if product else ("one term too many", "term")
    if not isinstance(node.op, ast.Pow):
        yield Remedy(cause, f"the {word} {right} is one too many", lambda v, s: code.latest[a])
    if isinstance(node.op, ast.Add | ast.Mult | ast.MatMult):
        yield Remedy(cause, f"the {word} {left} is one too many", lambda v, s: code.latest[b])
    if isinstance(node.op, ast.Add | ast.Sub):
        other = "-" if isinstance(node.op, ast.Add) else "+"
        change = (
            (lambda v, s: code.latest[a] - code.latest[b])
            if other == "-"
            else (lambda v, s: code.latest[a] + code.latest[b])
        )
        yield Remedy("sign", f"{right} has the wrong sign: it must be {left} {other} {right}", change)
    if isinstance(node.op, ast.Div):
        yield Remedy(
            "wrong power", f"multiply by {right} instead of dividing", lambda v, s: code.latest[a] * code.latest[b]
        )
    if isinstance(node.op, ast.Mult):
        yield Remedy(
            "wrong power", f"divide by {right} instead of multiplying", lambda v, s: code.latest[a] / code.latest[b]
        )
        yield Remedy(
            "wrong power", f"divide by {left} instead of multiplying", lambda v, s: code.latest[b] / code.latest[a]
        )


def _unwrapped(site, code):
    """f(x) where x itself belongs: clipped, or an activation taken twice."""
    first = site.parts[0]
    name = ast.unparse(site.node.func)
    clips = name.split(".")[-1] == "clip"
    if not site.node.args or isinstance(site.node.args[0], ast.Constant):
        return
    inner = ast.unparse(site.node.args[0])
    if clips:
        text = f"clipping belongs in the update of the weights: the gradient is {inner} itself"
        yield Remedy("clipped", text, lambda v, s: code.latest[first])
    elif re.search(r"tanh|sigm|relu|softmax|gelu|silu|exp$", name):
        text = f"{inner} has gone through {name.split('.')[-1]} already: {inner} itself belongs here"
        yield Remedy("derivative at the output", text, lambda v, s: code.latest[first])


# --- the changes ---


def _has_repeats(index):
    """An index array, alone or in a tuple: with slices and numbers there are no repeats."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(p, numpy.ndarray) and p.dtype.kind in "iu" for p in parts)


def _alike(v, other):
    if isinstance(v, tuple):
        return isinstance(other, tuple) and len(v) == len(other) and other is not v
    if hasattr(v, "backward"):
        return type(other) is type(v) and other is not v
    if not isinstance(v, numpy.ndarray) or not isinstance(other, numpy.ndarray):
        return False
    return v.shape == other.shape and v.dtype.kind == other.dtype.kind and not numpy.array_equal(v, other)


def _invert(v: Any, _: dict) -> Any:
    return ~v


def _exchange(i, j):
    def exchange(values, scope):
        order = list(values)
        order[i], order[j] = order[j], order[i]
        return type(values)(order)

    return exchange


def _raise(power):
    return lambda v, scope: v**power


def _look_up(name: str) -> Callable:
    return lambda v, scope: scope.get(name, v)


def _times(name: str) -> Callable:
    return lambda v, scope: v * scope[name]


def _always(value):
    return lambda v, _: value
