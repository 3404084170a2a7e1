"""Cross-entropy with label smoothing, the mean over the labels that count."""

import numpy as np


def cross_entropy_forward(logits, labels, ignore_index=-100, label_smoothing=0.0):
    V = logits.shape[-1]
    z = logits.reshape(-1, V)  # (N, V)
    flat = labels.reshape(-1)  # (N,)
    N = len(flat)

    keep = flat != ignore_index
    safe = np.where(keep, flat, 0)
    count = max(np.sum(keep), 1)

    shifted = z - np.max(z, axis=1, keepdims=True)
    log_total = np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))  # (N, 1)
    log_p = shifted - log_total  # (N, V)

    target = np.full_like(log_p, label_smoothing / V)
    target[np.arange(N), safe] += 1 - label_smoothing
    losses = -np.sum(target * log_p, axis=1)  # (N,)
    loss = np.sum(losses * keep) / count

    cache = (log_p, target, keep, count, logits.shape)
    return loss, cache


def cross_entropy_backward(dout, cache):
    log_p, target, keep, count, shape = cache
    p = np.exp(log_p)
    dz = p - target
    dz = dz * keep[:, None]
    dz = dz / count
    dlogits = dout * dz.reshape(shape)  # (..., V)
    return dlogits
