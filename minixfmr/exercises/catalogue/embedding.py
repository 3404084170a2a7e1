"""Embedding: a vector for each token."""

import numpy

from ...layers import embedding, embedding_backward
from ..exercise import Pair
from .materials import DH, V, normal


def cases(rng):
    """Tokens repeat, and some of the table are not used."""
    ids = numpy.asarray([[3, 1, 4, 1, 5], [9, 3, 6, 3, 0]])
    return {"": (rng.permutation(V)[ids], normal(rng, V, DH))}


EXERCISE = Pair(
    "embedding",
    "ids table",
    title="a vector for each token",
    points=(1, 4),
    tutorial=3,
    right=lambda ids, table: embedding(ids, table)[0],
    gradients=lambda dy, ids, table: {"table": embedding_backward(dy, embedding(ids, table)[1])},
    cases=cases,
)
