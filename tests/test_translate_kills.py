"""Runs of the tutorial script that are killed, again and again: they end with the bits of a run that was not.

KILLS=100 kills each of the signals so often; the default is a sample of it.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import heed
from translating import SCRIPT, SMALL, weights

pytestmark = [pytest.mark.long, pytest.mark.skipif(os.name == "nt", reason="signals are those of Unix")]
KILLS = int(os.environ.get("KILLS", "2"))
COMMAND = [sys.executable, str(SCRIPT), "--name"]
OPTIONS = ["--pairs", "pairs.tsv", *SMALL, "--save-every", "1", "--threads", "2", "--max-length", "24"]


def start(*arguments):
    with open("log", "wb") as log:
        return subprocess.Popen([*COMMAND, *arguments], stdout=log, stderr=subprocess.STDOUT, preexec_fn=heed)


def killed_again_and_again(name, number, kills, seed, epochs):
    """Kill a run so often, at random moments of its life, its start included, then let it end.

    A fast machine may end it before it was hit often enough: then it starts anew.
    """
    rng, hits = random.Random(seed), 0
    folder = Path("runs") / name
    while hits < kills or not (folder / "metrics.json").exists():
        if (folder / "metrics.json").exists():
            shutil.rmtree(folder)
        begun = (folder / "run.json").exists()
        process = start(name, "--resume") if begun else start(name, *OPTIONS, "--epochs", str(epochs))
        if hits < kills:
            checkpoint = folder / "checkpoint.safetensors"
            before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
            if rng.random() < 0.7:  # after a save, about when the next is written; else while it starts
                while process.poll() is None and not (checkpoint.exists() and checkpoint.stat().st_mtime_ns > before):
                    time.sleep(0.001)
                time.sleep(rng.uniform(0, 0.02))
            else:
                time.sleep(rng.uniform(0, 2))
            hits += process.poll() is None
            process.send_signal(number)
        status = process.wait()
        log = Path("log").read_text(encoding="utf-8")
        asked = number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        assert status in (0, -number, 128 + number if asked else 0) or "tutorials" not in log, log
        assert "Traceback" not in log or "tutorials" not in log, log  # Python itself may be starting still


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_killed_at_any_moment_and_resumed_gives_the_same_bits(here, number):
    epochs = 10 + 3 * KILLS
    assert start("straight", *OPTIONS, "--epochs", str(epochs)).wait() == 0
    killed_again_and_again("killed", number, KILLS, int(number), epochs)
    assert weights("runs/killed") == weights("runs/straight")
    assert not list(Path("runs/killed").glob("*.tmp"))
