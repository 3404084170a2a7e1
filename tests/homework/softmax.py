"""Softmax over the last axis."""

import numpy as np


def softmax_forward(x):
    shifted = x - np.max(x, axis=-1, keepdims=True)
    e = np.exp(shifted)
    total = np.sum(e, axis=-1, keepdims=True)  # (..., 1)
    y = e / total
    cache = (y,)
    return y, cache


def softmax_backward(dout, cache):
    (y,) = cache
    weighted = dout * y
    row = np.sum(weighted, axis=-1, keepdims=True)  # (..., 1)
    dx = weighted - y * row
    return dx
