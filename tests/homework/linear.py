"""Linear layer."""

import numpy as np


def linear_forward(x, weight, bias):
    y = x @ weight + bias  # (..., d_out)
    cache = (x, weight)
    return y, cache


def linear_backward(dout, cache):
    x, weight = cache
    d_in, d_out = weight.shape
    rows = x.reshape(-1, d_in)  # (N, d_in)
    drows = dout.reshape(-1, d_out)  # (N, d_out)

    dx = dout @ weight.T  # (..., d_in)
    dweight = rows.T @ drows  # (d_in, d_out)
    dbias = np.sum(drows, axis=0)  # (d_out,)
    return dx, dweight, dbias
