# %% [markdown]
# # 12 · From bigram to GPT
#
# A language model that looks at one letter grows, piece by piece, into a GPT. Each piece is added because the model
# before it could not do something, and what it brings is measured. At the end there is one file of 150 lines,
# [one_file_gpt.py](one_file_gpt.py): NumPy alone, with every gradient by hand. Then its lines are set, one by one,
# beside those of minixfmr. You need [01](01_attention_by_hand.ipynb). It runs in about a minute.

# %%
import inspect
import os
import re
import runpy
from collections import Counter

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for matrices as small as these a second thread only gets in the way

import english
import numpy as np
import one_file_gpt as one
import plots
from listings import Code, SideBySide
from one_file_gpt import LETTERS, adam, cross_entropy, linear, linear_backward, softmax

import minixfmr
from minixfmr import layers
from minixfmr.models.residual import PreNorm

QUICK = bool(os.environ.get("QUICK"))  # less data, for the tests
V = len(LETTERS)

# %% [markdown]
# ## The task: which letter comes next?
#
# The text is a list of English words, those that the documentation inside Python uses more than once
# ([english.py](english.py)). A dot begins and ends each word, so that the model also has to say how words start and
# when they stop. One word in ten is held out: no model learns from it.

# %%
counts = Counter(word for _, text in english.paragraphs() for word in re.findall("[a-z]+", text))
words = sorted(word for word, n in counts.items() if n > 1 and 3 < len(word) < one.LONGEST)
np.random.default_rng(0).shuffle(words)
held_out, train = words[: len(words) // 10], words[len(words) // 10 :]
if QUICK:
    held_out, train = held_out[:20], train[:300]


def encode(word):
    return [LETTERS.index(letter) for letter in f".{word}."]


print(f"{len(train):,} words to learn from, {len(held_out)} held out, such as", *held_out[:8])
print("the letters:", LETTERS)
print("otter:", encode("otter"))

# %% [markdown]
# ## Counting pairs
#
# The simplest model remembers nothing but the last letter. It counts how often each letter follows each other one and
# divides each row by its sum: a bigram model. (One half is added to each count, so that nothing has probability 0.)

# %%
pairs = np.full((V, V), 0.5)
for word in train:
    ids = encode(word)
    np.add.at(pairs, (ids[:-1], ids[1:]), 1)
P = pairs / pairs.sum(-1, keepdims=True)  # (V, V)  each row: what follows this letter
plots.heat_maps({"p(next letter | this letter)": P}, list(LETTERS), list(LETTERS), xlabel="next", ylabel="this")

# %%
q, n = LETTERS.index("q"), LETTERS.index("n")
print("after q:", {LETTERS[i]: round(float(P[q, i]), 2) for i in np.argsort(-P[q])[:3]})
print("after n:", {LETTERS[i]: round(float(P[n, i]), 2) for i in np.argsort(-P[n])[:6]})

# %% [markdown]
# How good is it? For each letter of the held-out words we ask for the probability that the model gave it. The mean of
# -log p is the **loss**, in nats: the surprise per letter. For a model that knows nothing it is ln V.


# %%
def surprise(probabilities):
    """The mean loss over the letters of the held-out words. probabilities: ids (T,) → (T, V), after each of them."""
    found = []
    for word in held_out:
        ids = encode(word)
        found += list(-np.log(probabilities(ids[:-1])[np.arange(len(ids) - 1), ids[1:]]))
    return float(np.mean(found))


ladder = {"knows nothing": np.log(V), "bigram, counted": surprise(lambda ids: P[ids])}
print({name: round(float(loss), 2) for name, loss in ladder.items()})

# %% [markdown]
# ## The same, learned
#
# A table of counts cannot be extended to longer memories: for ten letters it would have $27^{10}$ rows. So we learn the
# table instead, by gradient descent. The model is a linear map of the letter (a row with a single 1), the softmax makes
# probabilities of its scores, and the loss is the surprise. The operations are those of the one file. Forwards return
# what their backward needs, and the gradient of the scores is the difference between what was said and what was right.
# Adam takes the steps ([11](11_every_gradient_derived.ipynb), chapter 15):

# %%
Code(linear, linear_backward, softmax, cross_entropy)


# %%
def bigram(ids, w):
    return linear(np.eye(V)[ids], w["scores"])


def bigram_backward(dscores, saved):
    linear_backward(dscores, saved)


def fit(forward, backward, w, steps=60 if QUICK else 4000):
    """Learn from one word per step, and return the loss on the held-out words."""
    rng = np.random.default_rng(1)
    for t in range(1, steps + 1):
        ids = encode(train[rng.integers(len(train))])
        scores, saved = forward(ids[:-1], w)
        _, dscores = cross_entropy(scores, ids[1:])
        backward(dscores, saved)
        adam(w.values(), t, lr=0.01 * (1 - t / steps))
    return surprise(lambda ids: softmax(forward(ids, w)[0]))


table = {"scores": one.Parameter(V, V)}
ladder["bigram, learned"] = fit(bigram, bigram_backward, table)
often = pairs.sum(-1) > 500  # letters about which the counts are sure
learned = softmax(table["scores"].data)
gap = abs(learned - P)[often].mean()
print(f"learned {ladder['bigram, learned']:.2f}, counted {ladder['bigram, counted']:.2f}")
print(f"mean difference of a probability, at frequent letters: {gap:.3f}")
if not QUICK:
    assert gap < 0.01 and abs(ladder["bigram, learned"] - ladder["bigram, counted"]) < 0.05

# %% [markdown]
# Gradient descent has found the counts. Nothing is gained yet, but from here on the model can be extended.
#
# ## Looking further back: an average
#
# Let each letter be a vector of 16 learned numbers, and let each place add to its own vector the average of all vectors
# up to it, passed through a matrix. The average is a product with a triangular matrix A, whose row t has 1/t in its
# first t places:

# %%
A = np.tri(5) / np.tri(5).sum(-1, keepdims=True)
plots.heat_maps({"A": A}, list(".otte"), list(".otte"), xlabel="looked at", ylabel="looks")


# %%
def average(ids, w):
    x = w["letters"].data[ids]  # (T, d)
    A = np.tri(len(ids)) / np.tri(len(ids)).sum(-1, keepdims=True)  # (T, T)
    v, saved_v = linear(A @ x, w["value"])
    scores, saved_s = linear(x + v, w["scores"])
    return scores, (ids, w, A, saved_v, saved_s)


def average_backward(dscores, saved):
    ids, w, A, saved_v, saved_s = saved
    dv = linear_backward(dscores, saved_s)  # of x as well, which was added
    dx = dv + A.T @ linear_backward(dv, saved_v)
    np.add.at(w["letters"].grad, ids, dx)


averaging = one.new_gpt()  # some of its matrices stay unused for now
ladder["average of all before"] = fit(average, average_backward, averaging)
print(f"{ladder['average of all before']:.2f}")

# %% [markdown]
# Better. But every letter counts the same, whatever it is and wherever it stands.
#
# ## Choosing where to look: attention
#
# In place of 1/t each letter should weigh the others by what they are: a query asks, keys answer, and the softmax of
# their products takes the place of the row of A. That is all of attention; its weights are a triangular matrix whose
# rows sum to 1, as A is, but computed from the text. Here are the lines of the file. Two more ideas are in them. The
# result is *added* to x, so that a layer starts as a small correction and the gradient has a straight way back. And x
# is brought to one scale first (`rms_norm`), so that scores neither explode nor vanish.

# %%
Code(one.rms_norm, one.rms_norm_backward, one.attention, one.attention_backward)


# %%
def attentive(ids, w, with_positions=False):
    x = w["letters"].data[ids] + with_positions * w["positions"].data[: len(ids)]  # (T, d)
    x, saved_a = one.attention(x, w)
    n, saved_n = one.rms_norm(x)
    scores, saved_s = linear(n, w["scores"])
    return scores, (ids, w, with_positions, saved_a, saved_n, saved_s)


def attentive_backward(dscores, saved):
    ids, w, with_positions, saved_a, saved_n, saved_s = saved
    dx = one.rms_norm_backward(linear_backward(dscores, saved_s), saved_n)
    dx = one.attention_backward(dx, saved_a)
    w["positions"].grad[: len(ids)] += with_positions * dx
    np.add.at(w["letters"].grad, ids, dx)


choosing = one.new_gpt()
ladder["attention"] = fit(attentive, attentive_backward, choosing)
print(f"{ladder['attention']:.2f}")

# %% [markdown]
# ## Where a letter stands: positions
#
# Something is missing. An average does not depend on the order of its terms, and neither does a weighted one whose
# weights come from the letters alone. Shuffle what stands before the last letter, and the prediction stays the same:

# %%
for prefix in (".str", ".tsr"):
    p = softmax(attentive([LETTERS.index(letter) for letter in prefix], choosing)[0])[-1]
    print(prefix, {LETTERS[i]: round(float(p[i]), 3) for i in np.argsort(-p)[:4]})

# %% [markdown]
# So each place gets a learned vector too, which is added to that of the letter. The next layer can read both out of the
# sum, as [00](00_the_whole_picture.ipynb) shows.

# %%
placed = one.new_gpt()
ladder["+ positions"] = fit(lambda ids, w: attentive(ids, w, True), attentive_backward, placed)
print(f"{ladder['+ positions']:.2f}")
for prefix in (".str", ".tsr"):
    p = softmax(attentive([LETTERS.index(letter) for letter in prefix], placed, True)[0])[-1]
    print(prefix, {LETTERS[i]: round(float(p[i]), 3) for i in np.argsort(-p)[:4]})

# %% [markdown]
# ## Thinking about it: the feed-forward layer
#
# Attention gathers; it mixes vectors, but each number of the result is a weighted sum. What was gathered still has to
# be combined: "a q before me *and* the word has just begun". A hidden layer of 64 units does that for each letter by
# itself. With it the model is complete: this is the GPT of the file.

# %%
Code(one.feed_forward, one.feed_forward_backward, one.gpt, one.gpt_backward)

# %%
complete = one.new_gpt()
ladder["+ feed-forward = GPT"] = fit(one.gpt, one.gpt_backward, complete)
plots.bars(ladder, xlabel="loss on held-out words (nats a letter)", digits=".2f")

# %% [markdown]
# From the average on, every step down the ladder brought something, except the last: at this size, with 16 numbers per
# letter and one word per step, the feed-forward layer does not pay. It does as soon as there is room, as we shall see
# below.

# %%
if not QUICK:
    *_, counted, learned_pairs, averaged, attended, with_places, gpt = ladder.values()
    assert averaged < counted - 0.05 and attended < averaged and with_places < attended
    assert abs(gpt - with_places) < 0.1

# %% [markdown]
# ## What they invent
#
# A model writes by sampling: draw a letter from its probabilities, append it, read again, until it draws the dot. Here
# are ten words of each.

# %%
Code(one.invent)


# %%
def invented(forward, n=10, seed=3):
    rng = np.random.default_rng(seed)
    for _ in range(n):
        ids = [0]
        while len(ids) < one.LONGEST and (len(ids) == 1 or ids[-1]):
            ids.append(int(rng.choice(V, p=softmax(forward(ids)[-1] / 0.5))))
        yield "".join(LETTERS[i] for i in ids).strip(".")


for name, forward in {
    "bigram": lambda ids: bigram(ids, table)[0],
    "average": lambda ids: average(ids, averaging)[0],
    "attention": lambda ids: attentive(ids, choosing)[0],
    "+ positions": lambda ids: attentive(ids, placed, True)[0],
    "GPT": lambda ids: one.gpt(ids, complete)[0],
}.items():
    print(f"{name:12}", *invented(forward))

# %% [markdown]
# ## The one file
#
# That was the whole of [one_file_gpt.py](one_file_gpt.py). Run as a program it learns for 1,000 steps from the words in
# the names of the emoji, which every Python knows, and invents twenty of its own:

# %%
code = inspect.getsource(one)
print(f"{len(code.splitlines())} lines, imports: {re.findall(r'^import (.*)', code, re.M)}")
_ = runpy.run_path(one.__file__, run_name="__main__")

# %% [markdown]
# Its gradients are right: here is one number of each matrix, moved a little up and down, with the difference of the
# loss beside what the backward says. (The [tests](../tests/test_one_file_gpt.py) do this for many.)

# %%
w = one.new_gpt()
for p in w.values():
    p.data *= 5  # large enough that each of them matters
ids, step = encode("kangaroo"), 1e-6


def loss(w):
    return cross_entropy(one.gpt(ids[:-1], w)[0], ids[1:])[0]


scores, saved = one.gpt(ids[:-1], w)
one.gpt_backward(cross_entropy(scores, ids[1:])[1], saved)
for name, p in w.items():
    place = np.unravel_index(abs(p.grad).argmax(), p.grad.shape)
    kept, found = p.data[place], []
    for p.data[place] in (kept + step, kept - step):
        found.append(loss(w))
    p.data[place] = kept
    slope = (found[0] - found[1]) / (2 * step)
    print(f"{name:10} differences {slope:+.7f}   backward {p.grad[place]:+.7f}")
    assert abs(slope - p.grad[place]) < 1e-6 * abs(slope)

# %% [markdown]
# ## The same, in minixfmr
#
# The file has the architecture of GPT: pre-norm blocks, learned positions. With the right Config, minixfmr's
# `DecoderOnly` is the same model. We hand it the weights of above and compare.

# %%
config = minixfmr.Config(
    vocab_size=V,
    d_model=one.D,
    num_heads=one.HEADS,
    d_ff=4 * one.D,
    num_decoder_layers=1,
    max_position_embeddings=one.LONGEST,
    positions="learned",
    norm_order="pre",
    norm="rms",
    layer_norm_eps=1e-6,
    activation="relu",
    scale_embeddings=False,  # the file does not multiply by √d,
    tie_word_embeddings=False,  # has a matrix of its own for the scores,
    attention_bias=False,  # and no biases
    feed_forward_bias=False,
    dropout=0.0,
    dtype="float64",
)
model = minixfmr.DecoderOnly(config)
block = "decoder.blocks.0"
names = {"letters": "embedding.tokens", "positions": "embedding.positions", "scores": "head.output"}
names |= {name: f"{block}.self_attention.layer.{name}" for name in ("query", "key", "value", "output")}
names |= {"hidden": f"{block}.feed_forward.layer.hidden", "result": f"{block}.feed_forward.layer.output"}
weights = {f"{names[name]}.weight": p.data.T if name == "scores" else p.data for name, p in w.items()}
model.load_state_dict(model.state_dict() | weights)

criterion = minixfmr.CrossEntropy()
logits, saved = model.forward(np.array([ids[:-1]]))  # a batch of one word
theirs, saved_loss = criterion.forward(logits, np.array([ids[1:]]))
model.backward(criterion.backward(saved_loss), saved)
gradients = {name: p.grad for name, p in model.named_parameters()}
print(f"loss {loss(w):.12f} and {theirs:.12f}")
for name, p in w.items():
    other = gradients[f"{names[name]}.weight"]
    other = other.T if name == "scores" else other
    print(f"{name:10} largest difference of a gradient {abs(p.grad - other).max():.0e}")
    assert np.allclose(p.grad, other, rtol=1e-9, atol=1e-12)

# %% [markdown]
# Equal to rounding. The gains of the norms, which the package also learns, are 1 here: a matrix follows each norm, and
# could take any gain into itself.
#
# ## Line for line
#
# On the left the file, on the right the lines of minixfmr that do the same. There they are spread over classes, because
# a class holds parameters and serves many models; and they take a batch, masks, dropout and caches. But the formulas
# are the same, in the same order.

# %%
SideBySide(linear_backward, [layers.linear_backward], ["rows, weight =", "return dx, rows.T", "dx ="])

# %%
SideBySide(one.rms_norm, [layers.rms_norm], ["r =", "n =", "return y"])

# %%
SideBySide(one.rms_norm_backward, [layers.rms_norm_backward], ["n, r, weight =", "dx ="])

# %%
heads = layers.MultiHeadAttention
SideBySide(
    one.attention,
    [PreNorm.forward, heads.forward, heads._keys_and_values, layers.attention],
    [
        "n, saved_norm =",
        "q, saved_query =",
        "k, saved_key =",
        "v, saved_value =",
        ("Q =", "q = split_heads", "k, v = split_heads"),
        "S = pairwise_dot",
        "W =",
        ("y = heads_product", "y, saved_output ="),
        "return x + r",
    ],
)

# %%
SideBySide(
    one.attention_backward,
    [PreNorm.backward, heads.backward, layers.attention_backward],
    [
        ("saved_query, saved_key", "Q, key, value"),
        "dheads =",
        ("dD =", "dvalue ="),
        "dS =",
        ("dquery =", "dkey ="),
        "dmemory = self.value",
        "dmemory = dmemory + self.key",
        "dx = self.query",
        ("dx = self.norm", "return with_memory(dx + dy"),
    ],
)

# %%
SideBySide(
    one.feed_forward,
    [PreNorm.forward, layers.FeedForward.forward],
    ["n, saved_norm =", "h, saved_hidden =", ("a, saved_activation", "y, saved_output ="), "return x + r"],
)

# %%
SideBySide(
    one.feed_forward_backward,
    [PreNorm.backward, layers.FeedForward.backward],
    [
        "saved_hidden,",
        ("dr = self.output", "dh = self.activation"),
        ("return self.hidden", "dx = self.norm", "return with_memory(dx + dy"),
    ],
)

# %%
SideBySide(
    one.gpt,
    [minixfmr.DecoderOnly.forward],
    ["x, saved_embedding =", "y, saved_decoder =", "", "", "logits, saved_head =", "return logits"],
)

# %%
SideBySide(
    one.gpt_backward,
    [minixfmr.DecoderOnly.backward],
    ["saved_embedding, saved_decoder", "dy = self.head", "dx = self.decoder", "", "self.embedding.backward", ""],
)

# %%
SideBySide(one.adam, [minixfmr.training.optimizers.adamw_update], ["", "m +=", "v +=", ("m_hat", "v_hat"), "p -=", ""])

# %% [markdown]
# ## With more room
#
# What the package adds is batches, speed and size. Here the same architecture, four times as wide, learns from 32 words
# a step; once without its feed-forward layer (a single hidden unit), once with it, and once with two blocks.


# %%
def batch_of(words):
    """Words as rows of equal length: input_ids (B, T), and labels with -100 where there is nothing to predict."""
    T = max(map(len, words)) + 1
    ids, labels = np.zeros((len(words), T), int), np.full((len(words), T), -100)
    for i, word in enumerate(words):
        code = encode(word)
        ids[i, : len(code) - 1], labels[i, : len(code) - 1] = code[:-1], code[1:]
    return ids, labels


def larger(d_ff, blocks, steps=10 if QUICK else 600):
    fields = config.to_dict() | {"d_model": 64, "d_ff": d_ff, "num_decoder_layers": blocks, "dropout": 0.1}
    model = minixfmr.DecoderOnly(minixfmr.Config.from_dict(fields | {"dtype": "float32", "eos_token_id": None}))
    optimizer = minixfmr.AdamW(model.parameters(), weight_decay=0.1)
    rng = np.random.default_rng(0)
    for step in range(steps):
        ids, labels = batch_of([train[i] for i in rng.integers(len(train), size=32)])
        logits, saved = model.forward(ids, rng=rng)
        _, saved_loss = criterion.forward(logits, labels)
        optimizer.zero_grad()
        model.backward(criterion.backward(saved_loss), saved)
        optimizer.lr = 3e-3 * (1 - step / steps)
        optimizer.step()
    ids, labels = batch_of(held_out)
    return model, float(criterion.forward(model(ids), labels)[0])


best = {"the one file": ladder["+ feed-forward = GPT"]}
_, best["64 wide, attention alone"] = larger(d_ff=1, blocks=1)
_, best["64 wide, with feed-forward"] = larger(d_ff=256, blocks=1)
large, best["the same, two blocks"] = larger(d_ff=256, blocks=2)
plots.bars(best, xlabel="loss on held-out words (nats a letter)", digits=".2f")

# %%
if not QUICK:
    first, alone, feeding, deep = best.values()
    assert deep < feeding < alone < first
print("it invents:", *invented(lambda ids: large(np.array([ids]))[0].astype(float), 30))

# %% [markdown]
# Now the feed-forward layer pays, and so does depth. From here on it is a matter of more of everything: GPT-2 has 12 of
# these blocks, 768 numbers per token, and read 40 GB of text.
#
# ## Check
#
# 1. The file begins its training at a loss near ln V = 3.3. Why there?
#    <details><summary>Answer</summary>
#
#    The matrices start small, so all scores are near 0 and every letter has a probability near 1/V. A loss far above
#    that, before the first step, means that something is wrong.
#
#    </details>
# 2. Set `w["positions"].data[...] = 0` in the complete model and compute its surprise. Is it that of the model without
#    positions?
#    <details><summary>Answer</summary>
#
#    No, it is clearly worse: that model had learned to do without positions, this one relies on them.
#
#    </details>
# 3. Which lines of the file would have to change for a batch of several words at once?
#    <details><summary>Answer</summary>
#
#    Everything that counts on x being (T, d): `split` and `merge` swap other axes, the gradient of a matrix sums over
#    words as well (the package makes rows of all of them first), short words need padding, and the loss must not count
#    it. Most lines would get a little less clear, which is why the file has no batches.
#
#    </details>
#
# ## Break
#
# Take the mask away, so that each letter sees the whole word, the next letter included.


# %%
peeking = dict(vars(one))
for function in (one.attention, one.gpt):
    exec(inspect.getsource(function).replace("np.tri(len(x))", "np.ones(len(x))"), peeking)
cheat = one.new_gpt()
result = fit(peeking["gpt"], one.gpt_backward, cheat)
print(f"loss on held-out words: {result:.2f}")
print("it invents:", list(invented(lambda ids: peeking["gpt"](ids, cheat)[0])))
if not QUICK:
    assert result < 1

# %% [markdown]
# The best loss of all, on words it has never seen, and it cannot write: all it has learned is to copy the letter to its
# right, and when it writes, there is none.
