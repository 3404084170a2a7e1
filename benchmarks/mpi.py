"""Training over MPI: what the sum of the gradients costs, a step on ranks against one on workers, and a model of both.

python -m benchmarks.mpi               measure on this machine (mpiexec of mpich: pip install ".[mpi]"), half a minute
python -m benchmarks.mpi --ranks 4
python -m benchmarks.mpi --draw        write docs/mpi.svg: the model alone, up to 64 machines

The model. A step of N parameters and t tokens on n machines of c ranks each takes

    T(n) = 6 N t / (n c R) + U N + (n > 1) (c · 2 (n - 1) / n · 4 N / B + 2 (n c - 1) L)

seconds: forward and backward are 6 operations a parameter and token, at R operations a second and rank, and are shared
out; the update of U seconds a parameter is not. Each rank sends float32 gradients twice, but for its own part of them,
and the c ranks of a machine share its network of B bytes a second; there are 2 (n c - 1) rounds of L seconds. What
ranks of one machine exchange is taken for free.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import minixfmr
from minixfmr.training import constant
from minixfmr.training.variants.mpi import sum_in_order, world

from .common import CORES

ROOT = Path(__file__).parent.parent
SIZES = [10**3, 10**4, 10**5, 10**6, 10**7]  # float32 numbers
ROUNDS, STEPS = 9, 12
NETWORKS = {  # bytes a second and seconds a message: of a good share of what is printed on the box
    "1 Gbit/s Ethernet": (0.11e9, 50e-6),
    "10 Gbit/s Ethernet": (1.1e9, 25e-6),
    "100 Gbit/s InfiniBand": (11e9, 2e-6),
}
C, R, U = 4, 5e10, 3e-9  # ranks of a machine; operations a second of a core; update seconds a parameter
MACHINES = [1, 2, 4, 8, 16, 32, 64]


def step_seconds(n, parameters, tokens, network, ranks=C):
    """T(n) above."""
    bandwidth, latency = network
    exchange = ranks * 2 * (n - 1) / n * 4 * parameters / bandwidth + (n > 1) * 2 * (n * ranks - 1) * latency
    return 6 * parameters * tokens / (n * ranks * R) + U * parameters + exchange


def least_tokens(network, ranks=C):
    """The tokens of a step from which several machines are faster than one, but for latency. From T(n) = T(1):
    6 N t / (c R) (1 - 1/n) = 2 c (1 - 1/n) 4 N / B, where neither N nor n is left."""
    return 4 / 3 * ranks**2 * R / network[0]


def least_parameters(n, tokens, network, ranks=C):
    """The parameters from which n machines are faster than one at so many tokens a step; inf where none are."""
    gain = (1 - 1 / n) * (6 * tokens / (ranks * R) - 8 * ranks / network[0])
    return 2 * (n * ranks - 1) * network[1] / gain if gain > 0 else float("inf")


# --- measuring


class Batches:
    """The same 40 pairs of 30 subwords again and again."""

    def __init__(self, config):
        ids = np.random.default_rng(0).integers(3, config.vocab_size, (3, 40, 30))
        self.one = dict(zip(("input_ids", "decoder_input_ids", "labels"), ids, strict=True))

    def order(self, epoch):
        return list(range(STEPS))

    def batch(self, key):
        return dict(self.one)


def train(workers):
    """(median seconds of a step, parameters)"""
    config = minixfmr.Config(vocab_size=2000, d_model=128, num_heads=4, d_ff=512, dropout=0.1)
    model = minixfmr.EncoderDecoder(config)
    optimizer = minixfmr.AdamW(model.parameters())
    trainer = minixfmr.Trainer(model, optimizer, constant(1e-3), Batches(config), workers=workers)
    ends = [time.perf_counter() for _ in trainer.run(1)]
    return statistics.median(np.diff(ends)), model.num_parameters()


def seconds(comm, function):
    """The median over rounds of the time until the last rank is done."""
    taken = []
    for _ in range(ROUNDS):
        comm.Barrier()
        began = time.perf_counter()
        function()
        taken.append(max(comm.allgather(time.perf_counter() - began)))
    return statistics.median(taken)


def measure_rank():
    """What each rank runs; the first prints the figures as JSON."""
    from mpi4py import MPI

    comm, sums = world(), []
    for size in SIZES:
        array = np.random.default_rng(comm.rank).standard_normal(size).astype(np.float32)
        ordered, usual = array.copy(), array.copy()
        sum_in_order(comm, ordered)
        comm.Allreduce(MPI.IN_PLACE, usual)
        alike = bool(np.array_equal(ordered, usual))
        times = [seconds(comm, lambda a=ordered: sum_in_order(comm, a))]
        times += [seconds(comm, lambda a=usual: comm.Allreduce(MPI.IN_PLACE, a))]
        sums.append((size, *times, alike))
    step, parameters = train("mpi")
    if comm.rank == 0:
        print(json.dumps({"sums": sums, "step": step, "parameters": parameters}))


def measure(ranks):
    """Start the ranks, then train with as many workers; print two tables."""
    mpiexec = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if mpiexec is None:
        sys.exit('there is no mpiexec: pip install ".[mpi]"')
    command = [mpiexec, "-n", str(ranks), sys.executable, "-m", "benchmarks.mpi", "--rank"]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    if ended.returncode:
        sys.exit(ended.returncode)
    found = json.loads(ended.stdout)
    load = f", load {os.getloadavg()[0]:.0f}" if hasattr(os, "getloadavg") else ""
    print(f"{ranks} ranks on {CORES} cores of one machine{load}; medians of {ROUNDS} rounds\n")
    print("| float32 numbers | in order, ms | MPI's all-reduce, ms | same bits |\n|--:|--:|--:|:-:|")
    for size, ordered, usual, alike in found["sums"]:
        print(f"| {size:,} | {ordered * 1e3:.2f} | {usual * 1e3:.2f} | {'yes' if alike else 'no'} |")
    print(f"\n| step of {found['parameters']:,} parameters, 1,200 labels | ms |\n|:--|--:|")
    print(f"| {ranks} ranks | {found['step'] * 1e3:.1f} |")
    for workers in (ranks, 1):
        print(f"| {workers} worker{'s' * (workers > 1)} | {train(workers)[0] * 1e3:.1f} |")


# --- drawing


def draw(path):
    """Speedup over machines, a panel for each network."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "mpi"  # the same file each time
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(NETWORKS), figsize=(10, 3.4), sharey=True, layout="constrained")
    for panel, (name, network) in zip(panels, NETWORKS.items(), strict=True):
        for (parameters, tokens), colour in zip(
            ((10**5, 10000), (10**7, 2500), (10**7, 25000), (10**8, 250000)), ("C3", "C1", "C0", "C2"), strict=True
        ):
            one = step_seconds(1, parameters, tokens, network)
            gains = [one / step_seconds(n, parameters, tokens, network) for n in MACHINES]
            label = f"{parameters / 1e6:g} million parameters, {tokens:,} tokens a step"
            panel.plot(MACHINES, gains, "o-", ms=3, color=colour, label=label)
        panel.plot(MACHINES, MACHINES, ":", color="grey", lw=1)
        panel.axhline(1, color="grey", lw=0.8)
        panel.set(xscale="log", yscale="log", xlabel="machines", title=name, xticks=MACHINES, ylim=(0.2, 80))
        panel.set(xticklabels=MACHINES, yticks=[0.25, 1, 4, 16, 64], yticklabels=["0.25", "1", "4", "16", "64"])
        panel.minorticks_off()
    panels[0].set_ylabel("times as fast as one")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def tell_limits():
    """Print from which step and which model on machines pay."""
    print("| network | ranks a machine | tokens a step | parameters, 2 machines | parameters, 64 machines |")
    print("|:--|--:|--:|--:|--:|")
    for name, network in NETWORKS.items():
        for ranks in (1, C):
            tokens = least_tokens(network, ranks)
            two, many = (least_parameters(n, 2 * tokens, network, ranks) for n in (2, MACHINES[-1]))
            print(f"| {name} | {ranks} | {tokens:,.0f} | {two:,.0f} | {many:,.0f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--draw", action="store_true", help="draw the model into docs/mpi.svg, and print its limits")
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.rank:
        measure_rank()
    elif chosen.draw:
        draw(ROOT / "docs" / "mpi.svg")
        tell_limits()
    else:
        measure(chosen.ranks)


if __name__ == "__main__":
    main()
