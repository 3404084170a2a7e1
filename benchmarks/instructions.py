"""Instructions and cache misses of one training step, which do not depend on who else uses the machine.

    python -m benchmarks.instructions
    python -m benchmarks.instructions --only "d 128"      a larger one, which takes its time

Valgrind's cachegrind counts them, with caches of 48 KiB (L1) and 2 MiB (L2), as a core of a present server has. It
knows no AVX-512, so NumPy and its BLAS run as they would on a machine with AVX2. One process does all of a step.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import minixfmr

from . import common
from .training_step import CASES, make, multiplications

STEPS = {"encoder-decoder d 32": 20, "encoder-decoder d 64": 4}  # the usual cases, and of how many steps
SIMULATED = ["--D1=49152,12,64", "--LL=2097152,16,64"]  # bytes, ways, bytes a line


def train(case, steps):
    """That many steps of ours."""
    model, batch = make(case, 0.0)
    optimizer = minixfmr.AdamW(model.parameters())
    gradients = minixfmr.ParallelGradients(model, minixfmr.CrossEntropy(), workers=1)
    for _ in range(steps):
        optimizer.zero_grad()
        gradients([batch])
        optimizer.step()


def multiply(case, steps):
    """The matrix products of that many steps and nothing else."""
    pairs = multiplications(case, 1)
    for _ in range(steps):
        for a, b in pairs:
            a @ b


SIDES = {"a step": train, "its products": multiply}


def counts(case, side, steps):
    """(instructions, misses of the L1, misses of the L2) of a process that does so many steps"""
    simulation = ["valgrind", "--tool=cachegrind", "--cache-sim=yes", "--cachegrind-out-file=/dev/null", *SIMULATED]
    command = [*simulation, sys.executable, "-m", "benchmarks.instructions", "--count", case, side, str(steps)]
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=common.environment(one_thread))
    found = [re.search(rf"{name}:\s+([\d,]+)", done.stderr) for name in ("I\\s+refs", "D1\\s+misses", "LLd misses")]
    if done.returncode or not all(found):
        raise SystemExit(f"valgrind failed: {done.stderr.strip()[-300:]}")
    return [int(match[1].replace(",", "")) for match in found if match]


def one_step(case, side):
    """The same of one step: what more of them add."""
    more = STEPS.get(case, 1)  # one of a larger model
    few, many = counts(case, side, 2), counts(case, side, 2 + more)
    return [(b - a) / more for a, b in zip(few, many, strict=True)]


def main():
    parser = common.options(__doc__)
    parser.add_argument("--count", nargs=3, metavar=("CASE", "SIDE", "STEPS"), help="what valgrind runs")
    chosen = parser.parse_args()
    if chosen.count:
        case, side, steps = chosen.count
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[os.getpid() % len(cores)]})  # with one core AdamW has no helpers: all is counted
        return SIDES[side](case, int(steps))
    cases = [case for case in CASES if (chosen.only in case if chosen.only else case in STEPS)]
    with ThreadPoolExecutor(common.CORES) as pool:  # they do not disturb each other's counts
        pending = [(case, [pool.submit(one_step, case, side) for side in SIDES]) for case in cases]
        found = [(case, *(future.result() for future in futures)) for case, futures in pending]
    rows = [row(*measured) for measured in found]
    units = ("million instructions", "thousand misses of the L1", "thousand misses of the L2")
    header = ["setting", *(f"{unit}: {', '.join(SIDES)}" for unit in units)]
    text = common.table(header, rows)
    print(text)
    if not chosen.no_save:
        common.save("instructions", text, {"results": [dict(zip(("case", *SIDES), f, strict=True)) for f in found]})


def row(case, step, products):
    """One line of the table."""
    pairs = zip(step, products, (1e6, 1e3, 1e3), strict=True)
    return [case, *(f"{a / unit:,.1f}, {b / unit:,.1f}" for a, b, unit in pairs)]


if __name__ == "__main__":
    main()
