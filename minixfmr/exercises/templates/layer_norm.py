"""Layer normalization: bring each vector to mean 0 and variance 1, then give it a learned scale and shift.

    μ = mean(x),   σ² = mean((x - μ)²)                 over the last axis
    n = (x - μ) / √(σ² + eps)
    y = n · weight + bias                              (Ba, Kiros & Hinton 2016, eq. 4)

    x: (..., d)    weight, bias: (d,)    →    y: (..., d)

The variance is divided by d, not by d - 1, and eps stands inside the root.

x affects y in three ways: directly, through μ, and through σ². All three contribute to dx. Draw the graph of the
computation, go back through it arrow by arrow, and simplify afterwards. Mind where weight stands in it: an error there
stays hidden as long as weight is 1, which is what it is at the start of every training.
"""

import numpy as np


def layer_norm_forward(x, weight, bias, eps=1e-5):
    """x: (..., d), weight, bias: (d,) → (y, saved), y: (..., d)"""
    raise NotImplementedError


def layer_norm_backward(dy, saved):
    """dy: (..., d) → dx: (..., d), dweight: (d,), dbias: (d,)"""
    raise NotImplementedError
