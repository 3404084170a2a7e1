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
import time
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
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment())


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(minixfmr.__file__).parent.parent)}


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
    told = {name: value for name, value in os.environ.items() if "PMI" not in name} | {"PMI_SIZE": "2"}
    program = "import minixfmr.training.variants.mpi as mpi\nassert mpi.ranks_told() == 2\nmpi.world()"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=told)
    assert "mpiexec started 2 processes, but mpi4py sees 1: it uses another MPI (MPICH" in ended.stderr


@pytest.mark.parametrize("ranks", [1, 8])
@pytest.mark.parametrize("machines", [2, 64])
def test_more_machines_pay_from_the_limits_on_that_the_model_tells(machines, ranks):
    sys.path.insert(0, str(Path(minixfmr.__file__).parent.parent))
    from benchmarks import mpi

    def pays(parameters, tokens):
        one, several = (mpi.step_seconds(n, parameters, tokens, network, ranks) for n in (1, machines))
        return several < one

    for network in mpi.NETWORKS.values():
        tokens = mpi.least_tokens(network, ranks)
        assert [pays(1e15, tokens * factor) for factor in (0.99, 1.01)] == [False, True]
        parameters = mpi.least_parameters(machines, 3 * tokens, network, ranks)
        assert [pays(parameters * factor, 3 * tokens) for factor in (0.99, 1.01)] == [False, True]


def rank_pid(rank, name):
    """The process of that rank which has this word in its command."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = f"PMI_RANK={rank}\0".encode() in (process / "environ").read_bytes()
            if said and name.encode() in (process / "cmdline").read_bytes():
                return int(process.name)
        except OSError:
            continue
    raise AssertionError(f"there is no rank {rank}")


@pytest.mark.skipif(sys.platform != "linux", reason="looks for a rank in /proc")
def test_a_signal_to_any_rank_saves_and_the_run_goes_on_without_mpi(here):
    translating = pytest.importorskip("translating")
    sizes = ["--d-model", "64", "--d-ff", "256", "--batch-tokens", "400"]  # of batches that are worth sharing out
    options = ["--pairs", "pairs.tsv", *translating.SMALL, *sizes, "--epochs", "40", "--save-every", "1"]
    file, log = translating.SCRIPT, Path("log")
    with log.open("w") as out:
        command = [MPIEXEC, "-n", "2", sys.executable, str(file), "--name", "stopped", *options]
        started = subprocess.Popen(command, stdout=out, stderr=out, env=environment())
    while not Path("runs/stopped/checkpoint.safetensors").exists():
        assert started.poll() is None, log.read_text()
        time.sleep(0.01)
    os.kill(rank_pid(1, "stopped"), signal.SIGINT)
    assert started.wait(60) == 130, log.read_text()
    assert "everything is saved" in log.read_text()
    assert translating.run("--name", "stopped", "--resume", env=environment()).returncode == 0
    straight = translating.run("--name", "straight", *options, "--threads", "2", env=environment())
    assert straight.returncode == 0, straight.stderr
    assert translating.weights("runs/stopped") == translating.weights("runs/straight")
    refused = mpiexec(2, "--name", "other", *options, "--threads", "3", file=file)
    assert (refused.returncode, refused.stderr.count("translate.py: error: --threads is 3, but mpiexec")) == (2, 1)
    assert not Path("runs/other").exists()


if __name__ == "__main__":
    steps, path, *end = sys.argv[1:]
    ParallelGradients.SMALL = 0
    rank = int(os.environ["PMI_RANK"])
    training = trainer("mpi", seed=rank)  # of other weights each, which the first replaces
    end = ENDS[end[1]] if end and int(end[0]) == rank else None
    print(train(training, int(steps), path.replace("{rank}", str(rank)), end) + "\n", end="", flush=True)
