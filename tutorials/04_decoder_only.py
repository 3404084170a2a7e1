# %% [markdown]
# # 04 · Decoder-only
#
# A decoder reads from left to right and predicts what comes next; asked again and again, it writes. Here you train one,
# compare it with simple counting, prove that it cannot see the future, and watch it choose its words in half a dozen
# ways. At the end you also know what the key/value cache saves and what it costs. It runs in less than two minutes on
# two cores and builds on [03](03_encoder_only.ipynb).

# %%
import math
import os
import time
from collections import Counter

import english
import numpy as np
import plots
from corpus import END, train_tokenizer

import minixfmr
from minixfmr.generation import sampling_probabilities
from minixfmr.models import causal_mask
from minixfmr.training import cosine, next_token

QUICK = bool(os.environ.get("QUICK"))  # less data, for the tests

# %% [markdown]
# ## The text
#
# This is the English of [03](03_encoder_only.ipynb), now as one long sequence of tokens: paragraph after paragraph,
# with the end token `</s>` between them. Whole packages of the library are held out, because a package repeats its
# phrases: if single paragraphs were held out, near-copies of them would be in the training text, and counting phrases
# would look better than it is. (Paragraphs with names like `__init__` are left out, so that this small model need not
# learn to write underscores.)

# %%
found = [(package, text) for package, text in english.paragraphs() if "__" not in text]
packages = sorted({package for package, _ in found} - {english.REFERENCE})
np.random.default_rng(0).shuffle(packages)
hidden = set(packages[: len(packages) // 6])
train_texts = [text for package, text in found if package not in hidden]
held_out_texts = [text for package, text in found if package in hidden]
np.random.default_rng(1).shuffle(train_texts)
if QUICK:
    train_texts, held_out_texts = train_texts[:800], held_out_texts[:30]
print(f"{len(hidden)} packages are held out, such as {', '.join(sorted(hidden)[-5:])}")

# %% [markdown]
# The tokens are subwords: the 1,000 pieces that byte-pair encoding finds most useful, down to single letters, so that
# nothing is unknown. A `▁` at the start of a piece marks the start of a word.

# %%
tokenizer = train_tokenizer([(text,) for text in train_texts], vocab_size=1000)
V = tokenizer.get_vocab_size()
token = [tokenizer.id_to_token(i) for i in range(V)]


def encode(texts):
    return np.array([i for e in tokenizer.encode_batch(texts) for i in (*e.ids, END)])


train, held_out = encode(train_texts), encode(held_out_texts)
print(f"{len(train):,} tokens to train on, {len(held_out):,} held out")
print(tokenizer.encode("The optional argument is ignored.").tokens)

# %% [markdown]
# ## The task: what comes next
#
# The text itself holds the answers: at position t the model should predict the token at t + 1. `next_token` cuts the
# same row twice, once without its last token and once without its first.

# %%
row = np.array([[END, *tokenizer.encode("The file is closed.").ids]])  # (1, 6)
example = next_token(row)
for t in range(row.shape[1] - 1):
    read = " ".join(token[i] for i in example["input_ids"][0, : t + 1])
    print(f"after {read:32} comes {token[example['labels'][0, t]]}")

# %% [markdown]
# So a row of T tokens asks T questions at once, and one pass through the model answers them all. That is honest only if
# the answer at position t does not depend on the tokens after t, because the very next one is the solution. The
# look-ahead mask ensures this: a query may attend to its own position and to those before it.

# %%
read = [token[i] for i in example["input_ids"][0]]
plots.masks({"may attend": causal_mask(len(read))[0, 0]}, read, read)

# %% [markdown]
# ## What counting achieves
#
# Before the model, here are three guesses that need only counts $n$ of the training text. The unigram guess $p_1(w) =
# n_w / N$ does not look at anything. The bigram guess looks at the previous token, $v$; where that was rare, it falls
# back on the unigram guess:
#
# $$p_2(w \mid v) = \frac{n_{vw} + k\, p_1(w)}{n_v + k}.$$
#
# The trigram guess looks at two tokens and falls back on $p_2$ in the same way. The loss of a guess is the mean of
# $-\log p$ over the held-out text. To be generous, we take the $k$ that turns out best there.


# %%
def groups(ids, m):
    """All runs of m tokens, as tuples."""
    return list(zip(*(ids[o:].tolist() for o in range(m)), strict=False))


def guess(runs, lower):
    """p of the last token of each run given those before it, backed by the lower guess with the best k."""
    together = np.array([counts[run] for run in runs])
    before = np.array([counts[run[:-1]] for run in runs])
    return max(((together + k * lower) / (before + k) for k in (1, 3, 10, 30, 100)), key=lambda p: np.log(p).mean())


counts = Counter(run for m in (1, 2, 3) for run in groups(train, m))
threes = groups(held_out, 3)
p1 = np.array([counts[w,] + 0.1 for _, _, w in threes]) / (len(train) + 0.1 * V)  # 0.1: nothing is impossible
p2 = guess([run[1:] for run in threes], p1)
p3 = guess(threes, p2)
baselines = {name: -np.log(p).mean() for name, p in {"unigram": p1, "bigram": p2, "trigram": p3}.items()}
print(*(f"{name:8} {loss:.2f} nats, perplexity {math.exp(loss):5.0f}" for name, loss in baselines.items()), sep="\n")

# %% [markdown]
# Perplexity is $e^{\text{loss}}$: the guess is as uncertain as a fair choice among that many tokens.
#
# ## The model
#
# [DecoderOnly](../minixfmr/models/decoder_only.py) is the encoder's stack of blocks under the look-ahead mask; the head
# scores every token by its inner product with the final vector, $z = x E^\top$, with the same table $E$ in which the
# ids are looked up.

# %%
config = minixfmr.Config(
    vocab_size=V,
    d_model=128,
    num_heads=4,
    d_ff=512,
    num_decoder_layers=3,
    max_position_embeddings=512,
    norm_order="pre",
    activation="gelu",
    dropout=0.0,
    eos_token_id=END,
)
model = minixfmr.DecoderOnly(config, seed=0)
T, B = 48, 16  # tokens in a row, rows in a batch


class Rows:
    """Rows of T + 1 tokens for a Trainer: `steps` random batches of them, or with None all of the text."""

    def __init__(self, ids, steps=None, mask=None):
        self.ids, self.steps, self.mask = ids, steps, mask

    def order(self, epoch):
        if self.steps is None:
            return np.array_split(np.arange(0, len(self.ids) - T, T), 8)
        return [np.random.default_rng([epoch, i]).integers(len(self.ids) - T, size=B) for i in range(self.steps)]

    def batch(self, starts):
        batch = next_token(self.ids[starts[:, None] + np.arange(T + 1)])  # (B, T) each
        if self.mask is not None:  # in place of the look-ahead mask
            batch["mask"] = np.broadcast_to(self.mask, (len(starts), 1, T, T))
        return batch


whole = Rows(held_out)
print(f"{model.num_parameters():,} parameters")

# %% [markdown]
# ## The first loss
#
# A model that knows nothing should find all V tokens equally likely, and $-\log \frac{1}{V} = \ln V$. So an untrained
# model should start near $\ln V$: a loss far below means that it sees the answer, a loss far above that its logits are
# too large. A little above is normal: logits with standard deviation $s$ that have nothing to do with the answer add
# about $s^2/2$ to the loss.
#
# With a shared table there is a second effect. The vector of the token just read is still part of $x$ after the last
# block, and most similar to its own row of $E$. So the untrained model expects each token to come twice, which is
# rarely right.

# %%
untied = minixfmr.DecoderOnly(minixfmr.Config(**config.to_dict() | {"tie_word_embeddings": False}))
first = {}
for name, untrained in {"a table of its own": untied, "the shared table": model}.items():
    first[name] = minixfmr.evaluate(untrained, whole)
    ids = held_out[None, :T]
    logits = untrained(ids)  # (1, T, V)
    again = np.take_along_axis(logits, ids[..., None], axis=-1)
    print(f"{name}: first loss {first[name]:.2f}, spread of the logits {logits.std():.2f}", end=", ")
    print(f"logit of the token just read {again.mean():.1f}")
spread = untied(held_out[None, :T]).std()
print(f"ln V = {math.log(V):.2f},  ln V + s²/2 = {math.log(V) + spread**2 / 2:.2f}")
assert abs(first["a table of its own"] - math.log(V) - spread**2 / 2) < 0.2
assert first["the shared table"] > first["a table of its own"]

# %% [markdown]
# ## Training
#
# The loop is that of [03](03_encoder_only.ipynb). Each batch holds 16 rows that start anywhere in the text.

# %%
steps = 40 if QUICK else 1200
optimizer = minixfmr.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.1)
schedule = cosine(3e-3, warmup=steps // 12, total=steps, final=1e-4)
trainer = minixfmr.Trainer(model, optimizer, schedule, Rows(train, steps), workers=2)
curve, checked = [], [(0, minixfmr.evaluate(model, whole))]
for result in trainer.run(epochs=1):
    curve.append((result.step, result.loss))
    if result.step % (steps // 2 if QUICK else steps // 6) == 0:
        checked.append((result.step, minixfmr.evaluate(model, whole)))
loss = checked[-1][1]
print(f"held-out loss {loss:.2f} nats, perplexity {math.exp(loss):.0f}")
if not QUICK:
    assert loss < baselines["bigram"] - 0.2

# %%
plots.losses({"training": curve, "held out": checked}, baselines)

# %% [markdown]
# The curve crosses the lines one after another. Below the unigram line the model uses what it reads; below the bigram
# line it uses more than the last token. The trigram guess is hard to beat with a minute of training.
#
# ## It cannot see the future
#
# A claim about a mask should be tested, not believed. First the forward: replace the token at position t, and no output
# before t may change, not even by one bit.

# %%
ids = held_out[None, :12]
before = model(ids)
for t in range(1, 12):
    other = ids.copy()
    other[0, t] = (other[0, t] + 1) % V
    after = model(other)
    assert np.array_equal(before[:, :t], after[:, :t])
    assert not np.array_equal(before[:, t:], after[:, t:])
print("no output has changed before the token that was replaced")

# %% [markdown]
# Then the backward: the gradient of an output at position t must not reach any token after t. We start the backward
# pass with noise at one position only, and look at the length of $dx_j$ at each token $j$.

# %%
logits, saved = model.forward(ids)
saved_embedding, saved_decoder, saved_head = saved
reach = np.zeros((12, 12))
for t in range(12):
    dlogits = np.zeros_like(logits)
    dlogits[0, t] = np.random.default_rng(t).normal(size=V)
    dx = model.decoder.backward(model.head.backward(dlogits, saved_head), saved_decoder)  # (1, T, d)
    reach[t] = np.sqrt((dx[0] ** 2).sum(axis=-1))
assert (np.triu(reach, 1) == 0).all()
names = [token[i] for i in ids[0]]
plots.heat_maps(
    {"‖dxⱼ‖ for the output at t": reach / reach.max(axis=1, keepdims=True)},
    names,
    names,
    xlabel="token j",
    ylabel="output at t",
    numbers=False,
)

# %% [markdown]
# Each row is scaled to its largest value. Above the diagonal everything is exactly zero. Below it you see how far back
# an output depends on its input: mostly on its own token and the few before it.
#
# ## Where the heads look
#
# These are the attention weights of one sentence: each row is a query, each column a key. The upper right is empty in
# every head: that is the mask, not something learned. The first token has only itself to look at.

# %%
sentence = np.array([[END, *tokenizer.encode("Return True if the file exists.").ids]])
_, saved = model.forward(sentence)
weights = [w[0] for w in model.attention_weights(saved)]  # a list of (H, T, T)
assert all((np.triu(w, 1) == 0).all() for w in weights)
plots.attention_heads(weights, [token[i] for i in sentence[0]])

# %% [markdown]
# ## Writing, step by step
#
# `generate_steps` writes one token at a time and reports, at each step, which alternatives the model considered.
# Without further arguments it is greedy: it takes the likeliest token.


# %%
def prompt(text):
    return np.array([[END, *tokenizer.encode(text).ids]])  # END: a paragraph starts here


def text_of(ids):
    return tokenizer.decode([i for i in np.ravel(ids).tolist() if i != END])


start = prompt("This method")
panels, written = {}, []
for i, step in enumerate(minixfmr.generate_steps(model, start, max_new_tokens=8, top=6), 1):
    panels[f"step {i}: {token[step.ids[0]]}"] = [(token[j], p) for j, p in step.alternatives[0]]
    written.append(int(step.ids[0]))
print(text_of(start), "…", text_of(written))
plots.probabilities(panels)

# %% [markdown]
# Each panel is one step; its title is the token that was taken, the top bar. Greedy search takes it however short the
# bar is, and however close the second one comes.
#
# ## One distribution, many ways to choose
#
# The model gives probabilities. What to do with them is not part of the model:
#
# - greedy: take the likeliest,
# - temperature $\tau$: divide the logits by $\tau$, then draw; below 1 sharper, above 1 flatter,
# - top-k: draw only from the k likeliest tokens,
# - top-p: draw from the smallest set of tokens whose probabilities add up to at least p.
#
# Here is the next token after one prompt, under each of these.

# %%
logits = model(prompt("This method returns"))[:, -1]  # (1, V)
settings = {
    "as it is": {},
    "temperature 0.5": {"temperature": 0.5},
    "temperature 2": {"temperature": 2.0},
    "top_k 3": {"top_k": 3},
    "top_p 0.5": {"top_p": 0.5},
    "top_p 0.9": {"top_p": 0.9},
}
likeliest = np.argsort(-logits[0])[:8]
chances = {name: sampling_probabilities(logits, **setting)[0] for name, setting in settings.items()}
for name, p in chances.items():
    assert math.isclose(p.sum(), 1, rel_tol=1e-5)
    most = (np.cumsum(-np.sort(-p)) < 0.99).sum() + 1
    print(f"{name:16} leaves {(p > 0).sum():4} tokens; 99 % of the draws are among {most}")
plots.probabilities({name: [(token[i], float(p[i])) for i in likeliest] for name, p in chances.items()})

# %% [markdown]
# Temperature moves all bars; top-k and top-p cut off the tail and share its probability among the rest. Top-k always
# cuts at the same rank; top-p cuts late where the model is unsure and early where it is sure.
#
# The same prompt, continued in different ways:

# %%
ways = {
    "greedy": {},
    "temperature 0.7": {"do_sample": True, "temperature": 0.7},
    "as it is": {"do_sample": True},
    "temperature 1.5": {"do_sample": True, "temperature": 1.5},
    "top_k 10": {"do_sample": True, "top_k": 10},
    "top_p 0.8": {"do_sample": True, "top_p": 0.8},
    "beam search": {"num_beams": 5},
}
for name, way in ways.items():
    ids = minixfmr.generate(model, prompt("This method"), max_new_tokens=32, seed=3, **way)
    print(f"{name:16} {text_of(ids)}")

# %% [markdown]
# ## Repetition
#
# Greedy search has a weakness: once it has written a phrase a second time, it is back where it was before, and nothing
# breaks the cycle. Let each method continue beyond the end of its sentence (`min_new_tokens` forbids the end token),
# and measure the share of tokens that complete a group of three that has already occurred.


# %%
def repeated(ids, size=3):
    """The share of the positions where the last `size` tokens have occurred before in the same text."""
    grams = [tuple(ids[t : t + size]) for t in range(len(ids) - size + 1)]
    return 1 - len(set(grams)) / len(grams)


starts = ["This method", "Return the", "If the", "The value of", "A class", "Raise", "The default", "An object"]
rules = {
    "greedy": {},
    "beam search": {"num_beams": 5},
    "repetition_penalty 1.3": {"repetition_penalty": 1.3},
    "no_repeat_ngram_size 3": {"no_repeat_ngram_size": 3},
    "top_p 0.9": {"do_sample": True, "top_p": 0.9, "seed": 0},
}
shares = {}
for name, rule in rules.items():
    texts = [
        minixfmr.generate(model, prompt(s), max_new_tokens=40, min_new_tokens=40, **rule)[0].tolist() for s in starts
    ]
    shares[name] = np.mean([repeated(ids) for ids in texts])
    print(f"{name:23} {text_of(texts[1])}")
assert shares["no_repeat_ngram_size 3"] == 0
if not QUICK:
    assert shares["greedy"] > max(shares["repetition_penalty 1.3"], shares["top_p 0.9"])
plots.bars(shares, xlabel="share of repeated groups of three tokens", digits=".0%")

# %% [markdown]
# `repetition_penalty` divides the logit of every token that has already occurred by its value if the logit is positive,
# and multiplies it if it is negative; `no_repeat_ngram_size` forbids any token that would complete a repeated group.
# Both treat only the symptom, and punish honest repetition too: a text needs its "the" more than once. Sampling needs
# no such rule, since chance breaks the cycle.
#
# ## Beam search
#
# Greedy search takes the best step and may miss the best text: a likely token can lead to a place where every
# continuation is unlikely. Beam search keeps the K best beginnings at each step. We judge both by what they search for,
# the log-probability of all twelve tokens they wrote, recomputed in one pass of the model.


# %%
def log_probability(ids, prompt_length):
    """log p of what comes after the prompt: the sum over its tokens."""
    logits = model(ids[:, :-1])[0].astype(float)  # (T - 1, V)
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return sum(log_p[t - 1, ids[0, t]] for t in range(prompt_length, ids.shape[1]))


means = {}
for num_beams in (1, 2, 5):
    options = {"max_new_tokens": 12, "eos_token_id": [], "num_beams": num_beams}  # no end: all write 12 tokens
    written = [minixfmr.generate(model, prompt(s), **options) for s in starts]
    means[f"num_beams={num_beams}"] = np.mean(
        [log_probability(ids, prompt(s).shape[1]) for ids, s in zip(written, starts, strict=True)]
    )
assert means["num_beams=5"] > means["num_beams=1"]
plots.bars(means, xlabel="mean log p of 12 tokens: nearer to 0 is likelier")

# %% [markdown]
# More beams find likelier texts. Likelier is not better: as the bars above showed, the likeliest text of a language
# model is dull. Beam search belongs where there is one right answer, as in translation.
#
# ## The key/value cache
#
# Writing token t + 1 needs only the output at position t. There the query of position t is compared with the keys of
# all positions up to t, and the keys and values of the earlier ones have already been computed. Under the look-ahead
# mask they can never change, because nothing that comes later reaches them. So they are kept. `model.start` makes an
# empty cache, and `model.step` reads more tokens into it.

# %%
ids = held_out[None, :40]
_, state = model.start(ids)
for t in range(40):
    logits = model.step(ids[:, t : t + 1], state)  # (1, V), one token at a time
everything = model(ids)[:, -1]  # (1, V), all of them at once
print(f"largest difference {abs(logits - everything).max():.1e}, logits up to {abs(everything).max():.1f}")
assert np.allclose(logits, everything, atol=1e-3)

without = minixfmr.generate(model, prompt("Return the"), max_new_tokens=40, use_cache=False)
assert np.array_equal(without, minixfmr.generate(model, prompt("Return the"), max_new_tokens=40))

# %% [markdown]
# The numbers are the same up to rounding, and so is the text. Now we measure the time. Without the cache each new token
# costs a pass over all tokens so far; with it, a pass over one token, in which only the attention still grows with the
# text. (The positions beyond T were never trained, so that far out this model writes nothing sensible; it takes the
# same time all the same.)


# %%
def tokens_a_second(length, use_cache, tries=8):
    """How fast one more token is added to a text of this length: the best of several tries."""
    text = np.resize(held_out, (1, length + tries))
    times = []
    _, state = model.start(text)
    model.step(text[:, :length], state)
    for t in range(length, length + tries):
        began = time.thread_time()  # which stands still while other programs have the core
        if use_cache:
            model.step(text[:, t : t + 1], state)
        else:
            _, fresh = model.start(text)
            model.step(text[:, : t + 1], fresh)
        times.append(time.thread_time() - began)
    return 1 / min(times)


lengths = (16, 64) if QUICK else (16, 32, 64, 128, 192, 256, 320, 384, 448)
speeds = {
    name: [(length, tokens_a_second(length, use_cache)) for length in lengths]
    for name, use_cache in (("with the cache", True), ("without", False))
}
fast, slow = (points[-1][1] for points in speeds.values())
print(f"after {lengths[-1]} tokens the cache is {fast / slow:.0f} times as fast")
assert fast > slow
plots.losses(speeds, xlabel="tokens in the text so far", ylabel="tokens a second")

# %% [markdown]
# With the cache the speed hardly depends on the length; without it, the speed falls steeply. The price is memory: a key
# and a value of width d in each of L blocks, for each token of each text,
#
# $$\text{bytes} = 2 \cdot L \cdot B \cdot T \cdot d \cdot 4 \quad\text{in float32}.$$


# %%
def cache_bytes(L, B, T, d, bytes_each=4):
    return 2 * L * B * T * d * bytes_each


measured = sum(cache.keys.nbytes + cache.values.nbytes for cache in state.caches)
assert measured == cache_bytes(config.num_decoder_layers, 1, state.length, config.d_model)
print(f"this model, {state.length} tokens: {measured / 2**10:.0f} KiB, measured")
print(f"GPT-2 small (L 12, d 768), 1,024 tokens: {cache_bytes(12, 1, 1024, 768) / 2**20:.0f} MiB")
print(f"L 32, d 4096, 8 texts of 4,096 tokens, 2 bytes each: {cache_bytes(32, 8, 4096, 4096, 2) / 2**30:.0f} GiB")

# %% [markdown]
# The last line is a model of the size of LLaMA 7B, whose weights take 13 GiB: there the cache is larger than the model.
# This is why later models let several heads share one key and value (`num_key_value_heads`) or look back only over a
# window (`sliding_window`).
#
# ## Check
#
# 1. Set all logits of the untrained model to zero, `untied.head.output.weight.data[...] = 0`, and evaluate it on
#    `whole` again. Which loss do you expect?
#    <details><summary>Answer</summary>
#
#    ln V, up to rounding: every token gets the probability 1/V.
#
#    </details>
# 2. Generate with `do_sample=True, top_k=1` and several seeds, then with `temperature=0.01`. Which of them is the
#    greedy text?
#    <details><summary>Answer</summary>
#
#    With `top_k=1` it is, whatever the seed. With `temperature=0.01` it can still differ, at steps where the two
#    likeliest tokens are almost equally likely.
#
#    </details>
# 3. Compute the mean loss at each position of the rows instead of over all. Where is it highest, and where does it stop
#    falling?
#    <details><summary>Answer</summary>
#
#    It is highest at position 0, where only one token has been read, as in the bigram guess. After about ten positions
#    it stops falling: what lies further back helps this small model little.
#
#    </details>
#
# ## Break
#
# Shift the mask by one position: a query may see one token too many, the very one it should predict. Everything still
# runs, and the loss looks splendid.

# %%
off_by_one = np.tri(T, T, 1, dtype=bool)  # one more diagonal than the look-ahead mask
leaky = minixfmr.DecoderOnly(config, seed=0)
steps = 20 if QUICK else 200
optimizer = minixfmr.AdamW(leaky.parameters(), betas=(0.9, 0.98), weight_decay=0.1)
data = Rows(train, steps, off_by_one)
list(minixfmr.Trainer(leaky, optimizer, cosine(3e-3, steps // 4, steps), data, workers=2).run(epochs=1))
peeking, honest = minixfmr.evaluate(leaky, Rows(held_out, mask=off_by_one)), minixfmr.evaluate(leaky, whole)
print(f"held-out loss after {steps} steps while it may peek: {peeking:.2f}")
print(f"held-out loss of the same weights under the right mask: {honest:.2f}")
if not QUICK:
    assert peeking < 1 and honest > baselines["unigram"]
for s in starts[:3]:
    print(text_of(minixfmr.generate(leaky, prompt(s), max_new_tokens=20)))

# %% [markdown]
# It has learned to copy the answer, and nothing about the language: when it writes, there is no next token to copy. No
# real text is that predictable. A loss far below what counting achieves is a reason to run the causality test above.
