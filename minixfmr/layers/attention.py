"""Attention: each query gathers the values of the keys that match it.

The scores are kept transposed, one column a query, since a maximum down the columns of an array is four times
as fast as one along its short rows. Nothing outside this file sees it.
"""

from ..backend import column_max, column_sum, row_dot, xp
from .dropout import dropout, dropout_backward


def attention(query, key, value, mask=None, p=0.0, rng=None, bias=None, scale=None):
    """Scaled dot-product attention (Vaswani et al. 2017, eq. 1).

        S = Q Kᵀ / √dh + bias,   E = exp(S - max S),   Z = Σₖ E,   W = E / Z = softmax(S),   y = dropout(W) V

    query: (B, H, Tq, dh)    key, value: (B, H, Tk, dh)    →    y: (B, H, Tq, dh)
    mask: boolean, True = may attend, broadcastable to (B, H, Tq, Tk); a query that may attend to nothing yields 0
    p, rng: dropout on the weights (0 in the paper); rng None in evaluation
    bias: (B or 1, H, Tq, Tk), added to the scores (none in the paper). scale: in place of 1/√dh
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    e = key @ (query * scale).swapaxes(-1, -2)  # (B, H, Tk, Tq)  Sᵀ
    if bias is not None:
        e += bias.swapaxes(-1, -2)
    if mask is not None:
        visible = mask.swapaxes(-1, -2)  # (..., Tk, Tq)
        e += (visible.astype(e.dtype) - 1) * xp.finfo(e.dtype).max  # hidden: as low as a number can be
    e -= column_max(e)  # softmax does not change, and exp cannot overflow
    xp.exp(e, out=e)
    r = 1 / column_sum(e)  # (B, H, 1, Tq)  1 / Z
    if mask is not None:
        r *= visible.any(axis=-2, keepdims=True)
    r = r.swapaxes(-1, -2)  # (B, H, Tq, 1)
    dropped, saved_dropout = dropout(e, p, rng)
    y = heads_product(dropped.swapaxes(-1, -2), value)  # (B, H, Tq, dh)
    y *= r  # here and not on E, since y is smaller
    return y, (query, key, value, e, r, dropped, saved_dropout, y, scale)  # for dK, dQ, dW;  e · r: softmax;  y: for dS


def attention_backward(dy, saved):
    """dL/dquery, dL/dkey, dL/dvalue, dL/dbias for attention.

    Each query's weights sum to 1: raising one lowers the others, hence the second term of dS. It needs no pass over
    the weights, since Σₖ W · dW = Σₖ dropout(W) · (dy Vᵀ) = y · dy.

        dV = dropout(W)ᵀ dy,   dW = dropout_backward(dy Vᵀ),   dS = W · (dW - y · dy)
        dQ = dS K / √dh,   dK = dSᵀ Q / √dh,   dbias = dS: (B, H, Tq, Tk), to be summed where bias was broadcast

    Derived in tutorials/11_every_gradient_derived, chapters 4 and 10.
    """
    query, key, value, e, r, dropped, saved_dropout, y, scale = saved
    inner = row_dot(y, dy) * r  # (B, H, Tq, 1)
    dy = dy * r  # E instead of W = E r below: the r is here
    dvalue = heads_product(dropped, dy)  # (B, H, Tk, dh)
    ds = dropout_backward(value @ dy.swapaxes(-1, -2), saved_dropout)  # (B, H, Tk, Tq)
    ds -= inner.swapaxes(-1, -2)
    ds *= e
    dquery = heads_product(ds.swapaxes(-1, -2), key)  # (B, H, Tq, dh)
    dkey = heads_product(ds, query)  # (B, H, Tk, dh)
    dquery *= scale
    dkey *= scale
    return dquery, dkey, dvalue, ds.swapaxes(-1, -2)


def heads_product(a, b):
    """a @ b:  (B, H, m, n), (B, H, n, dh) → (B, H, m, dh), laid out so that merge_heads is a view."""
    y = xp.empty((a.shape[0], a.shape[2], a.shape[1], b.shape[3]), a.dtype).swapaxes(1, 2)
    return xp.matmul(a, b, out=y)
