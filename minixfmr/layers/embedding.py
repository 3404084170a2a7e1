"""Token embedding: one learned vector per token."""

from typing import Any

from ..backend import Array, add_at, check_array, random_generator, to_device, xp
from ..checks.arrays import check_ids
from ..checks.values import check_widths, count
from ..module import Module, Parameter


def embedding(ids, table):
    """Look up one row per token:  y[b, t] = E[ids[b, t]].

    ids: (...) integers    table E: (V, d)    →    y: (..., d)
    """
    return table[ids], (ids, table.shape)


def embedding_backward(dy, saved, padding_idx=None, dtable=None):
    """dL/dtable for embedding:   dE[id] = Σ dy over all places where the id occurs.

    padding_idx: a token whose lookups add nothing, as padding in most published systems
    dtable: the array (V, d) to add to, as most rows of a large table get nothing; None: a new one

    Derived in tutorials/11_every_gradient_derived, chapter 3.
    """
    ids, shape = saved
    dtable = xp.zeros(shape, dtype=dy.dtype) if dtable is None else dtable
    if padding_idx is not None:
        dy = dy * (ids != padding_idx)[..., None]
    add_at(dtable, ids.reshape(-1), dy.reshape(-1, dy.shape[-1]))
    return dtable


class Embedding(Module):
    """A table of vocab_size learned vectors of width d; initial values normal with standard deviation d^(-1/2),
    so that after the paper's factor √d each entry has variance 1, and tied logits start near it too."""

    def __init__(
        self, vocab_size: int, d: int, *, padding_idx: int | None = None, rng: Any = 0, dtype: str = "float32"
    ) -> None:
        check_widths(vocab_size=vocab_size, d=d)
        self.padding_idx = None if padding_idx is None else count("padding_idx", padding_idx, 0, vocab_size - 1)
        values = random_generator(rng).normal(0, d**-0.5, (vocab_size, d))
        self.weight = Parameter(to_device(values, dtype))

    def forward(self, ids: Any) -> tuple[Array, tuple]:
        """ids: (...) integers → (..., d). Raises TypeError or ValueError for ids that are no token of the table."""
        check_array(self.weight.data, "the table of this Embedding")
        return embedding(check_ids(ids, len(self.weight.data)), self.weight.data)

    def backward(self, dy: Array, saved: tuple) -> None:
        """Adds to the table's gradient; ids have none, so returns None."""
        embedding_backward(dy, saved, self.padding_idx, self.weight.grad)
