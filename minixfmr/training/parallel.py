"""Data parallelism: the rows of a batch are divided among workers."""

import contextlib
import functools
import weakref
from typing import Any

from ..backend import (
    close_all,
    cores,
    is_shared,
    keep_freed_memory,
    new_worker,
    on_all_cores,
    on_gpu,
    one_blas_thread,
    random_generator,
)
from ..checks.batches import check_batches, check_parts
from ..checks.values import is_count, require
from ..module import Module
from .flat import FlatParameter, replicate, write_zeros
from .losses import CrossEntropy

BATCH_AXES = {"mask": 4}  # how many axes an entry must have to begin with the batch's, where that is more than one


class ParallelGradients:
    """The loss and gradients of a batch, computed by several workers, each on some of its rows.

    Modules keep no state between forward and backward, so all workers read the same weights; each adds into
    gradients of its own, which are summed at the end. Each worker's matrix products then run on one core. The result
    does not depend on timing; a different number of workers changes it by rounding (and draws other dropout).
    The helpers work on a copy of the model made at the first call; of later changes they see only those of the weights.
    A batch too small to be worth a helper is computed by this process alone.

        gradients = ParallelGradients(model, criterion)
        for batch in batches:
            optimizer.zero_grad()
            loss, tokens = gradients([batch])
            optimizer.step()

    workers: how many, or "auto": one per core on a CPU, one on a GPU
    """

    SMALL = 1 << 22  # parameters times labels: a millisecond's work, which waiting for a helper would double
    leads = True  # whether this process is the one that writes files

    def __init__(self, model: Module, criterion: CrossEntropy, workers: int | str = "auto") -> None:
        keep_freed_memory()
        check_parts(model=model, criterion=criterion)
        self.model, self.criterion, self.workers = model, criterion, number_of_workers(workers)
        self.parameters = model.parameters()
        self._size = sum(p.data.size for p in self.parameters)
        self._arrays: list = []  # of the parameters, when the helpers began
        self._helpers: list = []  # all workers but the first, which is this process
        self._replicas: list = []  # the Parameters of each, with gradients of its own
        weakref.finalize(self, close_all, self._helpers)

    def __call__(self, batches, seed=None):
        """Add the gradients of the mean loss over all labels of the batches; return that loss and the label count.

        batches: a list of dictionaries, the keyword arguments of the model's forward plus "labels". Several give the
        same as one large batch, in less memory (gradient accumulation): each label weighs the same, wherever it is.
        seed: of dropout, a sequence of ints; None leaves dropout out.
        Every entry begins with the axis of the batch, or has one row for all of it; "mask" broadcasts to (B, H, Tq, Tk)
        from the right, and so begins with that axis only if it has all four. Raises ValueError for any other length.
        """
        count, parts = self._shared_out(check_batches(batches, self.model, seed))
        if len(parts) == 1:
            return self._compute(parts[0], 0, seed, count), count
        self._start_helpers()
        try:
            for w, helper in enumerate(self._helpers, start=1):
                helper.start(parts[w], w, seed, count)
            losses = [self._compute(parts[0], 0, seed, count)]
            losses += [helper.result() for helper in self._helpers]
        except BaseException:  # what the others are still computing must not be taken for the next answer
            close_all(self._helpers)
            self._arrays = []
            raise
        for parameters in self._replicas:
            pairs = list(zip(self.parameters, parameters, strict=True))
            on_all_cores(_add_gradient, pairs, self._size > 1 << 21)
        return sum(losses), count

    def agreed(self, number: int = 0) -> int:
        """The number itself: there is no other machine to agree with."""
        return number

    def _shared_out(self, batches):
        """(the label count, the rows of the batches for each worker that has work)"""
        count = sum(self.criterion.count(batch["labels"]) for batch in batches)
        work = self._size * sum(batch["labels"].size for batch in batches)
        n = self.workers if work > self.SMALL else 1
        return count, [[_rows(batch, w, n) for batch in batches] for w in range(n)]

    def _compute(self, batches, worker, seed, count):
        """add_gradients in this process; others compute beside it."""
        with one_blas_thread() if self.workers > 1 else contextlib.nullcontext():
            return add_gradients(self.model, self.criterion, batches, worker, seed, count)

    def _start_helpers(self):
        """Begin, or begin anew where an array has been replaced since, by an optimizer made later."""
        if self._arrays and all(p.data is array for p, array in zip(self.parameters, self._arrays, strict=True)):
            return
        close_all(self._helpers)
        apart = [p for p in self.parameters if not is_shared(p.data)]
        if apart:
            FlatParameter(apart)  # moves them into memory that the helpers share
        self._arrays, self._replicas = [p.data for p in self.parameters], []
        for _ in range(self.workers - 1):
            replica = replicate(self.model)
            compute = functools.partial(_helper_gradients, replica, self.criterion)
            self._helpers.append(new_worker(compute))
            self._replicas.append(replica.parameters())


def number_of_workers(workers: Any) -> int:
    """The number meant by workers = "auto" or a count. Raises ValueError for anything else."""
    if isinstance(workers, str) and workers == "auto":
        return 1 if on_gpu() else cores()
    require("workers", workers, is_count(workers, 1, 1 << 10), '"auto" or an integer of at least 1')
    return int(workers)


def _rows(batch, worker, workers):
    """A worker's rows of a batch. What has one row for all, or no rows, goes to every worker."""
    B = len(batch["labels"])
    rows = {}
    for name, array in batch.items():
        axes = getattr(array, "ndim", 0)
        whole = axes < BATCH_AXES.get(name, 1) or len(array) == 1 < B
        if not whole and len(array) != B:
            raise ValueError(
                f"{name} has shape {tuple(array.shape)}: it must have {B} rows, as labels has, or 1 for all"
            )
        rows[name] = array if whole else array[worker::workers]
    return rows


def add_gradients(model, criterion, batches, worker, seed, count):
    """Add the gradients of the summed losses of the batches, each divided by count; return that loss."""
    loss = 0.0
    for number, batch in enumerate(batches):
        inputs = {name: array for name, array in batch.items() if name != "labels"}
        if not len(batch["labels"]):  # fewer rows than workers
            continue
        rng = None if seed is None else random_generator([*seed, number, worker])
        logits, saved = model.forward(**inputs, rng=rng)
        part, saved_loss = criterion.forward(logits, batch["labels"], count)
        del logits  # often the largest array
        dlogits = criterion.backward(saved_loss)
        del saved_loss
        model.backward(dlogits, saved)
        loss += part
    return loss


def _add_gradient(pair):
    total, own = pair
    total.accumulate(own.grad)


def _helper_gradients(replica, criterion, batches, worker, seed, count):
    parameters = replica.parameters()
    for p in parameters:
        p.clear_grad()
    loss = add_gradients(replica, criterion, batches, worker, seed, count)
    write_zeros(parameters)
    return loss
