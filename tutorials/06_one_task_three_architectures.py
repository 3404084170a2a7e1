# %% [markdown]
# # 06 · One task, three architectures
#
# Here the translation task of [05](05_encoder_decoder.ipynb) is solved three times: by an encoder-decoder, by a decoder
# alone that reads "source → target" as one stream, and by the same decoder with a mask that lets it read the source in
# both directions. All have the same number of parameters and get the same amount of training compute. You will see what
# accuracy, time, memory and speed each delivers, which differences come from the assumptions of the architecture, and
# how to choose. Fifteen small models are trained, which takes some minutes. It builds on
# [05](05_encoder_decoder.ipynb), which explains the task and teacher forcing, and on [04](04_decoder_only.ipynb).

# %%
import os
import time
import tracemalloc

import numpy as np
import plots
from corpus import END, PAD, START, number_corpus, train_tokenizer

import minixfmr
from minixfmr.layers import Linear
from minixfmr.models import causal_mask, padding_mask, prefix_mask
from minixfmr.training import cosine, next_token, pad, prefix_lm, token_batches

QUICK = bool(os.environ.get("QUICK"))  # less data, for the tests
NAMES = ("encoder-decoder", "causal stream", "prefix stream")
corpus = number_corpus(
    "en", "de", train_size=300 if QUICK else 4000, valid_size=40 if QUICK else 200, test_size=100 if QUICK else 500
)
tokenizer = train_tokenizer(corpus.train, vocab_size=130)
V, d = tokenizer.get_vocab_size(), 64


def encode(texts):
    return [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]


# %% [markdown]
# ## Three ways to read a pair
#
# - **Encoder-decoder.** The source has a stack of its own, without a look-ahead mask. The target has another, which
#   looks at the output of the first through cross-attention.
# - **Causal stream.** Source, a separator, target: one sequence through one stack, in which each token sees what came
#   before it. `next_token` in [objectives.py](../minixfmr/training/objectives.py) turns it into inputs and labels. Only
#   the target has to be predicted: the labels inside the source are -100.
# - **Prefix stream.** The same sequence with another mask: the source, as the *prefix*, is read in both directions, the
#   target causally. Joining the two sentences is all it takes; `prefix_lm` adds the mask.
#
# The start token serves as the separator, so that in all three models the first target token is predicted from it.


# %%
class Pairs:
    """Batches of pairs for one of the three; the same pairs in the same order for all."""

    def __init__(self, name, pairs, config, seed=None):
        self.name, self.seed = name, seed
        self.sources, self.targets = map(encode, zip(*pairs, strict=True))
        self.lengths = [len(s) + len(t) + 2 for s, t in zip(self.sources, self.targets, strict=True)]
        self.paired = minixfmr.TranslationData(self.sources, self.targets, config, max_tokens=1)

    def order(self, epoch):
        rng = None if self.seed is None else np.random.default_rng([self.seed, epoch])
        return token_batches(self.lengths, 1400, rng)

    def batch(self, indices):
        if self.name == "encoder-decoder":
            return self.paired.batch(indices)
        return stream([self.sources[i] for i in indices], [self.targets[i] for i in indices], self.name)


def stream(sources, targets, name):
    rows = [[*s, START, *t, END] for s, t in zip(sources, targets, strict=True)]
    ids, real = pad(rows, PAD), pad([[1] * len(row) for row in rows], 0)  # (B, S + T)
    make = prefix_lm if name == "prefix stream" else next_token
    batch = make(ids, np.array([len(s) + 1 for s in sources]))  # the separator belongs to the prefix
    batch["labels"][real[:, 1:] == 0] = -100
    return batch | {"attention_mask": real[:, :-1]}


# %%
def tokens(ids):
    return [tokenizer.id_to_token(int(i)) if i >= 0 else "·" for i in ids]


one = encode(["forty-two"]), encode(["zweiundvierzig"])
batch = stream(*one, "causal stream")
for name in ("input_ids", "labels"):
    print(f"{name:10}", " ".join(f"{token:6}" for token in tokens(batch[name][0])))
assert (batch["labels"] >= 0).sum() == len(one[1][0]) + 1  # the target and its end

# %% [markdown]
# What may look at what? The encoder-decoder has three kinds of attention. Drawn as one square over source and target
# they say: source to source, all; target to source, all (cross-attention); target to target, no looking ahead; source
# to target, never. That is exactly the prefix mask:

# %%
S, T = 4, 3
square = np.block(
    [[np.ones((S, S), bool), np.zeros((S, T), bool)], [np.ones((T, S), bool), np.asarray(causal_mask(T)[0, 0])]]
)
as_prefix = prefix_mask(S + T, [S])[0, 0]
assert (square == as_prefix).all()
labels = [f"s{i}" for i in range(1, S + 1)] + [f"t{i}" for i in range(1, T + 1)]
plots.masks({"encoder-decoder, prefix stream": as_prefix, "causal stream": causal_mask(S + T)[0, 0]}, labels, labels)

# %% [markdown]
# The masks differ only in the upper left corner, where source tokens look at source tokens. So the encoder-decoder and
# the prefix stream let the same information pass, and differ in how they compute with it:
#
# | | encoder-decoder | streams |
# |---|---|---|
# | weights | an encoder's and a decoder's | the same for both sides |
# | the sides meet | in cross-attention: a softmax over the source alone | in every attention: one softmax over both |
# | the target reads | the source's vectors after the last encoder block | the source's vectors at the same depth |
# | a token passes through | the blocks of its side | all blocks |
#
# ## Equal parameters
#
# An encoder block has 4d² weights in attention and 2df in the feed-forward layer, a decoder block 4d² more for
# cross-attention. With f = 4d, two of each have 2 · 12d² + 2 · 16d² = 56d². A stack of four blocks without
# cross-attention has the same number with f = 5d: 4 · (4 + 10)d² = 56d². In both, the way from a source token to a
# target token is four blocks deep.

# %%
common = {
    "vocab_size": V,
    "d_model": d,
    "num_heads": 4,
    "max_position_embeddings": 128,
    "norm_order": "pre",
    "pad_token_id": PAD,
    "decoder_start_token_id": START,
    "eos_token_id": END,
}
two_stacks = minixfmr.Config(**common, d_ff=4 * d, num_encoder_layers=2, num_decoder_layers=2)
one_stack = minixfmr.Config(**common, d_ff=5 * d, num_decoder_layers=4)

# %% [markdown]
# `DecoderOnly.forward` takes any mask, so training the prefix stream needs nothing new. Generation does:
# `DecoderOnly.step` reads the prompt under the look-ahead mask. The prompt is the whole prefix, so for the prefix
# stream the first step, and only that one, must do without the mask. That takes one method.


# %%
class PrefixDecoder(minixfmr.DecoderOnly):
    """A DecoderOnly that reads its prompt, padded on the left, in both directions."""

    def step(self, ids, state):
        if state.length:  # a written token sees everything before it, as ever
            return super().step(ids, state)
        real = state.attention_mask  # (B, S) of the prompt
        S = state.length = real.shape[1]
        positions = (real.cumsum(axis=1) - 1).clip(0)  # padding does not count
        x, _ = self.embedding.forward(ids[:, :S], position_ids=positions)  # (B, S, d)
        y, _ = self.decoder.forward(x, padding_mask(real), caches=state.caches, save=False)
        if ids.shape[1] > S:  # without a cache everything comes at once
            return super().step(ids[:, S:], state)
        return self.head(y[:, -1])  # (B, V)


def make(name, seed):
    if name == "encoder-decoder":
        return minixfmr.EncoderDecoder(two_stacks, seed)
    return (PrefixDecoder if name == "prefix stream" else minixfmr.DecoderOnly)(one_stack, seed)


sizes = {name: make(name, 0).num_parameters() for name in NAMES}
print(", ".join(f"{name} {size:,}" for name, size in sizes.items()))
assert max(sizes.values()) / min(sizes.values()) < 1.02


# %%
def translate(model, texts):
    """Greedy translations of the texts, in their order."""
    sources, outputs = encode(texts), [""] * len(texts)
    ends = END if isinstance(model, minixfmr.EncoderDecoder) else START
    for batch in token_batches([len(source) for source in sources], 3000):
        rows = [[*sources[i], ends] for i in batch]
        ids, real = pad(rows, PAD), pad([[1] * len(row) for row in rows], 0)
        if ends == START:  # a prompt is padded on the left, because new tokens follow on its right
            S = ids.shape[1]
            ids, real = (
                np.array([np.roll(row, S - n) for row, n in zip(a, real.sum(1), strict=True)]) for a in (ids, real)
            )
        written = minixfmr.generate(model, ids, attention_mask=real, max_new_tokens=40)
        written = written[:, ids.shape[1] :] if ends == START else written
        for i, text in zip(batch, tokenizer.decode_batch(written.tolist()), strict=True):
            outputs[i] = text
    return outputs


def exact(model, pairs):
    sources, references = zip(*pairs, strict=True)
    return float(np.mean([o == r for o, r in zip(translate(model, sources), references, strict=True)]))


# %% [markdown]
# Is that step right? If so, it gives, token by token, the logits that `forward` gives all at once with the prefix mask,
# and it writes the same text with and without a cache.

# %%
check = PrefixDecoder(one_stack, seed=0)
batch = stream(*one, "prefix stream")
S = len(one[0][0]) + 1
at_once = check(batch["input_ids"], mask=batch["mask"])[:, S - 1 :]
_, state = check.start(batch["input_ids"][:, :S], np.ones((1, S), int))
parts = [batch["input_ids"][:, :S], *np.split(batch["input_ids"][:, S:], len(one[1][0]), axis=1)]
one_by_one = np.stack([check.step(part, state) for part in parts], axis=1)
print(f"largest difference {abs(at_once - one_by_one).max():.1e}")
assert np.allclose(at_once, one_by_one, atol=1e-4)
source, options = batch["input_ids"][:, :S], {"attention_mask": np.ones((1, S), int), "max_new_tokens": 8}
without_cache = minixfmr.generate(check, source, use_cache=False, **options)
assert (without_cache == minixfmr.generate(check, source, **options)).all()

# %% [markdown]
# ## Equal compute
#
# Equal parameters do not mean equal work: a weight costs one multiplication for every token that *passes through* it.
# In the encoder-decoder a source token passes through the encoder and the keys and values of cross-attention; a target
# token passes through the rest. In a stream every token passes through everything.
#
# | multiplications | encoder-decoder | stream |
# |---|---|---|
# | a source token | 2 · 12d² + 2 · 2d² = 28d² | 56d² |
# | a target token | 2 · 14d² = 28d² | 56d² |
#
# Added to this are the attention scores and weighted sums, 2 · queries · keys · d per layer, and the logits, dV per
# position. A backward pass costs twice as much as its forward pass.


# %%
def multiplications(name, S, T, config=one_stack):
    """Of the forward pass of one pair, S and T with their special tokens: (in Linear layers, in all)."""
    if name == "encoder-decoder":
        linear = (S + T) * 28 * d * d
        return linear, linear + T * d * V + 2 * 2 * d * (S * S + T * T + S * T)
    N = S + T - 1  # the separator is the only special token; the end token is not read
    linear = N * 4 * (4 * d * d + 2 * d * config.d_ff)
    return linear, linear + N * d * V + 4 * 2 * d * N * N


def counted(name, source, target):
    """What Linear really multiplies."""
    total, original = [], Linear.forward

    def forward(self, x):
        total.append(x.size // x.shape[-1] * self.weight.data.size)
        return original(self, x)

    Linear.forward = forward
    try:
        data = Pairs(name, [(source, target)], two_stacks)
        inputs = {k: array for k, array in data.batch([0]).items() if k != "labels"}
        make(name, 0)(**inputs)
    finally:
        Linear.forward = original
    return sum(total), data


for name in NAMES:
    total, data = counted(name, *corpus.test[0])
    formula, everything = multiplications(name, len(data.sources[0]) + 1, len(data.targets[0]) + 1)
    print(f"{name:16} counted {total:,}, formula {formula:,}; with attention and logits {everything:,}")
    assert total == formula

# %% [markdown]
# A pair costs a stream about twice as much as the encoder-decoder. So we have to say what "equal" means. Here it means
# **equal parameters and equal multiplications in training**. The streams then take about half as many steps, and see
# half as many pairs. In each step all three get the same pairs; all use the same learning rates, warmed up and lowered
# to 0 over their own number of steps. Time is measured as well, and the curves also show the other view, equal numbers
# of pairs.

# %%
BUDGET = 6e9 if QUICK else 300e9  # multiplications
SEEDS, POINTS = ((0,), 3) if QUICK else ((0, 1, 2), 12)


def cost(data, config=one_stack):
    """Multiplications of a training step, on average."""
    pairs = zip(data.sources, data.targets, strict=True)
    each = [3 * multiplications(data.name, len(s) + 1, len(t) + 1, config)[1] for s, t in pairs]
    return sum(each) / len(data.order(0))


def train(name, seed, model=None, budget=BUDGET):
    """(the model, its curve of (multiplications, seconds, pairs, exact match))"""
    model = model or make(name, seed)
    data = Pairs(name, corpus.train, two_stacks, seed)
    step_cost = cost(data, model.config)
    steps, pairs = round(budget / step_cost), len(corpus.train) / len(data.order(0))
    optimizer = minixfmr.AdamW(model.parameters(), betas=(0.9, 0.98), eps=1e-9, weight_decay=1e-4)
    schedule, criterion = cosine(4e-3, min(100, steps // 4), steps), minixfmr.CrossEntropy(label_smoothing=0.1)
    trainer = minixfmr.Trainer(model, optimizer, schedule, data, criterion=criterion, workers=2, seed=seed)
    points = {round(steps * k / POINTS) for k in range(1, POINTS + 1)}
    curve, seconds, began = [(0, 0, 0, 0)], 0.0, time.perf_counter()
    for result in trainer.run(epochs=10**6):
        if result.step in points:
            seconds += time.perf_counter() - began
            curve.append((result.step * step_cost, seconds, result.step * pairs, exact(model, corpus.valid)))
            began = time.perf_counter()
        if result.step == steps:
            return model, curve


runs = {name: [] for name in NAMES}
for seed in SEEDS:
    for name in NAMES:  # in turns, so that a busy moment of the machine slows all of them
        runs[name].append(train(name, seed))

# %% [markdown]
# ## What came out
#
# The final test uses numbers that are in no training or validation pair.

# %%
accuracy = {name: [exact(model, corpus.test) for model, _ in runs[name]] for name in NAMES}
for name, values in accuracy.items():
    print(f"{name:16} exactly right: {np.mean(values):.1%}   seed by seed: {', '.join(f'{v:.1%}' for v in values)}")
assert QUICK or np.mean(accuracy["encoder-decoder"]) > 0.5


# %%
def curves(runs):
    drawn, axes = plots.figure(1, 3, (11, 3.4), sharey=True)
    for colour, (name, results) in zip(plots.COLOURS, runs.items(), strict=False):
        for marker, (_, curve) in zip("osD", results, strict=False):
            *columns, share = np.array(curve).T
            for axis, x, unit in zip(axes, columns, (1e9, 1, 1e3), strict=True):
                axis.plot(x / unit, 100 * share, color=colour, marker=marker, markersize=3, linewidth=1)
        axes[2].plot([], [], color=colour, label=name)
    axes[0].set(xlabel="multiplications, billions", ylabel="exactly right, %", title="over compute")
    axes[1].set(xlabel="seconds of training", title="over time")
    axes[2].set(xlabel="pairs seen, thousands", title="over pairs")
    axes[2].legend(fontsize=9, loc="lower right")
    return drawn


curves(runs)

# %% [markdown]
# Each line is a seed, each point a test on the validation pairs. On the left, at equal compute, the encoder-decoder is
# ahead from the start. On the right, plotted against the pairs seen, most of its lead is gone: a step teaches each
# model nearly as much, but a step of a stream costs twice as much. (The middle picture depends on what else the machine
# was doing; the other two do not.) Where the seeds of one model lie as far apart as two models do, no order between the
# two has been shown.
#
# How far ahead is it? Here is the compute at which each first gets 90 % of the validation numbers right:


# %%
def first(curve, level):
    """The multiplications, in billions, where the curve first reaches the level."""
    return next((f"{work / 1e9:.0f}" for work, _, _, share in curve if share >= level), "never")


for name in NAMES:
    print(f"{name:16} 90 % right, in billions: {', '.join(first(curve, 0.9) for _, curve in runs[name])}")
means = {name: np.mean(values) for name, values in accuracy.items()}
assert QUICK or means["encoder-decoder"] > max(means["causal stream"], means["prefix stream"])

# %% [markdown]
# The right picture is not quite fair: the streams lower their learning rate over fewer pairs. So here are two more runs
# with as many steps as the encoder-decoder, and so about twice its compute.

# %%
costs = {name: cost(Pairs(name, corpus.train, two_stacks)) for name in NAMES}
for name in NAMES[1:]:
    ratio = costs[name] / costs["encoder-decoder"]
    longer = train(name, 0, budget=ratio * BUDGET)
    print(f"{name:16} with {ratio:.2f} times the compute: {exact(longer[0], corpus.test):.1%}")
print(f"encoder-decoder                          {accuracy['encoder-decoder'][0]:.1%}")

# %% [markdown]
# ## Memory, time and speed
#
# The other costs are measured: the seconds of the training above (without the evaluations); the memory of one training
# step on the same batch of pairs, by `tracemalloc`, including what the forward pass keeps for the backward; the keys
# and values kept while 20 tokens are written; and the tokens written per second, with the time to read the source, for
# one sentence and for many at once.


# %%
def training_memory(name):
    """MiB of one step: (kept between forward and backward, peak)."""
    model, data = runs[name][0][0], Pairs(name, corpus.train, two_stacks)
    batch, criterion = data.batch(data.order(0)[-2]), minixfmr.CrossEntropy(label_smoothing=0.1)
    labels = batch.pop("labels")
    tracemalloc.start()
    logits, saved = model.forward(**batch, rng=np.random.default_rng(0))
    kept = tracemalloc.get_traced_memory()[0]
    _, saved_loss = criterion.forward(logits, labels)
    model.backward(criterion.backward(saved_loss), saved)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return kept / 2**20, peak / 2**20


memory = {name: training_memory(name) for name in NAMES}

# %%
lengths = [len(ids) for ids in encode([source for source, _ in corpus.test])]
common_length = max(set(lengths), key=lengths.count)
asked = [source for (source, _), n in zip(corpus.test, lengths, strict=True) if n == common_length]
many = (asked * 64)[:64]  # sources of one length, so that there is no padding


def prompts(name, texts):
    return np.array([[*ids, END if name == "encoder-decoder" else START] for ids in encode(texts)])


def cache_size(name):
    """KiB of keys and values for one sentence once it has been read and 20 tokens are written."""
    model, ids = runs[name][0][0], prompts(name, many[:1])
    new, state = model.start(ids, np.ones_like(ids))
    for _ in range(20):
        new = model.step(new, state).argmax(-1)[:, None]
    pairs = state.caches if name == "encoder-decoder" else [(cache,) for cache in state.caches]
    return sum(cache.keys.nbytes + cache.values.nbytes for pair in pairs for cache in pair) / 2**10


def speed(name, texts):
    """Tokens written per second, the best of several tries."""
    model, ids = runs[name][0][0], prompts(name, texts)
    options = {"attention_mask": np.ones_like(ids), "max_new_tokens": 20, "eos_token_id": []}  # never ends early
    seconds = []
    for _ in range(3 if QUICK else 15):
        began = time.perf_counter()
        minixfmr.generate(model, ids, **options)
        seconds.append(time.perf_counter() - began)
    return 20 * len(texts) / min(seconds)


speeds = {name: (speed(name, many[:1]), speed(name, many)) for name in NAMES}
caches = {name: cache_size(name) for name in NAMES}

# %%
last = {name: np.mean([curve[-1] for _, curve in runs[name]], axis=0) for name in NAMES}
rows = {
    "parameters": [f"{sizes[n]:,}" for n in NAMES],
    "training, billion multiplications": [f"{last[n][0] / 1e9:.0f}" for n in NAMES],
    "training, pairs seen": [f"{last[n][2]:,.0f}" for n in NAMES],
    "training, seconds": [f"{last[n][1]:.0f}" for n in NAMES],
    "billion multiplications a second": [f"{last[n][0] / 1e9 / last[n][1]:.1f}" for n in NAMES],
    "exactly right in the test, %": [f"{100 * np.mean(accuracy[n]):.1f}" for n in NAMES],
    "kept for the backward, MiB": [f"{memory[n][0]:.1f}" for n in NAMES],
    "peak of a training step, MiB": [f"{memory[n][1]:.1f}" for n in NAMES],
    "keys and values a sentence, KiB": [f"{caches[n]:.1f}" for n in NAMES],
    "tokens a second, one sentence": [f"{speeds[n][0]:,.0f}" for n in NAMES],
    "tokens a second, 64 sentences": [f"{speeds[n][1]:,.0f}" for n in NAMES],
}
print(f"{'':34}" + "".join(f"{name:>18}" for name in NAMES))
for label, values in rows.items():
    print(f"{label:34}" + "".join(f"{value:>18}" for value in values))
assert memory["encoder-decoder"][1] < min(memory[name][1] for name in NAMES[1:])
assert caches["encoder-decoder"] < 0.6 * caches["causal stream"]

# %% [markdown]
# The rate of multiplications shows how good a measure of work they are. If it is lower for the encoder-decoder, that is
# because it takes more steps, each of them smaller: an array operation has a fixed cost, however small the array. So
# the middle picture shows a smaller lead than the left one, and the larger a model, the more the left one counts. A
# step of a stream keeps more memory, since every token leaves something in all four blocks, and so do its keys and
# values. The encoder-decoder keeps those of the source once, for cross-attention, and those of the target once, in two
# blocks instead of four.
#
# ## What each assumes
#
# **Which tokens contribute to a source vector?** In the encoder every source token can look at every other. In the
# causal stream the first token knows nothing of the last. To test it, replace the last word of the source and see
# whether the vector of the *first* one changes.


# %%
def first_vector(name, text):
    """What the model computes at the first source token."""
    model, ids = runs[name][0][0], prompts(name, [text])
    if name == "encoder-decoder":
        return model.start(ids)[1].memory[0, 0]  # (d,)
    mask = prefix_mask(ids.shape[1], [ids.shape[1]]) if name == "prefix stream" else None
    return model(ids, mask=mask)[0, 0]  # (V,) logits, which nobody reads in the source


for name in NAMES:
    change = abs(first_vector(name, "forty thousand two") - first_vector(name, "forty thousand six")).max()
    print(f"{name:16} two → six changes the vector of forty by {change:.3f}")
    assert (change > 1e-3) == (name != "causal stream")

# %% [markdown]
# It does not have to hurt: in all three models a target token sees the whole source, and can combine there what the
# causal stream could not combine earlier. But then the target tokens do work that the encoder does in the other models.
#
# **Where do the two sides meet?** In the encoder-decoder, only in cross-attention: its queries come from the target,
# its keys and values from the encoder, so nothing read there comes from the target. The weights over the source sum to
# 1 by construction: in each block every target token takes a full portion of the source, and another of the target. In
# a stream one softmax covers both, so the model is free to divide its attention. How does it?


# %%
def share_on_source(name):
    """The share of attention that target tokens give to the prefix, in each block."""
    model, data = runs[name][0][0], Pairs(name, corpus.test[:50], two_stacks)
    batch = data.batch(range(50))
    writing = batch.pop("labels") >= 0  # (B, T)  what predicts a target token
    is_prefix = np.cumsum(writing, axis=1) <= writing  # (B, T)  up to the separator
    _, saved = model.forward(**batch)
    weights = [w.mean(axis=1) for w in model.attention_weights(saved)]  # (B, T, T), mean over the heads
    return [float((w * is_prefix[:, None, :]).sum(-1)[writing].mean()) for w in weights]


def level_share():
    """The same share if attention were level over all that a target token sees."""
    data = Pairs("causal stream", corpus.test[:50], two_stacks)
    sizes = [(len(s) + 1, len(t) + 1) for s, t in zip(data.sources, data.targets, strict=True)]
    return float(np.mean([S / (S + t) for S, T in sizes for t in range(T)]))


shares = {name: share_on_source(name) for name in NAMES[1:]}
bars = {f"{name}, block {i}": 100 * share for name, values in shares.items() for i, share in enumerate(values, 1)}
plots.bars(bars | {"level attention": 100 * level_share()}, xlabel="attention of target tokens on the source, %")

# %% [markdown]
# For cross-attention each bar would be 100, in every block, and self-attention over the target would get another 100. A
# block whose bar is close to the last one favours neither side on the whole; which tokens it favours is another
# question. The streams have learned their bars, and could have learned others. That is what an inductive bias is:
# something a model does not have to learn, and cannot do in any other way.
#
# **Does it matter that the two sides have different weights?** Here is a small ablation: the decoder's self-attention
# and feed-forward layers *are* the encoder's, block by block; only cross-attention and the norms before them are its
# own. Layers keep no state between forward and backward, so one layer may be used in two places, and it collects both
# gradients. The compute is the same as before, with fewer parameters.


# %%
def shared_weights(seed):
    model = make("encoder-decoder", seed)
    for encoder_block, block in zip(model.encoder.blocks, model.decoder.blocks, strict=True):
        block.self_attention.layer = encoder_block.self_attention.layer
        block.feed_forward.layer = encoder_block.feed_forward.layer
    return model


shared = [train("encoder-decoder", seed, shared_weights(seed)) for seed in SEEDS[:2]]
shared_accuracy = [exact(model, corpus.test) for model, _ in shared]
count = shared[0][0].num_parameters()
print(f"encoder-decoder    {sizes['encoder-decoder']:,} parameters, {np.mean(accuracy['encoder-decoder']):.1%} right")
print(f"with shared layers {count:,} parameters, {np.mean(shared_accuracy):.1%} right")
print("with shared layers 90 % right, in billions:", ", ".join(first(curve, 0.9) for _, curve in shared))
assert count < 0.65 * sizes["encoder-decoder"]
assert QUICK or np.mean(shared_accuracy) > max(means["causal stream"], means["prefix stream"])

# %% [markdown]
# Compare with the encoder-decoder's line and its 90 % above. The model has far fewer parameters, the same mask and the
# same compute, and stays ahead of the streams. So the encoder-decoder does not owe its lead to having two sets of
# weights.
#
# **Is it the parameters, then?** If this task does not need all of them, the rule of equal parameters hurts the model
# that has to pay for each of them with every token. A causal stream with f = 1.5d has 4 · (4 + 3)d² = 28d² weights in
# its blocks: half as many, and a pair costs it about as much as the encoder-decoder.

# %%
half_stack = minixfmr.Config(**common, d_ff=3 * d // 2, num_decoder_layers=4)
half = [train("causal stream", seed, minixfmr.DecoderOnly(half_stack, seed)) for seed in SEEDS[:2]]
half_accuracy = [exact(model, corpus.test) for model, _ in half]
print(f"half a causal stream {half[0][0].num_parameters():,} parameters, {np.mean(half_accuracy):.1%} right")
print("half a causal stream 90 % right, in billions:", ", ".join(first(curve, 0.9) for _, curve in half))
assert QUICK or np.mean(half_accuracy) > means["causal stream"]

# %%
curves({"encoder-decoder": runs["encoder-decoder"], "shared layers": shared, "half a causal stream": half})

# %% [markdown]
# The curves lie close together. So the lead in the first picture came from the price of parameters that every token has
# to pass through, and not from a superior way to read: at equal compute *and* about equal compute per pair, one stream
# with one mask does about as well here as two stacks with cross-attention. Any comparison has to say what it holds
# equal, parameters or compute, and what that does to the result.
#
# ## Choosing
#
# What was measured, on this task and at this size:
#
# - **If parameters are limited or given** (by memory, or by the size of a published model), and input and output are
#   two different things: an encoder-decoder. With the same parameters a pair costs it half as much, so the same compute
#   buys twice the training; it keeps half the keys and values, and it writes faster.
# - **If compute is limited**: neither an encoder-decoder nor a causal stream with half its parameters was shown to be
#   better. Choose what is simpler to build and serve.
# - **If the input is given and there is one stack**: the prefix mask costs nothing and takes one line in training. Look
#   at its numbers before you expect a gain from it: in this task, reading the source in both directions in shared
#   layers brought none.
#
# Other things follow from how they are built and were not measured here. In a text that grows, such as a conversation,
# a causal stream reads each token once and never again, while the input of an encoder, or a prefix that grows, has to
# be read anew. And where there is text without pairs, a causal stream learns from every token of it; the others need an
# objective invented for them ([objectives.py](../minixfmr/training/variants/objectives.py) has the common ones).
#
# Nothing was measured for large models or long texts, where the square of the length counts; for training on a lot of
# data before the task; for a learning rate tuned for each model (here all use the same); or for tasks whose output
# repeats the input in the same order.
#
# ## Check
#
# 1. Pass `use_cache=False` to `generate` in `speed`. All three write fewer tokens per second. What has to be read again
#    for each token?
#    <details><summary>Answer</summary>
#
#    Everything written so far and, in a stream, the source: see `read` in
#    [greedy.py](../minixfmr/generation/greedy.py).
#
#    </details>
# 2. Print `share_on_source` for the models of seed 1: change `runs[name][0][0]` to `runs[name][1][0]`. Do the blocks
#    divide their attention as before?
#    <details><summary>Answer</summary>
#
#    They divide it differently, with the same data and the same task. A built-in bias would be the same in both.
#
#    </details>
# 3. Let the causal stream learn to predict the source as well: in `stream`, call `next_token(ids)` without lengths for
#    it. There are about twice as many labels for the same compute. Are more numbers right?
#    <details><summary>Answer</summary>
#
#    Fewer. The next word of a random number cannot be predicted, and the model spends its effort on trying.
#
#    </details>
#
# ## Break
#
# Let each stream read its prompt under the other's mask. The shapes fit, nothing complains, and all weights are the
# trained ones.

# %%
causal, prefix = runs["causal stream"][0][0], runs["prefix stream"][0][0]
for name, trained, wrong in (
    ("causal stream", causal, PrefixDecoder(one_stack)),
    ("prefix stream", prefix, minixfmr.DecoderOnly(one_stack)),
):
    wrong.load_state_dict(trained.state_dict())
    before, after = exact(trained, corpus.test), exact(wrong, corpus.test)
    print(f"{name}: {before:.1%} right under its own mask, {after:.1%} under the other")
    assert QUICK or after < before * (0.5 if name == "causal stream" else 1)

# %% [markdown]
# The weights have learned what a source vector is made of; under another mask it is made of something else. How much
# that costs shows how much the model relied on its mask. The causal stream, whose source tokens have never seen what is
# to their right, is lost at once. If the prefix stream loses less, it makes little use of reading in both directions.
# Either way the mask belongs to the model as much as its weights do, and a program that generates must use the mask of
# training: that is why the prefix stream needed a `step` of its own.
