"""GELU, the tanh form."""

import numpy as np

C = np.sqrt(2 / np.pi)
A = 0.044715


def gelu_forward(x):
    t = np.tanh(C * (x + A * x**3))
    y = 0.5 * x * (1 + t)
    cache = (x, t)
    return y, cache


def gelu_grad(x, t):
    du = C * (1 + 3 * A * x**2)
    dt = (1 - t**2) * du
    return 0.5 * (1 + t) + 0.5 * x * dt


def gelu_backward(dout, cache):
    x, t = cache
    dx = dout * gelu_grad(x, t)
    return dx
