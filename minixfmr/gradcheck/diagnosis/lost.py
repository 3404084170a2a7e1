"""Mistakes that lose entries: applied to the right gradient, the mistake must give the wrong one."""

import itertools
import math

import numpy

from ..report import Explanation
from .case import Case


def irreversible(case: Case) -> Explanation | None:
    """Summed or averaged over axes on which each entry has a gradient of its own; parts in another order."""
    right = case.whole
    if right is None or case.evidence < 2:
        return None
    v = case.analytic
    for count in range(1, right.ndim + 1):
        for axes in itertools.combinations(range(right.ndim), count):
            if math.prod(right.shape[a] for a in axes) == 1:
                continue
            for word, keepdims in itertools.product(("summed", "averaged"), (False, True)):
                wrong = (right.sum if word == "summed" else right.mean)(axes, keepdims=keepdims)
                same = v.shape == wrong.shape or (v.shape == right.shape and keepdims)
                if same and numpy.allclose(v, wrong, rtol=1e-6, atol=1e-9 * abs(right).max()):
                    which, of = (f"axis {axes[0]}", "it") if count == 1 else (f"axes {axes}", "them")
                    sentence = f"it is {word} over {which}: each index of {of} has a gradient of its own"
                    return Explanation((case.name,), "summed over too many axes", sentence)
    if v.shape == right.shape and v.ndim >= 1:
        order = _permutation(v, right)
        if order is not None:
            axis, blocks = order
            sentence = f"the right numbers in the wrong places: along axis {axis} its parts come in the order {blocks}"
            return Explanation((case.name,), "axes permuted", sentence)
    return None


def _permutation(v, right):
    """(axis, order) where v is `right` with equal parts of an axis (heads, or single entries) exchanged."""
    close = 1e-6 * abs(right).max()
    for axis, size in enumerate(right.shape):
        for parts in (h for h in range(2, min(size, 64) + 1) if size % h == 0):
            a, b = (numpy.moveaxis(x, axis, 0).reshape(parts, -1) for x in (v, right))
            order = [int(numpy.abs(b - row).max(-1).argmin()) for row in a]
            if sorted(order) == list(range(parts)) != order and numpy.abs(b[order] - a).max() <= close:
                return axis, order
    return None
