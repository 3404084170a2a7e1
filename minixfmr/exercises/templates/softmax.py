"""Softmax: turn scores into probabilities.

Attention uses it to decide how much of each value to take, the output layer to say how likely each token is.

    yᵢ = exp(xᵢ) / Σⱼ exp(xⱼ)        over the last axis

    x: (..., n) scores    →    y: (..., n), each row positive with sum 1

Two remarks before you start:

- exp(1000) overflows. Adding the same number to all scores of a row does not change y: choose that number well.
- In a row, every output depends on every input. So does the gradient, and forgetting that is the usual mistake.
  A test: what happens to L when all x of a row rise by the same amount, and what does that say about the sum of dx?
"""

import numpy as np


def softmax_forward(x):
    """x: (..., n) → (y, saved), y: (..., n). saved is a tuple of whatever your backward needs."""
    raise NotImplementedError


def softmax_backward(dy, saved):
    """dy: (..., n), dL/dy → dx: (..., n), dL/dx"""
    raise NotImplementedError
