"""A convolution in four loops' worth of two: the windows of each output position at once."""

import numpy as np


def convolution_forward(x, w, b, stride, pad):
    N, C, height, width = x.shape
    F, _, k, _ = w.shape
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    rows, columns = 1 + (height + 2 * pad - k) // stride, 1 + (width + 2 * pad - k) // stride
    y = np.zeros((N, F, rows, columns))
    for i in range(rows):
        for j in range(columns):
            window = padded[:, :, i * stride : i * stride + k, j * stride : j * stride + k]
            y[:, :, i, j] = np.tensordot(window, w, axes=([1, 2, 3], [1, 2, 3])) + b
    return y, (x, padded, w, stride, pad)


def convolution_backward(dout, cache):
    x, padded, w, stride, pad = cache
    height, width = x.shape[2:]
    k = w.shape[2]
    dpadded, dw = np.zeros_like(padded), np.zeros_like(w)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            d = dout[:, :, i, j]  # (N, F)
            window = padded[:, :, i * stride : i * stride + k, j * stride : j * stride + k]
            dw += np.einsum("nf,ncab->fcab", d, window)
            dpadded[:, :, i * stride : i * stride + k, j * stride : j * stride + k] += np.einsum("nf,fcab->ncab", d, w)
    db = dout.sum(axis=(0, 2, 3))
    dx = dpadded[:, :, pad : pad + height, pad : pad + width]
    return dx, dw, db
