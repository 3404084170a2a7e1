"""A vector for each token."""

import numpy

from ...layers import embedding, embedding_backward
from ..exercise import Mistake, Pair
from .materials import DH, V, normal


def cases(rng):
    """Tokens repeat, and some of the table are not used."""
    ids = numpy.asarray([[3, 1, 4, 1, 5], [9, 3, 6, 3, 0]])
    return {"": (rng.permutation(V)[ids], normal(rng, V, DH))}


def _assigned(dy, ids, table):
    dtable = numpy.zeros_like(table)
    dtable[ids] += dy
    return {"table": dtable}


def _averaged(dy, ids, table):
    count = numpy.bincount(ids.ravel(), minlength=len(table))
    return {"table": embedding_backward(dy, embedding(ids, table)[1]) / numpy.maximum(count, 1)[:, None]}


def _first(dy, ids, table):
    """Of a token that repeats, the first place alone."""
    dtable = numpy.zeros_like(table)
    tokens, places = numpy.unique(ids.ravel(), return_index=True)
    dtable[tokens] = dy.reshape(-1, dy.shape[-1])[places]
    return {"table": dtable}


TWICE = "a token that occurs twice keeps the gradient of {} alone: {}"
TUTORIAL = 3
EXERCISE = Pair(
    "embedding",
    "ids table",
    points=(1, 4),
    right=lambda ids, table: embedding(ids, table)[0],
    gradients=lambda dy, ids, table: {"table": embedding_backward(dy, embedding(ids, table)[1])},
    cases=cases,
    mistakes=(
        (
            Mistake("ids shifted", "the ids are shifted by one: id 0 is row 0", lambda ids, table: table[ids - 1]),
            Mistake("ids shifted", "the ids are shifted by one: id 0 is row 0", lambda ids, table: table[ids + 1]),
            Mistake(
                "factor √d",
                "the vectors are multiplied by √d, which this exercise does not ask for",
                lambda ids, table: table[ids] * table.shape[1] ** 0.5,
            ),
            Mistake("transposed", "its axes are exchanged: (B, T, d)", lambda ids, table: table[ids.T]),
        ),
        (
            Mistake(
                "repeated tokens",
                TWICE.format("its last place", "dtable[ids] += dy assigns; use np.add.at(dtable, ids, dy)"),
                _assigned,
            ),
            Mistake("repeated tokens", TWICE.format("its first place", "use np.add.at(dtable, ids, dy)"), _first),
            Mistake(
                "mean instead of sum", "the gradient of a token is the sum over its places, not their mean", _averaged
            ),
            Mistake(
                "does not start at 0",
                "dtable has to start at 0, not at 1",
                lambda dy, ids, table: {"table": embedding_backward(dy, embedding(ids, table)[1]) + 1},
            ),
            Mistake(
                "does not start at 0",
                "dtable has to start at 0, not at the table",
                lambda dy, ids, table: {"table": embedding_backward(dy, embedding(ids, table)[1]) + table},
            ),
        ),
    ),
)
