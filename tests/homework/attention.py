"""Scaled dot-product attention."""

import numpy as np


def look_ahead_mask(length):
    return np.tril(np.ones((length, length), dtype=bool))


def softmax(s):
    e = np.exp(s - np.max(s, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def attention_forward(q, k, v, mask):
    d_head = q.shape[-1]
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(d_head)  # (B, H, Tq, Tk)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    w = softmax(scores)
    y = w @ v  # (B, H, Tq, dh)
    cache = (q, k, v, w)
    return y, cache


def attention_backward(dout, cache):
    q, k, v, w = cache
    d_head = q.shape[-1]

    dv = w.swapaxes(-1, -2) @ dout  # (B, H, Tk, dh)
    dw = dout @ v.swapaxes(-1, -2)  # (B, H, Tq, Tk)

    row = np.sum(dw * w, axis=-1, keepdims=True)
    dscores = w * (dw - row)
    dscores = dscores / np.sqrt(d_head)

    dq = dscores @ k  # (B, H, Tq, dh)
    dk = dscores.swapaxes(-1, -2) @ q  # (B, H, Tk, dh)
    return dq, dk, dv
