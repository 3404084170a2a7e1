"""What people get wrong where integers choose: labels of a loss, and tokens of an embedding.

    dlogits = dy · (softmax(logits) - target) / (labels that count), and 0 in the rows that do not count
    y = table[ids],   dtable[i] = Σ dy over the places where ids is i

As in remedies.py, a change is tried, never believed.
"""

from collections.abc import Callable, Iterator

import numpy

from .remedies import Change, Pool, Remedy, same


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
