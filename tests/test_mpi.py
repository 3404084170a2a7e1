"""Training over MPI: the bits of as many workers, and an end for all ranks when one of them ends.

This file is also the program that mpiexec starts: python test_mpi.py STEPS CHECKPOINT [RANK WAY], in which that rank
comes to its end in that way in the third step.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import small_batch, small_config

import minixfmr
from minixfmr.training import ParallelGradients, constant

PLACES = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
MPIEXEC = shutil.which("mpiexec", path=PLACES)
pytest.importorskip("mpi4py", reason="needs minixfmr[mpi]")
pytestmark = [
    pytest.mark.skipif(MPIEXEC is None, reason="needs mpiexec"),
    pytest.mark.on_numpy("the ranks are processes of their own, which no double reaches"),
]
ENDS = {"raise": lambda: 1 // 0, "kill": lambda: os.kill(os.getpid(), signal.SIGKILL)}


class Batches:
    """Three steps to an epoch, of two batches each: fewer rows than workers, and numbers that do not divide."""

    def __init__(self, config):
        self.batches = [small_batch(config, seed, B) for seed, B in enumerate((5, 2, 1, 1, 7, 3))]

    def order(self, epoch):
        return list(range(6))

    def batch(self, key):
        return dict(self.batches[key])


def trainer(workers, seed=0):
    config = small_config(dropout=0.2, dtype="float32")
    model = minixfmr.EncoderDecoder(config, seed)
    optimizer = minixfmr.AdamW(model.parameters())
    return minixfmr.Trainer(model, optimizer, constant(0.01), Batches(config), accumulate=2, workers=workers)


def train(training, steps, path, end=None):
    """Go on to so many steps, with a checkpoint after each; return a hash of the weights."""
    if Path(path).exists():
        minixfmr.load_training(training, path)
    for result in training.run(steps // 3):
        minixfmr.save_training(training, path)
        if result.step == 3 and end:
            end()
    return hashlib.sha256(training.optimizer.flat.data.tobytes()).hexdigest()


def mpiexec(n, *arguments, file=__file__, timeout=100):
    command = [MPIEXEC, "-n", str(n), sys.executable, str(file), *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(minixfmr.__file__).parent.parent)}
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)


def hashes(ended):
    return [line for line in ended.stdout.split() if len(line) == 64 and not line.startswith("=")]


@pytest.fixture
def share_all(monkeypatch):
    monkeypatch.setattr(ParallelGradients, "SMALL", 0)


@pytest.mark.parametrize("n", [2, 3])
def test_ranks_give_the_bits_of_workers(tmp_path, share_all, n):
    ranks = mpiexec(n, 3, tmp_path / "ranks")
    assert hashes(ranks) == [train(trainer(n), 3, tmp_path / "workers")] * n, ranks.stderr
    assert (tmp_path / "ranks").read_bytes() == (tmp_path / "workers").read_bytes()
    # and each goes on from the checkpoint of the other
    ranks = mpiexec(n, 6, tmp_path / "workers")
    assert hashes(ranks) == [train(trainer(n), 6, tmp_path / "ranks")] * n, ranks.stderr


@pytest.mark.parametrize("way", ENDS)
def test_one_rank_ends_and_so_does_the_job_which_goes_on_bit_for_bit(tmp_path, share_all, way):
    ended = mpiexec(2, 6, tmp_path / "checkpoint", 1, way)
    assert ended.returncode != 0
    assert not hashes(ended)
    assert "ZeroDivisionError" in ended.stderr or way == "kill"
    assert hashes(mpiexec(2, 6, tmp_path / "checkpoint")) == [train(trainer(2), 6, tmp_path / "straight")] * 2


def test_ranks_that_stand_at_different_steps_are_refused(tmp_path, share_all):
    train(trainer(2), 3, tmp_path / "checkpoint 0")
    ended = mpiexec(2, 6, tmp_path / "checkpoint {rank}")
    assert ended.returncode != 0
    assert "must load the same checkpoint" in ended.stderr


def test_another_mpi_than_that_of_mpiexec_is_named():
    environment = {name: value for name, value in os.environ.items() if "PMI" not in name} | {"PMI_SIZE": "2"}
    program = "import minixfmr.training.mpi as mpi\nassert mpi.ranks_told() == 2\nmpi.world()"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert "mpiexec started 2 processes, but mpi4py sees 1: it uses another MPI (MPICH" in ended.stderr


if __name__ == "__main__":
    steps, path, *end = sys.argv[1:]
    ParallelGradients.SMALL = 0
    rank = int(os.environ["PMI_RANK"])
    training = trainer("mpi", seed=rank)  # of other weights each, which the first replaces
    end = ENDS[end[1]] if end and int(end[0]) == rank else None
    print(train(training, int(steps), path.replace("{rank}", str(rank)), end) + "\n", end="", flush=True)
