"""Feed-forward layer with ReLU."""

import numpy as np


def feed_forward_forward(x, w1, b1, w2, b2):
    h = x @ w1 + b1  # (B, T, f)
    a = np.maximum(h, 0)
    y = a @ w2 + b2  # (B, T, d)
    cache = (x, h, a, w1, w2)
    return y, cache


def feed_forward_backward(dout, cache):
    x, h, a, w1, w2 = cache
    d, f = w1.shape

    dw2 = a.reshape(-1, f).T @ dout.reshape(-1, d)
    db2 = dout.sum(axis=(0, 1))
    da = dout @ w2.T  # (B, T, f)
    dh = da * (h > 0)
    dw1 = x.reshape(-1, d).T @ dh.reshape(-1, f)
    db1 = dh.sum(axis=(0, 1))
    dx = dh @ w1.T  # (B, T, d)
    return dx, dw1, db1, dw2, db2
