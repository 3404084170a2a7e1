"""What the cases are made of. Sizes all differ, gains are off 1 and biases off 0, masks hide what comes later and
padding: no mistake hides behind equal sizes or initial values."""

import numpy

from ...models import causal_mask, padding_mask

B, T, S, H, DH, F, V = 2, 5, 7, 3, 6, 13, 11
D = H * DH
EPS = 1e-5


def normal(rng, *shape):
    return rng.standard_normal(shape)


def matrix(rng, n, m):
    return rng.standard_normal((n, m)) / n**0.5


def gain(rng):
    return rng.uniform(0.5, 1.5, D)


def own_mask():
    """Look-ahead, and padding at the end of the second sequence: (B, 1, T, T)"""
    return causal_mask(T) & padding_mask(numpy.arange(T) < numpy.asarray([[T], [T - 1]]))


def memory_mask():
    """The first memory ends in padding: (B, S)"""
    return numpy.arange(S) < numpy.asarray([[S - 2], [S]])


def block(rng, norms, *prefixes):
    """The parameters p of a block."""
    p = {prefix + name: matrix(rng, D, D) for prefix in prefixes for name in ("w_q", "w_k", "w_v", "w_o")}
    p |= {"w1": matrix(rng, D, F), "b1": normal(rng, F), "w2": matrix(rng, F, D), "b2": normal(rng, D)}
    for i in range(1, norms + 1):
        p |= {f"norm{i}_weight": gain(rng), f"norm{i}_bias": normal(rng, D)}
    return p


def run(module, parameters, inputs, dy=None, **options):
    """y of a layer of the package with these parameters; with dy, its gradients.

    parameters: {name: array}, of the layer's own names → (what backward returns, {name: gradient})
    """
    own = dict(module.named_parameters())
    for name, value in parameters.items():
        own[name].data = value
        own[name].grad = numpy.zeros_like(value)
    y, saved = module.forward(*inputs, **options)
    if dy is None:
        return y
    dx = module.backward(dy, saved)
    return dx, {name: own[name].grad for name in parameters}
