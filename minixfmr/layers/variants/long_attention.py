"""Attention for long sequences, by blocks of keys: memory grows with T, not with T².

The scores of all queries and keys never exist at once. A block of queries meets the blocks of keys one after the other
and keeps, for each query, the largest score so far and the sum so far (Milakov & Gimelshein 2018; Rabe & Staats 2021;
FlashAttention, Dao et al. 2022). The backward computes the scores again, block by block.
"""

from ...backend import (
    by_columns,
    head_blocks,
    heads_apart,
    hidden,
    on_all_cores,
    on_gpu,
    pairwise_dot,
    row_dot,
    row_max,
    row_sum,
    xp,
)

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
    Q, key, value = heads_apart(query * scale), heads_apart(key), heads_apart(value)
    y, L = xp.empty_like(query), xp.empty((*Q.shape[:3], 1), dtype=Q.dtype)  # y: laid out so that merge_heads is a view
    visible = _visible(mask, Q.shape[2], key.shape[2])

    def attend(heads):
        for rows, seen in visible:
            q = Q[heads][:, :, rows]  # (B, H, bq, dh), or of one sequence and one head
            m = xp.full((*q.shape[:3], 1), xp.finfo(q.dtype).min / 2, dtype=q.dtype)  # above every hidden score
            Z, Y = xp.zeros_like(m), xp.zeros_like(q)
            for columns, part in seen:
                S = _scores(q, key[heads][:, :, columns], _of(heads, part))  # (B, H, bq, bk)
                m, before = xp.maximum(m, row_max(S)), m  # (B, H, bq, 1)
                c = xp.exp(before - m)
                E = xp.exp(S - m)
                Z = c * Z + row_sum(E)
                Y = c * Y + E @ value[heads][:, :, columns]
            Z = xp.maximum(Z, 1)  # the largest score adds 1, so only a query that saw nothing has less, and Y = 0
            y[heads][:, :, rows] = Y / Z
            L[heads][:, :, rows] = m + xp.log(Z)

    on_all_cores(attend, head_blocks(Q))
    return y, (Q, key, value, visible, scale, y, L)


def long_attention_backward(dy, saved):
    """dL/dquery, dL/dkey, dL/dvalue for long_attention: the formulas of attention_backward, block by block.

        W = exp(S - L),   dV = Wᵀ dy,   dW = dy Vᵀ,   dS = W ⊙ (dW - Σ dW ⊙ W),   dQ = dS K / √dh,   dK = dSᵀ Q / √dh

    Σ dW ⊙ W, over all keys, is dy · y: so it is known before the first block.

    Derived in tutorials/11_every_gradient_derived, chapter 10.
    """
    Q, key, value, visible, scale, y, L = saved
    dy, inner = heads_apart(dy), row_dot(dy, y)  # inner: (B, H, Tq, 1)
    dquery, dkey, dvalue = xp.zeros_like(Q), xp.zeros_like(key), xp.zeros_like(value)

    def attend_backward(heads):
        for rows, seen in visible:
            q, d = Q[heads][:, :, rows], dy[heads][:, :, rows]  # (B, H, bq, dh)
            for columns, part in seen:
                k, v = key[heads][:, :, columns], value[heads][:, :, columns]  # (B, H, bk, dh)
                W = xp.exp(_scores(q, k, _of(heads, part)) - L[heads][:, :, rows])  # (B, H, bq, bk)
                dvalue[heads][:, :, columns] += W.swapaxes(-1, -2) @ d
                dS = W * (pairwise_dot(d, v) - inner[heads][:, :, rows])
                dquery[heads][:, :, rows] += dS @ k
                dkey[heads][:, :, columns] += dS.swapaxes(-1, -2) @ q  # q has the scale already

    on_all_cores(attend_backward, head_blocks(Q))
    return dquery * scale, dkey, dvalue


def long_attention_weights(saved):
    """The softmax weights (B, H, Tq, Tk), all at once: for looking at, not for training."""
    Q, key, _, visible, _, _, L = saved
    W = xp.zeros((*Q.shape[:3], key.shape[2]), dtype=Q.dtype)
    for rows, seen in visible:
        for columns, part in seen:
            W[:, :, rows, columns] = xp.exp(_scores(Q[:, :, rows], key[:, :, columns], part) - L[:, :, rows])
    return W


def _scores(q, k, part):
    S = pairwise_dot(q, k)
    return S if part is None else S + hidden(part, S)


def _blocks(T):
    return [slice(start, min(start + BLOCK, T)) for start in range(0, T, BLOCK)]


def _visible(mask, Tq, Tk):
    """[(a block of queries, [(a block of keys that they see, the mask between them, None if they see all)])]: under a
    look-ahead mask half of them."""
    return [(rows, [*_seen(mask, rows, _blocks(Tk))]) for rows in _blocks(Tq)]


def _seen(mask, rows, blocks):
    for columns in blocks:
        if mask is None:
            yield columns, None
            continue
        part = mask[..., rows if mask.shape[-2] > 1 else slice(None), columns if mask.shape[-1] > 1 else slice(None)]
        if part.any():
            yield columns, None if not on_gpu() and part.all() else by_columns(part)


def _of(heads, part):
    """The mask of these heads; an axis of length 1 serves all."""
    if part is None or part.ndim < 3:
        return part
    lead = (axis if n > 1 else slice(None) for axis, n in zip(heads[4 - part.ndim :], part.shape[:-2], strict=True))
    return part[tuple(lead)]
