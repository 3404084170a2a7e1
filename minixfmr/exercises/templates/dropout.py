"""Dropout: silence random units while training, so that no unit relies on another (Srivastava et al. 2014).

    y = x · keep / (1 - p)        keep: 1 with probability 1 - p, else 0, drawn for each element

    x: any shape    →    y: the same shape

Dividing by 1 - p already in training is called inverted dropout: the expectation of y is x, and nothing needs to be
rescaled in evaluation, when rng is None and y is x.

All randomness comes from rng, a numpy.random.Generator (rng.random(shape) draws from [0, 1)), so that a seed repeats
a training exactly. The backward has to speak of the units that were silent in its own forward. Neither function
may change the arrays that it is given.
"""

import numpy as np


def dropout_forward(x, p, rng):
    """x: (...), p: the probability to silence an element, rng: a Generator or None → (y, saved), y: (...)"""
    raise NotImplementedError


def dropout_backward(dy, saved):
    """dy: (...) → dx: (...)"""
    raise NotImplementedError
