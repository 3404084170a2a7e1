"""The training loop, as an iterator: the caller decides what to print, when to save and when to stop."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..backend import fits_in_memory, to_floats
from ..checks.batches import check_batch, check_parts, check_trainer, check_training
from ..checks.learning import check_finite, rate
from ..checks.values import count
from ..module import Module
from .losses import CrossEntropy
from .optimizers import AdamW, clip_grad_norm, grad_norm
from .variants.mpi import make_gradients
from .variants.resuming import Progress, Resumable


@dataclass
class StepResult:
    """What one optimizer step did."""

    step: int
    epoch: int
    loss: float  # mean over the labels of the step, in nats
    lr: float
    grad_norm: float  # before clipping
    tokens: int  # labels that counted


class Trainer(Resumable):
    """Train a model, batch by batch.

        for result in trainer.run(epochs=3):
            print(result.step, result.loss)

    data: has order(epoch) → list of batch keys, and batch(key) → dictionary, as TranslationData has.
    schedule: step → learning rate. accumulate: batches per step. workers: see ParallelGradients,
    or "mpi": the ranks that mpiexec started, on any number of machines (docs/mpi.md).
    clip_norm: see clip_grad_norm; None: no clipping.
    seed: of dropout; every random number of step n comes from (seed, n), so that resuming needs no generator state.
    """

    def __init__(
        self,
        model: Module,
        optimizer: AdamW,
        schedule: Callable[[int], float],
        data: Any,
        *,
        criterion: CrossEntropy | None = None,
        accumulate: int = 1,
        clip_norm: float | None = 1.0,
        workers: int | str = "auto",
        seed: int = 0,
    ) -> None:
        self.criterion = CrossEntropy() if criterion is None else criterion
        check_trainer(model, optimizer, schedule, data, self.criterion)
        self.model, self.optimizer, self.schedule, self.data = model, optimizer, schedule, data
        self.accumulate, self.clip_norm, self.seed = check_training(accumulate, clip_norm, seed)
        self.gradients = make_gradients(model, self.criterion, optimizer.flat, workers)
        self.workers = self.gradients.workers
        self.progress = Progress()

    def total_steps(self, epochs: int) -> int:
        """The number of optimizer steps in this many epochs, counted from the very beginning."""
        return count_steps(self.data, epochs, self.accumulate)

    def run(self, epochs: int) -> Iterator[StepResult]:
        """Train until `epochs` epochs are done, counted from the very beginning; yield a StepResult for each step.

        Raises TrainingDiverged, before it touches the weights, if the loss or a gradient is not finite.
        """
        while self.progress.epoch < count("epochs", epochs, 0):
            order = self.data.order(self.progress.epoch)
            if not order:
                raise ValueError("the data has no batches to train on")
            for start in range(self.progress.position, len(order), self.accumulate):
                keys = order[start : start + self.accumulate]
                result = self._step([self.data.batch(key) for key in keys])
                self.progress.position = start + len(keys)
                if self.progress.position == len(order):
                    self.progress.epoch, self.progress.position = self.progress.epoch + 1, 0
                yield result

    def _step(self, batches):
        step = self.progress.step + 1
        self.optimizer.zero_grad()
        with fits_in_memory("make the batches smaller, and accumulate more of them for the same step"):
            loss, tokens = self.gradients(batches, [self.seed, step])
        every = [self.optimizer.flat]  # all parameters as one
        loss, norm = to_floats(loss, grad_norm(every))  # all that a step brings back from a GPU
        check_finite(step, loss, norm, self.optimizer.flat.data)
        clip_grad_norm(every, self.clip_norm or math.inf, norm)
        self.optimizer.lr = rate(self.schedule(step), f", as the schedule gives for step {step}")
        self.optimizer.step()
        self.progress.step = step
        return StepResult(step, self.progress.epoch, loss, self.optimizer.lr, norm, tokens)


def count_steps(data: Any, epochs: int, accumulate: int = 1) -> int:
    """The number of optimizer steps in this many epochs of the data, which a schedule needs to know beforehand."""
    accumulate = count("accumulate", accumulate)
    return sum(-(-len(data.order(epoch)) // accumulate) for epoch in range(count("epochs", epochs, 0)))


def evaluate(model: Module, data: Any, criterion: CrossEntropy | None = None) -> float:
    """The mean loss over all labels of the data, in nats, without dropout."""
    criterion = CrossEntropy() if criterion is None else criterion
    check_parts(model=model, data=data, loss=criterion)
    loss, total = 0.0, 0
    for key in data.order(0):
        batch = check_batch(data.batch(key), model)
        labels = batch.pop("labels")
        counted = criterion.count(labels)
        with fits_in_memory("make the batches smaller"):
            loss += counted * float(criterion.forward(model(**batch), labels)[0])
        total += counted
    return loss / max(total, 1)
