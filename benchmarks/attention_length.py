"""Time and memory of attention, forward and backward, as the sequence grows, here and in PyTorch.

    python -m benchmarks.attention_length

Causal, B 1, 8 heads of width 64, float32; against scaled_dot_product_attention on all cores.
"""

import sys

import numpy as np

import minixfmr
from minixfmr.backend import keep_freed_memory

from . import common

LENGTHS = [64, 128, 256, 512, 1024, 2048, 4096]
H, DH = 8, 64


def inputs(T):
    """query, key, value and the upstream gradient, (1, H, T, dh), laid out as split_heads leaves them."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal((1, T, H, DH), np.float32).swapaxes(1, 2) for _ in range(4)]


def ours(T, backend="numpy"):
    """attend: plain attention, or by blocks from LONG keys on"""
    minixfmr.use_backend(backend)
    module = sys.modules["minixfmr.layers.variants.either"]
    keep_freed_memory()  # as where training begins
    libraries = common.held_mb()
    q, k, v, dy = map(minixfmr.to_device, inputs(T))
    mask = minixfmr.models.masks.causal_mask(T)

    def run():
        y, saved = module.attend(q, k, v, mask)
        gradients = module.attend_backward(dy, saved)
        return y[0, 0, -1, 0] + gradients[0][0, 0, -1, 0] + gradients[1][0, 0, 0, 0] + gradients[2][0, 0, 0, 0]

    run.libraries_mb = libraries
    return run


def torch_attention(T):
    """scaled_dot_product_attention and autograd"""
    import torch

    torch.set_num_threads(common.CORES)
    libraries = common.held_mb()
    q, k, v, dy = map(torch.tensor, inputs(T))
    leaves = [a.requires_grad_() for a in (q, k, v)]

    def run():
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        dq, dk, dv = torch.autograd.grad(y, leaves, dy)
        return (y[0, 0, -1, 0] + dq[0, 0, -1, 0] + dk[0, 0, 0, 0] + dv[0, 0, 0, 0]).item()

    run.libraries_mb = libraries
    return run


SIDES = {"minixfmr": ours, "PyTorch": torch_attention}


def main():
    parser = common.options(__doc__)
    chosen = parser.parse_args()
    names = chosen.sides.split(",") if chosen.sides else list(SIDES)
    results, rows = [], []
    for T in (T for T in LENGTHS if chosen.only is None or chosen.only == str(T)):
        sides = {}
        for name in names:
            backend = {"backend": chosen.backend} if name == "minixfmr" else {}
            sides[name] = f"benchmarks.attention_length:{SIDES[name].__name__}", {"T": T, **backend}
        measured = common.in_turn(sides, chosen.rounds, chosen.seconds / 2)
        good = {name: r for name, r in measured.items() if "ms" in r}
        firsts = [r["first"][0] for r in good.values()]
        if not np.allclose(firsts, firsts[0], rtol=1e-3, atol=1e-4):
            raise SystemExit(f"T {T}: the sides computed different numbers: {firsts}")
        results.append({"T": T, "sides": measured})
        times = [common.milliseconds(measured[name]) for name in names]
        ratio = f"{good['PyTorch']['ms'] / good['minixfmr']['ms']:.2f}" if len(good) == 2 else "-"
        memory = [f"{r['peak_mb'] - r['libraries_mb']:.0f}" for r in good.values()]
        rows.append([T, *times, ratio, ", ".join(memory)])
        print(*rows[-1], sep=" | ", flush=True)
    header = [
        "T",
        *(f"{n}, ms" for n in names),
        "PyTorch / ours",
        "memory beyond the libraries, MiB: " + ", ".join(names),
    ]
    text = common.table(header, rows)
    print(text)
    if not chosen.no_save:
        common.save("attention_length", text, {"results": results})


if __name__ == "__main__":
    main()
