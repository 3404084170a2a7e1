"""Data parallelism: NumPy lets go of Python's lock while it computes, so threads can share out a batch."""

from concurrent.futures import ThreadPoolExecutor

from threadpoolctl import ThreadpoolController

from ..backend import random_generator
from ..module import replicate


class ParallelGradients:
    """The loss and gradients of a batch, computed by several threads on a part of its rows each.

    Modules keep no state between forward and backward, so all threads read the same weights; each adds into
    gradients of its own, which are summed at the end. Each thread's matrix products then run on one core. The result
    does not depend on timing; a different number of workers changes it by rounding (and draws other dropout).
    """

    def __init__(self, model, criterion, workers=1):
        if workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        self.model, self.criterion = model, criterion
        self.replicas = [replicate(model) for _ in range(workers - 1)]
        self._threads = ThreadPoolExecutor(workers) if workers > 1 else None
        self._blas = ThreadpoolController()

    def __call__(self, batches, seed=None):
        """Add the gradients of the mean loss over all labels of the batches; return that loss and the label count.

        batches: a list of dictionaries, the keyword arguments of the model's forward plus "labels". Several give the
        same as one large batch, in less memory (gradient accumulation): each label weighs the same, wherever it is.
        seed: of dropout, a sequence of ints; None leaves dropout out.
        """
        models = [self.model, *self.replicas]
        for replica in self.replicas:
            for own, shared in zip(replica.parameters(), self.model.parameters(), strict=True):
                own.data = shared.data
                own.grad.fill(0)
        count = sum(self.criterion.count(batch["labels"]) for batch in batches)
        loss = 0.0
        for number, batch in enumerate(batches):
            parts = [{name: array[w :: len(models)] for name, array in batch.items()} for w in range(len(models))]
            seeds = [None if seed is None else [*seed, number, w] for w in range(len(models))]
            work = [job for job in zip(models, parts, seeds, strict=True) if len(job[1]["labels"])]
            loss += sum(self._run(work, count))
        for replica in self.replicas:
            for own, total in zip(replica.parameters(), self.model.parameters(), strict=True):
                total.grad += own.grad
        return loss, count

    def _run(self, work, count):
        if self._threads is None:
            return [self._part(model, batch, seed, count) for model, batch, seed in work]
        with self._blas.limit(limits=1, user_api="blas"):
            parts = [self._threads.submit(self._part, model, batch, seed, count) for model, batch, seed in work]
            return [part.result() for part in parts]

    def _part(self, model, batch, seed, count):
        inputs = {name: array for name, array in batch.items() if name != "labels"}
        rng = None if seed is None else random_generator(seed)
        logits, saved = model.forward(**inputs, rng=rng)
        loss, saved_loss = self.criterion.forward(logits, batch["labels"], count)
        model.backward(self.criterion.backward(saved_loss), saved)
        return loss
