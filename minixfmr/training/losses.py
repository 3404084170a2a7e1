"""Losses: one number that says how wrong the logits are."""

import math
from typing import Any

from ..backend import by_rows, number, row_max, row_mean, row_sum, to_device, xp
from ..checks.arrays import integers
from ..checks.learning import check_criterion, check_labels, check_range, divisor


@by_rows
def cross_entropy(logits, labels, weight, smoothing=0.0):
    """Negative log-likelihood of the labels, with label smoothing (Szegedy et al. 2016, section 7).

        z = logits - max(logits),   e = exp(z),   Z = Σ e,   log p = z - log Z
        ℓ = -(1 - ε) log p[label] - ε mean(log p),   loss = Σ weight ⊙ ℓ

    Subtracting the maximum of each row leaves p as it is.
    logits: (N, V)    labels: (N, 1) integers    weight: (N, 1)    smoothing ε    →    loss: a number
    """
    z = logits - row_max(logits)  # (N, V)
    e = xp.exp(z)
    Z = row_sum(e)  # (N, 1)
    log_p_label = xp.take_along_axis(z, labels, -1) - xp.log(Z)  # (N, 1)
    mean_log_p = row_mean(z) - xp.log(Z)  # (N, 1)
    loss = weight * (-(1 - smoothing) * log_p_label - smoothing * mean_log_p)
    return loss.sum(), (e, Z, labels, weight, smoothing)  # e, Z: for p


@by_rows
def cross_entropy_backward(saved):
    """dL/dlogits for cross_entropy, where L is the loss itself.

        p = e / Z,   dz = weight ⊙ (p - ε / V - (1 - ε) [label])

    [label] is 1 at the label and 0 elsewhere. → (N, V)
    Derived in tutorials/11_every_gradient_derived, chapter 5.
    """
    e, Z, labels, weight, smoothing = saved
    dz = weight * (e / Z - smoothing / e.shape[-1])  # (N, V)  p = e / Z
    dz[xp.arange(len(dz))[:, None], labels] -= (1 - smoothing) * weight
    return dz


class CrossEntropy:
    """Mean cross-entropy over the labels that count: those that are not ignore_index.

    The same as torch.nn.CrossEntropyLoss, label smoothing included, but without any label that counts the loss is
    0, not NaN.
    """

    def __init__(self, ignore_index: int = -100, label_smoothing: float = 0.0) -> None:
        self.ignore_index, self.label_smoothing = check_criterion(ignore_index, label_smoothing)

    def count(self, labels: Any) -> int:
        """How many labels count."""
        return int((integers("labels", labels) != self.ignore_index).sum())

    def forward(self, logits: Any, labels: Any, count: int | None = None) -> tuple[Any, tuple]:
        """logits: (..., V)    labels: (...), integers, best a NumPy array    →    loss: a Python float

        On a GPU the loss is an array without axes: float(loss) fetches it, and waits for all work before it.

        count: what the sum over the labels is divided by, if not their own number: the number of labels in the whole
        batch when this is a part of it, so that the losses and gradients of the parts add up to those of the whole.
        Raises TypeError or ValueError for labels that are not integers, do not fit the logits or lie outside [0, V).
        """
        labels, V = check_labels(logits, labels), logits.shape[-1]
        flat, rows = labels.reshape(-1), logits.reshape(-1, V)  # (N,), (N, V)
        counts = flat != self.ignore_index  # (N,)
        check_range(flat * counts, V, self.ignore_index)
        own, used = int(counts.sum()), None
        if 2 * own < len(flat):  # most labels do not count: leave their rows out
            used = to_device(counts.nonzero()[0])  # (n,)
            flat, rows = flat[counts], rows[used]  # (n,), (n, V)
        flat = to_device(flat)
        keep = flat != self.ignore_index
        safe = flat * keep  # id 0 stands in where the weight is 0
        weight = (keep / divisor(count, own)).astype(logits.dtype)[:, None]  # (N, 1)
        loss, saved = cross_entropy(rows, safe[:, None], weight, self.label_smoothing)
        return number(loss), (saved, used, logits.shape)

    def backward(self, saved: tuple) -> Any:
        """dlogits, of the shape of logits."""
        saved, used, shape = saved
        dz = cross_entropy_backward(saved)  # (N, V), or (n, V) of the rows that were used
        if used is None:
            return dz.reshape(shape)
        dlogits = xp.zeros((math.prod(shape[:-1]), shape[-1]), dtype=dz.dtype)  # (N, V)
        dlogits[used] = dz
        return dlogits.reshape(shape)
