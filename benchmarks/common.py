"""What the benchmarks share: a process for each side, rounds in turn, medians, memory, the machine, and tables.

A side is a function, named "module:function", which takes the keywords of a case and returns another function: one
run of what is measured. It is called in a process of its own, whose threads and memory no other side shares.
"""

import argparse
import datetime
import importlib
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
LEAST = 5  # runs of a turn: in the first one the caches are cold, which they seldom are where one follows the other


class SideFailed(RuntimeError):
    """A side could not be measured; the message is the last line that it wrote."""


class Side:
    """A side in a process of its own, which waits, idle, between its turns."""

    def __init__(self, function, **case):
        command = [sys.executable, "-m", "benchmarks.common", function, json.dumps(case)]
        more = {"TORCHINDUCTOR_FX_GRAPH_CACHE": "0", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        more["CUPY_TF32"] = str(int(case.get("precision") == "TF32"))  # read when CuPy first multiplies
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(more),
        )
        self.ready = self._answer()

    def run(self, times):
        """Run so often in a row: {"seconds": of all together, "values": what the runs returned, and the memory}."""
        self._process.stdin.write(f"{times}\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self):
        self._process.kill()
        self._process.communicate()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            written = self._process.communicate()[1].strip().splitlines()
            raise SideFailed(written[-1] if written else "it ended without a word")
        return json.loads(line)


def environment(more):
    """That of this process, without its own choice of TF32, and more."""
    return {name: value for name, value in os.environ.items() if "TF32" not in name} | more


def serve(function, case):
    """The other end of Side: prepare, then run as often as standard input asks."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not get between the answers

    def answer(**values):
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    module, name = function.split(":")
    make = getattr(importlib.import_module(module), name)
    run = make(**case)
    answer(libraries_mb=getattr(run, "libraries_mb", None))
    meter = getattr(run, "meter", Meter())
    for line in sys.stdin:
        seconds, values = meter.timed(run, int(line))
        answer(seconds=seconds, values=values, **meter.memory(run))


class Meter:
    """Takes the time and memory of a side's runs: on the host. Those for a GPU are in gpu.py."""

    def timed(self, run, times):
        """(seconds of so many runs, what they returned)"""
        began = time.perf_counter()
        values = [run() for _ in range(times)]
        values = [float(v) for v in values]  # a side that computes in the background is waited for
        return time.perf_counter() - began, values

    def memory(self, run):
        """The most memory held so far, in MiB, by name; may run once more."""
        return {"peak_mb": peak_mb()}


def peak_mb():
    """The most memory that this process ever held, and what its workers held beside it, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the process that started this one held
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        own = int(line.split()[1]) / 1024
    else:
        import resource

        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return own + sum(_own_mb(child.pid) for child in multiprocessing.active_children())


def _own_mb(pid):
    """The most memory that another process ever held, without what it shares with others, in MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text() + Path(f"/proc/{pid}/status").read_text()

    def total(start):
        return sum(int(line.split()[1]) for line in lines.splitlines() if line.startswith(start)) / 1024

    return total("VmHWM:") - total("Shared_")


def held_mb():
    """The memory that this process holds now, in MiB; with Linux's word for it, since only Linux tells."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20 if pages.exists() else 0.0


def in_turn(sides, rounds=5, seconds=1.0, warm=3):
    """Measure {name: (function, case)}. → {name: {"ms", "low", "high", "first": values of the first runs, the memory}}

    ms: the median over the rounds of the milliseconds of one run; low, high: the fastest and the slowest round. Every
    round gives each side its turn of about so many seconds. A side that fails has {"failed": why}.
    """
    results, running = {}, {}
    for name, (function, case) in sides.items():
        try:
            side = Side(function, **case)
            first = side.run(warm)["values"]
            once = side.run(1)["seconds"]
            running[name] = side, max(LEAST, round(seconds / max(once, 1e-6)))
            results[name] = {"first": first, "times": [], **side.ready}
        except SideFailed as error:
            results[name] = {"failed": str(error)}
    for _ in range(rounds):
        for name, (side, times) in running.items():
            answer = side.run(times)
            results[name]["times"].append(answer["seconds"] / times * 1000)
            results[name] |= {key: value for key, value in answer.items() if key.endswith("_mb")}
    for name, (side, _) in running.items():
        side.close()
        times = results[name].pop("times")
        results[name] |= {"ms": statistics.median(times), "low": min(times), "high": max(times)}
    return results


def sgemm(size=2048):
    """A side: one product of two float32 matrices with NumPy's BLAS, on all cores."""
    import numpy as np

    a = np.random.default_rng(0).random((size, size), np.float32)
    out = np.empty_like(a)

    def run():
        np.matmul(a, a, out=out)
        return 0.0

    return run


SGEMM = ("benchmarks.common:sgemm", {})
SGEMM_FLOPS = 2 * 2048**3


def machine():
    """One line a fact: where and with what this was measured."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    versions = {"python": platform.python_version()}
    for package in ("numpy", "torch", "transformers", "jax", "optax"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {"cpu": model, "cores": CORES, "date": datetime.date.today().isoformat(), "versions": versions}


def milliseconds(result):
    """A result of in_turn for a table: the median, and the fastest and slowest round."""
    if "failed" in result:
        return f"failed: {result['failed'][:60]}"
    return f"{result['ms']:.3g} ({result['low']:.3g}-{result['high']:.3g})"


def memory(measured, names):
    """The memory of the sides for a table: on a GPU the most in use and, in brackets, held."""

    def text(r):
        if "gpu_mb" in r:
            return f"{r['gpu_mb']:.0f} ({r['gpu_held_mb']:.0f})"
        return f"{r['peak_mb']:.0f}" if "peak_mb" in r else "-"

    return ", ".join(text(measured[name]) for name in names)


def memory_header(card, names):
    kind = "peak GPU memory in use (held)" if card else "peak memory"
    return f"{kind}, MiB: " + ", ".join(names)


def table(header, rows):
    """A markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def save(name, text, data, card=None):
    """Write results/<name>.md and .json, the latter with the machine; what was measured on a GPU beside the others."""
    found = machine()
    if card:
        name, found = f"{name}_gpu", found | {"gpu": card}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    (RESULTS / f"{name}.json").write_text(json.dumps({"machine": found, **data}, indent=1) + "\n")


def options(description, **more):
    """The command line that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side (default: 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of one turn, about (default: 1)")
    parser.add_argument("--only", help="a part of the names of the cases to measure (default: all)")
    parser.add_argument("--sides", help="comma-separated names of the sides to measure (default: all)")
    backends = ["numpy", "cupy"]
    parser.add_argument("--backend", default="numpy", choices=backends, help="of our side (default: numpy)")
    parser.add_argument("--no-save", action="store_true", help="print the table, and leave the saved one as it is")
    return parser


if __name__ == "__main__":
    serve(sys.argv[1], json.loads(sys.argv[2]))
