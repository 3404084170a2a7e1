"""Cross-entropy: one number that says how surprised the model was by the right tokens.

With p = softmax(z) over the last axis and a label c at each position,

    q[c] = 1 - ε + ε / V,   q[other] = ε / V                (label smoothing, Szegedy et al. 2016, section 7)
    ℓ = - Σᵥ q[v] · log p[v]
    loss = mean of ℓ over the labels that count

    logits z: (..., V)    labels: (...,) integers    →    loss: a number

A label equal to ignore_index (padding) does not count: it adds nothing to the sum, nor to the number that the sum is
divided by. If no label counts, the loss is 0.

Compute log p without first computing p: the logarithm of a probability that was rounded to 0 is -∞. And think about
what the gradient is at an ignored position, before you index with its label: -100 is a valid index in NumPy.
"""

import numpy as np


def cross_entropy_forward(logits, labels, ignore_index=-100, label_smoothing=0.0):
    """logits: (..., V), labels: (...,) → (loss, saved). label_smoothing is ε."""
    raise NotImplementedError


def cross_entropy_backward(dy, saved):
    """dy: a number, dL/dloss → dlogits: (..., V)"""
    raise NotImplementedError
