# %% [markdown]
# # 08 · Published checkpoints in plain NumPy
#
# BERT, GPT-2, LLaMA, T5 and BART are one network with different settings. Here you open a folder of each in the form in
# which Hugging Face publishes it, see how names and arrays are mapped, and find that logits, gradients and generated
# text equal those of transformers up to rounding. Then you look inside, train one further, and save it back. It runs
# for about a minute and builds on [07](07_text_to_text.ipynb). It is the only tutorial that needs PyTorch and
# transformers, for the comparison: `pip install "minixfmr[parity]"`.

# %%
import json
import os
import random
import re
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import plots
import safetensors.numpy
import torch

warnings.filterwarnings("ignore", "IProgress not found")  # no progress bars here
import transformers as hf

import minixfmr
from minixfmr.models import causal_mask, sliding_window_mask
from minixfmr.pretrained import places
from minixfmr.training import cosine, next_token

sys.path.append(os.path.abspath("../tests"))
from hugging_face import float64_everywhere, rebuild_tables

hf.utils.logging.set_verbosity_error()
hf.utils.logging.disable_progress_bar()
QUICK = bool(os.environ.get("QUICK"))  # less data, for the tests
FOLDER = None  # or the absolute path of a real folder, as a string: it then joins all comparisons

# %% [markdown]
# ## Five folders
#
# A published model is a folder: a `config.json` with its settings, its weights in `model.safetensors`, and, for models
# that write, a `generation_config.json`. Nothing is downloaded here. transformers makes small models of the five
# systems with random weights, and writes their folders just as it writes real ones. A token is the ASCII code of a
# character, so that V = 128 and no tokenizer is needed.

# %%
V, NUL, START, STOP = 128, 0, 2, 3
ends = {"pad_token_id": NUL, "bos_token_id": START, "eos_token_id": STOP}
sizes = {"vocab_size": V, "hidden_size": 48, "num_hidden_layers": 6, "num_attention_heads": 4, "intermediate_size": 96}
seq2seq = {"vocab_size": V, "d_model": 48, "decoder_start_token_id": START, **ends}
CONFIGS = {
    "BERT": hf.BertConfig(**sizes, max_position_embeddings=64, pad_token_id=NUL),
    "GPT-2": hf.GPT2Config(
        vocab_size=V, n_embd=48, n_layer=6, n_head=4, n_positions=64, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, **ends
    ),
    "LLaMA": hf.LlamaConfig(**sizes, num_key_value_heads=2, max_position_embeddings=64, **ends),
    "T5": hf.T5Config(**seq2seq, d_kv=12, num_heads=4, d_ff=96, num_layers=6),
    "BART": hf.BartConfig(
        **seq2seq,
        encoder_layers=6,
        decoder_layers=6,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=96,
        decoder_ffn_dim=96,
        max_position_embeddings=64,
        forced_eos_token_id=STOP,
    ),
}
CLASSES = {
    "BERT": hf.BertForMaskedLM,
    "GPT-2": hf.GPT2LMHeadModel,
    "LLaMA": hf.LlamaForCausalLM,
    "T5": hf.T5ForConditionalGeneration,
    "BART": hf.BartForConditionalGeneration,
}

# %% [markdown]
# Fresh models have biases of 0 and gains of 1, behind which many a mistake can hide: if a bias of 0 is never added,
# nothing changes. So every parameter is moved away from its initial value. And where the output matrix is the token
# table, a random model tends to repeat the token it has just read; random signs in its last norm prevent that.

# %%
home = tempfile.TemporaryDirectory()
os.chdir(home.name)


@torch.no_grad()
def make(name):
    torch.manual_seed(0)
    model = CLASSES[name](CONFIGS[name])
    for p in model.parameters():
        p.add_(0.1 * torch.randn(p.shape))
    norms = [m for n, m in model.named_modules() if "norm" in type(m).__name__.lower() and "encoder." not in n]
    norms[-1].weight.mul_(2 * torch.randint(2, norms[-1].weight.shape) - 1)
    model.save_pretrained(name)


for name in CLASSES:
    make(name)
folders = {name: Path(name) for name in CLASSES} | ({"yours": Path(FOLDER)} if FOLDER else {})
for name in ("BERT", "GPT-2"):
    print(name, {file.name: f"{file.stat().st_size:,} bytes" for file in sorted(folders[name].iterdir())})

# %% [markdown]
# The configuration is plain JSON. `model_type` and `architectures` say which system it is and which head it has; the
# rest are sizes and options.

# %%
published = json.loads((folders["GPT-2"] / "config.json").read_text())
for key in ("model_type", "architectures", "n_layer", "n_embd", "n_head", "activation_function", "layer_norm_epsilon"):
    print(f"{key:20} {published[key]}")

# %% [markdown]
# The weights are arrays with names. Here are those of one block of GPT-2:

# %%
tensors = {name: safetensors.numpy.load_file(f"{folder}/model.safetensors") for name, folder in folders.items()}
for key, array in sorted(tensors["GPT-2"].items()):
    if ".h.0." in key:
        print(f"{key:35} {array.dtype}  {array.shape}")
print(len(tensors["GPT-2"]), "arrays in all")

# %% [markdown]
# ## How names map
#
# `load_pretrained` turns the JSON into a `Config` and the `Config` into a model, and copies each array to its place. A
# new system needs no mathematics, only a table of names: for this one it is in
# [gpt2.py](../minixfmr/pretrained/gpt2.py).

# %%
models = {name: minixfmr.load_pretrained(folder, dtype="float64") for name, folder in folders.items()}
model = models["GPT-2"]
where = places(model)  # "*." stands for what the file puts before each name, here "transformer."
for ours, p in model.named_parameters():
    if ".blocks.0." in ours and ours.endswith("weight"):
        theirs, part = where[ours]
        print(f"{ours.removeprefix('decoder.'):43} {p.shape!s:9} ← {theirs.removeprefix('*.'):22} {part or ''}")

# %% [markdown]
# Two things go beyond a change of names. GPT-2 stores query, key and value side by side in one matrix, and the remark
# at the end says which third of its columns is meant. And most systems store a matrix as (out, in), to be used as $x
# W^\top$; here it is (in, out), so that the code reads like $y = x W + b$. GPT-2 is an exception: it stores (in, out)
# too. Here are both cases by hand:

# %%
attention = model.decoder.blocks[0].self_attention.layer
fused = tensors["GPT-2"]["transformer.h.0.attn.c_attn.weight"]  # (d, 3 d)
d = len(fused)
assert np.array_equal(attention.key.weight.data, fused[:, d : 2 * d])

attention = models["LLaMA"].decoder.blocks[0].self_attention.layer
stored = tensors["LLaMA"]["model.layers.0.self_attn.k_proj.weight"]
assert np.array_equal(attention.key.weight.data, stored.T)
print(places(models["LLaMA"])["decoder.blocks.0.self_attention.layer.key.weight"][0], stored.shape)

# %% [markdown]
# ## The same logits
#
# Now both read the same text, in float64. transformers computes some values in float32 whatever the type of its
# weights, among them the norms of T5 and LLaMA; `float64_everywhere`, a helper from this project's tests, changes that.
# Without it these two systems would agree only to the seven digits of float32.


# %%
def open_in_transformers(folder):
    architecture = json.loads((Path(folder) / "config.json").read_text())["architectures"][0]
    peer = getattr(hf, architecture).from_pretrained(folder, attn_implementation="eager").eval()
    with float64_everywhere():
        rebuild_tables(peer.double())  # its tables of rotary angles were made in float32
    return peer


def ids_of(text):
    return np.array([[ord(character) for character in text]])  # (1, T)


def inputs_for(model):
    """What its forward reads: one text, or a source and the start of a target."""
    ids = ids_of("all of it is matrix products")
    target = {"decoder_input_ids": ids_of("and a few sums")} if isinstance(model, minixfmr.EncoderDecoder) else {}
    return {"input_ids": ids, **target}


peers = {name: open_in_transformers(folder) for name, folder in folders.items()}
for name, model in models.items():
    batch = inputs_for(model)
    with float64_everywhere(), torch.no_grad():
        theirs = peers[name](**{key: torch.tensor(ids) for key, ids in batch.items()}).logits.numpy()
    difference = np.abs(model(**batch) - theirs).max() / np.abs(theirs).max()
    print(f"{name:6} logits {theirs.shape}   largest difference {difference:.0e} of the largest logit")
    assert difference < 1e-11

# %% [markdown]
# ## The same gradients
#
# Equal logits say that the forward pass is right. For the backward pass any upstream gradient will do: take $L = \sum
# \text{logits} \odot R$ with a random $R$, so that $\partial L / \partial \text{logits} = R$. transformers gets its
# gradients from autograd, ours come from `model.backward(R, saved)`.
#
# The gradients have to be compared under the published names. There is a neat way to get there: put them into a second
# model in place of its weights, and save that.


# %%
def published_gradients(name, model, batch, R):
    _, saved = model.forward(**batch)
    model.zero_grad()
    model.backward(R, saved)
    carrier = minixfmr.load_pretrained(folders[name], dtype="float64")
    gradients = {key: p.grad for key, p in model.named_parameters()}
    carrier.load_state_dict(carrier.state_dict() | gradients)
    minixfmr.save_pretrained(carrier, "gradients")
    return safetensors.numpy.load_file("gradients/model.safetensors")


worst = {}
for name, model in models.items():
    batch = inputs_for(model)
    R = np.random.default_rng(0).normal(size=model(**batch).shape)
    ours = published_gradients(name, model, batch, R)
    with float64_everywhere():
        logits = peers[name](**{key: torch.tensor(ids) for key, ids in batch.items()}).logits
        (logits * torch.tensor(R)).sum().backward()
    theirs = {key: p.grad.numpy() for key, p in peers[name].named_parameters() if p.grad is not None}
    floor = 1e-7 * max(np.abs(g).max() for g in theirs.values())
    worst[name] = max(np.abs(ours[key] - g).max() / max(np.abs(g).max(), floor) for key, g in theirs.items())
    print(f"{name:6} {len(theirs):3} gradients   largest relative difference {worst[name]:.0e}")
assert max(worst.values()) < 1e-7

# %% [markdown]
# The `floor` is for gradients that are exactly zero in theory, such as that of a key's bias: it shifts all scores of a
# row by the same amount, which softmax does not see. Both sides compute rounding noise there, and noise has no digits
# to agree on.
#
# ## The same text
#
# Four of the five can write. Greedy search always takes the likeliest token, beam search keeps several hypotheses; the
# rules of the folder's `generation_config.json` hold in both. Random weights write gibberish, or one token again and
# again, but it is the same gibberish, token for token:

# %%
for name, model in models.items():
    if isinstance(model, minixfmr.EncoderOnly):
        continue
    prompt = ids_of("all of it")
    for beams in (1, 4):
        ours = minixfmr.generate(model, prompt, max_new_tokens=12, num_beams=beams)
        with float64_everywhere():
            theirs = peers[name].generate(torch.tensor(prompt), max_new_tokens=12, num_beams=beams, do_sample=False)
        assert np.array_equal(ours, theirs.numpy())
        print(f"{name:6} {'greedy' if beams == 1 else 'beam 4'}  {ours[0][-12:].tolist()}")

# %% [markdown]
# ## What differs
#
# One `Config` describes all five, so their differences can be read off the loaded models. Each row is a decision made
# in some paper.

# %%
FIELDS = ["norm_order", "norm", "embedding_norm", "positions", "relative_positions", "position_offset", "activation"]
FIELDS += ["gated_feed_forward", "attention_bias", "feed_forward_bias", "attention_scale", "num_key_value_heads"]
FIELDS += ["tie_word_embeddings", "type_vocab_size", "head"]
print(" " * 20 + "".join(f"{name:>15}" for name in models))
print(f"{'class':20}" + "".join(f"{type(model).__name__:>15}" for model in models.values()))
for field in FIELDS:
    values = [str(getattr(model.config, field)) for model in models.values()]
    print(f"{field:20}" + "".join(f"{value:>15}" for value in values))

# %% [markdown]
# The table tells a story. BERT (2018) puts the norm after the sublayer ("post"), as the Transformer of 2017 does, and
# so does BART (2019); GPT-2, T5 (both 2019) and LLaMA (2023) put it before ("pre"). T5 and LLaMA drop the norm's mean
# and bias ("rms") and nearly all other biases, and move positions from a table at the input into attention (buckets of
# distances, rotary angles). LLaMA's feed-forward layers have a gate. That every two heads share one key and value was
# our choice above; larger and later LLaMA models share them too. Attention itself, the softmax of inner products times
# the values, is the same in all.
#
# ## Where the parameters are
#
# The small models have the wrong proportions for this question. The defaults of transformers are the published sizes,
# and on PyTorch's device "meta" its models have shapes but take no memory.

# %%
PATTERNS = {"norms": "norm|ln_", "attention": "attn|attention", "embeddings, output": "embed|wte|wpe|shared|head|cls"}


def part_of(name):
    found = (part for part, pattern in PATTERNS.items() if re.search(pattern, name.lower()))
    return next(found, "feed-forward")


shares = {}
for name in CLASSES:
    with torch.device("meta"):
        peer = CLASSES[name](type(CONFIGS[name])())
    count = Counter()
    for key, p in peer.named_parameters():
        count[part_of(key)] += p.numel()
    shares[f"{name}, {count.total() / 1e6:,.0f} M"] = count
assert shares["GPT-2, 124 M"].total() == 124_439_808

# %%
for count in shares.values():
    assert count["feed-forward"] > count["attention"] > 100 * count["norms"]
figure, axis = plots.figure(size=(6.8, 2.6))
left = np.zeros(len(shares))
for part in ("embeddings, output", "attention", "feed-forward", "norms"):
    width = np.array([count[part] / count.total() for count in shares.values()])
    axis.barh(list(shares), width, left=left, label=part)
    left += width
axis.invert_yaxis()
axis.set(xlabel="share of the parameters", xlim=(0, 1))
axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
figure

# %% [markdown]
# The norms have too few parameters to be seen. In small models the vocabulary takes a large part; T5-small and BART
# have one table for both sides and for the output. In a model of LLaMA's size nearly everything is in the blocks, and
# in every block the feed-forward layer has more parameters than the attention.
#
# ## What may be seen
#
# Here are the attention weights of one layer, taken from what `forward` saved. **The model's weights are random**, so
# the shades mean nothing. What the maps do show is the masks: where a weight is exactly 0, the model cannot look,
# however it is trained.

# %%
text = "see or not"
maps = {}
for name in ("BERT", "GPT-2"):
    _, saved = models[name].forward(ids_of(text))
    maps[f"{name}, layer 1, head 1"] = models[name].attention_weights(saved)[0][0, 0]  # (T, T)
bert, causal = maps.values()
future = ~causal_mask(len(text))[0, 0]
assert (causal[future] == 0).all() and (bert > 0).all()
shown = list(text.replace(" ", "␣"))
plots.heat_maps(maps, shown, shown, xlabel="looked at (key)", ylabel="looks (query)", numbers=False)

# %% [markdown]
# GPT-2's map is empty above the diagonal: a character sees itself and what came before. BERT's has no empty cell. The
# difference shows from outside too, without looking at any weight: change the last character, and see which outputs
# move.

# %%
for name in ("BERT", "GPT-2"):
    before, after = (models[name](ids_of(t)) for t in (text, text[:-1] + "w"))
    moved = np.abs(after - before).max(axis=(0, 2)) > 0  # (T,)
    print(f"{name:6}", "".join(c if m else "·" for c, m in zip(shown, moved, strict=True)), "(· = output unchanged)")
    assert moved[:-1].any() == (name == "BERT")

# %% [markdown]
# ## The scale of the activations
#
# A model is a list of blocks, so looking inside needs no hooks: run them one by one and look at what comes out. Here it
# is the root mean square of the vectors after each block (of the encoder, where there are two stacks). transformers
# returns the same vectors as `hidden_states`, and we compare them.


# %%
def trace(model, ids):
    """The vectors before the first block and after each."""
    inputs = model.source if isinstance(model, minixfmr.EncoderDecoder) else model.embedding
    stack, mask, T = getattr(model, "encoder", None), None, ids.shape[1]
    if stack is None:
        stack, mask = model.decoder, causal_mask(T)
    x, _ = inputs.forward(ids)  # (B, T, d)
    states = [x.copy()]
    for block, window in zip(stack.blocks, stack.windows, strict=True):
        x, _ = block.forward(x, mask & sliding_window_mask(T, T, window) if window else mask)
        states.append(x.copy())
    return states


def hidden_states(peer, batch):
    """The same from transformers, where the last one has passed the final norm."""
    with float64_everywhere(), torch.no_grad():
        out = peer(**{key: torch.tensor(ids) for key, ids in batch.items()}, output_hidden_states=True)
    states = out.encoder_hidden_states if "decoder_input_ids" in batch else out.hidden_states
    return [x.numpy() for x in states]


# %%
figure, axis = plots.figure()
for marker, (name, model) in zip("osD^vP", models.items(), strict=False):
    batch = inputs_for(model)
    states = trace(model, batch["input_ids"])
    for ours, theirs in zip(states[:-1], hidden_states(peers[name], batch)[:-1], strict=True):
        assert np.abs(ours - theirs).max() < 1e-9 * np.abs(ours).max()
    scale = [np.sqrt((x * x).mean()) for x in states]
    if name in CLASSES:
        assert scale[-1] > 2 * scale[0] if model.config.norm_order == "pre" else max(scale) < 2 * min(scale)
    axis.plot(scale, marker=marker, label=f"{name} ({model.config.norm_order})")
axis.set(xlabel="blocks passed", ylabel="root mean square", yscale="log")
axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
figure

# %% [markdown]
# With post-norm every block ends in a norm, so the scale stays where the norm's gain puts it, and the lines are level.
# With pre-norm each block adds its output to its input, and nothing reduces the sum before the norm at the end of the
# stack, so the lines rise.
#
# ## Train it further
#
# A loaded model is a model like any other. This GPT-2 has learned nothing yet; with a folder of published weights the
# same lines would be fine-tuning. The text is the English that ships with Python, the pages behind `help("topics")`,
# with one token per character; some paragraphs are held out.

# %%
paragraphs = [p for name in sorted(topics) for p in topics[name].split("\n\n")]
paragraphs = list(dict.fromkeys(paragraphs))  # some are on several pages
random.Random(0).shuffle(paragraphs)
codes, held_out = (
    np.frombuffer("\n\n".join(part).encode("ascii", "ignore"), np.uint8).astype(int)
    for part in (paragraphs[100:], paragraphs[:100])
)
ROWS, T, STEPS = 32, 64, 20 if QUICK else 400


class Windows:
    """Batches of pieces of a text, each of T + 1 characters."""

    def __init__(self, codes, steps, seed):
        self.codes, self.steps, self.seed = codes, steps, seed

    def order(self, epoch):
        return range(self.steps)

    def batch(self, step):
        starts = np.random.default_rng([self.seed, step]).integers(len(self.codes) - T, size=ROWS)
        return next_token(np.stack([self.codes[i : i + T + 1] for i in starts]))


# %%
tuned = minixfmr.load_pretrained(folders["GPT-2"])  # float32, the default
test = Windows(held_out, 5, seed=1)
optimizer = minixfmr.AdamW(tuned.parameters(), weight_decay=0.1)
schedule = cosine(3e-3, min(30, STEPS // 2), STEPS, final=3e-4)
trainer = minixfmr.Trainer(tuned, optimizer, schedule, Windows(codes, STEPS, seed=0), workers=2)
curves = {"training": [], "held out": [(0, minixfmr.evaluate(tuned, test))]}
for result in trainer.run(epochs=1):
    curves["training"].append((result.step, result.loss))
    if result.step % (STEPS // 10) == 0:
        curves["held out"].append((result.step, minixfmr.evaluate(tuned, test)))

counts = np.bincount(codes, minlength=V) + 1
unigram = -np.log(counts / counts.sum())[held_out].mean()
assert curves["held out"][-1][1] < (curves["held out"][0][1] if QUICK else unigram - 0.5)
plots.losses(curves, {"unigram": unigram}, ylabel="loss (nats a character)")

# %% [markdown]
# The held-out loss ends well below that of a unigram guess, which knows only the frequency of each character
# (asserted). What the model writes looks like words:

# %%
ids = minixfmr.generate(tuned, ids_of("The value of "), max_new_tokens=50, do_sample=True, temperature=0.7, seed=0)
print(bytes(ids[0].tolist()).decode("ascii"))

# %% [markdown]
# ## Hand it back
#
# `save_pretrained` writes the same layout that was read, with its names and fused matrices. transformers opens it and
# gives the same logits and the same text:

# %%
minixfmr.save_pretrained(tuned, "tuned")
print(sorted(file.name for file in Path("tuned").iterdir()))
peer, again = open_in_transformers("tuned"), minixfmr.load_pretrained("tuned", dtype="float64")
prompt = ids_of("The value of ")
ours = minixfmr.generate(again, prompt, max_new_tokens=40)
with float64_everywhere(), torch.no_grad():
    theirs = peer.generate(torch.tensor(prompt), max_new_tokens=40, do_sample=False).numpy()
    difference = np.abs(again(prompt) - peer(torch.tensor(prompt)).logits.numpy()).max()
assert np.array_equal(ours, theirs) and difference < 1e-9
print(repr(bytes(theirs[0].tolist()).decode("ascii")), f"  largest difference of the logits {difference:.0e}")

# %% [markdown]
# ## Precision
#
# Weights are often published in 16 bits. `load_pretrained` widens them, exactly, to the `dtype` you ask for, float32 or
# float64, and all computing is done in that. What was lost when they were stored does not come back. Here are the
# logits, compared with those of float64 weights computed in float64:

# %%
hf.GPT2LMHeadModel.from_pretrained("tuned", dtype=torch.bfloat16).save_pretrained("tuned16")
exact = again(prompt)
for folder, dtype in (("tuned", "float64"), ("tuned", "float32"), ("tuned16", "float64"), ("tuned16", "float32")):
    model = minixfmr.load_pretrained(folder, dtype=dtype)
    difference = np.abs(model(prompt) - exact).max() / np.abs(exact).max()
    size = (Path(folder) / "model.safetensors").stat().st_size
    print(f"{folder:8} {size:>9,} bytes, computed in {dtype}   largest difference {difference:.0e}")

# %% [markdown]
# ## When something is wrong
#
# A forgiving loader is worse than one that fails: a missing array leaves random numbers in its place, and the model
# still writes text. So names and shapes must fit exactly, and the message says what does not fit.


# %%
def damaged(change, source="LLaMA"):
    """A copy of a folder whose {name: array} has been changed."""
    shutil.rmtree("damaged", ignore_errors=True)
    shutil.copytree(source, "damaged")
    arrays = safetensors.numpy.load_file("damaged/model.safetensors")
    change(arrays)
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    safetensors.numpy.save_file(arrays, "damaged/model.safetensors", {"format": "pt"})
    return "damaged"


def complaint(folder):
    try:
        minixfmr.load_pretrained(folder)
    except minixfmr.CheckpointError as error:
        return f"CheckpointError: {error}"
    return "no complaint"


NORM = "model.layers.0.input_layernorm.weight"
print(complaint("nowhere"))
os.makedirs("empty")
shutil.copy("LLaMA/config.json", "empty")
print(complaint("empty"))
print(complaint(damaged(lambda arrays: arrays.pop(NORM))))
print(complaint(damaged(lambda arrays: arrays.update({NORM: np.ones(47, "float32")}))))
assert "missing" in complaint(damaged(lambda arrays: arrays.pop(NORM)))

# %% [markdown]
# ## Check
#
# 1. Load the models without `dtype="float64"` and run the comparison of logits again. How large are the differences?
#    <details><summary>Answer</summary>
#
#    Between 1e-7 and 1e-5 instead of 1e-15, and an assert fails: nothing is wrong except that float32 is less precise.
#
#    </details>
# 2. `models["BART"].config.norm_order` is `"post"`. Print the `config.json` of BART: it does not say so anywhere. Where
#    does it come from?
#    <details><summary>Answer</summary>
#
#    From a line of [bart.py](../minixfmr/pretrained/bart.py). What a `model_type` means is not stored in the folder but
#    in code.
#
#    </details>
# 3. If you have a folder of one of these systems on your disk, set `FOLDER` at the top to its absolute path and run all
#    cells again. Does it agree?
#    <details><summary>Answer</summary>
#
#    It appears in every comparison as "yours", and the asserts hold for it as for the others.
#
#    </details>
#
# ## Break
#
# Checking names and shapes catches what does not fit. It cannot catch two arrays of the same shape that have changed
# places. LLaMA's feed-forward layer is $(\operatorname{silu}(x W^g) \odot x W^1)\, W^2$, and the gate $W^g$ has the
# shape of $W^1$. Swap them in every layer:

# %%


def swap(arrays):
    for layer in range(6):
        gate, up = (f"model.layers.{layer}.mlp.{kind}_proj.weight" for kind in ("gate", "up"))
        arrays[gate], arrays[up] = arrays[up], arrays[gate]


print(complaint(damaged(swap)))
swapped, batch = minixfmr.load_pretrained("damaged", dtype="float64"), inputs_for(models["LLaMA"])
right, wrong = models["LLaMA"](**batch), swapped(**batch)
difference = np.abs(wrong - right).max() / np.abs(right).max()
print(f"largest difference {difference:.1g} of the largest logit")
assert difference > 0.01

# %% [markdown]
# The folder loads without complaint, and the logits are different. With real weights the text would be bad, and nobody
# could say why. Only a number-by-number comparison with another implementation finds such a mistake, and that is why
# this tutorial, and the tests of the project, compare everything.
