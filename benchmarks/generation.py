"""Tokens per second of generation with the key/value cache, here and in Hugging Face transformers.

    python -m benchmarks.generation

Both sides open the same folder: a GPT-2 of random weights that transformers saved. What they write must be equal.
"""

import tempfile

import numpy as np

import minixfmr

from . import common

# layers, d, heads, V
MODELS = {
    "4 layers, d 128": (4, 128, 4, 4000),
    "4 layers, d 256": (4, 256, 8, 4000),
    "GPT-2 small": (12, 768, 12, 50257),
}
CASES = [(model, batch, beams) for model in MODELS for batch in (1, 16) for beams in (1, 4)]
CASES = [case for case in CASES if case[0] != "GPT-2 small" or case[1] == 1]  # more takes minutes
PROMPT, NEW = 16, 64


def save_model(name, folder):
    """A GPT-2 of that size with random weights in a Hugging Face folder. No end token: all write as much."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    layers, d, heads, V = MODELS[name]
    torch.manual_seed(0)
    ends = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}
    config = GPT2Config(vocab_size=V, n_positions=256, n_embd=d, n_layer=layers, n_head=heads, **ends)
    config.initializer_range = 0.1  # far from the near ties that GPT-2's 0.02 gives before training
    GPT2LMHeadModel(config).save_pretrained(folder)


def prompts(name, batch):
    return np.random.default_rng(0).integers(1, MODELS[name][-1], (batch, PROMPT))


def fingerprint(ids):
    """A number that tells sequences apart."""
    new = np.asarray(ids)[:, PROMPT:].astype(float)
    return float((new * np.sin(1 + np.arange(new.size)).reshape(new.shape)).sum())


# --- the sides


def ours(name, batch, beams, folder, backend="numpy"):
    """minixfmr.generate"""
    minixfmr.use_backend(backend)
    libraries = common.held_mb()
    model, ids = minixfmr.load_pretrained(folder), prompts(name, batch)

    def run():
        return fingerprint(minixfmr.generate(model, ids, max_new_tokens=NEW, num_beams=beams))

    run.libraries_mb = libraries
    return run


def hugging_face(name, batch, beams, folder):
    """GPT2LMHeadModel.generate under no_grad, all cores"""
    import torch
    from transformers import GPT2LMHeadModel

    torch.set_num_threads(common.CORES)
    libraries = common.held_mb()
    model = GPT2LMHeadModel.from_pretrained(folder).eval()
    ids = torch.tensor(prompts(name, batch))
    options = {"max_new_tokens": NEW, "num_beams": beams, "do_sample": False, "use_cache": True, "pad_token_id": 0}
    mask = torch.ones_like(ids)

    def run():
        with torch.no_grad():
            return fingerprint(model.generate(ids, attention_mask=mask, **options).numpy())

    run.libraries_mb = libraries
    return run


SIDES = {"minixfmr": ours, "Hugging Face": hugging_face}


def main():
    parser = common.options(__doc__)
    chosen = parser.parse_args()
    names = chosen.sides.split(",") if chosen.sides else list(SIDES)
    results, rows = [], []
    for model, batch, beams in CASES:
        case = f"{model}, batch {batch}, {'greedy' if beams == 1 else f'beam {beams}'}"
        if chosen.only and chosen.only not in case:
            continue
        with tempfile.TemporaryDirectory() as folder:
            save_model(model, folder)
            common_part = {"name": model, "batch": batch, "beams": beams, "folder": folder}
            sides = {}
            for name in names:
                backend = {"backend": chosen.backend} if name == "minixfmr" else {}
                sides[name] = f"benchmarks.generation:{SIDES[name].__name__}", common_part | backend
            measured = common.in_turn(sides, chosen.rounds, chosen.seconds, warm=1)
        results.append({"case": case, "sides": measured})
        rows.append(row(case, batch, measured, names))
        print(*rows[-1], sep=" | ", flush=True)
    header = ["setting", *(f"{n}, tokens/s" for n in names), "ours / Hugging Face", "same text"]
    text = common.table([*header, "peak memory, MiB: " + ", ".join(names)], rows)
    print(text)
    if not chosen.no_save:
        common.save("generation", text, {"results": results})


def row(case, batch, measured, names):
    """One line of the table."""
    good = {name: r for name, r in measured.items() if "ms" in r}
    speed = {name: [batch * NEW / r[key] * 1000 for key in ("ms", "high", "low")] for name, r in good.items()}

    def text(name):
        if name not in speed:
            return f"failed: {measured[name]['failed'][:60]}"
        middle, low, high = speed[name]
        return f"{middle:,.0f} ({low:,.0f}-{high:,.0f})"

    both = len(good) == 2
    ratio = f"{speed['minixfmr'][0] / speed['Hugging Face'][0]:.2f}" if both else "-"
    same = len({round(r["first"][0], 3) for r in good.values()}) == 1 if both else "-"
    memory = ", ".join(f"{good[n]['peak_mb']:.0f}" if n in good else "-" for n in names)
    return [case, *(text(n) for n in names), ratio, {True: "yes", False: "no"}.get(same, same), memory]


if __name__ == "__main__":
    main()
