"""Write RESULTS.md out of what the benchmarks saved.

python -m benchmarks.results
"""

import argparse
import json
from pathlib import Path

from . import common

PARTS = {
    "training_step": "One training step",
    "generation": "Generation",
    "attention_length": "Attention by length",
}
EXPLANATIONS = {
    "training_step": (
        "Milliseconds of forward, backward and AdamW in float32: median over the rounds (fastest-slowest round). The "
        "sizes are in `training_step.py`. Without dropout the losses of the first three steps agreed on all sides to "
        "1e-4. The share of the sgemm peak counts matrix products only and is measured against a product of 2048 x "
        "2048 matrices in the same rounds. Peak memory includes the libraries, and on our side all worker processes."
    ),
    "generation": (
        "New tokens per second, 16 tokens of prompt and 64 new ones with the key/value cache, the same GPT-2 of random "
        "weights on both sides: median over the rounds (slowest-fastest round)."
    ),
    "attention_length": (
        "Milliseconds of causal attention, forward and backward: B 1, 8 heads of width 64, float32, median over the "
        "rounds (fastest-slowest round), against `scaled_dot_product_attention`."
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--note", help="a remark on the circumstances, to stand above the tables")
    note = parser.parse_args().note
    lines = ["# Results", "", "Written by `make benchmark`; what is measured, and how, is in the docstrings here.", ""]
    lines += [note, ""] if note else []
    for name, title in PARTS.items():
        text, data = common.RESULTS / f"{name}.md", common.RESULTS / f"{name}.json"
        if not text.exists():
            continue
        machine = json.loads(data.read_text(encoding="utf-8"))["machine"]
        versions = ", ".join(f"{package} {version}" for package, version in machine["versions"].items())
        lines += [f"## {title}", "", EXPLANATIONS[name], ""]
        lines += [f"{machine['date']}, {machine['cores']} cores of {machine['cpu']}; {versions}", ""]
        lines += [text.read_text(encoding="utf-8").strip(), ""]
    path = Path(__file__).parent / "RESULTS.md"
    path.write_text("\n".join(lines), encoding="utf-8")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
