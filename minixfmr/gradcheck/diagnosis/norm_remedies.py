"""What people get wrong in a norm: n = (x - mean) · r,   dx = r · (dn - mean(dn) - n · mean(dn · n)).

RMSNorm is the same without the mean. As in remedies.py, a change is tried, never believed.
"""

from collections.abc import Iterator

import numpy

from .remedies import IT, Change, Pool, Remedy, same

EPSILONS = (1e-5, 1e-6, 1e-8, 1e-12)


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
