"""What people get wrong in a backward pass, each with the change that puts it right.

A remedy is tried, never believed: it is reported only if the gradient passes once it is applied. The same catalogue
serves a gradient that backward returned and any expression inside backward.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy

from ..backend import erf

Pool = dict[str, numpy.ndarray]


@dataclass
class Remedy:
    """A change of an array v, given the other arrays at hand."""

    cause: str
    text: str  # what is wrong with v, and what to do: completes "dx: ..." and "line 12, `...`: ..."
    apply: Callable[[numpy.ndarray, Pool], numpy.ndarray]


def remedies(v: numpy.ndarray, pool: Pool) -> Iterator[Remedy]:
    """All remedies that could apply to v, the most specific first."""
    for family in (axes, scales, softmax, normalization, activation, labels, embedding, masks, terms, weight_terms):
        yield from family(v, pool)


def misshapen(v: numpy.ndarray, shape: tuple[int, ...], rows: tuple[int, ...]) -> Iterator[Remedy]:
    """Remedies for a gradient v that should have this shape. rows: the shape of the output that it comes from."""
    if sorted(v.shape) == sorted(shape):
        for order in itertools.permutations(range(v.ndim)):
            if tuple(v.shape[i] for i in order) == shape:
                what = "it is transposed" if v.ndim == 2 else f"its axes are in the wrong order, use transpose{order}"
                yield Remedy("transposed", f"{what}; the shape must be {shape}", lambda v, _, o=order: v.transpose(o))
    for count in range(1, v.ndim + 1):
        for summed in itertools.combinations(range(v.ndim), count):
            for keepdims in (False, True):
                if v.sum(summed, keepdims=keepdims).shape == shape:
                    bias = len(shape) == 1 and v.shape == rows
                    yield Remedy(
                        "bias not summed" if bias else "summed over too few axes",
                        f"it must be summed over axes {summed} as well: its array is used at every index of them, so "
                        f"the gradients add up",
                        lambda v, _, s=summed, k=keepdims: v.sum(s, keepdims=k),
                    )
    if v.size == math.prod(shape):
        yield Remedy(
            "wrong shape", f"the numbers are right, but the shape must be {shape}", lambda v, _: v.reshape(shape)
        )


# --- one family after the other ---


def softmax(v, pool):
    for name, p in pool.items():
        if p.shape != v.shape:
            continue
        for axis in range(p.ndim):
            if p.shape[axis] > 1 and _is_distribution(p, axis):
                text = f"softmax's row term is missing: with s = {name}, ds/dx is not diagonal, so "
                yield Remedy(
                    "softmax row term missing",
                    text + f"subtract s · (this summed over axis {axis})",
                    lambda v, q, n=name, a=axis: v - q[n] * v.sum(a, keepdims=True),
                )
                for dy, g in pool.items():
                    if g.shape == v.shape and _same(v, g * p * (1 - p)):
                        yield Remedy(
                            "softmax row term missing",
                            f"this is the diagonal of softmax's derivative alone: dx = {name} · ({dy} - sum({dy} · "
                            f"{name}) over axis {axis})",
                            lambda v, q, n=name, g=dy, a=axis: q[n] * (q[g] - (q[g] * q[n]).sum(a, keepdims=True)),
                        )
                yield Remedy(
                    "softmax row term missing",
                    text + f"dx = s · (dy - sum(dy · s) over axis {axis}), where this is dy",
                    lambda v, q, n=name, a=axis: q[n] * (v - (v * q[n]).sum(a, keepdims=True)),
                )


def normalization(v, pool):
    if v.ndim < 2 or v.shape[-1] < 3:
        return
    for name, centered, eps in _normalizable(v.shape, pool):
        norm, spread = ("LayerNorm", "variance") if centered else ("RMSNorm", "root mean square")
        if centered:
            yield Remedy(
                "mean term missing",
                f"{norm}'s mean depends on every x of its row: subtract the row's mean of this",
                lambda v, q: v - v.mean(-1, keepdims=True),
            )
        yield Remedy(
            "variance term missing",
            f"{norm}'s {spread} depends on every x of its row: subtract n · mean(this · n), n the normalised {name}",
            lambda v, q, a=name, c=centered, e=eps: _across(v, _unit(q[a], c, e), centered=False),
        )
        if centered:
            yield Remedy(
                "mean and variance terms missing",
                f"{norm}'s mean and variance depend on every x of their row: subtract mean(this) and "
                f"n · mean(this · n), n the normalised {name}",
                lambda v, q, a=name, e=eps: _across(v, _unit(q[a], True, e), centered=True),
            )
        for (gain, w), (dy, g) in itertools.product(pool.items(), pool.items()):
            if w.shape == v.shape[-1:] and g.shape == v.shape and g is not v:
                yield Remedy(
                    "gain outside the sums",
                    f"{norm}'s gain {gain} belongs inside the sums: put {dy} · {gain} in place of {dy} everywhere, "
                    f"and take {gain} out of the front",
                    lambda v, q, a=name, w=gain, g=dy, c=centered, e=eps: _gain_inside(
                        v, _unit(q[a], c, e), q[w], q[g], c
                    ),
                )


def activation(v, pool):
    like = {name: a for name, a in pool.items() if a.shape == v.shape and a.dtype.kind == "f"}
    for (name, x), y in itertools.product(like.items(), like.values()):
        for f, act in ACTIVATIONS.items():
            if y is not x and _same(y, act(x)) and not _same(y, x):
                yield Remedy(
                    "activation derivative missing",
                    f"the derivative of {f} is missing: multiply by {f}'({name})",
                    lambda v, q, n=name, d=SLOPES[f]: v * d(q[n]),
                )
    for upstream in (None, "dy"):  # the derivative itself, or already times dy
        g = pool.get(upstream, numpy.ones(()))
        if upstream and g.shape != v.shape:
            continue
        for (f, slope), (name, a) in itertools.product(SLOPES.items(), like.items()):
            if not _same(v, g * slope(a)):
                continue
            for (right, derivative), (of, x) in itertools.product(SLOPES.items(), like.items()):
                if (f, name) == (right, of) or right in PARTIAL:
                    continue
                if "output" in f + right or (a is not x and is_activation_of(a, x)):
                    cause, text = "derivative at the output", f"this is {f}'s derivative at {name}, the output"
                elif f in PARTIAL:
                    cause, text = "term missing", f"this is {f}, only a part of the derivative"
                elif name == of and "GELU" in f and "GELU" in right:
                    cause, text = "other GELU", f"this is the derivative of {f}"
                else:
                    cause, text = "wrong derivative", f"this is {f}'s derivative at {name}"
                yield Remedy(
                    cause,
                    f"{text}; take that of {right}" + ("" if "output" in right else f" at its input {of}"),
                    lambda v, q, d=derivative, o=of, u=upstream: d(q[o]) * (q[u] if u else 1),
                )


def labels(v, pool):
    """Cross-entropy: rows that do not count, smoothing, and the number of labels that do."""
    if v.ndim < 2:
        return
    for name, ids in pool.items():
        if ids.dtype.kind not in "iu" or ids.shape != v.shape[:-1] or ids.max(initial=0) >= v.shape[-1]:
            continue
        ignored = [i for i in numpy.unique(ids) if i < 0] or [0]
        for index in ignored:
            yield Remedy(
                "ignore_index",
                f"rows whose {name} is {index} do not count: their gradient is 0",
                lambda v, q, n=name, i=index: v * (q[n] != i)[..., None],
            )
            counted = ids != index
            if 0 < counted.sum() < ids.size:
                for over, total in (("all labels", ids.size), ("nothing", 1)):
                    yield Remedy(
                        "not divided by the labels that count",
                        f"rows whose {name} is {index} do not count, and the mean is over the {counted.sum()} others, "
                        f"but this is divided by {over}",
                        lambda v, q, n=name, i=index, t=total: v * (q[n] != i)[..., None] * (t / (q[n] != i).sum()),
                    )


def smoothing(v: numpy.ndarray, right: numpy.ndarray, where: tuple, pool: Pool, numbers: list) -> Iterator[Remedy]:
    """Label smoothing forgotten, for the label or for the others: v lacks c · onehot + e · 1 in rows that count.

    right: (n,) the numeric gradient at the entries `where`; c and e are fitted to them, and one of the numbers must be
    the ε that they amount to.
    """
    for name, ids in pool.items():
        if ids.dtype.kind not in "iu" or v.ndim < 2 or ids.shape != v.shape[:-1] or ids.max(initial=0) >= v.shape[-1]:
            continue
        counted = (ids >= 0)[..., None]
        onehot = (ids[..., None] == numpy.arange(v.shape[-1])) * counted * 1.0
        basis = numpy.stack([onehot, numpy.broadcast_to(counted, v.shape) * 1.0])
        (c, e), *_ = numpy.linalg.lstsq(basis[(slice(None), *where)].T, right - v[where], rcond=None)
        for epsilon in numbers:
            share = epsilon / v.shape[-1] / counted.sum()
            if abs(e + share) < 1e-6 * share:
                yield Remedy(
                    "label smoothing",
                    f"label smoothing is forgotten: the target is (1 - ε) · onehot({name}) + ε / V with ε = {epsilon:g}",
                    lambda v, q, c=c, e=e, basis=basis: v + c * basis[0] + e * basis[1],
                )


def embedding(v, pool):
    if v.ndim != 2:
        return
    for name, ids in pool.items():
        if ids.dtype.kind not in "iu" or ids.size < 2 or ids.min() < -v.shape[0] or ids.max() >= v.shape[0]:
            continue
        for dy, g in pool.items():
            if g.shape != ids.shape + v.shape[1:]:
                continue
            assigned = numpy.zeros_like(v)
            assigned[ids] = g
            ratio = float((v * assigned).sum() / max((assigned * assigned).sum(), 1e-300))
            if ratio and _same(v, ratio * assigned):
                yield Remedy(
                    "assigned instead of accumulated",
                    f"a token that occurs twice in {name} keeps the gradient of its last place only, for "
                    f"dtable[{name}] += ... assigns; use numpy.add.at(dtable, {name}, {dy})",
                    lambda v, q, n=name, g=dy, r=ratio: r * _accumulated(v, q[n], q[g]),
                )
        yield Remedy(
            "mean instead of sum",
            f"the gradient of a token is the sum over its places in {name}, not their mean",
            lambda v, q, n=name: v * numpy.bincount(q[n].ravel(), minlength=len(v))[:, None],
        )


def masks(v, pool):
    for name, m in pool.items():
        if m.dtype.kind == "f" and not numpy.isin(m, (0.0, 1.0)).all():
            continue
        if m.ndim == 0 or m.size < 2 or (m.dtype.kind != "b" and not numpy.isin(m, (0, 1)).all()):
            continue
        for text, fit in _fits(m.shape, v.shape):
            hidden = f"positions that {name}{text} hides"
            yield Remedy(
                "masked positions",
                f"gradient flows through {hidden}: it must be 0 there",
                lambda v, q, n=name, fit=fit: v * (fit(q[n]) != 0),
            )
            yield Remedy(
                "masked positions",
                f"gradient flows where {name}{text} is True: it must be 0 there",
                lambda v, q, n=name, fit=fit: v * (fit(q[n]) == 0),
            )


def axes(v, pool):
    if 2 <= v.ndim <= 4:
        for order in itertools.permutations(range(v.ndim)):
            if order != tuple(range(v.ndim)) and tuple(v.shape[i] for i in order) == v.shape:
                cause = "transposed" if sum(i != j for i, j in enumerate(order)) == 2 else "axes permuted"
                yield Remedy(cause, f"it is transposed: use .transpose{order}", lambda v, _, o=order: v.transpose(o))
    if v.ndim == 4:
        for i, j in ((1, 2), (2, 3), (1, 3)):
            if v.shape[i] != v.shape[j]:
                yield Remedy(
                    "axes permuted",
                    f"axes {i} and {j} must change places here: swapaxes({i}, {j})",
                    lambda v, _, i=i, j=j: v.swapaxes(i, j),
                )
        a, b, c, d = v.shape
        yield Remedy(
            "axes permuted",
            f"a reshape cannot move axes: reshape to {(a, c, b, d)} first, then exchange axes 1 and 2",
            lambda v, _: v.reshape(v.shape[0], v.shape[2], v.shape[1], v.shape[3]).swapaxes(1, 2),
        )
    for axis, size in enumerate(v.shape[:4]):
        for heads in range(2, size // 2 + 1 if v.ndim < 5 else 0):
            if size % heads == 0:
                text = (
                    f"axis {axis} of size {size} is laid out as {size // heads} × {heads} where it must be {heads} × "
                    f"{size // heads} (heads and d_head, or positions, change places in a reshape without transpose)"
                )
                yield Remedy("axes permuted", text, lambda v, _, a=axis, h=heads: _relaid(v, a, h))
        if 2 <= size <= 64 and v.ndim >= 2:
            text = f"axis {axis} runs backwards"
            yield Remedy("axes permuted", text, lambda v, _, a=axis: numpy.flip(v, a))


def terms(v, pool):
    """A path too few or too many: the gradients of all uses of an array add up."""
    like = [name for name, g in pool.items() if v.ndim and g.shape == v.shape and g.dtype.kind == "f"]
    for name in sorted(like, key=lambda n: n != "dy"):
        kind, called = (
            ("residual", "the residual path, y = x + f(x),") if name == "dy" else ("branch", f"the branch {name}")
        )
        yield Remedy(f"missing {kind}", f"{called} is missing: add {name}", lambda v, q, n=name: v + q[n])
        yield Remedy(f"doubled {kind}", f"{called} counts twice: take {name} away", lambda v, q, n=name: v - q[n])
    for (a, x), (b, w) in itertools.product(pool.items(), pool.items()):
        if x.ndim < 2 or w.ndim != 2 or x.shape[:-1] != v.shape[:-1]:
            continue
        for spelled, flip in ((f"{a} @ {b}", False), (f"{a} @ {b}.T", True)):
            if (w.T if flip else w).shape == (x.shape[-1], v.shape[-1]):

                def branch(q, a=a, b=b, flip=flip):
                    return q[a] @ (q[b].T if flip else q[b])

                yield Remedy(
                    "missing branch", f"the branch {spelled} is missing: add it", lambda v, q, g=branch: v + g(q)
                )
                yield Remedy(
                    "doubled branch",
                    f"the branch {spelled} counts twice: take it away",
                    lambda v, q, g=branch: v - g(q),
                )


def weight_terms(v, pool):
    """A use of a weight that backward forgot: dW = xᵀ dy of that use, over all positions."""
    if v.ndim != 2:
        return
    for (a, x), (b, g) in itertools.product(pool.items(), pool.items()):
        if x.ndim == g.ndim >= 2 and x.shape[:-1] == g.shape[:-1] and (x.shape[-1], g.shape[-1]) == v.shape:
            yield Remedy(
                "missing branch",
                f"a use of this weight is forgotten: add {a}.T @ {b} over all positions",
                lambda v, q, a=a, b=b: v + q[a].reshape(-1, v.shape[0]).T @ q[b].reshape(-1, v.shape[1]),
            )


def scales(v, pool):
    """A factor that is an array: a gain, a dropout mask, a local derivative."""
    for name, g in pool.items():
        if g.dtype.kind == "f" and g.ndim and (g.shape == v.shape or g.shape == v.shape[-1:]) and g.size > 1:
            yield Remedy("factor missing", f"the factor {name} is missing", lambda v, q, n=name: v * q[n])
            if (g != 0).all():
                yield Remedy("factor doubled", f"the factor {name} is one too many", lambda v, q, n=name: v / q[n])
    for name, w in pool.items():
        if w.ndim == 2 and v.ndim >= 2 and w.dtype.kind == "f":
            for spelled, flip in ((f"{name}.T", True), (name, False)):
                if v.shape[-1] == w.shape[1 if flip else 0]:
                    text = f"the factor {spelled} is missing: a product with {name} went forward, so backward has one"
                    yield Remedy("factor missing", text, lambda v, q, n=name, f=flip: v @ (q[n].T if f else q[n]))
    dy, y = pool.get("dy"), pool.get("the output")
    for name, x in pool.items():
        if dy is not None and x.shape == dy.shape == v.shape and name not in ("dy", "the output") and (x != 0).all():
            hidden = (y == 0) if y is not None and y.shape == v.shape else numpy.zeros(v.shape, bool)
            if 0 < hidden.mean() < 1 and not numpy.array_equal(hidden, v == 0):  # y = x · mask: dropout
                inverted = numpy.array_equal(hidden, v != 0)
                what = "this is the mask upside down" if inverted else "this is not the mask that forward drew"
                yield Remedy(
                    "mask inverted" if inverted else "mask redrawn",
                    f"{what}: use the one that forward drew, kept in the cache, rescaling included",
                    lambda v, q, n=name: q["dy"] * (q["the output"] / q[n]),
                )


# --- the mathematics that the remedies need ---

EPSILONS = (1e-5, 1e-6, 1e-8, 1e-12)
_C = math.sqrt(2 / math.pi)


def _sigmoid(x):
    return 1 / (1 + numpy.exp(-x))


def _tanh_of_gelu(x):
    return numpy.tanh(_C * (x + 0.044715 * x**3))


def _phi(x):
    return numpy.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _Phi(x):
    return (1 + erf(x / math.sqrt(2))) / 2


SLOPES: dict[str, Callable] = {
    "ReLU": lambda x: (x > 0).astype(float),
    "exact GELU": lambda x: _Phi(x) + x * _phi(x),
    "tanh GELU": lambda x: (
        (1 + _tanh_of_gelu(x)) / 2 + x / 2 * (1 - _tanh_of_gelu(x) ** 2) * _C * (1 + 3 * 0.044715 * x * x)
    ),
    "SiLU": lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))),
    "sigmoid": lambda x: _sigmoid(x) * (1 - _sigmoid(x)),
    "tanh": lambda x: 1 - numpy.tanh(x) ** 2,
    "sigmoid GELU": lambda x: _sigmoid(1.702 * x) * (1 + 1.702 * x * (1 - _sigmoid(1.702 * x))),
    "tanh, from its output": lambda y: 1 - y * y,
    "sigmoid, from its output": lambda y: y * (1 - y),
    "the first term of exact GELU's": lambda x: _Phi(x),
    "the first term of tanh GELU's": lambda x: (1 + _tanh_of_gelu(x)) / 2,
    "the first term of SiLU's": lambda x: _sigmoid(x),
}
PARTIAL = [name for name in SLOPES if "term" in name]
ACTIVATIONS: dict[str, Callable] = {
    "ReLU": lambda x: numpy.maximum(x, 0),
    "exact GELU": lambda x: x * _Phi(x),
    "tanh GELU": lambda x: x * (1 + _tanh_of_gelu(x)) / 2,
    "sigmoid GELU": lambda x: x * _sigmoid(1.702 * x),
    "SiLU": lambda x: x * _sigmoid(x),
    "sigmoid": _sigmoid,
    "tanh": numpy.tanh,
}


def is_activation_of(y: numpy.ndarray, x: numpy.ndarray) -> bool:
    """Is y one of the activations, taken of x?"""
    return (
        y.shape == x.shape and y.dtype.kind == x.dtype.kind == "f" and any(_same(y, f(x)) for f in ACTIVATIONS.values())
    )


def _same(a, b):
    return a.shape == numpy.shape(b) and a.size > 0 and numpy.allclose(a, b, rtol=1e-9, atol=1e-12)


def _is_distribution(p, axis):
    """Non-negative, and each row along the axis sums to 1 (or to 0, where it may attend to nothing)."""
    if p.dtype.kind != "f" or p.min(initial=0) < 0:
        return False
    sums = p.sum(axis)
    return bool(((abs(sums - 1) < 1e-9) | (sums == 0)).all() and (sums > 0).any())


def _normalizable(shape, pool):
    """(name, centered, eps) of the arrays that a norm may have normalised; eps is None where it is done already."""
    for name, a in pool.items():
        if a.shape == shape and a.dtype.kind == "f" and numpy.isfinite(a).all():
            square = (a * a).mean(-1)
            if abs(square - 1).max() < 0.02:  # eps makes a normalised row a little shorter than 1
                yield name, abs(a.mean(-1)).max() < 1e-9, None
            else:
                yield from ((name, centered, eps) for centered in (True, False) for eps in EPSILONS)


def _unit(a, centered, eps):
    """The rows of a with unit variance, and mean 0 where centered; as they are where eps is None."""
    if eps is None:
        return a
    a = a - a.mean(-1, keepdims=True) if centered else a
    return a / numpy.sqrt((a * a).mean(-1, keepdims=True) + eps)


def _across(z, n, centered):
    """z without the share that moves the mean (where centered) and the spread of its row."""
    mean = z.mean(-1, keepdims=True) if centered else 0
    return z - mean - n * (z * n).mean(-1, keepdims=True)


def _gain_inside(v, n, w, g, centered):
    """r · across(w g) where v = w · r · across(g); r of each row is found from v."""
    wrong = w * _across(g, n, centered)
    r = (v * wrong).sum(-1, keepdims=True) / numpy.maximum((wrong * wrong).sum(-1, keepdims=True), 1e-300)
    return r * _across(w * g, n, centered) if _same(v, r * wrong) else v


def _accumulated(v, ids, g):
    total = numpy.zeros_like(v)
    numpy.add.at(total, ids, g)
    return total


def _fits(shape, target):
    """(how it is written, function) for the ways in which a mask lines up with an array."""
    for extra in range(len(target) - len(shape) + 1):
        padded = shape + (1,) * extra
        if all(s in (1, t) for s, t in zip(padded[::-1], target[::-1], strict=False)) and len(padded) <= len(target):
            if extra and padded[-extra - 1] == 1:
                continue
            text = f"[...{', None' * extra}]" if extra else ""
            yield text, lambda m, e=extra: m.reshape(m.shape + (1,) * e)
    if len(shape) == 2 and len(target) == 4 and shape == (target[0], target[3]):
        yield "[:, None, None]", lambda m: m[:, None, None]


def _relaid(v, axis, heads):
    """Axis of size dh·heads read as (dh, heads), written as (heads, dh)."""
    moved = numpy.moveaxis(v, axis, -1)
    size = moved.shape[-1]
    laid = moved.reshape(*moved.shape[:-1], size // heads, heads).swapaxes(-1, -2).reshape(moved.shape)
    return numpy.moveaxis(laid, -1, axis)
