"""Attention for long sequences, by blocks of keys: memory grows with T, not with T².

The scores of all queries and keys never exist at once. A block of queries meets the blocks of keys one after the other
and keeps, for each query, the largest score so far and the sum so far (Milakov & Gimelshein 2018; Rabe & Staats 2021;
FlashAttention, Dao et al. 2022). The backward computes the scores again, block by block.
"""

from ...backend import hidden, pairwise_dot, row_dot, row_max, row_sum, xp

BLOCK = 256  # queries and keys at a time


def long_attention(query, key, value, mask=None, scale=None):
    """The same as attention, without dropout and bias.

    For one query, after the keys of the blocks 1 ... j, with Sⱼ the scores of block j:

        mⱼ = max(mⱼ₋₁, max Sⱼ),   c = exp(mⱼ₋₁ - mⱼ),   Eⱼ = exp(Sⱼ - mⱼ)
        Zⱼ = c Zⱼ₋₁ + Σ Eⱼ,   Yⱼ = c Yⱼ₋₁ + Eⱼ Vⱼ,   in the end y = Y / Z

    c corrects what was summed up under a smaller maximum. At last L = m + log Z is kept, one number per query: with it
    the weights come back as W = exp(S - L).

    query: (B, H, Tq, dh)    key, value: (B, H, Tk, dh)    mask: as in attention    →    y: (B, H, Tq, dh)
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    Q = query * scale
    y, L = xp.empty_like(Q), xp.empty((*Q.shape[:3], 1), dtype=Q.dtype)
    for rows in _blocks(Q.shape[2]):
        q = Q[:, :, rows]  # (B, H, bq, dh)
        m = xp.full((*q.shape[:3], 1), xp.finfo(q.dtype).min / 2, dtype=q.dtype)  # above every hidden score
        Z, Y = xp.zeros_like(m), xp.zeros_like(q)
        for columns, visible in _visible(mask, rows, key.shape[2]):
            S = _scores(q, key[:, :, columns], visible)  # (B, H, bq, bk)
            m, before = xp.maximum(m, row_max(S)), m  # (B, H, bq, 1)
            c = xp.exp(before - m)
            E = xp.exp(S - m)
            Z = c * Z + row_sum(E)
            Y = c * Y + E @ value[:, :, columns]
        Z = xp.maximum(Z, 1)  # the largest score adds 1, so only a query that saw nothing has less, and Y = 0
        y[:, :, rows] = Y / Z
        L[:, :, rows] = m + xp.log(Z)
    return y, (Q, key, value, mask, scale, y, L)


def long_attention_backward(dy, saved):
    """dL/dquery, dL/dkey, dL/dvalue for long_attention: the formulas of attention_backward, block by block.

        W = exp(S - L),   dV = Wᵀ dy,   dW = dy Vᵀ,   dS = W ⊙ (dW - Σ dW ⊙ W),   dQ = dS K / √dh,   dK = dSᵀ Q / √dh

    Σ dW ⊙ W, over all keys, is dy · y: so it is known before the first block.

    Derived in tutorials/11_every_gradient_derived, chapter 10.
    """
    Q, key, value, mask, scale, y, L = saved
    inner = row_dot(dy, y)  # (B, H, Tq, 1)
    dquery, dkey, dvalue = xp.zeros_like(Q), xp.zeros_like(key), xp.zeros_like(value)
    for rows in _blocks(Q.shape[2]):
        q, d = Q[:, :, rows], dy[:, :, rows]  # (B, H, bq, dh)
        for columns, visible in _visible(mask, rows, key.shape[2]):
            k, v = key[:, :, columns], value[:, :, columns]  # (B, H, bk, dh)
            W = xp.exp(_scores(q, k, visible) - L[:, :, rows])  # (B, H, bq, bk)
            dvalue[:, :, columns] += W.swapaxes(-1, -2) @ d
            dS = W * (pairwise_dot(d, v) - inner[:, :, rows])
            dquery[:, :, rows] += dS @ k
            dkey[:, :, columns] += dS.swapaxes(-1, -2) @ q  # q has the scale already
    return dquery * scale, dkey, dvalue


def long_attention_weights(saved):
    """The softmax weights (B, H, Tq, Tk), all at once: for looking at, not for training."""
    Q, key, _, mask, _, _, L = saved
    return xp.exp(_scores(Q, key, mask) - L)


def _scores(q, k, visible):
    S = pairwise_dot(q, k)
    return S if visible is None else S + hidden(visible, S)


def _blocks(T):
    return [slice(start, min(start + BLOCK, T)) for start in range(0, T, BLOCK)]


def _visible(mask, rows, Tk):
    """(columns, their part of the mask) of each block of keys that these queries see: under a look-ahead mask half."""
    for columns in _blocks(Tk):
        part = mask
        if mask is not None:  # an axis of length 1 serves all
            part = mask[
                ..., rows if mask.shape[-2] > 1 else slice(None), columns if mask.shape[-1] > 1 else slice(None)
            ]
            if not part.any():
                continue
        yield columns, part
