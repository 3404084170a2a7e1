"""The reading order of the source, as README's tables: which file, how long, what to look at, which tutorial with it.

python tutorials/reading_order.py      writes the tables anew between their marks in README.md
"""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- reading order: tutorials/reading_order.py -->", "<!-- end of the reading order -->"

# part: {file: (what to look at, number of the tutorial that goes with it)}
ORDER = {
    "The ground": {
        "gpu": ("CuPy, or one sentence on what is missing", 10),
        "backend": ("`xp`, the array module, and the few operations that NumPy and CuPy do not spell alike", 10),
        "module": ("Parameter and Module, and the contract of forward and backward", 2),
    },
    "Layers": {
        "layers/linear": ("y = x W + b; why the gradients are sums over rows", 11),
        "layers/embedding": ("a token that occurs twice collects two gradients", 11),
        "layers/positions": ("sinusoids and learned positions", 3),
        "layers/normalization": ("LayerNorm and RMSNorm, and the terms that come back through mean and variance", 2),
        "layers/activations": ("ReLU, both GELUs, SiLU", 11),
        "layers/dropout": ("random draws come from a generator that you pass, or there are none", 11),
        "layers/attention": ("softmax(Q Kᵀ / √dh) V and its backward; heads; the key/value cache", 1),
        "layers/feedforward": ("the first layer made of layers: its backward is its forward read upwards", 11),
    },
    "The three architectures": {
        "models/config": ("every field of a model, with a remark; the descendants' come after the Transformer's", 6),
        "models/masks": ("the look-ahead mask, padding, windows, prefixes, and `&`", 1),
        "models/parts": ("from a Config to the layers that it asks for", 6),
        "models/inputs": ("ids to vectors", 3),
        "models/blocks": ("pre-norm, post-norm, encoder and decoder blocks, stacks", 6),
        "models/heads": ("what a stack's vectors are used for", 3),
        "models/encoder_decoder": ("the whole Transformer", 5),
        "models/encoder_only": ("BERT's kind", 3),
        "models/decoder_only": ("GPT's kind", 4),
    },
    "Training": {
        "training/losses": ("cross-entropy with label smoothing; where the mean is taken", 11),
        "training/objectives": ("next token, masked tokens, spans, gaps, denoising: from ids to inputs and labels", 7),
        "training/optimizers": ("AdamW and clipping", 11),
        "training/schedules": ("Noam, inverse square root, cosine", 9),
        "training/data": ("padding, batches by length, teacher forcing", 5),
        "training/workers": ("processes (or threads) that compute at once", 10),
        "training/parallel": ("workers over parts of a batch; gradient accumulation", 10),
        "training/loop": ("the training loop as an iterator", 9),
    },
    "Using a model": {
        "token_rules": ("what a generated sequence must or must not contain", 4),
        "generation": ("greedy, sampling, beam search", 4),
        "checkpoint": ("never half a file, and resuming bit for bit", 9),
    },
    "The descendants, and longer texts": {
        "layers/long_attention": ("attention by blocks of keys, whose memory grows with T", 11),
        "layers/rotary": ("positions as angles (LLaMA)", 11),
        "layers/relative": ("positions as distances (T5, DeBERTa)", 11),
        "layers/attention_variants": ("grouped heads and all of the above, over the plain attention", 8),
        "layers/convolution": ("one published system has one", 8),
    },
    "Published checkpoints": {
        "pretrained/folder": ("Hugging Face folders", 8),
        "pretrained/bert": ("BERT, RoBERTa, DistilBERT", 8),
        "pretrained/deberta": ("DeBERTa, versions 1 to 3", 8),
        "pretrained/gpt2": ("GPT-2", 8),
        "pretrained/llama": ("LLaMA, Mistral", 8),
        "pretrained/t5": ("T5, T5 v1.1, mT5", 7),
        "pretrained/bart": ("BART, PEGASUS, M2M100 and NLLB, Marian", 8),
    },
    "The gradient checker": {
        "gradcheck/report": ("rows, properties, explanations, the three verdicts; the table", 2),
        "gradcheck/blame": ("whose line raised it", 2),
        "gradcheck/kinds": ("a float array, a mask, a list?", 2),
        "gradcheck/names": ("which gradient belongs to which array", 2),
        "gradcheck/profile": ("a course's conventions", 2),
        "gradcheck/places": ("where numbers live in a student's objects", 2),
        "gradcheck/randomness": ("random numbers that repeat", 2),
        "gradcheck/calling": ("how forward and backward are called", 2),
        "gradcheck/pairing": ("arrays and the gradients that backward leaves", 2),
        "gradcheck/adapter": ("plain arrays as parameters", 2),
        "gradcheck/harvest": ("gradients returned one by one, in lists, by name", 2),
        "gradcheck/subject": ("what is checked: functions, layers, students' classes", 2),
        "gradcheck/losses": ("a loss and its gradients from one function", 2),
        "gradcheck/finding": ("what has a gradient, and what moves the output unseen", 2),
        "gradcheck/differences": ("finite differences, done carefully", 2),
        "gradcheck/coverage": ("lines that never ran, or where float32 came in", 2),
        "gradcheck/masks": ("a mask must block", 2),
        "gradcheck/properties": ("what differences cannot see", 2),
        "gradcheck/verdict": ("gradients compared, a row each", 2),
        "gradcheck/diagnosis/constants": ("the factors by which gradients are wrong, with their names", 2),
        "gradcheck/diagnosis/remedies": ("mistakes of any backward pass", 2),
        "gradcheck/diagnosis/activation_remedies": ("mistakes of activations", 2),
        "gradcheck/diagnosis/layer_remedies": ("mistakes of softmax, norms, losses, embeddings, dropout", 2),
        "gradcheck/diagnosis/parts": ("which layer of a layer", 2),
        "gradcheck/diagnosis/instrument": ("a student's backward with a hook around every expression", 2),
        "gradcheck/diagnosis/repair": ("which expression", 2),
        "gradcheck/diagnosis/explain": ("which remedy turns the gradient into the right one", 2),
        "gradcheck/check": ("the check itself; a report", 2),
        "gradcheck/files": ("a student's file or notebook", 2),
        "gradcheck/discovery": ("what a file has to check", 2),
        "gradcheck/guesses": ("inputs made up", 2),
        "gradcheck/runner": ("one item of a file", 2),
        "gradcheck/process": ("the file in a process of its own", 2),
        "gradcheck/__main__": ("`python -m minixfmr.gradcheck`", 2),
    },
    "The exercises": {
        "exercises/checks": ("forward, then backward", 2),
        "exercises/catalogue": ("right results and cases", 2),
        "exercises/child": ("the process of one exercise", 2),
        "exercises/__main__": ("`python -m minixfmr.exercises`", 2),
    },
    "Looking inside": {
        "trace/steps": ("which backward answers which forward", 11),
        "trace/observers": ("what Python's profiling hook sees", 11),
        "trace/page": ("the same as a page, with the source", 11),
        "trace/tell": ("one pass, run several times and told as a table", 11),
    },
}


def tables():
    """The tables as Markdown."""
    tutorials = {script.name[:2]: script.stem for script in (ROOT / "tutorials").glob("[0-9][0-9]_*.py")}
    parts = []
    for part, files in ORDER.items():
        counted = [(name, *told, lines(name)) for name, told in files.items()]
        parts += [f"**{part}**, {sum(row[-1] for row in counted):,} lines", ""]
        parts += ["| file | lines | what to look at | tutorial |", "|---|---|---|---|"]
        for name, told, tutorial, count in counted:
            link = f"[{tutorial:02}](tutorials/{tutorials[f'{tutorial:02}']}.ipynb)"
            parts.append(f"| `minixfmr/{name}.py` | {count} | {told} | {link} |")
        parts.append("")
    return "\n".join(parts)


def lines(name):
    return len((ROOT / "minixfmr" / f"{name}.py").read_text(encoding="utf-8").splitlines())


def with_tables(readme):
    """The text of README with the tables of today."""
    pattern = re.compile(f"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})", re.S)
    return pattern.sub(lambda _: f"\n{tables()}\n", readme)


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(with_tables(readme.read_text(encoding="utf-8")), encoding="utf-8")
