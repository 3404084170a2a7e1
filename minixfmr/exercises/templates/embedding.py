"""Embedding: look up one learned vector for each token.

    y[b, t] = E[ids[b, t]]

    ids: (B, T) integers in [0, V)    table E: (V, d)    →    y: (B, T, d)

The ids are integers and have no gradient; the table has one. Most of its rows are not used by a batch, and some are
used several times: think about what a row deserves that was looked up twice. NumPy's `a[ids] += b` does something
else than it seems to when an id repeats; read about np.add.at.
"""

import numpy as np


def embedding_forward(ids, table):
    """ids: (B, T), table: (V, d) → (y, saved), y: (B, T, d)"""
    raise NotImplementedError


def embedding_backward(dy, saved):
    """dy: (B, T, d) → dtable: (V, d)"""
    raise NotImplementedError
