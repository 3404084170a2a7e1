"""Under mpiexec: the first process has the files and the console, the others compute with it and write nothing."""

import contextlib
import sys

import minixfmr
from minixfmr.training.variants.mpi import ranks_told, world

from . import RunError, UsageError, plan
from .signals import StopRequests

DONE = 1 << 10  # more than any signal's number


def follows():
    """Whether this process is not the first."""
    return ranks_told() > 1 and world().rank > 0


def count_ranks(given):
    """Let the processes be the threads of a run: a run goes on with as many of either, bit for bit."""
    ranks = ranks_told()
    if ranks > 1 and given.get("threads", ranks) != ranks:
        raise UsageError(f"--threads is {given['threads']}, but mpiexec started {ranks} processes, of one thread each")
    if ranks > 1:
        given["threads"] = ranks


def refuse(what):
    """Raise UsageError for what one process does as well."""
    if ranks_told() > 1:
        raise UsageError(f"{what} takes one process: leave mpiexec out")


def tell(run, corpus):
    """Let the others begin where this run stands; they need no file."""
    if ranks_told() > 1:
        world().bcast((run.settings, corpus, run.translator.tokenizer, run.trainer.state_dict()))


def follow():
    """What the others do: train along until all agree to stop; return the exit status."""
    with StopRequests() as stop, contextlib.redirect_stdout(None):
        settings, corpus, tokenizer, state = world().bcast(None)
        trainer, _ = plan.prepare(settings, corpus, tokenizer)
        trainer.load_state_dict(state)
        try:
            with stop.patience():
                number = trainer.gradients.agreed(stop.number or 0)
                steps = trainer.run(settings["epochs"])
                while not number and next(steps, None):
                    number = trainer.gradients.agreed(stop.number or 0)
        except minixfmr.TrainingDiverged:  # on all alike; the first tells
            return 0
        except Exception as error:
            raise RunError(
                f"process {world().rank} ended: {type(error).__name__}: {error}; what is saved stays"
            ) from error
    return 128 + number if 0 < number < DONE else 0


def end(status):
    """End the other processes, which wait for this one; return the status."""
    if ranks_told() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        with contextlib.suppress(minixfmr.BackendError):  # no MPI, so nobody waits
            world().Abort(status)
    return status
