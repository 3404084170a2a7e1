"""Scaled dot-product attention: each query gathers the values of the keys that match it.

    S = Q Kᵀ / √dh,   W = softmax(S) over the keys,   y = W V        (Vaswani et al. 2017, eq. 1)

    q: (B, H, Tq, dh)    k, v: (B, H, Tk, dh)    →    y: (B, H, Tq, dh)

A mask says which keys a query may attend to: True = may. Where it is False the weight is 0, and the weights that are
left sum to 1. Masking after the softmax does not do that; put something into S. Each query here may attend to one key
at least. The look-ahead mask lets position t attend to positions 0 ... t: a model that can see the token it is
asked to predict learns nothing else.

Batch and heads come first in all arrays, and `@` multiplies the last two axes; k.swapaxes(-1, -2) transposes them. Go
back through the formula from right to left, one product at a time, and keep the √dh. You may import your own softmax:

    from softmax import softmax_backward, softmax_forward
"""

import numpy as np


def look_ahead_mask(length):
    """→ (length, length) boolean: [query, key] is True where the query may attend to the key."""
    raise NotImplementedError


def attention_forward(q, k, v, mask):
    """q: (B, H, Tq, dh), k, v: (B, H, Tk, dh) → (y, saved), y: (B, H, Tq, dh)

    mask: boolean, True = may attend, broadcastable to (B, H, Tq, Tk); or None
    """
    raise NotImplementedError


def attention_backward(dy, saved):
    """dy: (B, H, Tq, dh) → dq: (B, H, Tq, dh), dk, dv: (B, H, Tk, dh)"""
    raise NotImplementedError
