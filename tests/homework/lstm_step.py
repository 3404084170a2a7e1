"""One step of an LSTM; its output is the new h and c side by side."""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def lstm_step_forward(x, h, c, Wx, Wh, b):
    H = h.shape[1]
    a = x @ Wx + h @ Wh + b  # (N, 4H)
    i, f, o = sigmoid(a[:, :H]), sigmoid(a[:, H : 2 * H]), sigmoid(a[:, 2 * H : 3 * H])
    g = np.tanh(a[:, 3 * H :])
    new_c = f * c + i * g
    new_h = o * np.tanh(new_c)
    return np.hstack([new_h, new_c]), (x, h, c, Wx, Wh, i, f, o, g, new_c)


def lstm_step_backward(dout, cache):
    x, h, c, Wx, Wh, i, f, o, g, new_c = cache
    H = h.shape[1]
    dnew_h, dnew_c = dout[:, :H], dout[:, H:]
    tanh_c = np.tanh(new_c)
    do = dnew_h * tanh_c
    dnew_c = dnew_c + dnew_h * o * (1 - tanh_c**2)
    di, df, dg = dnew_c * g, dnew_c * c, dnew_c * i
    dc = dnew_c * f
    da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)])
    dx, dh = da @ Wx.T, da @ Wh.T
    return dx, dh, dc, x.T @ da, h.T @ da, da.sum(axis=0)
