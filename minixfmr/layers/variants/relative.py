"""Relative positions: what a score gains or loses by the distance between its query and its key.

Both layers here make the additive term of attention: forward(q, k) → bias (B or 1, H, Tq, Tk), and
backward(dbias) → the gradients that reach q and k through it. One object may serve all layers of a stack.
"""

import math

from ...backend import add_at, random_generator, to_device, xp
from ...checks.values import check_widths
from ...module import Module, Parameter
from ..multi_head import split_heads


def distances(Tq, Tk):
    """key - query position, (Tq, Tk). With Tk > Tq the queries are the last Tq, as in generation with a cache."""
    return xp.arange(Tk)[None, :] - xp.arange(Tk - Tq, Tk)[:, None]


def relative_buckets(distance, buckets, max_distance, bidirectional):
    """T5's buckets (Raffel et al. 2020, section 2.1): one per distance when near, wider and wider when far.

    distance: key - query. bidirectional: half of the buckets for keys after the query; otherwise those count as 0.
    """
    offset = 0
    if bidirectional:
        buckets //= 2
        offset = buckets * (distance > 0)
        n = abs(distance)
    else:
        n = xp.maximum(-distance, 0)
    exact = buckets // 2
    far = xp.log(xp.maximum(n, 1) / exact) / math.log(max_distance / exact) * (buckets - exact)
    far = xp.minimum(exact + far.astype(n.dtype), buckets - 1)
    return offset + xp.where(n < exact, n, far)


class RelativeBias(Module):
    """One learned number per bucket and head, added to the scores (Raffel et al. 2020)."""

    def __init__(self, num_heads, *, buckets=32, max_distance=128, bidirectional=True, rng=0, dtype="float32"):
        check_widths(buckets=buckets, num_heads=num_heads, max_distance=max_distance)
        values = random_generator(rng).normal(0, 0.02, (buckets, num_heads))
        self.weight = Parameter(to_device(values, dtype))
        self.options = (buckets, max_distance, bidirectional)

    def forward(self, q, k):
        """→ (1, H, Tq, Tk); of q and k only the lengths matter"""
        index = relative_buckets(distances(q.shape[2], k.shape[2]), *self.options)  # (Tq, Tk)
        return self.weight.data[index].transpose(2, 0, 1)[None], index

    def backward(self, dbias, index):
        """dbias: (B, H, Tq, Tk). Nothing reaches q and k.
        Derived in tutorials/11_every_gradient_derived, chapter 12."""
        rows = dbias.sum(axis=0).transpose(1, 2, 0)  # (Tq, Tk, H)
        add_at(self.weight.grad, index.reshape(-1), rows.reshape(-1, rows.shape[-1]))
        return 0, 0


def log_distances(n, buckets, max_distance):
    """DeBERTa v2's buckets of a signed distance: itself when near, its logarithm when far; odd in n."""
    middle = buckets // 2
    size = xp.maximum(abs(n), 1)
    far = xp.ceil(xp.log(size / middle) / math.log((max_distance - 1) / middle) * (middle - 1)) + middle
    return xp.where(abs(n) <= middle, n, (xp.sign(n) * far).astype(n.dtype))


class DisentangledBias(Module):
    """Content meets position in both directions (He et al. 2021, eq. 4).

        bias[q, k] = scale · (Q_q · P^K_δ + K_k · P^Q_δ),   δ = clip(bucket(q - k) + R, 0, 2R - 1)

    P^K and P^Q are the rows of one table of relative positions, R to each side, through two projections.
    table: (2R, d), shared by all layers; so is norm, if there is one. to_key, to_query: the projections, or None for a
    term that is left out. The paper takes δ(k, q) for the second term; the published code, and so this, the same δ.
    """

    def __init__(self, table, num_heads, scale, *, norm=None, to_key=None, to_query=None, buckets=0, max_distance=0):
        self.table, self.norm = table, norm
        self.to_key, self.to_query = to_key, to_query
        self.num_heads, self.scale = num_heads, scale
        self.buckets, self.max_distance = buckets, max_distance

    def forward(self, q, k):
        """q: (B, H, Tq, dh)    k: (B, H, Tk, dh)    →    (B, H, Tq, Tk)"""
        R = len(self.table.data) // 2
        n = -distances(q.shape[2], k.shape[2])  # (Tq, Tk)  q - k
        n = log_distances(n, self.buckets, self.max_distance) if self.buckets else n
        index = xp.clip(n + R, 0, 2 * R - 1)
        rows, saved_norm = (self.table.data, None) if self.norm is None else self.norm.forward(self.table.data)
        bias = xp.zeros((*q.shape[:3], k.shape[2]), dtype=q.dtype)
        saved: list = []
        for by_query, projection, x, at in ((True, self.to_key, q, index), (False, self.to_query, k, index.T)):
            if projection is None:
                saved.append(None)
                continue
            p, saved_projection = projection.forward(rows[None])  # (1, 2R, H·dh)
            p = split_heads(p, self.num_heads)  # (1, H, 2R, dh)
            scores = xp.take_along_axis(x @ p.swapaxes(-1, -2), at[None, None], -1) * self.scale
            bias += scores if by_query else scores.swapaxes(-1, -2)
            saved.append((x, p, at, saved_projection))
        return bias, (saved, saved_norm)

    def backward(self, dbias, saved):
        """dbias: (B, H, Tq, Tk) → (dq, dk)
        Derived in tutorials/11_every_gradient_derived, chapter 12."""
        saved_terms, saved_norm = saved
        drows = xp.zeros_like(self.table.data)
        gradients = []
        terms = ((self.to_key, dbias), (self.to_query, dbias.swapaxes(-1, -2)))
        for (projection, dscores), term in zip(terms, saved_terms, strict=True):
            if projection is None:
                gradients.append(0)
                continue
            x, p, at, saved_projection = term
            dproduct = _scatter_columns(dscores * self.scale, at, p.shape[2])  # (B, H, T, 2R)
            gradients.append(dproduct @ p)
            dp = (dproduct.swapaxes(-1, -2) @ x).sum(axis=0, keepdims=True)  # (1, H, 2R, dh)
            dp = dp.swapaxes(1, 2).reshape(1, len(drows), -1)  # (1, 2R, H·dh)
            drows += projection.backward(dp, saved_projection)[0]
        self.table.accumulate(drows if self.norm is None else self.norm.backward(drows, saved_norm))
        return tuple(gradients)


def _scatter_columns(dy, at, columns):
    """The backward of take_along_axis(x, at, -1):  dy (B, H, T, n), at (T, n) → (B, H, T, columns)."""
    B, H, T, n = dy.shape
    flat = (xp.arange(T)[:, None] * columns + at).reshape(-1)  # (T·n,)
    dx = xp.zeros((T * columns, B * H), dtype=dy.dtype)
    add_at(dx, flat, dy.transpose(2, 3, 0, 1).reshape(T * n, B * H))
    return dx.reshape(T, columns, B, H).transpose(2, 3, 0, 1)
