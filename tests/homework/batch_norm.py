"""Batch normalisation in training, its backward written step by step."""

import numpy as np


def batch_norm_forward(x, gamma, beta, eps):
    mu = x.mean(axis=0)
    xc = x - mu
    var = (xc**2).mean(axis=0)
    std = np.sqrt(var + eps)
    hat = xc / std
    y = gamma * hat + beta
    return y, (xc, std, hat, gamma)


def batch_norm_backward(dout, cache):
    xc, std, hat, gamma = cache
    N = len(xc)
    dgamma = (dout * hat).sum(axis=0)
    dbeta = dout.sum(axis=0)
    dhat = dout * gamma
    dstd = -(dhat * xc).sum(axis=0) / std**2
    dvar = dstd / (2 * std)
    dxc = dhat / std + 2 / N * xc * dvar
    dmu = -dxc.sum(axis=0)
    dx = dxc + dmu / N
    return dx, dgamma, dbeta
