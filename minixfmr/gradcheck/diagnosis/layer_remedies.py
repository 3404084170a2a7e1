"""What people get wrong in one kind of layer: softmax and dropout; gathers what is known of the others.

As in remedies.py, a remedy is reported only if the gradient passes once it is applied.
"""

from collections.abc import Iterator

import numpy

from .activation_remedies import activation
from .label_remedies import embedding, labels
from .norm_remedies import normalization
from .remedies import IT, Change, Pool, Remedy, branches, masked, placed, products, rescaled, same, scaled, spread


def telling(v: numpy.ndarray, pool: Pool) -> Iterator[Remedy]:
    """Remedies for mistakes that v itself gives away: it is what the wrong formula gives."""
    yield from formulas(v, pool)
    yield from normalization(v, pool)


def formulas(v: numpy.ndarray, pool: Pool) -> Iterator[Remedy]:
    """Those that say all there is to say, without a line."""
    for family in (softmax, activation, labels, embedding, dropout):
        yield from family(v, pool)


def general(v: numpy.ndarray, pool: Pool) -> Iterator[Remedy]:
    """Remedies that fit any array."""
    for family in (placed, scaled, masked, rescaled, softmax_forgotten, branches, products):
        yield from family(v, pool)


def at_sites(v: numpy.ndarray, pool: Pool) -> Iterator[Remedy]:
    """Those that fit any array and tell little unless a line is known to go with them."""
    for family in (placed, scaled, masked, rescaled, softmax_forgotten, products, spread):
        yield from family(v, pool)


# --- softmax: y = softmax(x),   dx = y · (dy - Σ dy · y) ---


def softmax(v: numpy.ndarray, pool: Pool) -> Iterator[Remedy]:
    """The row term forgotten: v is dy · p, or the diagonal alone."""
    cause = "softmax row term missing"
    for name, p in pool.items():
        for axis in range(p.ndim) if p.shape == v.shape else ():
            if p.shape[axis] < 2 or not _is_distribution(p, axis):
                continue
            for dy, g in pool.items():
                right = _softmax_formula(name, dy, axis, v.ndim)
                if g.shape == v.shape and g is not p and same(v, g * p):
                    text = f"softmax's row term is missing, for every x of a row moves all of {name}: {right}"
                    yield Remedy(cause, text, _minus_row_term(name, axis))
                if g.shape == v.shape and g is not p and same(v, g - p * g.sum(axis, keepdims=True)):
                    text = f"this is the backward of log-softmax; of softmax {right}"
                    yield Remedy("wrong variable", text, _softmax_backward(name, axis, dy))
                if g.shape == v.shape and same(v, g * p * (1 - p)):
                    text = f"this is the diagonal of softmax's derivative alone: {right}"
                    yield Remedy(cause, text, _softmax_backward(name, axis, dy))


def softmax_forgotten(v: numpy.ndarray, pool: Pool) -> Iterator[Remedy]:
    """The whole way back through softmax forgotten: v is its dy."""
    for name, p in pool.items():
        for axis in (a for a in range(p.ndim) if p.shape == v.shape and p.shape[a] > 1 and _is_distribution(p, a)):
            text = f"the way back through softmax is missing: {_softmax_formula(name, IT, axis, v.ndim)}"
            yield Remedy("softmax row term missing", text, _softmax_backward(name, axis))


def _softmax_formula(p, dy, axis, ndim):
    over = "the last axis" if axis == ndim - 1 else f"axis {axis}"
    return f"the gradient is {p} · ({dy} - sum({dy} · {p}) over {over})"


def _minus_row_term(name: str, axis: int) -> Change:
    return lambda v, q: v - q[name] * v.sum(axis, keepdims=True)


def _softmax_backward(name: str, axis: int, dy: str = "") -> Change:
    def backward(v, q):
        g, p = q[dy] if dy else v, q[name]
        return p * (g - (g * p).sum(axis, keepdims=True))

    return backward


def _is_distribution(p, axis):
    """Non-negative, and each row along the axis sums to 1 (or to 0, where it may attend to nothing)."""
    if p.dtype.kind != "f" or p.min(initial=0) < 0:
        return False
    sums = p.sum(axis)
    return bool(((abs(sums - 1) < 1e-9) | (sums == 0)).all() and (sums > 0).any())


# --- dropout: y = x · mask / (1 - p),   dx = dy · mask / (1 - p) ---


def dropout(v: numpy.ndarray, pool: Pool) -> Iterator[Remedy]:
    """Another mask than forward's."""
    dy, y = pool.get("dy"), pool.get("the output")
    if dy is None or y is None or not dy.shape == y.shape == v.shape:
        return
    hidden = y == 0
    if not 0 < hidden.mean() < 1 or not (v == 0).any() or numpy.array_equal(hidden, v == 0):
        return
    inverted = numpy.array_equal(hidden, v != 0)
    what = "this is the mask upside down" if inverted else "this is not the mask that forward drew"
    text = f"{what}: use the one that forward drew, kept in the cache, rescaling included"
    for name, x in pool.items():
        drawn = name not in ("dy", "the output") and x.shape == v.shape and (x != 0).all()
        if drawn and not same(y, numpy.maximum(x, 0)):  # the mask is y / x; ReLU draws none
            yield Remedy("mask inverted" if inverted else "mask redrawn", text, _mask_of_forward(name))


def _mask_of_forward(name: str) -> Change:
    return lambda v, q: q["dy"] * (q["the output"] / q[name])
