"""Write RESULTS.md out of what the benchmarks saved, or RESULTS_GPU.md out of what they saved on a GPU.

python -m benchmarks.results
python -m benchmarks.results --gpu
"""

import argparse
import json
from pathlib import Path

from . import common

PARTS = {
    "training_step": "One training step",
    "generation": "Generation",
    "attention_length": "Attention by length",
    "instructions": "Instructions of one training step",
}
GPU_PARTS = {"training_step_gpu": "One training step on a GPU", "generation_gpu": "Generation on a GPU"}
EXPLANATIONS = {
    "training_step": (
        "Milliseconds of forward, backward and AdamW in float32: median over the rounds (fastest-slowest round). The "
        "sizes are in `training_step.py`. Without dropout the losses of the first three steps agreed on all sides to "
        "1e-4. The share of the sgemm peak counts matrix products only and is measured against a product of 2048 x "
        '2048 matrices in the same rounds. "Our products alone" are the matrix products of a step and nothing else, of '
        "the same sizes, on one process a core: what no change here can go below, as they are NumPy's. Where most "
        "labels do not count (encoder), minixfmr leaves out the rows of the loss's gradient that are 0. Peak memory "
        "includes the libraries, and on our side all worker processes."
    ),
    "generation": (
        "New tokens per second, 16 tokens of prompt and 64 new ones with the key/value cache, the same GPT-2 of random "
        "weights on both sides: median over the rounds (slowest-fastest round)."
    ),
    "attention_length": (
        "Milliseconds of causal attention, forward and backward: B 1, 8 heads of width 64, float32, median over the "
        "rounds (fastest-slowest round), against `scaled_dot_product_attention`."
    ),
    "instructions": (
        "What cachegrind counts in a training step by one process, and in its matrix products alone. It knows no "
        "AVX-512, so both are those of a machine with AVX2; L1 and L2 are of 48 KiB and 2 MiB. The difference is what "
        "this package adds, and does not depend on who else uses the machine."
    ),
    "training_step_gpu": (
        "Milliseconds of forward, backward and AdamW (PyTorch's is fused), between two CUDA events around many steps, "
        "after a warm-up: median over the rounds (fastest-slowest round). The sizes are in `training_step.py`. "
        "float32 is with TF32 off on all sides, TF32 with it on; CuPy then uses it for products of two matrices, and "
        "not for the stacks of them in attention. Without dropout the losses of the first three steps agreed to 1e-4, "
        "in TF32 to 2e-3. Our side copies the token ids to the GPU in each step, PyTorch's lie there; no side fetches "
        "a loss before the clock stops. The share of the matmul peak counts matrix products only and is measured "
        "against a product of 8192 x 8192 matrices in the same precision and rounds. PyTorch compiled is "
        "`torch.compile` as it is, without CUDA graphs. Memory is what the allocators had in use at most, and held; "
        "what CUDA and its libraries take beside them is not counted."
    ),
    "generation_gpu": (
        "New tokens per second, 16 tokens of prompt and 64 new ones with the key/value cache, the same GPT-2 of random "
        "weights on all sides, between two CUDA events: median over the rounds (slowest-fastest round). Compiled is "
        "transformers' static cache. In TF32 a near tie may fall to another token, so the texts may differ."
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--note", help="a remark on the circumstances, to stand above the tables")
    parser.add_argument("--gpu", action="store_true", help="write RESULTS_GPU.md")
    chosen = parser.parse_args()
    parts, command = (GPU_PARTS, "benchmark-gpu") if chosen.gpu else (PARTS, "benchmark")
    lines = ["# Results", "", f"Written by `make {command}`; what is measured, and how, is in the docstrings here.", ""]
    lines += [chosen.note, ""] if chosen.note else []
    for name, title in parts.items():
        text, data = common.RESULTS / f"{name}.md", common.RESULTS / f"{name}.json"
        if not text.exists():
            continue
        machine = json.loads(data.read_text(encoding="utf-8"))["machine"]
        versions = ", ".join(f"{package} {version}" for package, version in machine["versions"].items())
        lines += [f"## {title}", "", EXPLANATIONS[name], ""]
        lines += [f"{machine['gpu']}.", ""] if chosen.gpu else []
        lines += [f"{machine['date']}, {machine['cores']} cores of {machine['cpu']}; {versions}", ""]
        lines += [text.read_text(encoding="utf-8").strip(), ""]
    path = Path(__file__).parent / ("RESULTS_GPU.md" if chosen.gpu else "RESULTS.md")
    path.write_text("\n".join(lines), encoding="utf-8")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
