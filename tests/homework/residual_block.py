"""A residual block: x + relu(x w1 + b1) w2."""

import numpy as np


def residual_block_forward(x, w1, b1, w2):
    z = x @ w1 + b1
    h = np.maximum(z, 0)
    return x + h @ w2, (x, z, h, w1, w2)


def residual_block_backward(dout, cache):
    x, z, h, w1, w2 = cache
    dw2 = h.T @ dout
    dh = dout @ w2.T
    dz = dh * (z > 0)
    dw1 = x.T @ dz
    db1 = dz.sum(axis=0)
    dx = dout + dz @ w1.T
    return dx, dw1, db1, dw2
