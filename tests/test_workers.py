"""Workers: processes or threads that share out a batch."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import small_batch, small_config

import minixfmr
from minixfmr.backend import workers as workers_module
from minixfmr.training import CrossEntropy, ParallelGradients


@pytest.fixture
def share_all(monkeypatch):
    monkeypatch.setattr(ParallelGradients, "SMALL", 0)


def gradients(model, batches, workers=1, seed=None):
    model.zero_grad()
    loss, count = ParallelGradients(model, CrossEntropy(label_smoothing=0.1), workers)(batches, seed)
    return loss, count, [p.grad.copy() for p in model.parameters()]


def test_a_small_batch_is_not_worth_a_helper():
    config = small_config()
    model, batch = minixfmr.EncoderDecoder(config), small_batch(config, B=6)
    one, several = gradients(model, [batch]), gradients(model, [batch], 2)
    assert one[0] == several[0]
    for a, b in zip(one[2], several[2], strict=True):
        np.testing.assert_array_equal(a, b)


def test_single_precision_agrees_to_rounding(share_all):
    config = small_config(dtype="float32", d_model=32, d_ff=64)
    model, batch = minixfmr.EncoderDecoder(config), small_batch(config, B=6)
    one, several = gradients(model, [batch]), gradients(model, [batch], 2)
    assert one[0] == pytest.approx(several[0], rel=1e-6)
    scale = max(np.abs(a).max() for a in one[2])
    for a, b in zip(one[2], several[2], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6 * scale)


@pytest.mark.parametrize("kind", ["ForkedWorker", "ThreadWorker"])
def test_workers_of_both_kinds(kind):
    """An error inside reaches the caller, and the worker goes on."""
    worker = getattr(workers_module, kind)(lambda a, b: a / b)
    worker.start(1, 0)
    with pytest.raises(ZeroDivisionError):
        worker.result()
    worker.start(6, 3)
    assert worker.result() == 2
    worker.close()


def test_threads_where_processes_cannot_be_forked(monkeypatch, share_all):
    config = small_config()
    model, batch = minixfmr.EncoderDecoder(config), small_batch(config, B=6)
    forked = gradients(model, [batch, batch], 3, seed=[1, 2])
    monkeypatch.setattr(sys, "platform", "darwin")
    threads = gradients(model, [batch, batch], 3, seed=[1, 2])
    assert forked[0] == threads[0]
    for a, b in zip(forked[2], threads[2], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("has_threads", [True, False])
def test_what_cannot_be_started_has_a_stand_in_that_is_named(monkeypatch, share_all, has_threads):
    config = small_config()
    model, batch = minixfmr.EncoderDecoder(config), small_batch(config, B=6)
    forked = gradients(model, [batch, batch], 3, seed=[1, 2])
    of_others = [*workers_module.ForkedWorker._pipes]

    def full(self):
        raise BlockingIOError("too many processes")

    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", full)
    monkeypatch.setattr(workers_module, "has_threads", lambda: has_threads)
    with pytest.warns(RuntimeWarning, match="a thread computes" if has_threads else "in turn, computes"):
        other = gradients(model, [batch, batch], 3, seed=[1, 2])
    assert forked[0] == other[0]
    for a, b in zip(forked[2], other[2], strict=True):
        np.testing.assert_array_equal(a, b)
    assert set(workers_module.ForkedWorker._pipes) <= set(of_others)


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_a_killed_worker_is_reported_and_none_outlives_its_process():
    worker = workers_module.ForkedWorker(os.getpid)
    other = workers_module.ForkedWorker(os.getpid)
    worker.start()
    os.kill(worker.result(), signal.SIGKILL)
    worker.start()
    with pytest.raises(RuntimeError, match="a worker process was killed"):
        worker.result()
    other.start()  # the rest goes on
    assert other.result() > 0
    other.close()
    program = (
        "import os\nfrom minixfmr.backend.workers import ForkedWorker\n"
        "workers = [ForkedWorker(os.getpid) for _ in range(2)]\n"
        "[w.start() for w in workers]\nprint(*[w.result() for w in workers], flush=True)\nos.kill(os.getpid(), 9)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    pids = list(map(int, run.stdout.split()))
    assert len(pids) == 2
    for _ in range(100):
        alive = [pid for pid in pids if os.path.exists(f"/proc/{pid}/fd/0") or _running(pid)]
        if not alive:
            break
        time.sleep(0.05)
    assert not alive


def _running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
