"""Softmax and cross-entropy with labels in the module; a negative label is ignored. Mean over those that count."""

import numpy as np

LABELS = np.array([2, 0, -1, 3, 1, -1, 2])


def labels_forward(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    real = LABELS >= 0
    losses = -np.log(p[np.arange(len(z)), LABELS])
    return np.sum(losses * real) / real.sum(), (p,)


def labels_backward(dout, cache):
    p = cache[0].copy()
    p[np.arange(len(p)), LABELS] -= 1
    real = LABELS >= 0
    dz = p * real[:, None] / real.sum()
    return dout * dz
