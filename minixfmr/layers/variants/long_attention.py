"""Attention for long sequences, by blocks of keys: memory grows with T, not with T².

The scores of all queries and keys never exist at once. A block of queries meets the blocks of keys one after the other
and keeps, for each query, the largest score so far and the sum so far (Milakov & Gimelshein 2018; Rabe & Staats 2021;
FlashAttention, Dao et al. 2022). The backward computes the scores again, block by block.
"""

from ...backend import row_dot, row_sum, xp

BLOCK = 256  # queries and keys at a time


def long_attention(query, key, value, mask=None, scale=None):
    """The same as attention, without dropout and bias.

    For one query, after the keys of the blocks 1 ... j, with Sⱼ the scores of block j:

        mⱼ = max(mⱼ₋₁, max Sⱼ),   c = exp(mⱼ₋₁ - mⱼ),   Eⱼ = exp(Sⱼ - mⱼ)
        Zⱼ = c Zⱼ₋₁ + Σ Eⱼ,   Yⱼ = c Yⱼ₋₁ + Eⱼ Vⱼ,   in the end y = Y / Z

    c corrects what was summed up under a smaller maximum. At last L = m + log Z is kept, a number a query: with it the
    weights come back as W = exp(S - L).

    query: (B, H, Tq, dh)    key, value: (B, H, Tk, dh)    mask: as in attention    →    y: (B, H, Tq, dh)
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    y, L = xp.empty_like(query), xp.empty((*query.shape[:3], 1), dtype=query.dtype)
    for rows in _blocks(query.shape[2]):
        q = query[:, :, rows] * scale  # (B, H, bq, dh)
        m = xp.full((*q.shape[:3], 1), xp.finfo(q.dtype).min)
        Z, Y = xp.zeros_like(m), xp.zeros_like(q)
        for columns in _blocks(key.shape[2]):
            visible = _part(mask, rows, columns)
            if visible is not None and not visible.any():
                continue  # under a look-ahead mask, half of the blocks
            s = q @ key[:, :, columns].swapaxes(-1, -2)  # (B, H, bq, bk)
            if visible is not None:
                s += (visible.astype(s.dtype) - 1) * xp.finfo(s.dtype).max
            new = xp.maximum(m, s.max(axis=-1, keepdims=True))  # (B, H, bq, 1)
            c = xp.exp(m - new)
            s -= new
            xp.exp(s, out=s)  # E
            if visible is not None:
                s *= visible  # a query that has seen nothing yet has m = the hidden scores, and E = 1
            Z = c * Z + row_sum(s)
            Y *= c
            Y += s @ value[:, :, columns]
            m = new
        seen = Z > 0  # (B, H, bq, 1)
        Z += ~seen
        y[:, :, rows] = Y / Z
        L[:, :, rows] = xp.where(seen, m + xp.log(Z), xp.finfo(L.dtype).max)  # nothing seen: W = exp(S - L) = 0
    return y, (query, key, value, mask, scale, y, L)


def long_attention_backward(dy, saved):
    """dL/dquery, dL/dkey, dL/dvalue for long_attention: the formulas of attention_backward, block by block.

    W = exp(S - L),   dV = Wᵀ dy,   dS = W · (dy Vᵀ - y · dy),   dQ = dS K / √dh,   dK = dSᵀ Q / √dh

    Derived in tutorials/11_every_gradient_derived, chapter 10.
    """
    query, key, value, mask, scale, y, L = saved
    inner = row_dot(y, dy)  # (B, H, Tq, 1)
    dquery, dkey, dvalue = xp.zeros_like(query), xp.zeros_like(key), xp.zeros_like(value)
    for rows in _blocks(query.shape[2]):
        q, d = query[:, :, rows] * scale, dy[:, :, rows]  # (B, H, bq, dh)
        for columns in _blocks(key.shape[2]):
            visible = _part(mask, rows, columns)
            if visible is not None and not visible.any():
                continue
            k = key[:, :, columns]  # (B, H, bk, dh)
            w = q @ k.swapaxes(-1, -2)  # (B, H, bq, bk)
            w -= L[:, :, rows]
            if visible is not None:
                xp.minimum(w, 0, out=w)  # a hidden score may exceed L
            xp.exp(w, out=w)
            if visible is not None:
                w *= visible
            dvalue[:, :, columns] += w.swapaxes(-1, -2) @ d
            ds = d @ value[:, :, columns].swapaxes(-1, -2)  # (B, H, bq, bk)
            ds -= inner[:, :, rows]
            ds *= w
            dquery[:, :, rows] += ds @ k
            dkey[:, :, columns] += ds.swapaxes(-1, -2) @ q  # q has the scale already
    dquery *= scale
    return dquery, dkey, dvalue


def long_attention_weights(saved):
    """The softmax weights (B, H, Tq, Tk), all at once: for looking at, not for training."""
    query, key, _, mask, scale, _, L = saved
    w = xp.minimum((query * scale) @ key.swapaxes(-1, -2) - L, 0)  # (B, H, Tq, Tk)
    return xp.exp(w) * (1 if mask is None else mask)


def _blocks(T):
    return [slice(start, min(start + BLOCK, T)) for start in range(0, T, BLOCK)]


def _part(mask, rows, columns):
    """The part of a mask for a block; an axis of length 1 serves all."""
    if mask is None:
        return None
    return mask[..., rows if mask.shape[-2] > 1 else slice(None), columns if mask.shape[-1] > 1 else slice(None)]
