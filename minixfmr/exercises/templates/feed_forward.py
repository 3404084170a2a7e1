"""The feed-forward layer: each vector by itself through a wide hidden layer.

    h = x W₁ + b₁,   a = max(0, h),   y = a W₂ + b₂                  (Vaswani et al. 2017, eq. 2)

    x: (B, T, d)    W₁: (d, f)    b₁: (f,)    W₂: (f, d)    b₂: (d,)    →    y: (B, T, d)

Five gradients come back. Ask of each product which of the arrays h, a and x stood in it. ReLU lets the gradient pass
where an array was above 0: which one? You may import your own linear layer:

    from linear import linear_backward, linear_forward
"""

import numpy as np


def feed_forward_forward(x, w1, b1, w2, b2):
    """x: (B, T, d), w1: (d, f), b1: (f,), w2: (f, d), b2: (d,) → (y, saved), y: (B, T, d)"""
    raise NotImplementedError


def feed_forward_backward(dy, saved):
    """dy: (B, T, d) → dx: (B, T, d), dw1: (d, f), db1: (f,), dw2: (f, d), db2: (d,)"""
    raise NotImplementedError
