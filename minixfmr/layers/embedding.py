"""Token embedding: one learned vector a token."""

from ..backend import add_at, check_array, random_generator, to_device, to_numpy, xp
from ..module import Module, Parameter


def embedding(ids, table):
    """Look up one row a token:  y[b, t] = E[ids[b, t]].

    ids: (..., ) integers    table E: (V, d)    →    y: (..., d)
    """
    return table[ids], (ids, table.shape)


def embedding_backward(dy, saved, silent=None, dtable=None):
    """dL/dtable for embedding, (V, d). A token that occurs several times collects the gradient of each.

    silent: a token whose lookups are to add nothing, as padding in most published systems (their departure, not ours)
    dtable: the array to add to, as most rows of a large table get nothing; None: a new one

    Derived in tutorials/11_every_gradient_derived, chapter 3.
    """
    ids, shape = saved
    dtable = xp.zeros(shape, dy.dtype) if dtable is None else dtable
    if silent is not None:
        dy = dy * (ids != silent)[..., None]
    add_at(dtable, ids.reshape(-1), dy.reshape(-1, dy.shape[-1]))
    return dtable


def check_ids(ids, vocab_size, name="ids"):
    """The ids on the device. Raises TypeError unless they are integers, ValueError unless in [0, vocab_size).

    NumPy ids are checked before they move; the check of ids that are on a GPU waits for it.
    """
    if not hasattr(ids, "dtype"):
        ids = to_numpy(ids)
    if ids.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers (token ids), got {ids.dtype}: convert with .astype(int)")
    if ids.size and (ids.min() < 0 or ids.max() >= vocab_size):
        raise ValueError(
            f"{name} must lie in [0, {vocab_size}), got values from {ids.min()} to {ids.max()}: "
            "was the text encoded with this model's vocabulary?"
        )
    return to_device(ids)


class Embedding(Module):
    """A table of vocab_size learned vectors of width d; initial values normal with standard deviation d^(-1/2),
    so that after the paper's factor √d each entry has variance 1, and tied logits start near it too."""

    def __init__(self, vocab_size, d, *, silent=None, rng=0, dtype="float32"):
        self.silent = silent
        values = random_generator(rng).normal(0, d**-0.5, (vocab_size, d))
        self.weight = Parameter(to_device(values, dtype))

    def forward(self, ids):
        """ids: (...,) integers → (..., d). Raises TypeError or ValueError for ids that are no token of the table."""
        check_array(self.weight.data, "the table of this Embedding")
        return embedding(check_ids(ids, len(self.weight.data)), self.weight.data)

    def backward(self, dy, saved):
        """Adds to the table's gradient; ids have none, so returns None."""
        embedding_backward(dy, saved, self.silent, self.weight.grad)
