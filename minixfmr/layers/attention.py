"""Attention: each query gathers the values of the keys that match it."""

from ..backend import heads_product, pairwise_dot, sum_to
from .dropout import dropout, dropout_backward
from .softmax import softmax, softmax_backward


def attention(query, key, value, mask=None, p=0.0, rng=None, bias=None, scale=None):
    """Scaled dot-product attention (Vaswani et al. 2017, eq. 1).

        Q = query / √dh,   S = Q Kᵀ + bias,   W = softmax(S),   D = dropout(W),   y = D V        (K = key, V = value)

    query: (B, H, Tq, dh)    key, value: (B, H, Tk, dh)    →    y: (B, H, Tq, dh)
    mask: boolean, True = may attend, broadcastable to (B, H, Tq, Tk); a query that may attend to nothing yields 0
    p, rng: dropout on the weights (0 in the paper); rng None in evaluation
    bias: (B or 1, H, Tq, Tk), added to the scores (none in the paper). scale: in place of 1/√dh
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    Q = query * scale  # here and not on S, which is larger
    S = pairwise_dot(Q, key)  # (B, H, Tq, Tk)
    shape = S.shape if bias is None else bias.shape
    if bias is not None:
        S = S + bias
    W = softmax(S, mask)  # (B, H, Tq, Tk)
    D, saved_dropout = dropout(W, p, rng)
    y = heads_product(D, value)  # (B, H, Tq, dh)
    # W: for dS;  D: for dvalue;  value: for dD;  key: for dquery;  Q: for dkey;  shape: for dbias
    return y, (Q, key, value, W, D, saved_dropout, scale, shape)


def attention_backward(dy, saved):
    """dL/dquery, dL/dkey, dL/dvalue, dL/dbias for attention.

        dvalue = Dᵀ dy,   dD = dy Vᵀ,   dW = dropout_backward(dD),   dS = softmax_backward(dW)
        dquery = dS K / √dh,   dkey = dSᵀ Q,   dbias = Σ dS over the axes along which bias was broadcast

    Derived in tutorials/11_every_gradient_derived, chapters 4 and 10.
    """
    Q, key, value, W, D, saved_dropout, scale, shape = saved
    dvalue = heads_product(D.swapaxes(-1, -2), dy)  # (B, H, Tk, dh)
    dD = pairwise_dot(dy, value)  # (B, H, Tq, Tk)
    dW = dropout_backward(dD, saved_dropout)
    dS = softmax_backward(dW, W)
    dquery = heads_product(dS, key) * scale  # (B, H, Tq, dh)
    dkey = heads_product(dS.swapaxes(-1, -2), Q)  # (B, H, Tk, dh)
    return dquery, dkey, dvalue, sum_to(dS, shape)
