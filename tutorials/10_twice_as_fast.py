# %% [markdown]
# # 10 · Twice as fast, then on a GPU
#
# Where does the time of a training step go, and what can be done about it without leaving NumPy? At the end you know
# what a matrix product costs and what a pass over memory costs, how to measure both, and what a second core can do as a
# second thread or as a second worker. You will make a layer of your own about twice as fast, step by step, with the
# gradient checker watching. The last section moves the same code to a GPU.
#
# It takes about a minute and a half. It builds on the checker of [02](02_your_gradient_checked.ipynb) and on the
# training of [09](09_real_translation.ipynb).

# %%
import math
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import contextmanager

import numpy as np
import plots

import minixfmr
from minixfmr import layers
from minixfmr.backend import batch_sum, by_rows, one_blas_thread, random_generator, random_keep, row_blocks, row_mean
from minixfmr.training import ParallelGradients, pad, token_batches

QUICK = bool(os.environ.get("QUICK"))  # less data, for the tests

# %% [markdown]
# Other programs share the machine, so a single timing says little. We measure the candidates in turns, so that a slow
# moment hits all of them, and take the median. All times below come from the machine that ran this notebook; look at
# their ratios.


# %%
def milliseconds(cases, rounds=3 if QUICK else 9, pause=0):
    """{name: median milliseconds of a call} for {name: function}, measured in turns, with a pause before each."""
    times, repeats = defaultdict(list), {}
    for name, function in cases.items():
        function()  # the first call also pays for what is set up once
        began = time.perf_counter()
        function()
        repeats[name] = max(1, round(0.005 / (time.perf_counter() - began)))  # too short to be measured alone
    for _ in range(rounds):
        for name, function in cases.items():
            time.sleep(pause)
            began = time.perf_counter()
            for _ in range(repeats[name]):
                function()
            times[name].append((time.perf_counter() - began) / repeats[name] * 1000)
    return {name: statistics.median(found) for name, found in times.items()}


# %% [markdown]
# ## Where the time goes
#
# A profiler that counts calls would not show `@` at all, since it is not a Python function. But every layer here has a
# `forward` and a `backward`, so a stopwatch around these methods sees nearly everything. We put it only around layers
# that contain no other layer, or time would be counted twice.


# %%
@contextmanager
def stopwatch(methods):
    """{name: seconds spent in it} while the block runs, for methods given as {name: (class, method's name)}."""
    seconds, originals = defaultdict(float), {}
    for name, (kind, method) in methods.items():
        originals[name] = getattr(kind, method)

        def timed(self, *arguments, _name=name, **options):
            began = time.perf_counter()
            result = originals[_name](self, *arguments, **options)
            seconds[_name] += time.perf_counter() - began
            return result

        setattr(kind, method, timed)
    try:
        yield seconds
    finally:
        for name, (kind, method) in methods.items():
            setattr(kind, method, originals[name])


# %% [markdown]
# The patient is an encoder-decoder with two blocks on each side. The step is the one that a trainer without workers
# takes, with the matrix products on one core, like everything else except AdamW, which shares its update out among the
# cores where there are many parameters.

# %%
B, T, V, d = 32, 32, 1000, 128


def make_model(d, V, num_layers=2, dropout=0.1):
    config = minixfmr.Config(
        vocab_size=V,
        d_model=d,
        num_heads=4,
        d_ff=4 * d,
        num_encoder_layers=num_layers,
        num_decoder_layers=num_layers,
        norm_order="pre",
        dropout=dropout,
    )
    return minixfmr.EncoderDecoder(config, seed=0)


# %%
def make_batch(V, B=B, T=T):
    ids = np.random.default_rng(0).integers(3, V, (3, B, T))
    return {"input_ids": ids[0], "decoder_input_ids": ids[1], "labels": ids[2]}


model, batch, criterion = make_model(d, V), make_batch(V), minixfmr.CrossEntropy(label_smoothing=0.1)
optimizer = minixfmr.AdamW(model.parameters())
rng = random_generator(0)


def step():
    optimizer.zero_grad()
    logits, saved = model.forward(batch["input_ids"], batch["decoder_input_ids"], rng=rng)
    loss, saved_loss = criterion.forward(logits, batch["labels"])
    model.backward(criterion.backward(saved_loss), saved)
    optimizer.step()
    return loss


# %%
kinds = [layers.Linear, layers.OutputProjection, layers.LayerNorm, layers.Activation, layers.Dropout, layers.Embedding]
methods = {
    (kind.__name__, way): (kind, way) for kind in [*kinds, minixfmr.CrossEntropy] for way in ("forward", "backward")
}
methods["attention", "forward"] = (layers.MultiHeadAttention, "attend")
methods["attention", "backward"] = (layers.MultiHeadAttention, "attend_backward")
methods["AdamW", "forward"] = (minixfmr.AdamW, "step")
rounds = 3 if QUICK else 20
with one_blas_thread():
    step()
    with stopwatch(methods) as seconds:
        began = time.perf_counter()
        losses = [step() for _ in range(rounds)]
        whole = (time.perf_counter() - began) / rounds * 1000
parts = {key: value / rounds * 1000 for key, value in seconds.items()}  # ms a step
assert losses[-1] < losses[0]

# %%
names = sorted({name for name, _ in parts}, key=lambda name: -sum(v for key, v in parts.items() if key[0] == name))
drawn, axis = plots.figure(size=(6.8, 3.4))
left = np.zeros(len(names))
for way, colour in (("forward", plots.BLUE), ("backward", plots.RED)):
    widths = np.array([parts.get((name, way), 0) for name in names])
    axis.barh(names, widths, left=left, color=colour, label=way)
    left += widths
rest = whole - left.sum()
axis.barh(["all else"], [rest], color="0.6")
axis.invert_yaxis()
axis.set(xlabel=f"milliseconds of a step of {whole:.0f} ms")
axis.legend(loc="lower right")
drawn

# %% [markdown]
# `Linear` and `OutputProjection` are matrix products and little else. `attention` is both: small products, and the
# passes of its softmax. The others are passes over arrays; "all else" is residual additions, masks, and Python itself.
# AdamW has no backward: its single bar is the update.

# %%
products = sum(v for (name, _), v in parts.items() if name in ("Linear", "OutputProjection"))
attention = sum(v for (name, _), v in parts.items() if name == "attention")
other = whole - products - attention
print(f"matrix products {products / whole:.0%}, attention {attention / whole:.0%}, all the others {other / whole:.0%}")
weights = sum(p.data.size for p in model.parameters() if p.data.ndim == 2)  # the tied table counts as output layer
flops = 6 * weights * B * T  # each weight: a multiplication and an addition, in y = xW, in dx and in dW
print(f"{flops / 1e9:.2f} billion operations in {products:.0f} ms: {flops / products / 1e6:.0f} GFLOP/s")

# %% [markdown]
# Let us count how much work the products are. A weight W (n, m) takes part in three products for each row x: y = x W
# forward, dx = dy Wᵀ and dW = xᵀ dy backward. In each, every number of W takes one multiplication and one addition:
# **six operations per weight and token**. (Attention adds the products of queries and keys, which have no weights.)
#
# ## What a matrix product costs
#
# A product of two n × n matrices does 2n³ operations on 3n² numbers: the larger n is, the more work there is for each
# number fetched. How many operations per second does BLAS reach?

# %%
sizes = [16, 32, 64, 128, 256] if QUICK else [8, 16, 32, 64, 128, 256, 512, 1024]


def rate(n, dtype):
    """GFLOP/s of a product of two matrices (n, n)."""
    a = np.random.default_rng(0).random((n, n)).astype(dtype)
    return 2 * n**3 / milliseconds({"product": lambda: a @ a}, 3 if QUICK else 5)["product"] / 1e6


curves = {"float32, all cores": [rate(n, "float32") for n in sizes]}
with one_blas_thread():
    curves["float32, one core"] = [rate(n, "float32") for n in sizes]
    curves["float64, one core"] = [rate(n, "float64") for n in sizes]
drawn, axis = plots.figure()
for label, rates in curves.items():
    axis.plot(sizes, rates, marker="o", label=label)
axis.set_xscale("log", base=2)
axis.set(xlabel="n of a product (n, n) @ (n, n)", ylabel="GFLOP/s", ylim=(0, None), xticks=sizes, xticklabels=sizes)
axis.legend()
drawn

# %%
one, double = curves["float32, one core"], curves["float64, one core"]
print(
    f"one core: {one[-1]:.0f} GFLOP/s at n = {sizes[-1]}, {one[0]:.2f} at n = {sizes[0]}; "
    f"float64 reaches {max(double) / max(one):.0%} of float32"
)

# %% [markdown]
# There are three things to see. Small products are slow: for the smallest, the call itself costs more than the work. A
# second core helps only if the matrices are large, because the two cores have to wait for each other. And float64 is at
# best half as fast, since a register holds half as many of its numbers: a reason to train in float32, and to keep
# float64 for checks.
#
# So products should be few and large. That is why `linear` in [linear.py](../minixfmr/layers/linear.py) first makes one
# matrix (B·T, n) of all tokens, and why the matrices of all heads lie side by side in one.
#
# ## What a pass over memory costs
#
# `x + 1` does one operation on each number that it fetches. The processor waits for the memory, so the cost depends on
# where the numbers are: in the cache or not, in an existing array or in a fresh one.


# %%
def by_size(curves, ylabel):
    """Curves {label: (numbers of float32, values)} over the size in memory."""
    drawn, axis = plots.figure()
    for label, (numbers, values) in curves.items():
        axis.plot(numbers, values, marker="o", label=label)
    labels = [f"{n // 256} KiB" if n < 1 << 18 else f"{n >> 18} MiB" for n in numbers]
    axis.set_xscale("log", base=2)
    axis.set(ylabel=ylabel, ylim=(0, None), xticks=numbers, xticklabels=labels)
    axis.legend()
    return drawn


# %%
lengths = [2**k for k in (range(12, 21, 4) if QUICK else range(10, 25, 2))]
cost = defaultdict(list)
for n in lengths:
    x, y = np.ones((2, n), "float32")
    cases = {
        "x + 1, a fresh array": lambda x=x: x + 1,
        "x += 0, in place": lambda x=x: np.add(x, 0, out=x),  # 0, or x would grow with each repetition
        "y = exp(x), y is there": lambda x=x, y=y: np.exp(x, out=y),
    }
    for name, ms in milliseconds(cases).items():
        cost[name].append(ms * 1e6 / n)
drawn = by_size({name: (lengths, values) for name, values in cost.items()}, "nanoseconds per number")
drawn.axes[0].set_xlabel("size of the array")
drawn

# %% [markdown]
# On the left, the Python call costs more than the addition. In the middle the array is in the cache, and a number costs
# a fraction of a nanosecond. On the right it no longer fits, and each pass fetches it again. A fresh array is more
# expensive still: it is a second stretch of memory to go through. For `exp` all this matters less, because it does more
# work on each number.
#
# Three rules follow: **fewer passes**; **in place**, on arrays that nobody else needs; and, where several cheap passes
# follow each other, **in blocks that stay in the cache**. The package uses the last one: see `by_rows` in
# [blocks.py](../minixfmr/backend/blocks.py). Here are six passes over an array of 64 MiB, with blocks of different
# sizes:


# %%
def six_passes(x, out):
    """Cheap passes, much like those of GELU."""
    np.multiply(x, x, out=out)
    out *= 0.044715
    out += 1
    out *= x
    out *= math.sqrt(2 / math.pi)
    out -= 1


x = np.random.default_rng(0).standard_normal(1 << (18 if QUICK else 24)).astype("float32")


def by_blocks(size):
    out = np.empty_like(x)
    for start in range(0, len(x), size):
        six_passes(x[start : start + size], out[start : start + size])
    return out


# %%
blocks = [1 << k for k in range(10, x.size.bit_length(), 2)]
assert all(np.array_equal(by_blocks(size), by_blocks(x.size)) for size in blocks)
block_times = milliseconds({size: lambda size=size: by_blocks(size) for size in blocks}, 3 if QUICK else 5)
drawn = by_size({"six passes over the array": (blocks, list(block_times.values()))}, "milliseconds")
drawn.axes[0].set_xlabel("size of a block")
drawn

# %%
best = min(block_times, key=block_times.get)
gain = block_times[x.size] / block_times[best]
print(f"best block here: {best // 256:,} KiB, {gain:.1f} times as fast as the whole array at once")

# %% [markdown]
# If a block is too small, Python's calls cost more than the passes; if it is too large, it is evicted from the cache
# between one pass and the next. The result is the same to the last bit, because each number is computed by itself.
#
# ## The same, spelled differently
#
# Different spellings of the same operation can differ in cost by far more than one would guess. Measure before you
# believe; here are some that this package had to choose between.

# %%
x = np.random.default_rng(0).standard_normal((512, 512) if QUICK else (2048, 512)).astype("float32")
mask, zeros = np.random.default_rng(1).random(x.shape) < 0.9, np.zeros_like(x)
ones_right, ones_left = np.ones((x.shape[1], 1), "float32"), np.ones((1, x.shape[0]), "float32")
short = x.reshape(-1, 32, 32)  # scores of attention: many short rows
flipped = np.ascontiguousarray(short.swapaxes(1, 2))
spellings = {
    "sum of each row": {"x.sum(-1)": lambda: x.sum(-1), "x @ ones": lambda: (x @ ones_right)[:, 0]},
    "sum of each column": {"x.sum(0)": lambda: x.sum(0), "ones @ x": lambda: (ones_left @ x)[0]},
    "maximum of short rows": {"max(-1)": lambda: short.max(-1), "transposed, max(-2)": lambda: flipped.max(-2)},
    "zero where masked": {"np.where(mask, x, 0)": lambda: np.where(mask, x, 0), "x * mask": lambda: x * mask},
    "x cubed": {"x**3": lambda: x**3, "x * x * x": lambda: x * x * x},
    "ReLU": {"np.maximum(x, 0)": lambda: np.maximum(x, 0), "np.maximum(x, zeros)": lambda: np.maximum(x, zeros)},
}

# %%
ratios = {}
with one_blas_thread():
    for cases in spellings.values():
        first, second = (function() for function in cases.values())
        assert np.allclose(first, second, rtol=1e-4, atol=1e-3)
        slow, fast = milliseconds(cases).values()
        ratios[" / ".join(cases)] = slow / fast
drawn, axis = plots.figure(size=(7, 2.8))
found = axis.barh(list(ratios), np.array([*ratios.values()]) - 1, left=1, color=plots.BLUE)
axis.bar_label(found, [f"{ratio:.1f}" for ratio in ratios.values()], padding=3)
axis.set_xscale("log", base=2)
axis.set(xlabel="time of the first spelling over that of the second", xlim=(0.25, 3 * max(ratios.values())))
axis.axvline(1, color="0.4")
axis.invert_yaxis()
drawn

# %% [markdown]
# If a bar points to the right, the second spelling is faster; at 1 they are equal. A sum is a product with ones, and
# BLAS reads and adds faster than `sum` does. `x**3` calls a general power function for each number. A maximum along
# short rows has to start again every 32 numbers, while one down the columns goes through memory in one sweep. The last
# pair is a warning: a ready array of zeros looks as if it saved work, but it is one more array to read.
#
# The helpers `row_sum`, `row_mean` and `batch_sum` in [sums.py](../minixfmr/backend/sums.py) give these products with
# ones a name, so that the layers stay readable, and `pairwise_dot` lays the scores of attention out by columns for the
# sake of that maximum. If the bars say something else on your machine, believe the bars.
#
# Random numbers are a pass too, and an expensive one. Dropout needs one decision per number, for which 16 random bits
# are plenty:

# %%
rng = random_generator(0)
cases = {"float": lambda: rng.random(x.shape) >= 0.1, "16 bits": lambda: random_keep(rng, x, 0.1)[0]}
assert all(abs(function().mean() - 0.9) < 0.01 for function in cases.values())
found = milliseconds(cases)
print(f"a dropout mask from floats takes {found['float'] / found['16 bits']:.1f} times as long as from 16 bits")

# %% [markdown]
# ## Threads or workers
#
# There are two ways to use a second core. BLAS can divide each product among threads; then the passes still run on one
# core. Or each worker takes half of the batch and does everything for it, products and passes:
#
#     loss = Σ_b loss_b      so      dW = Σ_b dW_b = Σ_(b of worker 1) dW_b + Σ_(b of worker 2) dW_b
#
# `ParallelGradients` of [parallel.py](../minixfmr/training/parallel.py) does that. Modules keep no state between
# forward and backward, so all workers can read the same weights; each adds into its own gradients, and these are added
# up at the end. `Trainer` does this by default, with one worker per core.


# %%
def gradient_of(model, function):
    """All gradients that the function adds, as one array."""
    model.zero_grad()
    function()
    return np.concatenate([p.grad.ravel() for p in model.parameters()])


def gradient_times(model, batch):
    """Milliseconds of the gradients of a batch: on one core, with threads in BLAS, with two workers."""
    one, two = (ParallelGradients(model, minixfmr.CrossEntropy(), workers) for workers in (1, 2))

    def one_core():
        with one_blas_thread():
            one([batch])

    cases = {"one core": one_core, "threads in BLAS": lambda: one([batch]), "two workers": lambda: two([batch])}
    expected, first, second = (gradient_of(model, cases[name]) for name in ("one core", "two workers", "two workers"))
    error = abs(first - expected).max() / abs(expected).max()
    assert error < 1e-4 and np.array_equal(first, second)  # equal to rounding; the same workers, the same bits
    return milliseconds(cases, 3 if QUICK else 7, pause=0.1), error  # BLAS's threads keep spinning for a while


# %%
settings = {"d 64": (64, 100, 8)} if QUICK else {"d 64": (64, 100, 16), "d 256": (256, 4000, 32)}
drawn, axes = plots.figure(1, len(settings), (7.4, 2.4), squeeze=False)
for axis, (title, (width, V, T)) in zip(axes[0], settings.items(), strict=True):
    found, error = gradient_times(make_model(width, V, dropout=0.0), make_batch(V, T=T))
    axis.barh(list(found), found.values(), color=[plots.BLUE, plots.ORANGE, plots.GREEN])
    axis.set(title=title, xlabel="ms for the gradients of a batch")
    axis.invert_yaxis()
    threads, workers = (found["one core"] / found[name] for name in ("threads in BLAS", "two workers"))
    print(f"{title}: with threads {threads:.2f} times as fast as on one core, with workers {workers:.2f} times")
    print(f"      the gradients differ by {error:.0e} of the largest")
drawn

# %% [markdown]
# Threads can speed up only the products, and after each product the faster thread waits for the slower one. With
# workers both cores are busy all the time, but a batch has to be sent and two sets of gradients added up. The time for
# that does not depend on the number of tokens, so a small model gains little or even loses, and a larger one gains most
# of a second core.
#
# Why are the gradients equal only to rounding? They are the same sums, added in another order, and in floating point
# (a + b) + c is not a + (b + c). Only the last digits differ, and they do not depend on which worker finishes first:
# the same number of workers gives the same bits in every run.
#
# On Linux the workers are processes; elsewhere, and on a GPU, threads. A Python thread has to wait for the
# interpreter's lock before and after each array operation. A forked process has a lock of its own, and sees the same
# weights in shared memory.
#
# ## The work that is not done
#
# The fastest work is the work that is left out. Here are two examples. Writing text with a key/value cache computes
# each position once, instead of again for each later one: see [04](04_decoder_only.ipynb). And a batch of sentences of
# similar length wastes hardly any work on padding; [09](09_real_translation.ipynb) shows how that is done, and here is
# what it gains:

# %%
rng = np.random.default_rng(0)
sentences = [rng.integers(3, 1000, n).tolist() for n in rng.integers(3, 40, 20 if QUICK else 512)]
by_length = token_batches([len(s) for s in sentences], 1000)
at_random = np.split(rng.permutation(len(sentences)), np.cumsum([len(b) for b in by_length])[:-1])
gradients = ParallelGradients(model, criterion)


def an_epoch(batches):
    for indices in batches:
        ids = pad([sentences[i] for i in indices], 0)
        labels = pad([sentences[i] for i in indices], -100)
        gradients([{"input_ids": ids, "decoder_input_ids": ids, "attention_mask": (ids > 0) * 1, "labels": labels}])


with one_blas_thread():
    cases = {"at random": lambda: an_epoch(at_random), "by length": lambda: an_epoch(by_length)}
    found = milliseconds(cases, 1 if QUICK else 3)
gain = found["at random"] / found["by length"]
print(f"{len(by_length)} batches of the same sentences: by length {gain:.2f} times as fast as at random")

# %% [markdown]
# ## A layer of your own, twice as fast
#
# Now all of it on one example: a layer norm followed by a GELU, written the way one would write them down (except for
# z³, after what the bars above have shown). As before, ⊙ is the elementwise product.
#
#     n = (x - mean(x)) / √(var(x) + ε),   z = n ⊙ w + b
#     t = tanh(c (z + 0.044715 z³)),   y = ½ z ⊙ (1 + t),   c = √(2/π)
#
#     dz = dy ⊙ (½ (1 + t) + ½ z ⊙ (1 - t²) ⊙ c (1 + 3 · 0.044715 z²)),   dn = dz ⊙ w
#     dx = (dn - mean(dn) - n · mean(dn ⊙ n)) / √(var(x) + ε),   dw = Σ dz ⊙ n,   db = Σ dz

# %%
c, k, eps = math.sqrt(2 / math.pi), 0.044715, 1e-5


def normal(x):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)  # (N, 1)
    return (x - mean) / np.sqrt(var + eps), var


def plain_forward(x, w, b):
    """x: (N, d)    w, b: (d,)    →    y: (N, d)"""
    n, _ = normal(x)
    z = n * w + b
    t = np.tanh(c * (z + k * z * z * z))
    return 0.5 * z * (1 + t), (x, w, b)


def plain_backward(dy, saved):
    x, w, b = saved
    n, var = normal(x)
    z = n * w + b
    t = np.tanh(c * (z + k * z * z * z))
    dz = dy * (0.5 * (1 + t) + 0.5 * z * (1 - t * t) * c * (1 + 3 * k * z * z))
    dn = dz * w
    dx = dn - dn.mean(-1, keepdims=True) - n * (dn * n).mean(-1, keepdims=True)
    return dx / np.sqrt(var + eps), (dz * n).sum(0), dz.sum(0)


# %% [markdown]
# **Step 1: keep what the backward needs.** The plain backward computes n, z and t a second time. They exist when the
# forward ends, so it only has to hand them over. The price is memory.


# %%
def keeping_forward(x, w, b):
    n, var = normal(x)
    z = n * w + b
    t = np.tanh(c * (z + k * z * z * z))
    return 0.5 * z * (1 + t), (n, 1 / np.sqrt(var + eps), z, t, w)


def keeping_backward(dy, saved):
    n, r, z, t, w = saved
    dz = dy * (0.5 * (1 + t) + 0.5 * z * (1 - t * t) * c * (1 + 3 * k * z * z))
    dn = dz * w
    dx = r * (dn - dn.mean(-1, keepdims=True) - n * (dn * n).mean(-1, keepdims=True))
    return dx, (dz * n).sum(0), dz.sum(0)


# %% [markdown]
# **Step 2: sums as products.** `row_mean` and `batch_sum` take the place of `mean` and `sum`. The variance is the mean
# square of x - mean(x), which is there already; `var` would compute it a second time.


# %%
def summing_forward(x, w, b):
    n = x - row_mean(x)
    r = (row_mean(n * n) + eps) ** -0.5  # (N, 1)
    n = n * r
    z = n * w + b
    t = np.tanh(c * (z + k * z * z * z))
    return 0.5 * z * (1 + t), (n, r, z, t, w)


def summing_backward(dy, saved):
    n, r, z, t, w = saved
    dz = dy * (0.5 * (1 + t) + 0.5 * z * (1 - t * t) * c * (1 + 3 * k * z * z))
    dn = dz * w
    dx = r * (dn - row_mean(dn) - n * row_mean(dn * n))
    return dx, batch_sum(dz * n), batch_sum(dz)


# %% [markdown]
# **Step 3: in place.** Each operation of a formula makes a fresh array. An array that nobody saved can be overwritten
# instead. The price is readability: this is a recipe, no longer a formula.


# %%
def in_place_forward(x, w, b):
    n = x - row_mean(x)
    r = (row_mean(n * n) + eps) ** -0.5
    n *= r
    z = n * w  # a new array: n is saved
    z += b
    t = z * z
    t *= k
    t += 1
    t *= z
    t *= c
    np.tanh(t, out=t)
    y = t + 1
    y *= z
    y *= 0.5
    return y, (n, r, z, t, w)


def in_place_backward(dy, saved):
    n, r, z, t, w = saved
    dz = z * z
    dz *= 3 * k
    dz += 1
    dz *= c
    dz *= z
    dz *= 1 - t * t
    dz += t
    dz += 1
    dz *= 0.5
    dz *= dy
    dzn = dz * n
    dw, db = batch_sum(dzn), batch_sum(dz)  # (d,)
    dzn *= w  # dn ⊙ n
    dz *= w  # dn
    dx = n * row_mean(dzn)
    dz -= row_mean(dz)
    np.subtract(dz, dx, out=dx)
    dx *= r
    return dx, dw, db


# %% [markdown]
# **Step 4: in blocks.** The same functions, applied to a few rows at a time, so that all their arrays stay in the
# cache. Each row is normalized by itself, so the rows may be divided in any way; only dw and db are sums over all of
# them.


# %%
def blocked_forward(x, w, b):
    y, saved = np.empty_like(x), []
    for rows in row_blocks(x):
        y[rows], kept = in_place_forward(x[rows], w, b)
        saved.append((rows, kept))
    return y, saved


def blocked_backward(dy, saved):
    dx, dw, db = np.empty_like(dy), 0, 0
    for rows, kept in saved:
        dx[rows], dw_rows, db_rows = in_place_backward(dy[rows], kept)
        dw, db = dw + dw_rows, db + db_rows
    return dx, dw, db


# %% [markdown]
# **Or: the formula in blocks.** If the temporary arrays stay in the cache, is the recipe of step 3 still worth it?
# `by_rows` is a decorator that does step 4 for any such function, so here are the plain formulas of step 2 in blocks.
# First: are all versions still right? The checker compares each with finite differences in float64, on small arrays.
# Then all of them must agree to rounding on float32 arrays of 2,048 tokens, which are divided into several blocks.

# %%
versions = {
    "as written": (plain_forward, plain_backward),
    "1 keep": (keeping_forward, keeping_backward),
    "2 sums": (summing_forward, summing_backward),
    "3 in place": (in_place_forward, in_place_backward),
    "4 in blocks": (blocked_forward, blocked_backward),
    "2 in blocks": (by_rows(summing_forward), by_rows(summing_backward)),
}
rng = np.random.default_rng(0)
small = rng.standard_normal((5, 7)), 1 + 0.1 * rng.standard_normal(7), 0.1 * rng.standard_normal(7)
N, d = (256, 512) if QUICK else (2048, 512)
x, dy = rng.standard_normal((2, N, d)).astype("float32")
w, b = 1 + 0.1 * rng.standard_normal((2, d)).astype("float32")


def both(forward, backward):
    y, saved = forward(x, w, b)
    return y, *backward(dy, saved)


expected = both(*versions["as written"])
for name, (forward, backward) in versions.items():
    report = minixfmr.gradcheck_function(forward, backward, *small)
    assert report.ok
    results = both(forward, backward)
    assert all(np.allclose(a, e, rtol=1e-3, atol=1e-3 * abs(e).max()) for a, e in zip(results, expected, strict=True))
    print(f"{name:12} gradients agree with finite differences to {report.max_relative_error:.0e}")

# %%
with one_blas_thread():
    found = milliseconds({name: lambda pair=pair: both(*pair) for name, pair in versions.items()})
for name, ms in found.items():
    print(f"{name:12} {ms:6.1f} ms, {found['as written'] / ms:.2f} times as fast as written")
plots.bars(found, xlabel="ms, forward and backward, one core", digits=".1f")

# %% [markdown]
# No step changed what is computed, and none needed a line of C. The order of the steps matters too: first what to
# compute, then how to spell it, and last where to put it. Compare the last bar with the one above it: that is the price
# of keeping the formula. The package pays it. Its layer norm and its GELU
# ([normalization.py](../minixfmr/layers/normalization.py),
# [activations.py](../minixfmr/layers/variants/activations.py)) are the formulas of step 2, with `row_mean_dot` for the
# mean of a product, and `by_rows` stands above them.
#
# ## Then on a GPU
#
# A GPU has far more arithmetic units than a CPU, and faster memory. CuPy gives it NumPy's interface, and minixfmr is
# written for `xp`, which is either of them. So this code is for both:


# %%
def three_losses():
    model = make_model(32, 50, num_layers=1, dropout=0.0)
    pairs = np.random.default_rng(0).integers(3, 50, (2, 30, 8)).tolist()
    data = minixfmr.TranslationData(*pairs, model.config, max_tokens=90, seed=0)
    trainer = minixfmr.Trainer(model, minixfmr.AdamW(model.parameters()), lambda step: 1e-3, data)
    return [round(result.loss, 4) for result in trainer.run(epochs=1)]


print("NumPy:", three_losses())
try:
    with minixfmr.backend("cupy"):  # for a while; minixfmr.use_backend("cupy") for good
        print("CuPy: ", three_losses())
except minixfmr.BackendError as error:
    print("CuPy is not available here. The error says:", error)

# %% [markdown]
# A seed gives the same weights and the same order of the data on both, so the losses of the two should agree to
# rounding. With dropout they differ, because its draws are made on the GPU.
#
# On a GPU the rules change. Each array operation **launches a kernel**, a little program for thousands of threads. A
# launch costs the CPU a few microseconds, whatever the kernel does. In a small model the GPU is done before the next
# launch arrives, so kernel launches dominate; blocks and clever spellings are pointless, and the package leaves them
# out there (`on_gpu` in [switch.py](../minixfmr/backend/switch.py)). And each number that travels back to the CPU makes
# it wait for all the work before it.
#
# Launches can be counted without a GPU. The tests have a strict double of CuPy, which is NumPy inside but behaves like
# CuPy, and counts what would be launched and what would be copied ([cupy_double.py](../tests/cupy_double.py)); `python
# -m benchmarks.launches` runs every layer on it:

# %%
run = [sys.executable, "-m", "benchmarks.launches"]  # its own process: it puts the double in CuPy's place
environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, ".."]), "MINIXFMR_BACKEND": ""}
lines = subprocess.run(run, cwd="..", env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines if line.startswith("| ")]
launches = {row[0]: [int(number) for number in row[1:]] for row in rows if row[1].isdigit()}
shown = ["Linear", "LayerNorm", "Activation gelu_tanh", "Dropout", "MultiHeadAttention", "FeedForward", "EncoderBlock"]
plots.bars({name: launches[name][2] for name in shown}, xlabel="kernels launched, forward and backward", digits="d")

# %%
(name, (total, there, back)), *_ = ((name, n) for name, n in launches.items() if name.startswith("training step"))
print(f"{name}: {total} launches, {there} copies to the GPU, {back} back")
print(f"if a launch costs 5 µs, this step takes at least {total * 0.005:.1f} ms, however small the model is")
print(f"the step measured above, of as many blocks, takes {whole:.0f} ms on this CPU")

# %% [markdown]
# The token ids, their mask and the labels go to the GPU; the loss and the norm of the gradients come back, in one copy.
# Weights, gradients and the state of AdamW stay there.
#
# **What was not measured.** The package has not been run on a GPU: the machine that runs these notebooks has none, so
# the counts above come from the double, the 5 µs are an assumption, and nothing here says how fast it is. On a machine
# with one, `make test-gpu` runs the tests that need it, and `make benchmark-gpu` measures the speed.
#
# ## Check
#
# 1. Make the model of the first section wider: `d = 256`. How does the share of the matrix products change?
#    <details><summary>Answer</summary>
#
#    It grows: their work grows with d², that of the passes only with d.
#
#    </details>
# 2. Set `dropout=0.0` in `make_model` and run the first section again. What happens to the bar of `Dropout` and to the
#    step?
#    <details><summary>Answer</summary>
#
#    The bar all but vanishes, and the step becomes shorter by about as much.
#
#    </details>
# 3. In the section on blocks, let `x` have `1 << 14` numbers instead of `1 << 24`. Which block is the best now?
#    <details><summary>Answer</summary>
#
#    The whole array at once, because it fits in the cache.
#
#    </details>
#
# ## Break
#
# Overwrite an array that somebody else still needs. In `in_place_forward`, `z = n * w` makes a fresh array, and it
# looks as if that could be avoided. The next cell multiplies in place: y stays right, to the last bit, so no test of
# the output would notice. But the gradient is wrong.


# %%
def broken_forward(x, w, b):
    n = x - row_mean(x)
    r = (row_mean(n * n) + eps) ** -0.5
    n *= r
    z = n
    z *= w  # n is the same array
    z += b
    t = np.tanh(c * (z + k * z * z * z))
    return 0.5 * z * (1 + t), (n, r, z, t, w)


report = minixfmr.gradcheck_function(broken_forward, in_place_backward, *small, explain=False)
assert not report.ok and np.array_equal(broken_forward(*small)[0], summing_forward(*small)[0])
print(report)

# %% [markdown]
# The backward got a z where it expected n, so everything that uses n is wrong: dx and dw. db does not use it, and is
# right. This is the risk of step 3, and the reason to run the checker after every step.
