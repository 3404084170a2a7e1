"""What people get wrong in any backward pass, each with the change that puts it right.

A remedy is tried, never believed: it is reported only if the gradient passes once it is applied. The same catalogue
serves a gradient that backward returned and any expression inside backward. What is wrong in one kind of layer only
(softmax, norms, activations, losses, embeddings) is in layer_remedies.py.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy

Pool = dict[str, numpy.ndarray]  # {name: array} of what is in sight
Change = Callable[[Any, Any], Any]  # (value, what is in sight) → what the value should be

IT = "{it}"  # in a text: the expression that is wrong, as the student wrote it


@dataclass
class Remedy:
    """A change of an array v, given the other arrays in sight of it."""

    cause: str
    text: str  # what is wrong with v, and what to do: completes "dx: ..." and "file.py:12, `...`: ..."
    apply: Change
    zeroes: bool = False  # it is meant to make something 0


def misshapen(v: numpy.ndarray, name: str, shape: tuple[int, ...], rows: tuple[int, ...]) -> Iterator[Remedy]:
    """Remedies for v, the gradient of `name`, that should have this shape. rows: the shape of the output."""
    if sorted(v.shape) == sorted(shape):
        for order in itertools.permutations(range(v.ndim)):
            if tuple(v.shape[i] for i in order) == shape:
                what = "it is transposed" if v.ndim == 2 else f"its axes are in the wrong order, use transpose{order}"
                yield Remedy("transposed", f"{what}; the shape must be {shape}", _transpose(order))
    for count in range(1, v.ndim + 1):
        for axes, keepdims in itertools.product(itertools.combinations(range(v.ndim), count), (False, True)):
            if v.sum(axes, keepdims=keepdims).shape == shape:
                bias = len(shape) == 1 and v.shape == rows
                which = f"axis {axes[0]}" if count == 1 else f"axes {axes}"
                of = "it" if count == 1 else "them"
                text = f"sum d{name} over {which} as well: the same {name} is used at every index of {of}"
                yield Remedy("bias not summed" if bias else "summed over too few axes", text, _sum(axes, keepdims))
    if v.size == math.prod(shape):
        yield Remedy("wrong shape", f"the numbers are right, but the shape must be {shape}", _reshape_like(name))


def placed(v: numpy.ndarray, pool: Pool) -> Iterator[Remedy]:
    """The right numbers in the wrong places: transposed, or heads and positions exchanged."""
    if 2 <= v.ndim <= 4:
        for order in itertools.permutations(range(v.ndim)):
            if order != tuple(range(v.ndim)) and tuple(v.shape[i] for i in order) == v.shape:
                cause = "transposed" if sum(i != j for i, j in enumerate(order)) == 2 else "axes permuted"
                yield Remedy(cause, f"it is transposed: use .transpose{order}", _transpose(order))
    if v.ndim == 4:
        for i, j in ((1, 2), (2, 3), (1, 3)):
            if v.shape[i] != v.shape[j]:
                text = f"axes {i} and {j} must change places here: swapaxes({i}, {j})"
                yield Remedy("axes permuted", text, _swap(i, j))
        B, H, T, dh = v.shape
        text = f"a reshape cannot move axes: reshape to {(B, T, H, dh)} first, then exchange axes 1 and 2"
        yield Remedy("axes permuted", text, _reshape_then_swap)
        text = f"heads come first when they are split: reshape to {(B, T, H, dh)}, then exchange axes 1 and 2"
        yield Remedy("axes permuted", text, _heads_first)
    for axis, size in enumerate(v.shape if v.ndim <= 4 else ()):
        for heads in (h for h in range(2, size // 2 + 1) if size % h == 0):
            here, there = f"{size // heads} × {heads}", f"{heads} × {size // heads}"
            text = f"axis {axis} of size {size} is laid out as {here} where it must be {there}: a reshape moves no axes"
            yield Remedy("axes permuted", text, _relay(axis, heads))
        if 2 <= size <= 64 and v.ndim >= 2:
            yield Remedy("axes permuted", f"axis {axis} runs backwards", _flip(axis))


def scaled(v: numpy.ndarray, pool: Pool) -> Iterator[Remedy]:
    """A factor that is an array is missing or one too many: a gain, a mask that rescales, a matrix."""
    yield from _factors(v, {n: g for n, g in pool.items() if g.shape in (v.shape, v.shape[-1:])})
    for name, w in pool.items():
        if w.ndim == 2 and v.ndim >= 2 and w.dtype.kind == "f":
            for spelled, flip in ((f"{name}.T", True), (name, False)):
                if v.shape[-1] == w.shape[1 if flip else 0]:
                    text = f"the factor {spelled} is missing: forward multiplies by {name}, so backward does it too"
                    yield Remedy("factor missing", text, _matmul(name, flip))


def spread(v: numpy.ndarray, pool: Pool) -> Iterator[Remedy]:
    """The same of factors that are spread over v, or v over them."""
    yield from _factors(v, {n: g for n, g in pool.items() if g.shape not in (v.shape, v.shape[-1:])})
    for name, g in pool.items():
        over = g.ndim == v.ndim and g.size > v.size > 1 and g.dtype.kind == "f"
        if over and all(m in (1, n) for m, n in zip(v.shape, g.shape, strict=True)):
            text = f"the factor {name} is missing: {name} · {IT}"
            yield Remedy("factor missing", text, _times(name, lambda g: g))


def _factors(v, pool):
    for name, g in pool.items():
        for written, fit in fits(g.shape, v.shape) if g.dtype.kind == "f" and g.size > 1 else ():
            yield Remedy("factor missing", f"the factor {name}{written} is missing", _times(name, fit))
            if (g != 0).all():
                text = f"it must be divided by {name}{written}: that factor is one too many, or its division is missing"
                yield Remedy("factor doubled", text, _over(name, fit))


def masked(v: numpy.ndarray, pool: Pool) -> Iterator[Remedy]:
    """Gradient where a mask lets nothing through."""
    for name, m in pool.items():
        if m.size < 2 or not (m.dtype.kind == "b" or numpy.isin(m, (0, 1)).all()):
            continue
        for written, fit in fits(m.shape, v.shape):
            hidden = f"gradient flows through positions that {name}{written} hides: it must be 0 there"
            yield Remedy("masked positions", hidden, _where(name, fit, True))
            shown = f"gradient flows where {name}{written} is True: it must be 0 there"
            yield Remedy("masked positions", shown, _where(name, fit, False))


def rescaled(v: numpy.ndarray, pool: Pool) -> Iterator[Remedy]:
    """Dropout's mask forgotten together with its factor."""
    shares = {n: p for n, p in pool.items() if p.dtype.kind == "f" and p.size == 1 and 0 < p < 1}
    for (name, m), share in itertools.product(pool.items(), shares):
        if m.shape != v.shape or not (m.dtype.kind == "b" or numpy.isin(m, (0, 1)).all()):
            continue
        for factor, change in ((share, lambda p: p), (f"(1 - {share})", lambda p: 1 - p)):
            text = f"dropout's mask is forgotten: the gradient is {IT} · {name} / {factor}, as in forward"
            yield Remedy("factor missing", text, _rescale(name, share, change))


def branches(v: numpy.ndarray, pool: Pool) -> Iterator[Remedy]:
    """A path too few or too many: the gradients of all uses of an array add up."""
    like = [name for name, g in pool.items() if v.ndim and g.shape == v.shape and g.dtype.kind == "f"]
    for name in sorted(like, key=lambda n: n != "dy"):
        residual = name == "dy"
        kind = "residual" if residual else "branch"
        called = "the residual path, y = x + f(x)," if residual else f"the branch {name}"
        yield Remedy(f"missing {kind}", f"{called} is missing: add {name}", _plus(name, 1))
        yield Remedy(f"doubled {kind}", f"{called} counts twice: take {name} away", _plus(name, -1))


def products(v: numpy.ndarray, pool: Pool) -> Iterator[Remedy]:
    """The same of paths that still have to be multiplied."""
    for (a, x), (b, w) in itertools.product(pool.items(), pool.items()):
        if x.ndim >= 2 and w.ndim == 2 and x.shape[:-1] == v.shape[:-1]:
            for spelled, flip in ((f"{a} @ {b}", False), (f"{a} @ {b}.T", True)):
                if (w.T if flip else w).shape == (x.shape[-1], v.shape[-1]):
                    missing, twice = f"the branch {spelled} is missing: add it", f"the branch {spelled} counts twice"
                    yield Remedy("missing branch", missing, _plus_product(a, b, flip, 1))
                    yield Remedy("doubled branch", f"{twice}: take it away", _plus_product(a, b, flip, -1))
        if x.ndim == w.ndim >= 2 and x.shape[:-1] == w.shape[:-1] and (x.shape[-1], w.shape[-1]) == v.shape:
            text = f"a use of this weight is forgotten: add {a}.T @ {b}, summed over all positions"
            yield Remedy("missing branch", text, _plus_outer(a, b))


def same(a: numpy.ndarray, b: numpy.ndarray) -> bool:
    """Equal to rounding."""
    if a.shape != numpy.shape(b) or not a.size or abs(a.flat[0] - b.flat[0]) > 1e-12 + 1e-8 * abs(a.flat[0]):
        return False
    return numpy.allclose(a, b, rtol=1e-9, atol=1e-12)


# --- the changes, v and the pool q → what v should be ---


def _transpose(order: tuple) -> Change:
    return lambda v, q: v.transpose(order)


def _swap(i: int, j: int) -> Change:
    return lambda v, q: v.swapaxes(i, j)


def _reshape_like(name: str) -> Change:
    return lambda v, q: v.reshape(q[name].shape)


def _reshape_then_swap(v: numpy.ndarray, q: Pool) -> numpy.ndarray:
    B, H, T, dh = v.shape
    return v.reshape(B, T, H, dh).swapaxes(1, 2)


def _heads_first(v: numpy.ndarray, q: Pool) -> numpy.ndarray:
    B, H, T, dh = v.shape  # of a split into (B, T, dh, H)
    return v.transpose(0, 2, 3, 1).reshape(B, T, H, dh).swapaxes(1, 2)


def _relay(axis: int, heads: int) -> Change:
    def relay(v, q):
        moved = numpy.moveaxis(v, axis, -1)
        parts = moved.reshape(*moved.shape[:-1], -1, heads)  # (..., dh, H)
        return numpy.moveaxis(parts.swapaxes(-1, -2).reshape(moved.shape), -1, axis)

    return relay


def _flip(axis: int) -> Change:
    return lambda v, q: numpy.flip(v, axis)


def _sum(axes: tuple, keepdims: bool) -> Change:
    return lambda v, q: v.sum(axes, keepdims=keepdims)


def _times(name: str, fit: Callable) -> Change:
    return lambda v, q: v * fit(q[name])


def _rescale(name: str, share: str, change: Callable) -> Change:
    return lambda v, q: v * q[name] / change(q[share])


def _over(name: str, fit: Callable) -> Change:
    return lambda v, q: v / fit(q[name])


def _matmul(name: str, flip: bool) -> Change:
    return lambda v, q: v @ (q[name].T if flip else q[name])


def _plus(name: str, sign: int) -> Change:
    return lambda v, q: v + sign * q[name]


def _plus_product(a: str, b: str, flip: bool, sign: int) -> Change:
    return lambda v, q: v + sign * (q[a] @ (q[b].T if flip else q[b]))


def _plus_outer(a: str, b: str) -> Change:
    return lambda v, q: v + q[a].reshape(-1, v.shape[0]).T @ q[b].reshape(-1, v.shape[1])


def _where(name: str, fit: Callable, value: bool) -> Change:
    return lambda v, q: v * ((fit(q[name]) != 0) == value)


def _with_axes(index: tuple) -> Callable:
    return lambda a: a[index]


def fits(shape: tuple, target: tuple) -> Iterator[tuple[str, Callable]]:
    """(how it is written, change) for the ways in which an array lines up with another: m[..., None], and so on."""
    for extra in range(len(target) - len(shape) + 1):
        padded = shape + (1,) * extra
        if all(s in (1, t) for s, t in zip(padded[::-1], target[::-1], strict=False)):
            yield f"[...{', None' * extra}]" if extra else "", _with_axes((..., *(None,) * extra))
    if len(shape) == 2 and len(target) == 4 and shape == (target[0], target[3]):  # padding, for all heads and queries
        yield "[:, None, None]", _with_axes((slice(None), None, None))
