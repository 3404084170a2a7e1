"""What people get wrong in one kind of layer: softmax, norms, cross-entropy, embeddings, dropout.

As in remedies.py, a remedy is reported only if the gradient passes once it is applied.
"""

from collections.abc import Callable, Iterator

import numpy

from .activation_remedies import activation
from .remedies import IT, Change, Pool, Remedy, branches, masked, placed, products, rescaled, same, scaled, spread

EPSILONS = (1e-5, 1e-6, 1e-8, 1e-12)


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


# --- norms: n = (x - mean) · r,   dx = r · (dn - mean(dn) - n · mean(dn · n)),   RMSNorm without the mean ---


def normalization(v: numpy.ndarray, pool: Pool) -> Iterator[Remedy]:
    """A term through mean or variance forgotten, or the gain outside of them."""
    if v.ndim < 2 or v.shape[-1] < 3:
        return
    for name, centered, eps in _normalizable(v.shape, pool):
        norm, spread = ("the norm", "variance") if centered else ("RMSNorm", "root mean square")
        depends = f"depends on every x of its row: subtract n · mean({IT} · n), n the normalised {name}"
        n = _unit(pool[name], centered, eps)
        flat = abs(v.mean(-1)).max() < 1e-9 * abs(v).max()  # the mean term is there
        upright = abs((v * n).mean(-1)).max() < 1e-3 * abs(v).max()  # so is the other, but for eps
        if centered and upright:
            text = f"the norm's mean depends on every x of its row: subtract the row's mean of {IT}"
            yield Remedy("mean term missing", text, lambda v, q: v - v.mean(-1, keepdims=True))
        if not upright and (flat or not centered):
            yield Remedy("variance term missing", f"{norm}'s {spread} {depends}", _through(name, centered, eps, False))
        if centered and not flat and not upright and _is_scaled_dn(v, pool):
            text = (
                f"the norm's mean and variance depend on every x of their row: subtract mean({IT}) and "
                f"n · mean({IT} · n), n the normalised {name}"
            )
            yield Remedy("mean and variance terms missing", text, _through(name, True, eps, True))
        for gain, w in pool.items():
            if w.shape != v.shape[-1:] or (w == 0).any() or not _is_across(v / w, n, centered):
                continue
            for dy, g in pool.items():
                if g.shape == v.shape and _gain_inside(v, n, w, g, centered) is not None:
                    text = (
                        f"{norm}'s gain {gain} belongs inside the sums: put {dy} · {gain} in place of {dy} everywhere, "
                        f"and take {gain} out of the front"
                    )
                    yield Remedy("gain outside the sums", text, _with_gain_inside(name, centered, eps, gain, dy))


def _is_scaled_dn(v, pool):
    """Is v some dy, or dy · gain, times one number for each row?"""
    for g in (g for g in pool.values() if g.shape == v.shape and not same(g, v)):
        for w in (1.0, *(w for w in pool.values() if w.shape == v.shape[-1:])):
            dn = w * g
            square = (dn * dn).sum(-1, keepdims=True)
            if (square > 0).all() and same(v, dn * ((v * dn).sum(-1, keepdims=True) / square)):
                return True
    return False


def _normalizable(shape, pool):
    """(name, centered, eps) of the arrays that a norm may have normalised; eps is None where it is done already."""
    for name, a in pool.items():
        if a.shape == shape and a.dtype.kind == "f" and numpy.isfinite(a).all():
            square = (a * a).mean(-1)
            if abs(square - 1).max() < 0.02:  # eps makes a normalised row a little shorter than 1
                yield name, bool(abs(a.mean(-1)).max() < 1e-9), None
            elif "the output" in pool:  # seen from outside, where the normalised rows may be in nobody's sight
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


def _is_across(z, n, centered):
    """Has z's share in the mean and the spread of its row been taken away? (Up to eps.)"""
    small = 1e-3 * abs(z).max()
    return abs((z * n).mean(-1)).max() < small and (not centered or abs(z.mean(-1)).max() < 1e-9 * abs(z).max())


def _through(name: str, centered: bool, eps: float | None, mean_too: bool) -> Change:
    return lambda v, q: _across(v, _unit(q[name], centered, eps), mean_too)


def _gain_inside(v, n, w, g, centered):
    """r · across(w g), if v is w · r · across(g) with some r for each row; else None."""
    wrong = w * _across(g, n, centered)
    r = (v * wrong).sum(-1, keepdims=True) / numpy.maximum((wrong * wrong).sum(-1, keepdims=True), 1e-300)
    return r * _across(w * g, n, centered) if same(v, r * wrong) else None


def _with_gain_inside(name: str, centered: bool, eps: float | None, gain: str, dy: str) -> Change:
    def change(v, q):
        mended = _gain_inside(v, _unit(q[name], centered, eps), q[gain], q[dy], centered)
        return v if mended is None else mended

    return change


# --- cross-entropy: dlogits = dy · (softmax(logits) - target) / (labels that count), 0 in the rows that do not ---


def labels(v: numpy.ndarray, pool: Pool) -> Iterator[Remedy]:
    for name, ids in _label_arrays(v, pool):
        for index in [int(i) for i in numpy.unique(ids) if i < 0] or [0]:
            counted = int((ids != index).sum())
            text = f"rows whose {name} is {index} do not count: their gradient is 0"
            yield Remedy("ignore_index", text, _rows_that_count(name, index, ""))
            if 0 < counted < ids.size:
                for over in ("all labels", "nothing"):
                    text = (
                        f"rows whose {name} is {index} do not count, and the mean is over the {counted} others, but "
                        f"this is divided by {over}"
                    )
                    change = _rows_that_count(name, index, over)
                    yield Remedy("not divided by the labels that count", text, change)


def smoothing(
    v: numpy.ndarray, right: numpy.ndarray, where: tuple, pool: Pool, numbers: list[float]
) -> Iterator[Remedy]:
    """Label smoothing forgotten, for the label or for the others: v lacks c · onehot + e · 1 in rows that count.

    right: (n,) the numeric gradient at the entries `where`; c and e are fitted to them, and one of the numbers must be
    the ε that they amount to.
    """
    for name, ids in _label_arrays(v, pool):
        counted = (ids >= 0)[..., None]
        onehot = (ids[..., None] == numpy.arange(v.shape[-1])) * counted * 1.0
        basis = numpy.stack([onehot, numpy.broadcast_to(counted, v.shape) * 1.0])
        (c, e), *_ = numpy.linalg.lstsq(basis[(slice(None), *where)].T, right - v[where], rcond=None)
        for epsilon in numbers:
            share = epsilon * float(pool["dy"]) / counted.sum()
            V, target = v.shape[-1], f"the target is (1 - ε) · onehot({name}) + ε / V, ε = {epsilon:g}"
            if abs(e + share / V) < 1e-6 * abs(share / V):
                text = f"label smoothing is forgotten: {target}"
                yield Remedy(
                    "label smoothing",
                    text,
                    _smoothed(name, epsilon, lambda V, c=c / share: c if c > 0.99 else 1 / V, lambda V: 1 / V),
                )
            elif abs(e - share / (V - 1) / V) < 1e-6 * abs(share / V) / V:
                text = f"ε is spread over the V - 1 other classes here, but over all V in forward: {target}"
                yield Remedy(
                    "label smoothing",
                    text,
                    _smoothed(name, epsilon, lambda V: -1 / V - 1 / (V - 1) / V, lambda V: -1 / (V - 1) / V),
                )


def _label_arrays(v, pool):
    for name, ids in pool.items():
        if ids.dtype.kind in "iu" and v.ndim >= 2 and ids.shape == v.shape[:-1] and ids.max(initial=0) < v.shape[-1]:
            yield name, ids


def _rows_that_count(name: str, index: int, total: str) -> Change:
    """0 in the rows that do not count; a mean over "all labels" or "nothing" becomes one over those that count."""

    def change(v, q):
        counts = q[name] != index
        divided = {"": 1, "all labels": counts.size, "nothing": 1}[total]
        return v * (counts * (divided / max(counts.sum(), 1) if total else 1.0))[..., None]

    return change


def _smoothed(name: str, epsilon: float, label: Callable, all_of: Callable) -> Change:
    """Add what label smoothing changes: label(V) of ε at the label, all_of(V) less everywhere in rows that count."""

    def change(v, q):
        counted, V = (q[name] >= 0)[..., None], v.shape[-1]
        onehot = (q[name][..., None] == numpy.arange(V)) * counted
        share = epsilon * float(q["dy"]) / counted.sum()
        return v + share * (label(V) * onehot - all_of(V) * counted)

    return change


# --- embedding: y = table[ids],   dtable[i] = Σ dy over the places where ids is i ---


def embedding(v: numpy.ndarray, pool: Pool) -> Iterator[Remedy]:
    """Tokens that occur twice: assigned, or averaged."""
    for name, ids in pool.items():
        if v.ndim != 2 or ids.dtype.kind not in "iu" or ids.size < 2 or ids.min() < 0 or ids.max() >= len(v):
            continue
        for dy, g in pool.items():
            if g.shape == ids.shape + v.shape[1:]:
                assigned = numpy.zeros_like(v)
                assigned[ids] = g
                square = float((assigned * assigned).sum())
                ratio = float((v * assigned).sum()) / square if square else 0
                if ratio and same(v, ratio * assigned):
                    text = (
                        f"a token that occurs twice in {name} keeps the gradient of its last place only, for "
                        f"dtable[{name}] += ... assigns; use numpy.add.at(dtable, {name}, {dy})"
                    )
                    yield Remedy("assigned instead of accumulated", text, _accumulated(name, dy, ratio))
        text = f"the gradient of a token is the sum over its places in {name}, not their mean"
        yield Remedy("mean instead of sum", text, _times_count(name))


def _accumulated(name: str, dy: str, ratio: float) -> Change:
    def change(v, q):
        total = numpy.zeros_like(v)
        numpy.add.at(total, q[name], ratio * q[dy])
        return total

    return change


def _times_count(name: str) -> Change:
    return lambda v, q: v * numpy.bincount(q[name].ravel(), minlength=len(v))[:, None]


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
