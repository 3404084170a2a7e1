"""Inverted dropout."""


def dropout_forward(x, p, rng):
    if rng is None:
        return x.copy(), (None, p)
    keep = rng.random(x.shape) >= p
    y = x * keep / (1 - p)
    cache = (keep, p)
    return y, cache


def dropout_backward(dout, cache):
    keep, p = cache
    if keep is None:
        return dout.copy()
    dx = dout * keep / (1 - p)
    return dx
