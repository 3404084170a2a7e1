"""Max pooling, windows of 3 that overlap."""

import numpy as np


def pooling_forward(x, k, stride):
    N, C, height, width = x.shape
    rows, columns = 1 + (height - k) // stride, 1 + (width - k) // stride
    y = np.zeros((N, C, rows, columns))
    for i in range(rows):
        for j in range(columns):
            window = x[:, :, i * stride : i * stride + k, j * stride : j * stride + k]
            y[:, :, i, j] = window.max(axis=(2, 3))
    return y, (x, k, stride)


def pooling_backward(dout, cache):
    x, k, stride = cache
    dx = np.zeros_like(x)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            window = x[:, :, i * stride : i * stride + k, j * stride : j * stride + k]
            largest = window == window.max(axis=(2, 3), keepdims=True)
            dx[:, :, i * stride : i * stride + k, j * stride : j * stride + k] += (
                largest * dout[:, :, i, j][:, :, None, None]
            )
    return dx
