"""A recurrent net with tanh: h_t = tanh(x_t Wx + h_{t-1} Wh + b)."""

import numpy as np


def rnn_forward(x, h0, Wx, Wh, b):
    h, steps = h0, []
    for t in range(x.shape[1]):
        z = x[:, t] @ Wx + h @ Wh + b  # (N, H)
        h = np.tanh(z)
        steps.append(h)
    return np.stack(steps, axis=1), (x, h0, Wx, Wh, steps)


def rnn_backward(dout, cache):
    x, h0, Wx, Wh, steps = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wh.shape[1])
    dcarry = np.zeros_like(h0)
    for t in reversed(range(x.shape[1])):
        dh = dout[:, t] + dcarry
        dz = dh * (1 - steps[t] ** 2)
        before = steps[t - 1] if t > 0 else h0
        dx[:, t] = dz @ Wx.T
        dWx += x[:, t].T @ dz
        dWh += before.T @ dz
        db += dz.sum(axis=0)
        dcarry = dz @ Wh.T
    return dx, dcarry, dWx, dWh, db
