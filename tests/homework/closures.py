"""A small net in the functional style: each layer's forward returns its output and a function for its gradient."""

import numpy as np

KEEP = 0.8
MASK = np.random.default_rng(8).random((6, 5)) < KEEP


def dense(x, w, b):
    y = x @ w + b

    def pull(dy):
        return dy @ w.T, x.T @ dy, dy.sum(axis=0)

    return y, pull


def tanh(x):
    y = np.tanh(x)
    return y, lambda dy: dy * (1 - y**2)


def dropped(x):
    y = x * MASK / KEEP

    def pull(dy):
        return dy * MASK / KEEP

    return y, pull


def closures_forward(x, w1, b1, w2, b2):
    z, back1 = dense(x, w1, b1)
    a, back_tanh = tanh(z)
    d, back_drop = dropped(a)
    y, back2 = dense(d, w2, b2)
    return y, (back1, back_tanh, back_drop, back2)


def closures_backward(dout, cache):
    back1, back_tanh, back_drop, back2 = cache
    dd, dw2, db2 = back2(dout)
    da = back_drop(dd)
    dz = back_tanh(da)
    dx, dw1, db1 = back1(dz)
    return dx, dw1, db1, dw2, db2
