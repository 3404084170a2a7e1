"""GELU: a smooth relative of ReLU, used by BERT and GPT-2. Here in its tanh form.

    u = √(2/π) · (x + 0.044715 x³)
    y = ½ x (1 + tanh(u))                              (Hendrycks & Gimpel 2016, section 2)

    x: any shape    →    y: the same shape

There is an exact GELU too, with the error function. The two differ by less than a thousandth, and so do their
derivatives: enough for a gradient check to complain when forward uses one and backward the other.

x occurs twice in y, so there are two terms; and dL/dx is to be taken at x, not at y.
"""

import numpy as np


def gelu_forward(x):
    """x: (...) → (y, saved), y: (...)"""
    raise NotImplementedError


def gelu_backward(dy, saved):
    """dy: (...) → dx: (...)"""
    raise NotImplementedError
