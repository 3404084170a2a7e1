"""Group normalisation over groups of channels."""

import numpy as np


def group_norm_forward(x, gamma, beta, groups):
    N, C, height, width = x.shape
    grouped = x.reshape(N, groups, -1)
    centred = grouped - grouped.mean(axis=2, keepdims=True)
    std = np.sqrt((centred**2).mean(axis=2, keepdims=True) + 1e-5)
    hat = (centred / std).reshape(x.shape)
    return gamma[:, None, None] * hat + beta[:, None, None], (hat, std, gamma, groups)


def group_norm_backward(dout, cache):
    hat, std, gamma, groups = cache
    N = len(dout)
    dgamma = np.sum(dout * hat, axis=(0, 2, 3))
    dbeta = np.sum(dout, axis=(0, 2, 3))
    dhat = (dout * gamma[:, None, None]).reshape(N, groups, -1)
    h = hat.reshape(N, groups, -1)
    inner = dhat - dhat.mean(axis=2, keepdims=True) - h * (dhat * h).mean(axis=2, keepdims=True)
    dx = (inner / std).reshape(dout.shape)
    return dx, dgamma, dbeta
