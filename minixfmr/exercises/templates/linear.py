"""A linear layer: the same matrix and the same bias for every vector.

    y = x W + b

    x: (..., d_in)    weight W: (d_in, d_out)    bias b: (d_out,)    →    y: (..., d_out)

x may have any number of leading axes, such as (B, T, d_in) for B sentences of T tokens. W and b serve all B · T
vectors, so each of these has its say in dW and db. The shapes help: a gradient has the shape of what it is the gradient
of, and there are few ways to multiply two matrices that give it. (When d_in = d_out the shapes no longer help.)
"""

import numpy as np


def linear_forward(x, weight, bias):
    """x: (..., d_in), weight: (d_in, d_out), bias: (d_out,) → (y, saved), y: (..., d_out)"""
    raise NotImplementedError


def linear_backward(dy, saved):
    """dy: (..., d_out) → dx: (..., d_in), dweight: (d_in, d_out), dbias: (d_out,)"""
    raise NotImplementedError
