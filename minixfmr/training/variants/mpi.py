"""Data parallelism on several machines: each rank of an MPI job is one of the workers."""

import functools
import itertools
import os
import sys
import traceback
from typing import Any

from ...backend import BackendError, to_floats, xp
from ...checks.batches import check_batches
from ..parallel import ParallelGradients

SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")  # of MPICH and its kin, Open MPI, srun


def ranks_told(otherwise: int = 1) -> int:
    """How many ranks mpiexec or srun says that it started, or else that number; MPI stays untouched."""
    return int(next((os.environ[name] for name in SIZES if name in os.environ), otherwise))


@functools.cache
def world():
    """The communicator of all ranks. From now on an exception that nobody catches ends all of them: MPI alone would
    let the others wait for ever. Raises BackendError, in one sentence, where there is no MPI or a wrong one."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py is there, a library of MPI is not
        raise BackendError(
            f'training over MPI needs mpi4py and an MPI ({error}): pip install "minixfmr[mpi]"'
        ) from error
    comm = MPI.COMM_WORLD
    told = ranks_told(comm.size)
    if told != comm.size:
        library = MPI.Get_library_version().split("\n")[0]
        raise BackendError(
            f"mpiexec started {told} processes, but mpi4py sees {comm.size}: it uses another MPI ({library}); start "
            "with the mpiexec of that"
        )

    def end_all(*error):
        traceback.print_exception(*error)
        sys.stderr.flush()
        comm.Abort(1)

    sys.excepthook = end_all if comm.size > 1 else sys.excepthook
    return comm


class MPIGradients(ParallelGradients):
    """ParallelGradients whose workers are the ranks of an MPI job; made by Trainer(..., workers="mpi").

    Every rank calls it with the same batches, computes its rows of them, and gets the gradients of all. The sum is
    taken in the order of the ranks, so the bits are those of as many workers in one machine. Before the first step the
    ranks take over the weights of rank 0. On a GPU the arrays go to MPI as they are, which must then be CUDA-aware.

    flat: the Parameter of which those of the model are views: optimizer.flat
    """

    def __init__(self, model, criterion, flat):
        self._comm = world()
        super().__init__(model, criterion, self._comm.size)
        self._flat, self._equal = flat, False
        self.leads = self._comm.rank == 0

    def __call__(self, batches, seed=None):
        """As ParallelGradients, for gradients that are 0 before.

        Raises RuntimeError if the ranks are not at the same step of the same data.
        """
        if not self._equal:
            self._comm.Bcast(self._flat.data)
            self._equal = True
        count, parts = self._shared_out(check_batches(batches, self.model, seed))
        rank = self._comm.rank
        loss = self._compute(parts[rank], rank, seed, count) if rank < len(parts) else 0.0
        loss, _ = to_floats(loss, self._flat.grad[0])  # on a GPU this waits for the gradients, which MPI does not
        answers = self._comm.allgather((loss, count, seed))
        for other, (_, *theirs) in enumerate(answers):
            if theirs != [count, seed]:
                raise RuntimeError(
                    f"rank {rank} has {count} labels and [seed, step] {seed}, rank {other} has {theirs[0]} and "
                    f"{theirs[1]}: all ranks need the same data and must load the same checkpoint"
                )
        sum_in_order(self._comm, self._flat.grad)
        return sum(loss for loss, _, _ in answers), count

    def agreed(self, number: int = 0) -> int:
        """The largest of the ranks' numbers. All must call it, and then all know of a signal that one has got."""
        return max(self._comm.allgather(number))


def make_gradients(model: Any, criterion: Any, flat: Any, workers: int | str) -> ParallelGradients:
    """What computes the gradients of a Trainer with so many workers, or "mpi"."""
    if workers == "mpi":
        return MPIGradients(model, criterion, flat)
    return ParallelGradients(model, criterion, workers)


def sum_in_order(comm, array):
    """Replace the flat array, on all ranks, by the sum g₀ + g₁ + g₂ ... over them, added in this order.

    An all-reduce of MPI sends as much but adds in an order of its own, which depends on the library, the number of
    ranks and the length. Here each rank adds up one part of the array and gives it to the others.
    """
    n, rank = comm.size, comm.rank
    starts = [array.size * r // n for r in range(n + 1)]
    counts = [end - start for start, end in itertools.pairwise(starts)]
    parts = xp.empty((n, counts[rank]), dtype=array.dtype)
    same = [counts[rank]] * n
    comm.Alltoallv([array, (counts, starts[:-1])], [parts, (same, [r * counts[rank] for r in range(n)])])
    total = parts[0]
    for part in parts[1:]:
        total += part
    to_floats(total[:1].sum())  # on a GPU: wait for the sum
    comm.Allgatherv(total, [array, (counts, starts[:-1])])
