# %% [markdown]
# # 01 · Attention by hand
#
# Attention is the one place in a Transformer where tokens exchange information. Here you compute it, forward and
# backward, with three tokens and numbers that fit on a sheet of paper, and then find the same numbers in minixfmr. You
# need matrix products and the chain rule, nothing else. Why there is attention at all, and what a query and a key are
# for, is told in pictures in [00](00_the_whole_picture.ipynb). It runs in a few seconds.

# %%
import numpy as np
import plots

import minixfmr
from minixfmr import layers
from minixfmr.models.masks import causal_mask, padding_mask

np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## Three tokens: queries, keys, values
#
# Each token brings three vectors. Its **query** says what it is looking for, its **key** says what it can be found by,
# and its **value** is what it hands over when it is found. In a model, three learned matrices compute them from the
# token's vector. Those for query and key differ, because what a token looks for is not what it can be found by ("sat"
# may look for "cat" without "cat" looking for "sat"). Here we simply write the vectors down. The letters are those of
# the source: T = 3 tokens, dh = 4 numbers in each vector (d for width, h for head; heads come later). Each row is one
# token.

# %%
tokens = ["the", "cat", "sat"]
Q = np.array([[1, 0, 1, 0], [0, 2, 0, 1], [2, 1, 0, 0]], dtype=float)  # (T, dh)
K = np.array([[1, 0, 1, 0], [0, 1, 0, 2], [1, 2, 0, 0]], dtype=float)  # (T, dh)
V = np.array([[4, 0, 0, 2], [0, 4, 0, 2], [0, 0, 4, 2]], dtype=float)  # (T, dh)
dh = Q.shape[-1]

# %% [markdown]
# ## Scores
#
# How well a query matches a key is their dot product, divided by √dh. Here √dh = 2, which is why dh is 4. (Why divide
# at all? That has a section of its own below.) For all pairs at once it is one matrix product:
#
# $$S = \frac{Q K^\top}{\sqrt{dh}}, \qquad S_{ij} = \frac{Q_i \cdot K_j}{\sqrt{dh}}$$
#
# Row i belongs to the query of token i, column j to the key of token j. Do one score with a pencil first: how strongly
# does "sat" look at "the"?

# %%
print("Q[2] =", Q[2], "  K[0] =", K[0], "  products =", Q[2] * K[0])
print("S[2, 0] =", (Q[2] * K[0]).sum(), "/ 2 =", (Q[2] * K[0]).sum() / np.sqrt(dh))

# %%
S = Q @ K.T / np.sqrt(dh)  # (T, T)
print(S)

# %% [markdown]
# ## The look-ahead mask
#
# A model that writes text must not read words it has yet to write. So each query may see its own position and those
# before it. The causal mask, also called the look-ahead mask, expresses this as a matrix: 1 (True) = visible, 0 (False)
# = masked. In minixfmr it is `causal_mask` in [masks.py](../minixfmr/models/masks.py); its two leading axes of length 1
# stand for the sentences of a batch and for the heads.

# %%
mask = causal_mask(3)
print("shape", mask.shape)
print(mask[0, 0].astype(int))

# %% [markdown]
# A masked score becomes -∞, because the exponential that follows turns it into exactly 0. Note that the mask acts on
# the scores, before the softmax. The crosses below are -∞.

# %%
masked = np.where(mask[0, 0], S, -np.inf)  # (T, T)
plots.heat_maps({"scores": S, "masked scores": masked}, tokens, tokens, xlabel="key", ylabel="query")

# %% [markdown]
# The first row has one score left: "the" can look at nothing but itself. The last row has lost nothing.

# %% [markdown]
# ## Softmax, row by row
#
# Softmax turns the scores of one query into weights: positive numbers that sum to 1. The largest score of the row is
# subtracted first. This cancels in the quotient, and the largest exponential is then exp(0) = 1, so nothing can
# overflow.
#
# $$E_{ij} = \exp(S_{ij} - \max_k S_{ik}), \qquad Z_i = \sum_j E_{ij}, \qquad W_{ij} = \frac{E_{ij}}{Z_i}$$

# %%
for token, row in zip(tokens, masked, strict=True):
    e = np.exp(row - row.max())
    print(f"{token}:  S - max = {row - row.max()}   E = {e}   Z = {e.sum():.3f}   W = {e / e.sum()}")


# %%
def softmax(s):
    """(..., n) → (..., n): each row positive with sum 1."""
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


W = softmax(masked)  # (T, T)
plots.heat_maps({"all visible": softmax(S), "look-ahead mask": W}, tokens, tokens, xlabel="key", ylabel="query")

# %% [markdown]
# With the mask the upper triangle is 0, and every row still sums to 1: the weight of the hidden keys is shared out
# among the visible ones, in the proportions they had before.

# %%
assert np.allclose(W.sum(-1), 1)
assert np.allclose(W[1, :2], softmax(S)[1, :2] / softmax(S)[1, :2].sum())
assert (W[np.triu_indices(3, 1)] == 0).all()

# %% [markdown]
# ## The weighted sum
#
# A token's output is the weighted average of the values, with its row of W as the weights:
#
# $$y = W V, \qquad y_i = \sum_j W_{ij} V_j$$

# %%
for j, token in enumerate(tokens):
    print(f"{W[2, j]:.3f} × {V[j]}   the value of {token!r}")
print("    sum:", W[2] @ V, "  y of 'sat'")

# %%
y = W @ V  # (T, dh)
print(y)

# %% [markdown]
# Two things stand out. The first three columns are 4 times the weights, because V was chosen so. The last column is 2
# everywhere: all values agree there, and an average of equal numbers is that number, whatever the weights are. Remember
# this for the backward pass.
#
# minixfmr has the same computation in [attention.py](../minixfmr/layers/attention.py), for B sentences and H heads at
# once. We add two axes of length 1 and compare.

# %%
q, k, v = Q[None, None], K[None, None], V[None, None]  # (B, H, T, dh) = (1, 1, 3, 4)
y_package, saved = layers.attention(q, k, v, mask)
assert np.allclose(y_package[0, 0], y)
print(y_package[0, 0])

# %% [markdown]
# The file forms the same W, under the same name, and saves it for the backward pass:

# %%
_, _, _, W_package, *_ = saved
print("W", W_package.shape, "= (B, H, Tq, Tk)")
assert np.allclose(W_package, W)

# %% [markdown]
# ## Padding, and `&`
#
# The sentences of a batch differ in length, so the shorter ones are filled up with padding. No query may attend to it.
# `padding_mask` takes 1 for a real token and 0 for padding, and hides the padded keys from every query. Masks are
# combined with `&`: a key is visible if both masks allow it. Shapes (1, 1, Tq, Tk) and (B, 1, 1, Tk) give (B, 1, Tq,
# Tk).

# %%
is_token = np.array([[1, 1, 1], [1, 1, 0], [0, 1, 1]])  # no padding, padded on the right, padded on the left
both = causal_mask(3) & padding_mask(is_token)  # (B, 1, Tq, Tk) = (3, 1, 3, 3)
titles = ["no padding", "padded right", "padded left"]
plots.masks({title: m[0] for title, m in zip(titles, both, strict=True)})

# %% [markdown]
# Query 2 of the second sentence is padding itself and still sees two keys. That does no harm, because the output at a
# padded query never enters the loss. Only keys are masked.
#
# ## A query that may attend to nothing
#
# The third sentence is padded on the left, as prompts of different lengths are when a model continues them together.
# Its query 0 sees nothing at all. By the formulas above its maximum is -∞, and -∞ - (-∞) is not a number:

# %%
with np.errstate(invalid="ignore"):
    by_formula = softmax(np.where(both[2, 0], S, -np.inf))
print("W by the formula:\n", by_formula)
y_left, saved_left = layers.attention(q, k, v, both[2:])
print("y of minixfmr:\n", y_left[0, 0])
assert np.isnan(by_formula[0]).all() and (y_left[0, 0, 0] == 0).all()

# %% [markdown]
# A single NaN would spread to everything computed from it. In minixfmr such a query has output 0, and gradient 0 on the
# way back. `softmax` in [softmax.py](../minixfmr/layers/softmax.py) uses the lowest number there is in place of -∞, and
# never lets the maximum of a row fall below half of that: in a row without a visible key every exponential is then 0.
# And it divides by at least 1, which the sum always reaches where a key is visible.
#
# ## Several heads
#
# One softmax can look for only one kind of thing. So the width d is divided among H heads, each of width dh = d / H,
# which attend independently. The division needs no arithmetic: `split_heads` only views the same memory with other
# axes, and `merge_heads` is its inverse:

# %%
x = np.arange(12.0).reshape(1, 3, 4)  # (B, T, d)
heads = layers.split_heads(x, 2)  # (B, H, T, dh) = (1, 2, 3, 2)
print("x:\n", x[0], "\nhead 0:\n", heads[0, 0], "\nhead 1:\n", heads[0, 1])
assert np.shares_memory(x, heads)
assert (layers.merge_heads(heads) == x).all()

# %% [markdown]
# Both only rearrange numbers, so each is the backward of the other.
#
# `MultiHeadAttention` puts everything together. Four linear maps, x W + b, compute queries, keys and values and mix the
# outputs of the heads:
#
# $$\text{head}_i = \text{attention}(x W^Q_i, x W^K_i, x W^V_i), \qquad
# y = \text{concat}(\text{head}_1, \ldots, \text{head}_H) W^O$$
#
# The matrices of all heads lie side by side in one, so head 0 owns the first dh columns and head 1 the next. Below,
# each head is computed on its own, with only the code from above.

# %%
layer = layers.MultiHeadAttention(4, 2, rng=1, dtype="float64")  # d = 4, H = 2
x = np.random.default_rng(0).standard_normal((1, 3, 4))  # (B, T, d)


def projected(linear):
    return x[0] @ linear.weight.data + linear.bias.data  # (T, d)


hand, hand_weights = [], []
for columns in (slice(0, 2), slice(2, 4)):
    Qi, Ki, Vi = (projected(linear)[:, columns] for linear in (layer.query, layer.key, layer.value))  # (T, dh)
    Wi = softmax(np.where(mask[0, 0], Qi @ Ki.T / np.sqrt(2), -np.inf))  # (T, T)
    hand.append(Wi @ Vi)
    hand_weights.append(Wi)
y_hand = np.concatenate(hand, axis=-1) @ layer.output.weight.data + layer.output.bias.data  # (T, d)

# %%
y_layer, saved_layer = layer.forward(x, mask=mask)  # (B, T, d)
weights = layer.attention_weights(saved_layer)[0]  # (H, T, T)
assert np.allclose(y_layer[0], y_hand) and np.allclose(weights, hand_weights)
plots.heat_maps({"head 0": weights[0], "head 1": weights[1]}, tokens, tokens, xlabel="key", ylabel="query")

# %% [markdown]
# The same x, and two different opinions on where to look. These matrices are random; training gives them a purpose.

# %% [markdown]
# ## Backward: softmax
#
# Now we go back. L is the loss, a single number. dx stands for dL/dx, an array of the same shape as x: each entry says
# how fast L grows when that entry of x grows. On the way back, each step receives the gradient of its output and has to
# return the gradients of its inputs.
#
# We start with the softmax of one row, w = softmax(x). The question is how each weight $w_i = e_i / Z$, with $e_i =
# \exp(x_i)$, responds to each score $x_j$.
#
# - The exponential depends on its own score alone: $\partial e_i / \partial x_j = e_i$ if i = j, else 0.
# - The sum depends on all scores: $\partial Z / \partial x_j = e_j$.
# - The quotient rule puts them together, with [i = j] for 1 if i equals j and 0 if not:
#
# $$\frac{\partial w_i}{\partial x_j} = \frac{[i = j] e_i Z - e_i e_j}{Z^2} = w_i ([i = j] - w_j)$$
#
# The table of all these numbers is the Jacobian of the row. For "sat":

# %%
w = W[2]  # (T,)
J = w[:, None] * (np.eye(3) - w)  # (T, T)  J[i, j] = ∂wᵢ / ∂xⱼ
rows, columns = [f"w of {t}" for t in tokens], [f"x of {t}" for t in tokens]
plots.heat_maps({"Jacobian of softmax": J}, rows, columns, signed=True)

# %% [markdown]
# On the diagonal, a score raises its own weight. Everywhere else it lowers a weight, because together the weights sum
# to 1. For the same reason every column sums to 0. A small nudge confirms one column:

# %%
step = 1e-6
nudged = S[2] + step * np.array([1, 0, 0])  # the score of "the" rises a little
print("what the weights do:", (softmax(nudged) - w) / step)
print("column of J:        ", J[:, 0])
assert np.allclose((softmax(nudged) - w) / step, J[:, 0], atol=1e-5)
assert np.allclose(J.sum(0), 0)

# %% [markdown]
# The chain rule sums over all the ways in which $x_j$ reaches the loss, one through each weight:
#
# $$dx_j = \sum_i dw_i w_i ([i = j] - w_j) = w_j \Big(dw_j - \sum_i dw_i w_i\Big)$$
#
# So there is no need to build J. In one line, where dy is the gradient of the softmax's output and ⊙ multiplies element
# by element:
#
#         dx = w ⊙ (dy - sum(dy ⊙ w))
#
# The sum is the average of dy under the weights. dx is positive where dy is above that average: there a larger score
# would raise the loss. Gradient descent goes against the gradient, so it lowers those scores and raises the others.


# %%
def softmax_backward(dy, w):
    """dL/dx of a softmax over the last axis, whose output was w."""
    return w * (dy - (dy * w).sum(-1, keepdims=True))


dw = np.array([4.0, 0, 4])  # some gradient of L with respect to the three weights
print(f"average of dw: {(dw * w).sum():.3f}")
print("through J:    ", dw @ J)
print("in one line:  ", softmax_backward(dw, w))
assert np.allclose(dw @ J, softmax_backward(dw, w))

# %% [markdown]
# ## Why 1 / √dh
#
# A dot product is a sum of dh terms. If these are independent, with mean 0 and variance 1, the sum has variance dh, so
# its typical size is √dh. Without the division, wide heads have large scores, and the softmax of large scores puts all
# the weight on one key. The Jacobian $w_i([i = j] - w_j)$ is then nearly 0, as one $w_j$ is 1 and the others are 0: no
# gradient comes through. We measure both effects, for random queries with 16 random keys each.

# %%
rng = np.random.default_rng(0)
widths = [1, 4, 16, 64, 256, 1024]
largest, response = {"q · k": [], "q · k / √dh": []}, {"q · k": [], "q · k / √dh": []}
for n in widths:
    queries, keys = rng.standard_normal((200, 1, n)), rng.standard_normal((200, n, 16))  # 16 keys for each query
    scores = (queries @ keys)[:, 0]  # (200, 16)
    print(f"dh {n:4}: scores have standard deviation {scores.std():5.1f},   √dh = {np.sqrt(n):4.1f}")
    for label, s in {"q · k": scores, "q · k / √dh": scores / np.sqrt(n)}.items():
        weight = softmax(s)  # (200, 16)
        largest[label].append(weight.max(-1).mean())
        response[label].append((weight * (1 - weight)).sum(-1).mean())  # the diagonal of J
assert largest["q · k"][-1] > 0.9 > 0.5 > max(largest["q · k / √dh"])
assert response["q · k"][-1] < 0.1 < 0.5 < min(response["q · k / √dh"])

# %%
drawn, (left, right) = plots.figure(1, 2, size=(8, 3.2))
for label in largest:
    left.plot(widths, largest[label], marker="o", label=label)
    right.plot(widths, response[label], marker="o", label=label)
left.set(title="largest weight of a row, on average", ylim=(0, 1))
right.set(title="sum of the Jacobian's diagonal", ylim=(0, 1))
for axis in (left, right):
    axis.set_xscale("log", base=2)
    axis.set_xticks(widths, widths)
    axis.set_xlabel("dh")
left.legend()
drawn

# %% [markdown]
# Without the division, the softmax of a wide head is close to a hard choice of one key (left), and its weights hardly
# respond to the scores any more (right). With it, both stay about the same, whatever the width.
#
# ## Backward: attention
#
# The forward had three steps: scores, softmax, weighted sum. The backward takes them in reverse order. The first and
# the last are products, and products have one rule: the gradient of one factor is dy times the other factor, summed
# over every place where the factor was used.
#
# **Weighted sum.** $y_i = \sum_j W_{ij} V_j$. Value j went to every query i with the weight $W_{ij}$, so it collects a
# gradient from each of them. And the weight $W_{ij}$ multiplied the whole vector $V_j$, so its gradient is a dot
# product:
#
# $$dV_j = \sum_i W_{ij} dy_i, \quad dV = W^\top dy \qquad\qquad dW_{ij} = dy_i \cdot V_j, \quad dW = dy V^\top$$
#
# We have to choose some dy; in a model it comes from the layers above.

# %%
dy = np.array([[1, 0, 0, 0], [0, 1, -1, 1], [1, 0, 1, 0]], dtype=float)  # (T, dh)
dV = W.T @ dy  # (T, dh)
dW = dy @ V.T  # (T, T)
print("dV:\n", dV, "\ndW:\n", dW)

# %% [markdown]
# **Softmax**, row by row, as above: dS = W ⊙ (dW - sum(dW ⊙ W)). The mask needs no line of its own: where a key is
# hidden, W is 0, and so is dS.

# %%
dS = softmax_backward(dW, W) + 0.0  # (T, T)  + 0.0 turns -0 into 0, for the eye
assert (dS[np.triu_indices(3, 1)] == 0).all() and np.allclose(dS.sum(-1), 0)
plots.heat_maps({"dS": dS}, tokens, tokens, xlabel="key", ylabel="query", signed=True)

# %% [markdown]
# In the first row dW has a 4, and yet dS is 0: "the" sees only itself, so its weight is 1 whatever its score is, and
# the score has no influence. In the second row the 2 of dW has become negative: it lies below the weighted average of
# its row. Each row of dS sums to 0, because adding a number to all scores of a row changes nothing.
#
# The last column of dy drops out, because all values agree there: it raises a whole row of dW by the same amount, and
# so also the average that is subtracted.

# %%
without_last = dy * [1, 1, 1, 0]
print("dW of 'cat' with it:   ", dW[1])
print("dW of 'cat' without it:", (without_last @ V.T)[1])
print("dS of 'cat' in both:   ", dS[1])
assert np.allclose(softmax_backward(without_last @ V.T, W), dS)

# %% [markdown]
# **Scores.** $S_{ij} = Q_i \cdot K_j / \sqrt{dh}$. Each query was multiplied with all keys, and each key with all
# queries:
#
# $$dQ_i = \sum_j dS_{ij} K_j / \sqrt{dh}, \quad dQ = \frac{dS K}{\sqrt{dh}} \qquad\qquad
# dK_j = \sum_i dS_{ij} Q_i / \sqrt{dh}, \quad dK = \frac{dS^\top Q}{\sqrt{dh}}$$

# %%
dQ = dS @ K / np.sqrt(dh)  # (T, dh)
dK = dS.T @ Q / np.sqrt(dh)  # (T, dh)
print("dQ:\n", dQ, "\ndK:\n", dK)

# %% [markdown]
# `attention_backward` in [attention.py](../minixfmr/layers/attention.py) does the same, in the same order. One identity
# is worth knowing. The sum that the softmax subtracts is, for query i,
#
# $$\sum_j W_{ij} dW_{ij} = \sum_j W_{ij} (dy_i \cdot V_j) = dy_i \cdot \sum_j W_{ij} V_j = dy_i \cdot y_i$$
#
# so dy and y are enough to compute it, and these are smaller than W when sentences are long. [Attention over blocks of
# keys](../minixfmr/layers/variants/long_attention.py), for long texts, depends on it.

# %%
assert np.allclose((W * dW).sum(-1), (dy * y).sum(-1))
dq, dk, dv, _ = layers.attention_backward(dy[None, None], saved)
for name, ours, theirs in (("dQ", dQ, dq), ("dK", dK, dk), ("dV", dV, dv)):
    assert np.allclose(theirs[0, 0], ours)
    print(f"{name}: largest difference from minixfmr {abs(theirs[0, 0] - ours).max():.0e}")

# %% [markdown]
# ## Checked by finite differences
#
# Two computations that agree may share the same mistake. `minixfmr.gradcheck_function` compares a backward with the
# forward itself: it moves every entry of every input a little and watches what L does. It takes a pair of functions in
# the form used throughout the package: forward returns the output and what the backward needs, backward takes the
# gradient of the output and that. How the check works is the subject of [02](02_your_gradient_checked.ipynb).


# %%
def attention(query, key, value, mask):
    s = np.where(mask, query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1]), -np.inf)  # (..., Tq, Tk)
    w = softmax(s)
    return w @ value, (query, key, value, w)


def attention_backward(dy, saved):
    query, key, value, w = saved
    dvalue = w.swapaxes(-1, -2) @ dy
    ds = softmax_backward(dy @ value.swapaxes(-1, -2), w) / np.sqrt(query.shape[-1])
    return ds @ key, ds.swapaxes(-1, -2) @ query, dvalue


report = minixfmr.gradcheck_function(attention, attention_backward, Q, K, V, mask[0, 0])
assert report.ok
print(report)

# %% [markdown]
# For each input the columns show the largest relative error and the entry where it occurs, with both values. The lines
# below them list what finite differences cannot see, such as whether the mask hides what it should.
#
# ## One more token
#
# Under a look-ahead mask no row of y depends on later tokens. So a model that writes needs only the new token's query.
# The keys and values of the earlier tokens have not changed, so they are kept: that is the whole idea of a key/value
# cache.

# %%
cache = layers.KeyValueCache()
for t in range(3):
    keys, values = cache.append(k[:, :, t : t + 1], v[:, :, t : t + 1])  # (B, H, t + 1, dh)
    y_new = layers.attention(q[:, :, t : t + 1], keys, values)[0]  # (B, H, 1, dh)
    print(f"token {t}: {keys.shape[2]} keys, y = {y_new[0, 0, 0]}")
    assert np.allclose(y_new[0, 0, 0], y[t])

# %% [markdown]
# ## Check
#
# 1. Give the last token the key of the second: put `K[2] = K[1]` below the cell that defines K, and run on up to the
#    weights. Which two weights become equal, and what does the row of "cat" do?
#    <details><summary>Answer</summary>
#
#    In the row of "sat" the weights of "cat" and "sat" are equal. The row of "cat" stays as it is, because "cat" does
#    not see the last key.
#
#    </details>
# 2. Add 100 to all scores of "sat", `S[2] += 100`, and run on. W, y and all gradients stay the same. Which property of
#    dS, asserted above, says so?
#    <details><summary>Answer</summary>
#
#    Its rows sum to 0: moving all scores of a row together changes nothing.
#
#    </details>
# 3. Print `causal_mask(2, 5)` as integers. Two queries, five keys: which positions do the queries have, and when does a
#    model need such a mask?
#    <details><summary>Answer</summary>
#
#    They are the last two of five. A model needs it when three tokens are in its key/value cache and it reads two more
#    at once.
#
#    </details>
#
# ## Break
#
# Mask the scores by multiplying them by the mask, `S * mask`, instead of setting them to -∞. A score of 0 is not a
# weight of 0: exp(0) = 1, so hidden keys get a share, and "the" reads words that come after it.


# %%
def leaky(query, key, value, mask):
    w = softmax(query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1]) * mask)
    return w @ value, (query, key, value, w, mask)


def leaky_backward(dy, saved):
    query, key, value, w, mask = saved
    ds = softmax_backward(dy @ value.swapaxes(-1, -2), w) * mask / np.sqrt(query.shape[-1])
    return ds @ key, ds.swapaxes(-1, -2) @ query, w.swapaxes(-1, -2) @ dy


_, (*_, w_leaky, _) = leaky(Q, K, V, mask[0, 0])
assert w_leaky[0, 2] > 0.1
plots.heat_maps({"right": W, "scores × mask": w_leaky}, tokens, tokens, xlabel="key", ylabel="query")

# %% [markdown]
# Its backward is right, so the three gradients pass. The checker reports the leak all the same, because it also changes
# what the mask hides and checks that the output stays the same:

# %%
report = minixfmr.gradcheck_function(leaky, leaky_backward, Q, K, V, mask[0, 0])
assert all(row.ok for row in report.rows) and not report.ok
print(report)
