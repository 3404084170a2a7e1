"""Tokens per second of generation with the key/value cache, here and in Hugging Face transformers.

    python -m benchmarks.generation
    python -m benchmarks.generation --backend cupy      all sides on a GPU, in float32 and in TF32

All sides open the same folder: a GPT-2 of random weights that transformers saved. What they write must be equal.
"""

import itertools
import tempfile

import numpy as np

import minixfmr

from . import common, gpu

# layers, d, heads, V
MODELS = {
    "4 layers, d 128": (4, 128, 4, 4000),
    "4 layers, d 256": (4, 256, 8, 4000),
    "GPT-2 small": (12, 768, 12, 50257),
}
GPU_MODELS = {"4 layers, d 64": (4, 64, 4, 4000), **MODELS, "GPT-2 medium": (24, 1024, 16, 50257)}
GPU_CASES = list(itertools.product(GPU_MODELS, (1, 16), (1, 4)))  # model, batch, beams
CASES = list(itertools.product(MODELS, (1, 16), (1, 4)))
CASES = [case for case in CASES if case[0] != "GPT-2 small" or case[1] == 1]  # more takes minutes
PROMPT, NEW = 16, 64


def save_model(name, folder):
    """A GPT-2 of that size with random weights in a Hugging Face folder. No end token: all write as much."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    layers, d, heads, V = GPU_MODELS[name]
    torch.manual_seed(0)
    ends = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}
    config = GPT2Config(vocab_size=V, n_positions=256, n_embd=d, n_layer=layers, n_head=heads, **ends)
    config.initializer_range = 0.1  # far from the near ties that GPT-2's 0.02 gives before training
    GPT2LMHeadModel(config).save_pretrained(folder)


def prompts(name, batch):
    return np.random.default_rng(0).integers(1, GPU_MODELS[name][-1], (batch, PROMPT))


def fingerprint(ids):
    """A number that tells sequences apart."""
    new = np.asarray(ids)[:, PROMPT:].astype(float)
    return float((new * np.sin(1 + np.arange(new.size)).reshape(new.shape)).sum())


# --- the sides


def ours(name, batch, beams, folder, precision=None):
    """minixfmr.generate"""
    minixfmr.use_backend("cupy" if precision else "numpy")
    libraries = common.held_mb()
    model, ids = minixfmr.load_pretrained(folder), prompts(name, batch)

    def run():
        return fingerprint(minixfmr.generate(model, ids, max_new_tokens=NEW, num_beams=beams))

    run.libraries_mb = libraries
    run.meter = gpu.CuPy() if precision else common.Meter()
    return run


def hugging_face(name, batch, beams, folder, precision=None, **more):
    """GPT2LMHeadModel.generate under no_grad, all cores"""
    import torch
    from transformers import GPT2LMHeadModel

    torch.set_num_threads(common.CORES)
    device, meter = (gpu.TORCH_DEVICE, gpu.Torch(precision)) if precision else ("cpu", common.Meter())
    libraries = common.held_mb()
    model = GPT2LMHeadModel.from_pretrained(folder).eval().to(device)
    ids = torch.tensor(prompts(name, batch), device=device)
    options = {"max_new_tokens": NEW, "num_beams": beams, "do_sample": False, "use_cache": True, "pad_token_id": 0}
    mask = torch.ones_like(ids)

    def run():
        with torch.no_grad():
            return fingerprint(model.generate(ids, attention_mask=mask, **options, **more).cpu().numpy())

    run.libraries_mb, run.meter = libraries, meter
    return run


def hugging_face_compiled(name, batch, beams, folder, precision=None):
    """The same over a cache of fixed length, for which transformers compiles the forward pass on a GPU."""
    return hugging_face(name, batch, beams, folder, precision, cache_implementation="static")


SIDES = {"minixfmr": ours, "Hugging Face": hugging_face}
GPU_SIDES = SIDES | {"Hugging Face compiled": hugging_face_compiled}


def main():
    parser = common.options(__doc__)
    chosen = parser.parse_args()
    card = gpu.card(parser) if chosen.backend == "cupy" else None
    names = chosen.sides.split(",") if chosen.sides else list(GPU_SIDES if card else SIDES)
    results, rows = [], []
    for model, batch, beams in GPU_CASES if card else CASES:
        case = f"{model}, batch {batch}, {'greedy' if beams == 1 else f'beam {beams}'}"
        if chosen.only and chosen.only not in case:
            continue
        for precision in gpu.PRECISIONS if card else [None]:
            with tempfile.TemporaryDirectory() as folder:
                save_model(model, folder)
                given = {"name": model, "batch": batch, "beams": beams, "folder": folder, "precision": precision}
                sides = {name: (f"benchmarks.generation:{GPU_SIDES[name].__name__}", given) for name in names}
                measured = common.in_turn(sides, chosen.rounds, chosen.seconds, warm=1)
            results.append({"case": case, "precision": precision, "sides": measured})
            rows.append(row(case, batch, precision, measured, names))
            print(*rows[-1], sep=" | ", flush=True)
    header = ["setting", *(["precision"] if card else []), *(f"{n}, tokens/s" for n in names)]
    header += ["ours / Hugging Face", "same text", common.memory_header(card, names)]
    text = common.table(header, rows)
    print(text)
    if not chosen.no_save:
        common.save("generation", text, {"results": results}, card)


def row(case, batch, precision, measured, names):
    """One line of the table. Hugging Face: the faster of its sides."""
    good = {name: r for name, r in measured.items() if "ms" in r}
    speed = {name: [batch * NEW / r[key] * 1000 for key in ("ms", "high", "low")] for name, r in good.items()}

    def text(name):
        if name not in speed:
            return f"failed: {measured[name]['failed'][:60]}"
        middle, low, high = speed[name]
        return f"{middle:,.0f} ({low:,.0f}-{high:,.0f})"

    peers = [speed[name][0] for name in good if name != "minixfmr"]
    both = "minixfmr" in good and peers
    ratio = f"{speed['minixfmr'][0] / max(peers):.2f}" if both else "-"
    same = len({round(r["first"][0], 3) for r in good.values()}) == 1 if both else "-"
    same = {True: "yes", False: "no"}.get(same, same)
    return [case, *filter(None, [precision]), *map(text, names), ratio, same, common.memory(measured, names)]


if __name__ == "__main__":
    main()
