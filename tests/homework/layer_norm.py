"""Layer normalization over the last axis."""

import numpy as np


def layer_norm_forward(x, weight, bias, eps=1e-5):
    mean = np.mean(x, axis=-1, keepdims=True)  # (..., 1)
    centered = x - mean
    var = np.mean(centered**2, axis=-1, keepdims=True)
    std = np.sqrt(var + eps)
    n = centered / std
    y = n * weight + bias
    cache = (n, std, weight)
    return y, cache


def layer_norm_backward(dout, cache):
    n, std, weight = cache
    d = n.shape[-1]
    dweight = np.sum((dout * n).reshape(-1, d), axis=0)
    dbias = np.sum(dout.reshape(-1, d), axis=0)

    dn = dout * weight
    through_mean = np.mean(dn, axis=-1, keepdims=True)
    through_var = n * np.mean(dn * n, axis=-1, keepdims=True)
    dx = (dn - through_mean - through_var) / std
    return dx, dweight, dbias
