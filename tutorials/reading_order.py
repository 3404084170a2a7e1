"""The reading order of the source: which file, how long, what to look at, and the tutorial that goes with it.

python tutorials/reading_order.py

rewrites the tables in README.md (the short path) and docs/reading_order.md (all of it), and the functions that README
quotes from the source.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "minixfmr"
BEGIN, END = "<!-- reading order: tutorials/reading_order.py -->", "<!-- end of the reading order -->"

# the Transformer itself, in as few lines as will do
SHORT = [
    "layers/linear",
    "layers/softmax",
    "layers/attention",
    "layers/multi_head",
    "layers/normalization",
    "layers/feedforward",
    "models/residual",
    "models/blocks",
    "models/encoder_decoder",
    "training/losses",
]

# part: {file: (what to look at, number of the tutorial that goes with it)}
EXERCISES = (  # those after softmax
    *("cross_entropy", "linear", "embedding", "layer_norm", "gelu", "dropout", "attention", "multi_head_attention"),
    *("cross_attention", "feed_forward", "encoder_block", "decoder_block", "adamw", "greedy_decoding"),
)

ORDER = {
    "Layers": {
        "layers/linear": ("y = x W + b; why the gradients are sums over rows", 11),
        "module": ("Parameter and Module: the contract of forward and backward", 2),
        "layers/embedding": ("a token that occurs twice collects two gradients", 11),
        "layers/positions": ("sinusoids and learned positions", 0),
        "layers/softmax": ("scores become weights; why the backward subtracts a weighted mean", 1),
        "layers/normalization": ("LayerNorm: what comes back through the mean and the variance", 2),
        "layers/activations": ("ReLU, and the others by name", 11),
        "layers/dropout": ("randomness comes only from a generator that you pass", 11),
        "layers/attention": ("softmax(Q Kᵀ / √dh) V and its backward", 1),
        "layers/cache": ("keys and values kept while a model writes", 4),
        "layers/multi_head": ("several attentions side by side", 1),
        "layers/feedforward": ("the first layer made of layers: its backward is its forward read upwards", 11),
    },
    "The three architectures": {
        "models/config": ("the fields of the paper's Transformer, each with a remark", 6),
        "models/masks": ("the look-ahead mask, padding, and `&`", 1),
        "models/residual": ("x + f(x), with the norm after it (the paper) or before it", 6),
        "models/inputs": ("from ids to vectors", 3),
        "models/blocks": ("encoder and decoder blocks", 6),
        "models/stack": ("blocks on top of each other", 6),
        "models/heads": ("from vectors to logits", 4),
        "models/model": ("what all three architectures have in common", 6),
        "models/decoding": ("what a model remembers between two tokens", 4),
        "models/encoder_decoder": ("the whole Transformer", 5),
        "models/encoder_only": ("BERT's kind", 3),
        "models/decoder_only": ("GPT's kind", 12),
    },
    "Training": {
        "training/losses": ("cross-entropy with label smoothing, and where the mean is taken", 11),
        "training/objectives": ("the next token: from ids to inputs and labels", 4),
        "training/flat": ("one array for all parameters", 10),
        "training/optimizers": ("AdamW and clipping", 11),
        "training/schedules": ("Noam, inverse square root, cosine", 9),
        "training/data": ("padding, batches by length, teacher forcing", 5),
        "training/parallel": ("a batch divided among workers; gradient accumulation", 10),
        "training/loop": ("the training loop as an iterator", 9),
        "checkpoint/disk": ("files read and written whole, or not at all", 9),
        "checkpoint/text": ("JSON, read strictly", 9),
        "checkpoint/tensors": ("arrays in files, each with a checksum", 9),
        "checkpoint/models": ("models and training states; resuming bit for bit", 9),
    },
    "Generation": {
        "generation/settings": ("arguments of a call, or else the model's own", 4),
        "generation/greedy": ("the loop: read, score, choose, append", 4),
        "generation/sampling": ("temperature, top-k, top-p", 4),
        "generation/beam_search": ("several hypotheses at once", 5),
        "generation/generate": ("one function for all of it", 4),
    },
    "The descendants, and longer texts": {
        "layers/variants/rms_norm": ("LayerNorm without mean and bias (T5, LLaMA)", 11),
        "layers/variants/activations": ("both GELUs, SiLU, tanh", 11),
        "layers/variants/either": ("the plain attention, or by blocks for long sequences", 11),
        "layers/variants/long_attention": ("attention over blocks of keys: memory grows with T, not with T²", 11),
        "layers/variants/rotary": ("positions as angles (LLaMA)", 0),
        "layers/variants/positions": ("sinusoids in other columns (Marian, PEGASUS, M2M100), or none", 8),
        "layers/variants/relative": ("positions as distances (T5, DeBERTa)", 11),
        "layers/variants/grouped_heads": ("grouped heads and all of the above, around the plain attention", 8),
        "layers/variants/gated": ("the gated feed-forward layer (LLaMA, T5 v1.1)", 8),
        "layers/variants/convolution": ("only DeBERTa has one", 8),
        "models/variants/config": ("the fields that the descendants added", 8),
        "models/variants/masks": ("windows and prefixes", 6),
        "models/variants/parts": ("from a Config to the layers it asks for", 8),
        "models/variants/inputs": ("token types, and a norm on the embeddings", 8),
        "models/variants/narrow": ("embeddings narrower than the model (ALBERT, ELECTRA)", 8),
        "models/variants/blocks": ("blocks with a convolution, or with two branches side by side", 8),
        "models/variants/heads": ("masked words, classes, tags", 3),
        "models/variants/sentence": ("one vector per sentence", 8),
        "training/variants/objectives": ("masked tokens, prefixes, spans, gaps, denoising", 7),
        "training/variants/resuming": ("where training stands, and going on from there", 9),
        "training/variants/mpi": ("workers on several machines: a sum in the order of the ranks", 10),
        "generation/variants/rules": ("what a generated sequence must or must not contain", 4),
        "generation/variants/published": ("what a published model takes where nobody says it", 8),
        "generation/variants/steps": ("each token with its probability and its alternatives", 4),
    },
    "Published checkpoints": {
        "pretrained/keys": ("what becomes of each key of a config.json", 8),
        "pretrained/family": ("what a family's file has to say", 8),
        "pretrained/rope": ("published ways to stretch rotary positions", 8),
        "pretrained/encoders": ("what the encoders have in common", 8),
        "pretrained/bert": ("BERT", 8),
        "pretrained/roberta": ("RoBERTa, XLM-RoBERTa, CamemBERT", 8),
        "pretrained/distilbert": ("DistilBERT", 8),
        "pretrained/electra": ("ELECTRA", 8),
        "pretrained/mpnet": ("MPNet", 8),
        "pretrained/albert": ("ALBERT", 8),
        "pretrained/deberta": ("DeBERTa", 8),
        "pretrained/deberta_v2": ("DeBERTa, versions 2 and 3", 8),
        "pretrained/decoders": ("what the decoders have in common", 8),
        "pretrained/gpt2": ("GPT-2", 8),
        "pretrained/gpt_neo": ("GPT-Neo", 8),
        "pretrained/gpt_neox": ("GPT-NeoX and Pythia", 8),
        "pretrained/opt": ("OPT: the file to copy for a new family", 8),
        "pretrained/llama": ("LLaMA", 8),
        "pretrained/mistral": ("Mistral", 8),
        "pretrained/qwen": ("Qwen2 and Qwen3", 8),
        "pretrained/gemma": ("Gemma", 8),
        "pretrained/phi3": ("Phi-3", 8),
        "pretrained/pairs": ("what the pairs of encoder and decoder have in common", 8),
        "pretrained/bart": ("BART and mBART", 8),
        "pretrained/pegasus": ("PEGASUS", 8),
        "pretrained/m2m_100": ("M2M100 and NLLB", 8),
        "pretrained/marian": ("Marian", 8),
        "pretrained/t5": ("T5 and T5 v1.1", 7),
        "pretrained/mt5": ("mT5 and umT5", 7),
        "pretrained/folder": ("Hugging Face folders", 8),
        "pretrained/layouts": ("where an array lies in a published file", 8),
        "pretrained/tensors": ("which stored tensor goes where", 8),
        "pretrained/settings": ("what becomes of each setting of generation", 8),
        "pretrained/load": ("load_pretrained and save_pretrained", 8),
        "pretrained/sentence": ("folders of sentence-transformers", 8),
    },
    "Looking inside": {
        "__main__": ("the command `minixfmr`", 2),
        "trace/steps": ("which backward answers which forward", 11),
        "trace/observers": ("what Python's profiling hook sees", 11),
        "trace/page": ("the steps as a web page, with the source", 11),
        "trace/tell": ("one pass, run several times and shown as a table", 11),
    },
    "The machine room": {
        "backend/cuda": ("CuPy, or one sentence that says what is missing", 10),
        "backend/switch": ("`xp`, the array module in use", 10),
        "backend/cores": ("how many cores there are, and BLAS threads", 10),
        "backend/memory": ("memory that is kept, shared, or runs out", 10),
        "backend/workers": ("processes (or threads) that compute at the same time", 10),
        "backend/sums": ("sums over rows and over the batch, spelled the fast way", 10),
        "backend/blocks": ("`by_rows`: plain formulas over blocks that stay in the cache", 10),
        "backend/products": ("matrix products", 10),
        "backend/rows": ("rows of a cache that change places", 10),
        "backend/random": ("random numbers, the same on every backend", 10),
        "backend/special": ("what an array module may lack", 10),
    },
}


# The checks and the clinic are read from their docstrings. part: (its folder, number of the tutorial)
CLINIC = {
    "What comes from outside": ("checks", 6),
    "The gradient checker": ("gradcheck", 2),
    "Why a gradient is wrong": ("gradcheck/diagnosis", 2),
    "The exercises": ("exercises", 2),
    "The processes in which students' files run": ("exercises/child", 2),
    "What each exercise checks": ("exercises/catalogue", 2),
}
NOT_READ = ["exercises/templates"]  # what students fill in


def parts():
    """{part: {file: (what to look at, number of the tutorial)}}, the clinic before the machine room."""
    *first, last = ORDER.items()
    clinic = {part: described(folder, number) for part, (folder, number) in CLINIC.items()}
    return dict(first) | clinic | dict([last])


def described(folder, number):
    """{file: (the first sentence of its docstring, number)} for the files of a folder that exists."""
    files = sorted(path for path in (PACKAGE / folder).glob("*.py") if path.name != "__init__.py")
    return {path.relative_to(PACKAGE).as_posix()[:-3]: (first_sentence(path), number) for path in files}


def first_sentence(path):
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first, *_ = re.split(r"(?<=\w)[.:;](?= |$)", " ".join(docstring.split("\n\n")[0].split()))
    return first.replace("|", "\\|")


def table(names, up=""):
    """The rows of a table in Markdown; up: from the file it stands in to the root, such as "../"."""
    told = {name: what for files in parts().values() for name, what in files.items()}
    tutorials = {script.name[:2]: script.stem for script in (ROOT / "tutorials").glob("[0-9][0-9]_*.py")}
    rows = ["| file | lines | what to look at | tutorial |", "|---|---|---|---|"]
    for name in names:
        what, number = told[name]
        file = f"[`{name}.py`]({up}minixfmr/{name}.py)"
        tutorial = f"[{number:02}]({up}tutorials/{tutorials[f'{number:02}']}.ipynb)"
        rows.append(f"| {file} | {lines(name)} | {what} | {tutorial} |")
    return rows


def short_path():
    """The table of README."""
    return "\n".join(table(SHORT)) + "\n"


def full_order():
    """The tables of docs/reading_order.md."""
    found = []
    for part, names in parts().items():
        if names:
            found += [f"## {part}", "", f"{sum(map(lines, names)):,} lines", "", *table(names, up="../"), ""]
    return "\n".join(found)


def lines(name):
    return len((PACKAGE / f"{name}.py").read_text(encoding="utf-8").splitlines())


def quoted(path, names):
    """Functions of a source file as a code block, with their decorators."""
    source = path.read_text(encoding="utf-8")
    rows = source.splitlines()
    found = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    functions = []
    for name in names:
        node = found[name]
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        functions.append("\n".join(rows[first - 1 : node.end_lineno]))
    return "```python\n" + "\n\n\n".join(functions) + "\n```\n"


def up_to_date(path):
    """The text of a file with its tables and quotations as they should be today."""
    text = path.read_text(encoding="utf-8")
    tables = re.compile(f"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})", re.S)
    text = tables.sub(lambda _: f"\n{TABLES[path]()}\n", text)
    quotes = re.compile(r"(<!-- source: (\S+): ([\w, ]+) -->\n).*?(?=<!-- end of the source -->)", re.S)
    return quotes.sub(lambda m: m[1] + quoted(ROOT / m[2], m[3].split(", ")), text)


TABLES = {ROOT / "README.md": short_path, ROOT / "docs" / "reading_order.md": full_order}

if __name__ == "__main__":
    for path in TABLES:
        path.write_text(up_to_date(path), encoding="utf-8")
