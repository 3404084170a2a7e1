# %% [markdown]
# # 02 · Your gradient, checked
#
# A backward pass with a mistake seldom crashes. Often the model still trains, only worse, and nobody knows why. Here
# you learn to compare a gradient with the forward pass itself, to set up the comparison so that mistakes cannot hide,
# and to read what minixfmr's checker says about your own. It builds on the softmax of [01](01_attention_by_hand.ipynb)
# and runs in well under a minute.

# %%
import contextlib
import importlib
import io
import os
import re
import tempfile
from pathlib import Path

import numpy as np
import plots

import minixfmr
from minixfmr import layers
from minixfmr.models.masks import causal_mask

QUICK = bool(os.environ.get("QUICK"))  # fewer repetitions, for the tests
np.set_printoptions(precision=4, suppress=True)
rng = np.random.default_rng(0)

# %% [markdown]
# ## The definition is enough
#
# The gradient of L with respect to one number x says how fast L grows when x does:
#
# $$\frac{dL}{dx} = \lim_{h \to 0} \frac{L(x + h) - L(x)}{h}$$
#
# So take a small h instead of the limit, move one entry of an array at a time, and compute L again. This needs only the
# forward, which is why it can judge the backward. The **central difference**, which moves to both sides, is better:
#
# $$\frac{L(x + h) - L(x - h)}{2h}$$
#
# The output of an operation is an array y, not a loss. Given dy, the gradient that would come from above, we take L =
# sum(dy ⊙ y), where ⊙ multiplies element by element: its gradient with respect to y is just dy.


# %%
def numeric_gradient(forward, x, dy, h=1e-5):
    """dL/dx for L = sum(dy ⊙ forward(x)), by central differences."""
    dx = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + h
        above = (dy * forward(x)).sum()
        x[i] = kept - h
        below = (dy * forward(x)).sum()
        x[i] = kept  # the next entry must find x as it was
        dx[i] = (above - below) / (2 * h)
    return dx


# %% [markdown]
# Here is the softmax of the last tutorial, y = softmax(x), with its backward dx = y ⊙ (dy - sum(dy ⊙ y)):


# %%
def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_backward(dy, y):
    return y * (dy - (dy * y).sum(-1, keepdims=True))


x, dy = rng.standard_normal((2, 4)), rng.standard_normal((2, 4))
analytic, numeric = softmax_backward(dy, softmax(x)), numeric_gradient(softmax, x, dy)
print("analytic:\n", analytic, "\nnumeric:\n", numeric)
print(f"largest difference: {abs(analytic - numeric).max():.0e}")
assert np.allclose(analytic, numeric, atol=1e-9)

# %% [markdown]
# *Analytic* means computed by the formula, *numeric* means by differences. The latter takes two forward passes for
# every entry, so nobody trains this way. For a test on small arrays it is perfect.
#
# ## How small a step?
#
# Two errors pull in opposite directions. **Truncation**: L is curved, and a straight line between two of its points is
# not its tangent. The Taylor series
#
# $$L(x + h) = L + h L' + \tfrac{h^2}{2} L'' + \tfrac{h^3}{6} L''' + \ldots$$
#
# says how large the error is: subtract L and divide by h, and the error of the one-sided difference starts with a term
# in h. In the central difference the $h^2$ terms cancel before the division, so the error starts with $h^2$.
# **Rounding**: L(x + h) and L(x - h) agree in most digits; these cancel, and the rounding error that is left, about ε ·
# L, is divided by h. ε is the precision of the numbers: 1e-7 in float32, 2e-16 in float64. Let the step shrink and
# watch.


# %%
def error_of(h, dtype, central):
    """The average error of dL/dx of a softmax, over the entries of x."""
    a, d = x.astype(dtype), dy.astype(dtype)
    errors = []
    for i in np.ndindex(a.shape):
        above, below = a.copy(), a.copy()
        above[i] += dtype(h)
        below[i] -= dtype(h if central else 0)
        difference = (d * softmax(above)).sum() - (d * softmax(below)).sum()
        errors.append(abs(float(difference) / (2 * h if central else h) - analytic[i]))
    return np.mean(errors)


steps = 10.0 ** -np.arange(0.5, 13.1, 0.25)
curves = {}
for dtype in (np.float32, np.float64):
    for kind in ("one-sided", "central"):
        curves[dtype.__name__, kind] = [error_of(h, dtype, kind == "central") for h in steps]

# %%
drawn, axes = plots.figure(1, 2, size=(8.4, 3.4), sharey=True)
for axis, name in zip(axes, ("float32", "float64"), strict=True):
    for kind in ("one-sided", "central"):
        shown = [max(e, 1e-16) for e in curves[name, kind]]
        axis.plot(steps, shown, marker=".", label=kind)
    axis.set(title=name, xscale="log", yscale="log", xlabel="step h", ylim=(1e-13, 10))
    axis.invert_xaxis()
    axis.grid(alpha=0.3)
axes[0].set_ylabel("error of the gradient")
axes[1].legend()
drawn

# %% [markdown]
# Read from the left: each curve falls while truncation dominates, and climbs again once rounding does. The central
# difference falls twice as steeply and gets further down. In float32 the climb ends where x + h is rounded back to x:
# the difference is then 0, and the error is the whole gradient. The best step is near √ε for the one-sided and near ∛ε
# for the central difference, and float64 reaches errors far below those of float32:

# %%
for (name, kind), errors in curves.items():
    at, rule = steps[np.argmin(errors)], np.finfo(name).eps ** (1 / 3 if kind == "central" else 1 / 2)
    print(f"{name}, {kind:9}: smallest error {min(errors):.0e} at h = {at:.0e}, rule of thumb {rule:.0e}")
best = {key: min(errors) for key, errors in curves.items()}
assert best["float64", "central"] < 1e-9 < 1e-7 < best["float32", "central"]
assert best["float64", "central"] < best["float64", "one-sided"]

# %% [markdown]
# In float32 even a right gradient shows an error so large that a small mistake could hide behind it. So: **check in
# float64**, whatever you train in. minixfmr's checker goes one step further
# ([differences.py](../minixfmr/gradcheck/differences.py)): it takes the central difference at h and at h / 2 and
# combines them so that the $h^2$ term cancels too (Richardson extrapolation).
#
# ## Relative error
#
# Is a difference of 1e-6 good? If the gradient is 1, yes; if it is 1e-6, the error is as large as the gradient itself.
# So divide by its size:
#
# $$\text{error} = \frac{|a - n|}{\max(|a|, |n|)}$$
#
# with a the analytic and n the numeric value. It is 0 for equal numbers, 1 if one of them is 0, and 2 if only the sign
# is wrong.


# %%
def relative_error(a, n, floor=1e-8):
    """The largest over all entries. floor: the least size to divide by, or rounding near 0 would look like an error."""
    return (abs(a - n) / np.maximum(np.maximum(abs(a), abs(n)), floor)).max()


y = softmax(x)
candidates = {
    "right": softmax_backward(dy, y),
    "right, but computed in float32": softmax_backward(dy.astype("float32"), softmax(x.astype("float32"))),
    "0.1 % too large": 1.001 * softmax_backward(dy, y),
    "the sum forgotten": y * dy,
    "wrong sign": -softmax_backward(dy, y),
}
for label, dx in candidates.items():
    print(f"{relative_error(dx, numeric):7.0e}   {label}")
assert relative_error(candidates["right"], numeric) < 1e-7 < 1e-4 < relative_error(1.001 * analytic, numeric)

# %% [markdown]
# There is a wide gap between rounding and mistakes, and the threshold belongs in that gap. In float64 and with central
# differences, call anything up to 1e-7 right: this is the checker's tolerance. Above 1e-4 something is wrong. In
# between, look closer: there may be a kink nearby (see below), a part computed in float32, or a very small gradient.
#
# ## A random dy
#
# It is tempting to take L = sum(y), that is dy = 1 everywhere. For a softmax this is the worst choice. Its rows sum to
# 1, so L is constant, and the true gradient is 0. Here are four wrong backwards that agree with it:


# %%
wrong_ones = {
    "returns 0": lambda dy, y: 0 * dy,
    "a factor 7": lambda dy, y: 7 * softmax_backward(dy, y),
    "y twice": lambda dy, y: y * softmax_backward(dy, y),
    "wrong sign": lambda dy, y: -softmax_backward(dy, y),
}
ones = np.ones_like(x)
for label, backward in wrong_ones.items():
    with_ones = abs(backward(ones, y) - numeric_gradient(softmax, x, ones)).max()
    with_random = abs(backward(dy, y) - numeric).max()
    print(f"{label:11} difference with dy of ones {with_ones:.0e}, with a random dy {with_random:.0e}")
    assert with_ones < 1e-9 < 1e-2 < with_random

# %% [markdown]
# With ones, every one of them passes. A random dy gives every output its own weight in the loss, so nothing cancels.
#
# ## Values that are not special
#
# The inputs must be as ordinary as dy. LayerNorm normalizes each vector to mean 0 and variance 1, then multiplies by a
# learned gain, `weight`, and adds a bias ([normalization.py](../minixfmr/layers/normalization.py)):
#
#     n = (x - mean(x)) · r,   r = 1 / sqrt(variance + eps),   y = n ⊙ weight + bias
#     dn = dy ⊙ weight,   dx = r · (dn - mean(dn) - n · mean(dn ⊙ n))
#
# A common mistake takes the gain out of the means: `weight ⊙ r · (dy - mean(dy) - n · mean(dy ⊙ n))`. Where the gain is
# 1, as it is when training starts, the two are the same.


# %%
def mean(a):
    return a.mean(-1, keepdims=True)


def gain_outside(dy, saved):
    n, r, weight = saved
    return weight * r * (dy - mean(dy) - n * mean(dy * n))


x, dy = rng.standard_normal((4, 6)), rng.standard_normal((4, 6))
direction = rng.standard_normal(6)
for spread in (0, 0.001, 0.01, 0.1, 1):
    weight = 1 + spread * direction
    _, saved = layers.layer_norm(x, weight, np.zeros(6), 1e-5)
    n = numeric_gradient(lambda a, w=weight: layers.layer_norm(a, w, np.zeros(6), 1e-5)[0], x, dy)
    error = relative_error(gain_outside(dy, saved), n)
    print(f"gain 1 ± {spread:<5}  relative error {error:.0e}")
    assert (error < 1e-6) == (spread == 0)

# %% [markdown]
# At gain 1 the check says "right", and a few training steps later the gradient is wrong. `minixfmr.gradcheck` therefore
# moves all parameters of a layer off their initial values before it checks (and puts them back). Other special values
# to avoid: as many queries as keys, or square matrices (a transposed result still fits); a single sentence or head (a
# missing sum over them cannot be seen); no padding; a bias of 0; inputs that are all equal.
#
# ## What a wrong gradient looks like
#
# A large error says that something is wrong. The pattern of the wrong entries often says what it is. Below is the true
# dx of a LayerNorm, and what three mistakes do to it: wrong minus right, white where they agree.

# %%
weight = 1 + 0.5 * direction
_, saved = layers.layer_norm(x, weight, np.zeros(6), 1e-5)
n, r, _ = saved
dn = dy * weight
true = layers.layer_norm_backward(dy, saved)[0]  # (4, 6)
late = dy.copy()
late[-1] = 0  # the last row never gets its gradient
mistakes = {
    "mean term missing": r * (dn - n * mean(dn * n)) - true,
    "gain outside": gain_outside(dy, saved) - true,
    "last row left out": layers.layer_norm_backward(late, saved)[0] - true,
}
plots.heat_maps({"true dx": true, **mistakes}, signed=True, numbers=False, xlabel="width", ylabel="row")

# %% [markdown]
# The missing mean gives rows of one colour: each row of the difference is a single number, the mean of that row that
# was not subtracted. With the gain in the wrong place everything is off, without a simple pattern. A row that was left
# out stands alone, and the rest is white. Rows or columns of one colour point to a sum or a mean, single wrong rows or
# columns to an index.

# %%
level = mistakes["mean term missing"]
assert np.allclose(level, level[:, :1]) and abs(level).max() > 0.01
assert np.allclose(mistakes["last row left out"][:-1], 0)

# %% [markdown]
# ## Kinks
#
# ReLU, max(0, x), has no derivative at 0: from the left its slope is 0, from the right it is 1. A central difference
# whose step reaches across the kink gives something in between, and a right backward looks wrong.

# %%
h = 0.1
points = np.linspace(-0.3, 0.3, 121)
slopes = [(max(p + h, 0) - max(p - h, 0)) / (2 * h) for p in points]
drawn, axis = plots.figure(size=(6.4, 2.8))
axis.plot(points, slopes, label="central difference, h = 0.1")
axis.plot([-0.3, 0, 0, 0.3], [0, 0, 1, 1], label="derivative of ReLU")
axis.axvspan(-h, h, color="0.93", zorder=0)
axis.set(xlabel="x", ylabel="slope")
axis.legend(loc="lower right")
drawn

# %% [markdown]
# In the grey zone, |x| < h, the two disagree: at 0 itself the difference says ½. With many inputs, some will lie that
# close to a kink. There are two remedies: a smaller h shrinks the zone, and entries still inside the zone are skipped.
# The checker does both, and says how many entries it skipped.

# %%
x_relu = np.array([1.5, 0.2, 1e-4, 0.0, -1e-4, -0.7])
report = minixfmr.gradcheck_function(layers.relu, layers.relu_backward, x_relu)
print(report)
assert report.ok and report.rows[0].kinks == 1

# %% [markdown]
# ## A wrong LayerNorm, mended step by step
#
# `minixfmr.gradcheck_function(forward, backward, *arrays)` does all of the above: float64, a random dy, relative
# errors, kinks. Its verdict is one of three: *right*, where everything that moves the output was compared and agrees;
# *WRONG*; and *NOT CHECKED*, where nothing is wrong but something was not compared, such as an array whose gradient is
# nowhere to be found: the report names it and says what to do. forward returns (y, saved), with whatever the backward
# needs in `saved`; backward takes (dy, saved) and returns a gradient for each array. Here is a first attempt at
# LayerNorm, as one might write it on a tired evening.


# %%
def norm_forward(x, weight, bias, eps=1e-5):
    centred = x - mean(x)
    r = (mean(centred**2) + eps) ** -0.5  # (B, T, 1)
    n = centred * r  # (B, T, d)
    return n * weight + bias, (n, r, weight)


def norm_backward(dy, saved):
    n, r, weight = saved
    dweight, dbias = (dy * n).sum(0), dy.sum(0)
    dx = dy * weight * r
    return dx, dweight, dbias


arrays = rng.standard_normal((2, 3, 6)), rng.standard_normal(6), rng.standard_normal(6)  # x: (B, T, d)
report = minixfmr.gradcheck_function(norm_forward, norm_backward, *arrays)
print(report)
assert not any(row.ok for row in report.rows) and len(report.explanations) >= 2

# %% [markdown]
# Read it from the top. There is one line per gradient: the largest relative error, the entry where it occurs, and both
# values there. Then come properties that finite differences cannot see, those that hold and those that do not. The
# lines that start with `why` are explanations: the checker undoes mistakes that people make, one at a time, and reports
# one only if the gradient passes once it is undone. `small` is the smallest case that was found to fail, to be redone
# with a pencil.
#
# Start with the shapes. `weight` and `bias` were used for all B · T vectors, so their gradients are sums over both
# axes, not over the first alone.


# %%
def norm_backward(dy, saved):
    n, r, weight = saved
    dweight, dbias = (dy * n).sum((0, 1)), dy.sum((0, 1))  # (d,)
    dx = dy * weight * r
    return dx, dweight, dbias


report = minixfmr.gradcheck_function(norm_forward, norm_backward, *arrays)
print(report)
assert [row.ok for row in report.rows] == [False, True, True]

# %% [markdown]
# Two of three are right. What is left is what the explanation says: the mean and r were treated as constants, but both
# depend on every x of the row. We add the two terms, and make the mistake with the gain along the way.


# %%
def norm_backward(dy, saved):
    n, r, weight = saved
    dweight, dbias = (dy * n).sum((0, 1)), dy.sum((0, 1))
    dx = weight * r * (dy - mean(dy) - n * mean(dy * n))
    return dx, dweight, dbias


report = minixfmr.gradcheck_function(norm_forward, norm_backward, *arrays)
print(report)
assert [row.ok for row in report.rows] == [False, True, True]


# %%
def norm_backward(dy, saved):
    n, r, weight = saved
    dweight, dbias = (dy * n).sum((0, 1)), dy.sum((0, 1))
    dn = dy * weight
    dx = r * (dn - mean(dn) - n * mean(dn * n))
    return dx, dweight, dbias


report = minixfmr.gradcheck_function(norm_forward, norm_backward, *arrays)
print(report)
assert report.ok

# %% [markdown]
# ## What a gradient check cannot see
#
# A gradient check compares a backward with its forward. If the forward itself is wrong, a backward that follows it
# faithfully passes. The classic case is a mask that leaks. Here the hidden weights are set to 0 *after* the softmax. It
# looks harmless, but the sum in the softmax runs over all keys: how much weight the visible ones keep depends on the
# hidden ones, which lie in the future.


# %%
def leaky_forward(q, k, v):
    w = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))  # (T, T)
    hidden = w * np.tri(len(q))  # masked too late
    return hidden @ v, (q, k, v, w, hidden)


def leaky_backward(dy, saved):
    q, k, v, w, hidden = saved
    dw = dy @ v.T * np.tri(len(q))
    ds = softmax_backward(dw, w) / np.sqrt(q.shape[-1])
    return ds @ k, ds.T @ q, hidden.T @ dy


T, dh = 5, 3
q, k, v = (rng.standard_normal((T, dh)) for _ in range(3))
report = minixfmr.gradcheck_function(leaky_forward, leaky_backward, q, k, v)
print(report)
assert report.ok

# %% [markdown]
# All gradients agree, and they should: this is the right gradient of the wrong function. What must hold is
# **causality**: changing token j changes no output before j. This is quick to test: change the key and value of one
# token at a time and see which outputs move.


# %%
def moves(attend):
    """(T, T): how much output i moves, at most, when the key and the value of token j change."""
    y, change = attend(k, v), np.zeros((T, T))
    for j in range(T):
        k_new, v_new = k.copy(), v.copy()
        k_new[j] += 1
        v_new[j] += 1
        change[:, j] = abs(attend(k_new, v_new) - y).max(-1)
    return change


def right(k, v):
    return layers.attention(q[None, None], k[None, None], v[None, None], causal_mask(T))[0][0, 0]


leaking, causal = moves(lambda k, v: leaky_forward(q, k, v)[0]), moves(right)
panels = {"mask before softmax": causal.round(2), "weights masked after": leaking.round(2)}
plots.heat_maps(panels, xlabel="token that changes", ylabel="output")

# %% [markdown]
# On the left everything above the diagonal is 0. On the right every output but the last moves with tokens that come
# after it. What a model learns from such a leak is useless when it writes, because then there is no future to look at.

# %%
future = np.triu_indices(T, 1)
assert (causal[future] == 0).all()
print("outputs that move with the future:", [i for i in range(T) if (leaking[i, i + 1 :] > 1e-3).any()])

# %% [markdown]
# If the forward takes a mask as an argument, the checker knows what it hides, and runs this test by itself:


# %%
def leaky_with_mask(q, k, v, mask):
    w = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))
    return (w * mask) @ v, (q, k, v, w, mask)


def leaky_with_mask_backward(dy, saved):
    q, k, v, w, mask = saved
    ds = softmax_backward(dy @ v.T * mask, w) / np.sqrt(q.shape[-1])
    return ds @ k, ds.T @ q, (w * mask).T @ dy


report = minixfmr.gradcheck_function(leaky_with_mask, leaky_with_mask_backward, q, k, v, causal_mask(T)[0, 0])
(leak,) = [p for p in report.properties if not p.ok]
print(leak.name, "-", leak.remark)
assert all(row.ok for row in report.rows) and not report.ok

# %% [markdown]
# The checker looks for other faults of this kind too: a forward that draws new random numbers each time, a backward
# that changes what it was given, a second backward that overwrites gradients instead of adding to them. Some things
# only a training run shows: that one batch can be learned by heart, and that the first loss of an untrained model is
# near the logarithm of the vocabulary size.
#
# ## A whole layer, a whole model
#
# `minixfmr.gradcheck(layer, *inputs)` checks a layer: all inputs and all parameters. It also understands layers in the
# style of coursework, with plain arrays `self.W` and `self.dW`. Here is cross-attention with padding and with more keys
# than queries.

# %%
cross = layers.MultiHeadAttention(6, 2, dtype="float64")
x, memory = rng.standard_normal((2, 3, 6)), rng.standard_normal((2, 5, 6))  # (B, Tq, d), (B, Tk, d)
visible = np.ones((2, 1, 1, 5), dtype=bool)
visible[1, ..., 3:] = False  # the second memory is padded
report = minixfmr.gradcheck(cross, x, memory, mask=visible)
print(report)
assert report.ok

# %% [markdown]
# The gradient of a key's bias is zero: it adds the same number to all scores of a query, and softmax does not see that.
# Both columns show nothing but rounding there, and a relative error of two such numbers could be anything. So the
# checker estimates what rounding can add to a difference, and counts only an error beyond that. Its floor for the size
# to divide by is 1 % of the largest entry of the array.
#
# A model is a layer as well. Its inputs are token ids, which have no gradient, but all its parameters do. The model is
# tiny, because every number that is checked costs four forward passes. From large arrays the checker takes a sample,
# and moves all the other entries together, in random directions.

# %%
config = minixfmr.Config(
    vocab_size=11, d_model=8, num_heads=2, d_ff=12, num_encoder_layers=1, num_decoder_layers=1, dropout=0.0
)
model = minixfmr.EncoderDecoder(config)
source, target = rng.integers(3, 11, (2, 5)), rng.integers(3, 11, (2, 4))  # (B, S), (B, T)
report = minixfmr.gradcheck(model, source, target, max_entries=8 if QUICK else 64)
compared = sum(row.checked for row in report.rows)
print(f"{len(report.rows)} arrays, {compared} of {model.num_parameters()} numbers compared one by one")
worst = sorted(report.rows, key=lambda row: -row.relative_error)[:3]
for row in worst:
    print(f"{row.relative_error:.0e}  {row.name}")
print(str(report).splitlines()[-1])
zero = [row for row in report.rows if row.name.endswith("key.bias")]
for row in zero:
    print(f"analytic {row.analytic:6.0e}, numeric {row.numeric:6.0e}  {row.name}")
assert report.ok and all(abs(row.numeric) < 1e-9 for row in zero)

# %% [markdown]
# Here too the keys' biases have a gradient of zero, and the numbers that appear in its place are rounding.
#
# ## Exercises
#
# Fifteen small files, from softmax to greedy decoding: each explains one operation and leaves its functions to you.
# Have them written, fill in a file, and have it marked:
#
#     python -m minixfmr.exercises --new my_folder
#     python -m minixfmr.exercises my_folder
#
# Let us play a student who has done two of them. The softmax is right. In the linear layer, the gradient of the bias is
# summed over only one axis.

# %%
SOFTMAX = """import numpy as np

def softmax_forward(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    y = e / e.sum(-1, keepdims=True)
    return y, (y,)

def softmax_backward(dy, saved):
    (y,) = saved
    return y * (dy - (dy * y).sum(-1, keepdims=True))
"""
LINEAR = """import numpy as np

def linear_forward(x, weight, bias):
    return x @ weight + bias, (x, weight)

def linear_backward(dy, saved):
    x, weight = saved
    dweight = x.reshape(-1, x.shape[-1]).T @ dy.reshape(-1, dy.shape[-1])
    return dy @ weight.T, dweight, dy.sum(0)
"""
scratch = tempfile.TemporaryDirectory()  # stands for a folder of your own
folder = Path(scratch.name) / "my_folder"


def command(module, *arguments):
    """Do what `python -m module arguments` does in a terminal, in this process: a browser tab has no other. Print what
    it says, and return its exit status with that."""
    said = io.StringIO()
    with contextlib.chdir(folder.parent), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = importlib.import_module(f"{module}.__main__").main(list(arguments))
    print(said.getvalue())
    return status, said.getvalue()


_ = command("minixfmr.exercises", "--new", "my_folder")
(folder / "softmax.py").write_text(SOFTMAX)
(folder / "linear.py").write_text(LINEAR)
only = ["--only", "softmax", "linear", "attention"] if QUICK else []
_, marked = command("minixfmr.exercises", "my_folder", *only)
assert re.search(r"softmax +right", marked)

# %% [markdown]
# Three kinds of lines: *right*, *wrong* with a reason, and *not started*. The forward of the linear layer has earned
# its points; the backward comes on top once it is right. Below it is a map: what is right (●), half right (◐) and still
# to do (○), and what comes next. With `--only` and `--verbose` one exercise shows its table:

# %%
_ = command("minixfmr.exercises", "my_folder", "--only", "linear", "--verbose")

# %% [markdown]
# When all fifteen are right, `--train` puts your functions in the places of the package's, and they train a Transformer
# that translates numbers. The folder's README says more, also for teachers.
#
# For files that are not among the exercises there is `python -m minixfmr.gradcheck file.py`. It looks for functions
# called `name_forward` and `name_backward` and for classes with the methods `forward` and `backward`. It makes up
# inputs for them, or takes those returned by a function `gradcheck_inputs(name, rng)` in the file. Here is a file with
# two activations; the backward of the second is a copy of the first:

# %%
(folder.parent / "homework.py").write_text("""import numpy as np

def tanh_forward(x):
    y = np.tanh(x)
    return y, y

def tanh_backward(dy, y):
    return dy * (1 - y**2)

def sigmoid_forward(x):
    y = 1 / (1 + np.exp(-x))
    return y, y

def sigmoid_backward(dy, y):
    return dy * (1 - y**2)
""")
status, checked = command("minixfmr.gradcheck", "homework.py")
assert status == 1 and "tanh: right" in checked and "sigmoid: WRONG" in checked

# %% [markdown]
# ## Check
#
# 1. In the section on relative errors, add a candidate in which a single column was forgotten, `"one column is 0":
#    analytic * [1, 1, 1, 0]`. Which error does it show, although most entries are right?
#    <details><summary>Answer</summary>
#
#    1, because the largest one counts. Averaged over the entries, the mistake would look four times smaller.
#
#    </details>
# 2. Mend the leak: in `leaky_forward`, replace the scores where `np.tri(len(q)) == 0` with -∞ before the softmax (use
#    `np.where`), and run on to the picture. What do the two panels show?
#    <details><summary>Answer</summary>
#
#    The same picture twice: what moves in one moves in the other.
#
#    </details>
# 3. Give the linear exercise the right `dbias`, `dy.sum(tuple(range(dy.ndim - 1)))`, and run its cell again. What does
#    the line of `linear` say now?
#    <details><summary>Answer</summary>
#
#    It says *right*, with 5 of 5 points.
#
#    </details>
#
# ## Break
#
# Write `x -= mean(x)` in the forward of LayerNorm instead of `centred = x - mean(x)`. That saves an array, y is the
# same as before, and the backward is the right one from above. But forward now changes the array it was given, and
# whatever uses that array afterwards, a residual connection or a finite difference, works with a different x.


# %%
def in_place_forward(x, weight, bias, eps=1e-5):
    x -= mean(x)
    r = (mean(x**2) + eps) ** -0.5
    n = x * r
    return n * weight + bias, (n, r, weight)


x, weight, bias = arrays
dy = rng.standard_normal(x.shape)
dx = norm_backward(dy, norm_forward(x, weight, bias)[1])[0]
ours = numeric_gradient(lambda a: in_place_forward(a, weight, bias)[0], x.copy(), dy)
print(f"relative error by our own differences: {relative_error(dx, ours):.0e}")
assert relative_error(dx, ours) > 1e-2

# %% [markdown]
# Our own check blames the backward, although it is right: each forward has changed x, so putting one entry back does
# not restore it. The checker hands every forward a copy, finds the gradients right, and names the real fault.

# %%
report = minixfmr.gradcheck_function(in_place_forward, norm_backward, *arrays)
print(report)
assert all(row.ok for row in report.rows) and not report.ok
scratch.cleanup()
