# %% [markdown]
# # 11 · Every gradient, derived
#
# Here each operation of a Transformer is taken from its formula to its backward pass, in small steps, with the symbols
# of the source. Each step that can be checked is checked in a cell next to it: with numbers, by finite differences, or
# symbolically, by SymPy. Each chapter ends with the function of the package that computes the gradient, and a cell
# shows that both agree.
#
# You need derivatives of one variable, sums and matrix products. The chapters build on chapter 1 and name the formulas
# they use, so you can also come here for a single gradient; run the cells in order, though. In the formulas $\odot$
# multiplies element by element, with broadcasting, and $\cdot$ is an inner product or a product with a number. It
# builds on [02](02_your_gradient_checked.ipynb), which shows how a gradient is checked, and runs in less than a minute.
#
# | chapter | operation | chapter | operation | chapter | operation |
# |---|---|---|---|---|---|
# | 1 | what a gradient is | 6 | LayerNorm | 11 | rotary positions |
# | 2 | linear maps | 7 | RMSNorm | 12 | relative positions |
# | 3 | embeddings | 8 | activations | 13 | residual connections |
# | 4 | softmax | 9 | dropout | 14 | tied weights |
# | 5 | cross-entropy | 10 | attention | 15 | AdamW and clipping |

# %%
import inspect
import math
from pathlib import Path

import numpy as np
import plots
import sympy as sp

import minixfmr
from minixfmr import layers
from minixfmr.layers.variants.either import attend, attend_backward
from minixfmr.layers.variants.relative import distances
from minixfmr.models.residual import PostNorm, PreNorm, Residual
from minixfmr.training.losses import cross_entropy, cross_entropy_backward
from minixfmr.training.optimizers import adamw_update

rng = np.random.default_rng(0)


# %% [markdown]
# First some helpers. `agree` compares arrays and stops the notebook if they differ by more than a gradient check
# allows; `agree_each` does so for several. `proves` has SymPy simplify the difference of two expressions to 0. `where`
# says in which file a function is defined.


# %%
def agree(**pairs):
    """name=(one array, another): prints and tests the largest difference, relative to the largest entry."""
    errors = {name: np.abs(a - b).max() / np.abs(b).max() for name, (a, b) in pairs.items()}
    print("agree:", ", ".join(f"{name} to {e:.0e}" if e else f"{name} exactly" for name, e in errors.items()))
    assert max(errors.values()) < 1e-7


def agree_each(names, left, right):
    agree(**{name: pair for name, *pair in zip(names.split(), left, right, strict=True)})


def proves(statement, left, right):
    assert sp.simplify(sp.Matrix([left]) - sp.Matrix([right])).is_zero_matrix
    print("SymPy proves:", statement)


def where(*things):
    for thing in map(inspect.unwrap, things):  # what stands behind a decorator such as by_rows
        path = Path(inspect.getsourcefile(thing)).relative_to(Path(minixfmr.__file__).parent.parent)
        print(f"{path.as_posix()}: {thing.__qualname__}")


# %% [markdown]
# ## 1 · What a gradient is here
#
# Everything that a model computes ends in one number, the loss $L$. Take any array $x$ on the way to it, such as a
# weight or the output of a layer. The **gradient** of $x$, written $dx$ in the source, is an array of the same shape
# as $x$:
#
# $$dx_i = \frac{\partial L}{\partial x_i}$$
#
# In words: how much the loss changes per small change of this one number. For a change $\delta$ of all of $x$ at once,
# as long as it is small,
#
# $$L(x + \delta) - L(x) \approx \sum_i dx_i \delta_i \tag{1.1}$$
#
# So $dx$ is a single symbol, not a product of $d$ and $x$.
#
# ### A layer passes it on
#
# A layer computes $y = f(x)$. Its backward pass is given $dy$, the gradient of its output, and has to find $dx$. If
# $x_i$ moves a little, each $y_j$ moves by $\partial y_j / \partial x_i$ times as much, and each of these movements
# moves the loss. The chain rule adds them up:
#
# $$dx_i = \sum_j \frac{\partial L}{\partial y_j} \frac{\partial y_j}{\partial x_i} = \sum_j J_{ji} dy_j
# \qquad\text{with}\qquad J_{ji} = \frac{\partial y_j}{\partial x_i} \tag{1.2}$$
#
# $J$ is the **Jacobian** of the layer: one row for each output, one column for each input. The sum runs over its
# rows, so it is a product with the transpose:
#
# $$dx = J^\top dy \tag{1.3}$$
#
# This is all there is to a backward pass. The rest of the notebook finds $J^\top dy$ for one layer after another. Here
# is a layer with two inputs and three outputs:
#
# $$y = (x_1 x_2,\quad x_1 + x_2^2,\quad \sin x_1)$$

# %%
x1, x2 = sp.symbols("x1 x2")
sp.Matrix([x1 * x2, x1 + x2**2, sp.sin(x1)]).jacobian([x1, x2])

# %% [markdown]
# ### A check that needs no mathematics
#
# A derivative can also be measured. Move $x_i$ by $h$ in both directions and look at the slope:
#
# $$dx_i \approx \frac{L(x_i + h) - L(x_i - h)}{2h}$$
#
# For a layer in the middle of a model we need some loss. A weighted sum of its outputs will do. For
#
# $$L = \sum_j dy_j y_j \qquad\text{we have}\qquad \frac{\partial L}{\partial y_j} = dy_j$$
#
# so whatever numbers we choose as $dy$, they are the gradient of $y$. Random ones leave mistakes no place to hide.


# %%
def numeric(forward, x, dy, h=1e-5):
    """dL/dx by finite differences, for L = Σ dy ⊙ forward(x)."""
    dx = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = h
        dx[i] = (dy * (forward(x + step) - forward(x - step))).sum() / (2 * h)
    return dx


def f(x):
    return np.array([x[0] * x[1], x[0] + x[1] ** 2, np.sin(x[0])])


x, dy = np.array([0.5, -2.0]), np.array([1.0, -1.0, 2.0])
J = np.array([[x[1], x[0]], [1, 2 * x[1]], [np.cos(x[0]), 0]])  # (3, 2)
agree(dx=(J.T @ dy, numeric(f, x, dy)))

# %% [markdown]
# ### The Jacobian is never built
#
# It has one entry for each pair of an output and an input. Even in a small model that is far too many:

# %%
B, T, d = 8, 32, 256
entries = (B * T * d) ** 2
print(
    f"{B * T * d:,} numbers go in and come out; the Jacobian has {entries:,}, or {entries * 4 / 1e9:.0f} GB in float32."
)

# %% [markdown]
# Most of its entries are 0 or repeat each other. A backward pass makes use of this: it computes $J^\top dy$ without
# $J$. Each chapter below finds the short way. Where $J$ is small enough to look at, we look at it.
#
# ### A value that is used twice
#
# Let $x$ go into two layers, $y = f(x)$ and $z = g(x)$. If $x_i$ moves, both move, and each moves the loss. The chain
# rule (1.2) then sums over the outputs of both:
#
# $$dx = J_f^\top dy + J_g^\top dz \tag{1.4}$$
#
# **Gradients add up where a value is used more than once.** That is why `backward` adds into `weight.grad` and never
# assigns to it. The simplest case is a value that is copied $K$ times, $y_k = x$. Every Jacobian is 1, so $dx = \sum_k
# dy_k$. NumPy's broadcasting makes such copies: a bias of shape `(m,)` that is added to `N` rows is copied `N` times.
# So wherever the forward broadcasts, the backward sums. The reverse is also true: where the forward sums, $y = \sum_k
# x_k$, each $J$ is 1 too, and the backward copies, $dx_k = dy$.

# %%
x, dy, dz = rng.normal(size=4), rng.normal(size=4), rng.normal(size=4)
both = numeric(lambda x: np.stack([np.tanh(x), x**2]), x, np.stack([dy, dz]))
agree(dx=(dy * (1 - np.tanh(x) ** 2) + dz * 2 * x, both))

b, dy = rng.normal(size=3), rng.normal(size=(5, 3))
agree(db=(dy.sum(axis=0), numeric(lambda b: np.zeros((5, 3)) + b, b, dy)))

# %% [markdown]
# ### In the package
#
# [`repeat_heads_backward` in grouped_heads.py](../minixfmr/layers/variants/grouped_heads.py) is this rule and nothing
# else. Where several query heads share one key/value head, the forward repeats that head, and the backward sums over
# the copies.

# %%
x, times = rng.normal(size=(2, 3, 4, 5)), 2  # (B, Hk, T, dh)
dy = rng.normal(size=(2, 6, 4, 5))  # (B, Hk·times, T, dh)
plain = np.zeros_like(x)
for h in range(6):
    plain[:, h // times] += dy[:, h]
agree(
    formula=(plain, numeric(lambda x: layers.repeat_heads(x, times), x, dy)),
    package=(layers.repeat_heads_backward(dy, times), plain),
)
where(layers.repeat_heads_backward)

# %% [markdown]
# ## 2 · Linear maps
#
# $N$ rows of width $n$ go through a matrix $W$ of shape $(n, m)$, and a bias $b$ is added to each:
#
# $$y = x W + b \qquad y_{rj} = \sum_i x_{ri} W_{ij} + b_j \tag{2.1}$$
#
# **For $x$.** Which outputs does $x_{ri}$ move? Only those of its own row $r$, and $y_{rj}$ by $W_{ij}$. The chain
# rule sums over them:
#
# $$dx_{ri} = \sum_j dy_{rj} \frac{\partial y_{rj}}{\partial x_{ri}} = \sum_j dy_{rj} W_{ij} = (dy W^\top)_{ri}
# \tag{2.2}$$
#
# **For $W$.** $W_{ij}$ moves column $j$ of every row $r$, by $x_{ri}$. It was used $N$ times, so $N$ terms add up:
#
# $$dW_{ij} = \sum_r dy_{rj} \frac{\partial y_{rj}}{\partial W_{ij}} = \sum_r x_{ri} dy_{rj} = (x^\top dy)_{ij}
# \tag{2.3}$$
#
# **For $b$.** $b_j$ was copied to every row, so
#
# $$db_j = \sum_r dy_{rj} \tag{2.4}$$
#
# SymPy can do this symbolically, for two rows, $n = 3$ and $m = 2$: it takes the derivative of $L = \sum dy \odot y$
# with respect to each entry.

# %%
X, W, dY = sp.MatrixSymbol("x", 2, 3), sp.MatrixSymbol("W", 3, 2), sp.MatrixSymbol("dy", 2, 2)
X, W, dY = X.as_explicit(), W.as_explicit(), dY.as_explicit()
L = sum(sp.matrix_multiply_elementwise(dY, X * W))
proves("dx = dy Wᵀ", sp.Matrix(2, 3, lambda r, i: sp.diff(L, X[r, i])), dY * W.T)
proves("dW = xᵀ dy", sp.Matrix(3, 2, lambda i, j: sp.diff(L, W[i, j])), X.T * dY)

# %% [markdown]
# A way to remember them: $dx$ must have the shape of $x$, and $dW$ that of $W$. There is only one product of $dy$ and
# the other factor that has this shape.
#
# | | shape | | shape |
# |---|---|---|---|
# | $dy$ | $(N, m)$ | $dx = dy W^\top$ | $(N, m)(m, n) = (N, n)$ |
# | $x$ | $(N, n)$ | $dW = x^\top dy$ | $(n, N)(N, m) = (n, m)$ |
#
# ### In the package
#
# In [`linear_backward` in linear.py](../minixfmr/layers/linear.py) the leading axes, such as batch and time, are
# flattened to $N = B T$ rows, and (2.3) becomes one large product.

# %%
x, W, b = rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 5)), rng.normal(size=5)
dy = rng.normal(size=(2, 3, 5))  # (B, T, m)
dx, dW, db = dy @ W.T, np.einsum("bti,btj->ij", x, dy), dy.sum(axis=(0, 1))
agree(
    dx=(dx, numeric(lambda x: x @ W + b, x, dy)),
    dW=(dW, numeric(lambda W: x @ W + b, W, dy)),
    db=(db, numeric(lambda b: x @ W + b, b, dy)),
)
_, saved = layers.linear(x, W, b)
agree_each("dx dW db", layers.linear_backward(dy, saved), (dx, dW, db))
where(layers.linear_backward)

# %% [markdown]
# ### A convolution is a sum of linear maps
#
# One published system lets each vector see its neighbours. For an odd width $K$, with zeros beyond the ends,
#
# $$y_t = \sum_{j=0}^{K-1} x_{t+j-\lfloor K/2 \rfloor} W_j + b \tag{2.5}$$
#
# Each of the $K$ terms is a linear map of a shifted $x$, so (2.2) and (2.3) hold for each of them. $x_s$ was used by
# every $j$: as the input of time $t = s - j + \lfloor K/2 \rfloor$. Its gradient sums over these uses, shifted back:
#
# $$dx_s = \sum_j dy_{s-j+\lfloor K/2 \rfloor} W_j^\top \qquad dW_j = \sum_t x_{t+j-\lfloor K/2 \rfloor}^\top dy_t
# \tag{2.6}$$
#
# [`convolution_backward` in convolution.py](../minixfmr/layers/variants/convolution.py) does that.

# %%
x, W, b = rng.normal(size=(2, 5, 3)), rng.normal(size=(3, 3, 4)), rng.normal(size=4)  # K = 3
dy = rng.normal(size=(2, 5, 4))
dx, dW = np.zeros_like(x), np.zeros_like(W)
for t in range(5):
    for j in range(3):
        s = t + j - 1  # the input that output t reads through W_j
        if 0 <= s < 5:
            dx[:, s] += dy[:, t] @ W[j].T
            dW[j] += x[:, s].T @ dy[:, t]
agree(dx=(dx, numeric(lambda x: layers.convolution(x, W, b)[0], x, dy)))
dx_package, dW_package, _ = layers.convolution_backward(dy, layers.convolution(x, W, b)[1])
agree(dx=(dx_package, dx), dW=(dW_package, dW))
where(layers.convolution_backward)

# %% [markdown]
# ## 3 · Embeddings
#
# The table $E$ has one row per token. The forward looks rows up:
#
# $$y_t = E_{\mathrm{ids}_t} \tag{3.1}$$
#
# This does not look like something with a derivative, because the ids are integers. But only $E$ needs a gradient, and
# the lookup is linear in $E$. Write $[v = w]$ for 1 where $v = w$ and 0 elsewhere, and let $M_{tv} = [\mathrm{ids}_t =
# v]$. Row $t$ of $M$ has a single 1, in the column of the token at $t$. Then
#
# $$y = M E \qquad\text{so by (2.3)}\qquad dE = M^\top dy \tag{3.2}$$
#
# Row by row:
#
# $$dE_v = \sum_t [\mathrm{ids}_t = v] dy_t \tag{3.3}$$
#
# **A token that occurs twice collects two gradients, one that does not occur collects none.** Here token 2 is at
# positions 0 and 2, so row 2 of $dE$ is the sum of rows 0 and 2 of $dy$.

# %%
ids = np.array([2, 0, 2])
dy = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])  # (T, d)
M = np.eye(4)[ids]  # (T, V)
print(M.T @ dy)

# %% [markdown]
# Nobody multiplies by $M$, which is full of zeros. Instead the rows of $dy$ are added into a table of zeros. NumPy has
# a trap here. `dE[ids] += dy` first computes the sums for all rows and then writes them; of two rows for the same
# token, only the last survives.

# %%
wrong, right = np.zeros((4, 2)), np.zeros((4, 2))
wrong[ids] += dy
np.add.at(right, ids, dy)  # one after another
assert (right == M.T @ dy).all() and not (wrong == right).all()
print(f"dE[2] by dE[ids] += dy: {wrong[2]}, by np.add.at: {right[2]}")

# %% [markdown]
# ### In the package
#
# [`embedding_backward` in embedding.py](../minixfmr/layers/embedding.py) leaves such a sum to `add_at` in
# [sums.py](../minixfmr/backend/sums.py), which makes it fast by sorting. Learned positions are a table too. All
# sequences of a batch use the same rows $0, 1, \ldots, T - 1$ of it, so in [`add_positions_backward` in
# positions.py](../minixfmr/layers/positions.py) the gradient is a sum over the batch, and $dx = dy$.

# %%
ids, E = rng.integers(0, 4, (2, 5)), rng.normal(size=(6, 3))
dy = rng.normal(size=(2, 5, 3))
dE = np.einsum("btv,btd->vd", np.eye(6)[ids], dy)
agree(dE=(dE, numeric(lambda E: E[ids], E, dy)))
agree(package=(layers.embedding_backward(dy, layers.embedding(ids, E)[1]), dE))

x, P = rng.normal(size=(2, 5, 3)), rng.normal(size=(7, 3))
dx, dP = layers.add_positions_backward(dy, layers.add_positions(x, P)[1])
agree(dx=(dx, dy), dP=(dP[:5], dy.sum(axis=0)), numeric=(dP, numeric(lambda P: x + P[:5], P, dy)))
where(layers.embedding_backward, layers.add_positions_backward)

# %% [markdown]
# ## 4 · Softmax
#
# A row $x$ of $n$ scores becomes $n$ positive numbers that sum to 1:
#
# $$p_i = \frac{e^{x_i}}{Z} \qquad Z = \sum_j e^{x_j} \tag{4.1}$$
#
# Every $x_j$ moves every $p_i$, since all of them are in $Z$. The easiest way is through the logarithm:
#
# $$\log p_i = x_i - \log Z$$
#
# $$\frac{\partial \log Z}{\partial x_j} = \frac{1}{Z} \frac{\partial Z}{\partial x_j} = \frac{e^{x_j}}{Z} = p_j$$
#
# $$\frac{\partial \log p_i}{\partial x_j} = [i = j] - p_j \tag{4.2}$$
#
# The derivative of $\log p_i$ is that of $p_i$, divided by $p_i$. So
#
# $$J_{ij} = \frac{\partial p_i}{\partial x_j} = p_i ([i = j] - p_j) \tag{4.3}$$

# %%
x = sp.Matrix(sp.symbols("x1:4", real=True))
p = x.applyfunc(sp.exp) / sum(x.applyfunc(sp.exp))
proves("∂p/∂x = diag(p) - p pᵀ for n = 3", p.jacobian(x), sp.diag(*p) - p * p.T)

# %% [markdown]
# On the diagonal is $p_i (1 - p_i)$: raising a score raises its own share. Everywhere else is $-p_i p_j$: it lowers all
# others. The sum of all shares stays 1, so each column of $J$ sums to 0.


# %%
def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))  # the same result, and exp cannot overflow
    return e / e.sum(axis=-1, keepdims=True)


def jacobian(f, x):
    """(n, n) by finite differences: row i is dx for dy = 1 at output i."""
    return np.array([numeric(f, x, dy) for dy in np.eye(len(x))])


even, peaked = np.array([0.2, 0.0, 0.1, -0.1, 0.0]), np.array([4.0, 1.0, 0.0, 2.0, 0.0])
for x in even, peaked:
    assert abs(jacobian(softmax, x).sum(axis=0)).max() < 1e-9
names = [f"p = {np.round(softmax(x), 2)}" for x in (even, peaked)]
panels = {name: jacobian(softmax, x).round(3) + 0 for name, x in zip(names, (even, peaked), strict=True)}
plots.heat_maps(panels, xlabel="x", ylabel="p", signed=True)

# %% [markdown]
# On the left, the shares are nearly equal: each score raises its own share and takes equally from all others. On the
# right, one share is nearly 1, and most entries are almost 0. Little gets back through a softmax that has made up its
# mind. This is why attention divides its scores by $\sqrt{d_h}$ (chapter 10).
#
# Now the product. $J$ is symmetric, so $J^\top = J$:
#
# $$dx_i = \sum_j J_{ij} dp_j = \sum_j p_i ([i = j] - p_j) dp_j = p_i \Big( dp_i - \sum_j p_j dp_j \Big) \tag{4.4}$$
#
# Or, in array notation, $dx = p \odot (dp - \sum p \odot dp)$. That takes three passes over $n$ numbers, where $J$
# would have $n^2$. The sum is one number for the whole row: the mean of $dp$, weighted by $p$. Only the part of $dp$
# that differs from the weighted mean reaches the score. The maximum that is subtracted from $x$ needs no term of its
# own: adding the same number to all of $x$ does not change $p$, so nothing comes back through it.

# %%
x, dp = rng.normal(size=(3, 5)), rng.normal(size=(3, 5))
p = softmax(x)
dx = p * (dp - (p * dp).sum(axis=-1, keepdims=True))
agree(dx=(dx, numeric(softmax, x, dp)))
print(f"Each row of dx sums to 0: the largest sum is {abs(dx.sum(axis=-1)).max():.0e}.")

# %% [markdown]
# ### In the package
#
# [`softmax` in softmax.py](../minixfmr/layers/softmax.py) is (4.1) with the maximum subtracted, and
# [`softmax_backward` in softmax.py](../minixfmr/layers/softmax.py) is (4.4); `row_sum` is the sum over the last axis.
# Attention uses both: see [`attention_backward` in attention.py](../minixfmr/layers/attention.py). If keys and values
# are the identity matrix and the scale is 1, then the scores are the queries, and the output of attention is the
# softmax itself.

# %%
eye = np.eye(5)[None, None]  # (B, H, Tk, dh) = (1, 1, 5, 5)
y, saved = layers.attention(x[None, None], eye, eye, scale=1.0)
agree(p=(layers.softmax(x), p), dx=(layers.softmax_backward(dp, p), dx))
agree(p=(y[0, 0], p), dx=(layers.attention_backward(dp[None, None], saved)[0][0, 0], dx))
where(layers.softmax_backward, layers.attention_backward)

# %% [markdown]
# ## 5 · Cross-entropy
#
# A row $z$ of $V$ scores, the logits, one per token of the vocabulary, becomes probabilities $p = \mathrm{softmax}(z)$.
# The correct token is $c$. The loss of this row is
#
# $$\ell = -\log p_c \tag{5.1}$$
#
# **In two steps.** $\ell$ depends on $p_c$ alone, and chapter 4 goes from $dp$ to $dz$:
#
# $$dp_j = -\frac{[j = c]}{p_c} \qquad\qquad \sum_j p_j dp_j = -1$$
#
# $$dz_i = p_i (dp_i + 1) = -p_i \frac{[i = c]}{p_c} + p_i = p_i - [i = c] \tag{5.2}$$
#
# The last step uses the fact that the bracket is 0 unless $i = c$, and then $p_i$ cancels $p_c$. What remains could not
# be simpler: **what the model said minus what was right.**
#
# **In one step.** Write the loss in terms of the logits, and use (4.2):
#
# $$\ell = \log Z - z_c \qquad\qquad dz_i = p_i - [i = c]$$

# %%
z = sp.Matrix(sp.symbols("z1:4", real=True))
p = z.applyfunc(sp.exp) / sum(z.applyfunc(sp.exp))
right = sp.Matrix([0, 1, 0])  # c is the second of three tokens
proves("dz = p - [c]", sp.Matrix([-sp.log(p[1])]).jacobian(z).T, p - right)

# %% [markdown]
# Why put softmax and loss in one function? Because the two steps divide by $p_c$, and the one step does not. Where the
# model is very wrong, $p_c$ is rounded to 0:

# %%
z, right = np.array([0.0, 1000.0, 0.0]), np.array([1.0, 0.0, 0.0])
p = softmax(z)
with np.errstate(all="ignore"):
    dp = -right / p
    two_steps = p * (dp - (p * dp).sum())
print(f"two steps: {two_steps}, one step: {p - right}")
assert not np.isfinite(two_steps).any()

# %% [markdown]
# ### Label smoothing
#
# Instead of all the probability, the correct token gets $1 - \varepsilon$, and $\varepsilon$ is spread over all $V$
# tokens. With this target $q$, which sums to 1, the loss is
#
# $$q_i = (1 - \varepsilon) [i = c] + \frac{\varepsilon}{V} \qquad\qquad \ell = -\sum_i q_i \log p_i = -(1 -
# \varepsilon) \log p_c - \varepsilon \mathrm{mean}(\log p) \tag{5.3}$$
#
# By (4.2), and since $\sum_i q_i = 1$,
#
# $$dz_j = -\sum_i q_i ([i = j] - p_j) = -q_j + p_j \sum_i q_i = p_j - q_j \tag{5.4}$$
#
# Again what the model said minus what it should have said.

# %%
z, eps = sp.Matrix(sp.symbols("z1:4", real=True)), sp.symbols("epsilon")
p = z.applyfunc(sp.exp) / sum(z.applyfunc(sp.exp))
log_p = z.applyfunc(lambda z_i: z_i - sp.log(sum(z.applyfunc(sp.exp))))
loss = -(1 - eps) * log_p[1] - eps * sum(log_p) / 3
q = (1 - eps) * sp.Matrix([0, 1, 0]) + eps / 3 * sp.ones(3, 1)
proves("dz = p - q", sp.Matrix([loss]).jacobian(z).T, p - q)

# %% [markdown]
# ### Where the mean is taken
#
# A batch has many rows, and some do not count: padding and, in masked language models, every token that was not masked.
# Their label is `ignore_index`. The loss of the batch is the mean over the rows that count. As a weighted sum,
#
# $$L = \sum_r w_r \ell_r \qquad\qquad w_r = \frac{[\mathrm{label}_r \ne \mathrm{ignore}]}{\mathrm{count}} \tag{5.5}$$
#
# $$dz_r = w_r (p_r - q_r) \tag{5.6}$$
#
# This is the only place where anything is divided by a number of tokens. All other gradients in the model are sums, and
# $w_r$ is already in them, because the backward pass starts with (5.6). A layer that took another mean would shrink its
# gradient.
#
# Two things follow. A row that does not count has a gradient of exactly 0. And if a batch is computed in parts, the
# parts must be divided by the count of the whole batch, not each by its own, so that they add up.
#
# ### In the package
#
# The forward, `cross_entropy` in [losses.py](../minixfmr/training/losses.py), first subtracts from each row of logits
# its maximum, as softmax does. From this $z$ it computes
#
# $$e = \exp(z) \qquad Z = \sum_i e_i \qquad p = \frac{e}{Z} \qquad \log p = z - \log Z \tag{5.7}$$
#
# It needs $\log p$ only at the label and as a mean, for (5.3). For the backward it saves $e$ and $Z$, from which $p$
# comes back by one division. [`cross_entropy_backward` in losses.py](../minixfmr/training/losses.py) is (5.6), with $q$
# in its two parts: $p - \varepsilon / V$ for every token, and $1 - \varepsilon$ less at the label. Its `weight` is
# $w$, its `smoothing` $\varepsilon$. The class `CrossEntropy` around them finds $w$.

# %%
z, labels = rng.normal(size=(6, 5)), np.array([2, 0, -100, 4, -100, 0])  # -100: ignored
eps, keep = 0.1, labels != -100
q = (1 - eps) * np.eye(5)[labels * keep] + eps / 5  # (N, V)
w = keep[:, None] / keep.sum()  # (N, 1)
dz = w * (softmax(z) - q)
agree(dz=(dz, numeric(lambda z: -(w * q * np.log(softmax(z))).sum(), z, 1.0)))

_, saved = cross_entropy(z, (labels * keep)[:, None], w, eps)  # where w is 0, any label will do
e, Z, *_ = saved
agree(p=(e / Z, softmax(z)), dz=(cross_entropy_backward(saved), dz))

# %%
criterion = minixfmr.CrossEntropy(label_smoothing=eps)
agree(package=(criterion.backward(criterion.forward(z, labels)[1]), dz))
parts = [criterion.backward(criterion.forward(z[s], labels[s], count=4)[1]) for s in (slice(0, 3), slice(3, 6))]
agree(parts=(np.concatenate(parts), dz))
where(cross_entropy_backward)

# %% [markdown]
# ## 6 · LayerNorm
#
# Each vector $x$ of width $d$ is shifted to mean 0 and scaled to variance 1; then each feature gets a gain and a bias.
# In six steps, with the source's $n$ for the normalized vector:
#
# $$\mu = \mathrm{mean}(x) \qquad c = x - \mu \qquad v = \mathrm{mean}(c^2) \qquad r = (v + \varepsilon)^{-1/2} \qquad n
# = c r \qquad y = n \odot \mathrm{weight} + \mathrm{bias} \tag{6.1}$$
#
# Now backwards, from the last step to the first.
#
# **Gain and bias.** $y$ is linear in both, and both are copied to every row, so their gradients sum over rows
# (chapter 1):
#
# $$dn = dy \odot \mathrm{weight} \qquad d\mathrm{weight} = \sum_{\mathrm{rows}} dy \odot n \qquad d\mathrm{bias} =
# \sum_{\mathrm{rows}} dy \tag{6.2}$$
#
# **Step $n = c r$.** $r$ is one number, used by all $d$ features, so its gradient is a sum over them:
#
# $$dr = \sum_i dn_i c_i \qquad\qquad dc = r dn + \ldots \tag{6.3}$$
#
# The dots stand for the second use of $c$, in $v$.
#
# **Step $r = (v + \varepsilon)^{-1/2}$.** This is a function of one variable, with the derivative $-\frac{1}{2} (v +
# \varepsilon)^{-3/2} = -\frac{1}{2} r^3$:
#
# $$dv = -\tfrac{1}{2} r^3 dr \tag{6.4}$$
#
# **Step $v = \frac{1}{d} \sum_i c_i^2$.** The derivative with respect to $c_i$ is $2 c_i / d$. With (6.3) and (6.4),
# and $n = c r$ used twice,
#
# $$dc_i = r dn_i + \frac{2 c_i}{d} dv = r dn_i - \frac{r^3 c_i}{d} \sum_j dn_j c_j = r dn_i - r n_i \frac{1}{d} \sum_j
# dn_j n_j$$
#
# $$dc = r (dn - n \mathrm{mean}(dn \odot n)) \tag{6.5}$$
#
# **Step $c = x - \mu$.** Every $x_j$ moves its own $c_j$ by 1, and through $\mu$ every $c_i$ by $-1/d$:
#
# $$dx_j = dc_j - \frac{1}{d} \sum_i dc_i \qquad\qquad dx = dc - \mathrm{mean}(dc) \tag{6.6}$$
#
# **Together.** The mean of $n$ is 0, since that of $c$ is. So the second part of (6.5) has mean 0, and
# $\mathrm{mean}(dc) = r \mathrm{mean}(dn)$:
#
# $$dx = r \big( dn - \mathrm{mean}(dn) - n \mathrm{mean}(dn \odot n) \big) \tag{6.7}$$
#
# There are three terms: the direct one, what comes back through the mean, and what comes back through the scale. Now
# check each step:


# %%
def mean(x):
    return x.mean(axis=-1, keepdims=True)


x, weight, bias, eps = rng.normal(size=(3, 5)), rng.normal(size=5), rng.normal(size=5), 1e-5
c = x - mean(x)
v = mean(c * c)  # (3, 1)
r = (v + eps) ** -0.5
n = c * r

dy = rng.normal(size=(3, 5))
dn = dy * weight
dr = (dn * c).sum(axis=-1, keepdims=True)
dv = -0.5 * r**3 * dr
dc = r * dn + 2 * c / 5 * dv
dx = dc - mean(dc)
agree(one_formula=(r * (dn - mean(dn) - n * mean(dn * n)), dx))


# %% [markdown]
# For each intermediate value, `numeric` runs the forward from there on:


# %%
def from_c(c):
    return c * (mean(c * c) + eps) ** -0.5 * weight + bias


agree(
    dn=(dn, numeric(lambda n: n * weight + bias, n, dy)),
    dr=(dr, numeric(lambda r: c * r * weight + bias, r, dy)),
    dv=(dv, numeric(lambda v: c * (v + eps) ** -0.5 * weight + bias, v, dy)),
    dc=(dc, numeric(from_c, c, dy)),
    dx=(dx, numeric(lambda x: from_c(x - mean(x)), x, dy)),
)

# %% [markdown]
# And symbolically, for $d = 3$:

# %%
d = 3
X, DN = sp.Matrix(sp.symbols("x1:4", real=True)), sp.Matrix(sp.symbols("dn1:4", real=True))
eps_ = sp.symbols("epsilon", positive=True)
C = X - sp.ones(d, 1) * sum(X) / d
R = (sum(C.applyfunc(lambda c_i: c_i**2)) / d + eps_) ** sp.Rational(-1, 2)
N = C * R
formula = R * (DN - sp.ones(d, 1) * sum(DN) / d - N * DN.dot(N) / d)
proves("dx of LayerNorm for d = 3", sp.Matrix([DN.dot(N)]).jacobian(X).T, formula)

# %% [markdown]
# ### What the three terms do
#
# (6.7) is linear in $dn$, so it can be written as a matrix. With $\mathbf{1}$ for the vector of ones,
#
# $$J = r \Big( I - \frac{1}{d} \mathbf{1} \mathbf{1}^\top - \frac{1}{d} n n^\top \Big) \tag{6.8}$$
#
# The first term scales. The second removes the part of $dn$ along $\mathbf{1}$, the third the part along $n$. Both have
# to go: if the same number is added to all of $x$, or if $x - \mu$ is multiplied by a factor, $y$ does not change
# (except through $\varepsilon$). So neither does the loss, and a gradient in these directions would promise something
# that cannot happen.

# %%
x = np.array([2.0, -1.0, 0.5, 0.0, 1.0, -2.5])
c = x - x.mean()
r = (mean(c * c) + eps) ** -0.5
straight, full = np.eye(6) * r, jacobian(lambda x: (x - mean(x)) * (mean((x - mean(x)) ** 2) + eps) ** -0.5, x)
agree(J=(full, r * (np.eye(6) - 1 / 6 - np.outer(c * r, c * r) / 6)))
print(f"J times ones: at most {abs(full @ np.ones(6)).max():.0e};  J times n: at most {abs(full @ (c * r)).max():.0e}.")
assert set((straight - full).diagonal().argsort()[-2:]) == {0, 5}
plots.heat_maps(
    {"r I, the direct term": straight.round(2), "J, with both means": full.round(2) + 0},
    xlabel="x",
    ylabel="n",
    signed=True,
    numbers=True,
)

# %% [markdown]
# On the left is what the Jacobian would be if mean and scale were constants; on the right is what it is. On the
# diagonal the difference is largest at features 0 and 5, which are furthest from the mean: moving one of them changes
# the scale most, and the scale takes back what was gained. Feature 3 is exactly at the mean, so in its row the third
# term is 0.
#
# How much do the terms matter in a gradient? Each point below is one entry of $dx$ for random rows, with its value by
# finite differences on the horizontal axis and its value by a formula on the vertical one.

# %%
x, dn = 2 * rng.normal(size=(30, 6)) + 1, rng.normal(size=(30, 6)) + 0.5
c = x - mean(x)
r = (mean(c * c) + eps) ** -0.5
n = c * r
true = numeric(lambda x: (x - mean(x)) * (mean((x - mean(x)) ** 2) + eps) ** -0.5, x, dn)

# %%
formulas = {"r · dn": r * dn, "r · (dn - mean(dn))": r * (dn - mean(dn))}
formulas["all three terms"] = r * (dn - mean(dn) - n * mean(dn * n))
figure, axes = plots.figure(1, 3, (9, 3.2), sharex=True, sharey=True)
for axis, (name, dx) in zip(axes, formulas.items(), strict=True):
    cosine = (dx * true).sum() / np.linalg.norm(dx) / np.linalg.norm(true)
    axis.axline((0, 0), slope=1, color="0.7", linewidth=1)
    axis.plot(true, dx, ".", color=plots.BLUE, markersize=4)
    axis.set(title=f"{name}\ncosine {cosine:.2f}", xlabel="finite differences")
    assert 0.5 < cosine < 1.0000001
axes[0].set_ylabel("formula")
figure

# %% [markdown]
# Without the terms the points lie around the line, but not on it. The cosine is that of the angle between the two
# gradients, seen as long vectors: 1 is the same direction, 0 a right angle. A wrong gradient with a cosine well above 0
# still leads downhill, so the loss may well fall. That is what makes such a mistake hard to notice without a check.
#
# ### In the package
#
# [`layer_norm_backward` in normalization.py](../minixfmr/layers/normalization.py) is (6.2) and (6.7), with `row_mean`
# for the mean of a row. The two means of products, $\mathrm{mean}(c \odot c)$ in the forward and $\mathrm{mean}(dn
# \odot n)$ in the backward, are `row_mean_dot`, because they are inner products: $c \cdot c / d$ and $dn \cdot n / d$.
# So the array of the products is never made.

# %%
x, dy = rng.normal(size=(2, 4, 5)), rng.normal(size=(2, 4, 5))
c = x - mean(x)
r = (mean(c * c) + eps) ** -0.5
n, dn = c * r, dy * weight
dx = r * (dn - mean(dn) - n * mean(dn * n))
ours = dx, (dy * n).sum(axis=(0, 1)), dy.sum(axis=(0, 1))
package = layers.layer_norm_backward(dy, layers.layer_norm(x, weight, bias, eps)[1])
agree_each("dx dweight dbias", package, ours)
where(layers.layer_norm_backward)

# %% [markdown]
# ## 7 · RMSNorm
#
# LayerNorm without the mean and the bias:
#
# $$v = \mathrm{mean}(x^2) \qquad r = (v + \varepsilon)^{-1/2} \qquad n = x r \qquad y = n \odot \mathrm{weight}
# \tag{7.1}$$
#
# These are the steps from $c$ on in (6.1), with $x$ in place of $c$. So (6.5) is the whole gradient:
#
# $$dx = r (dn - n \mathrm{mean}(dn \odot n)) \tag{7.2}$$
#
# The mean of $n$ is not 0 now, and there is no term with $\mathrm{mean}(dn)$: shifting all of $x$ does change $y$. Only
# the direction of $x$ itself is removed.

# %%
X, DN = sp.Matrix(sp.symbols("x1:4", real=True)), sp.Matrix(sp.symbols("dn1:4", real=True))
R = (X.dot(X) / 3 + eps_) ** sp.Rational(-1, 2)
N = X * R
proves("dx of RMSNorm for d = 3", sp.Matrix([DN.dot(N)]).jacobian(X).T, R * (DN - N * DN.dot(N) / 3))

# %% [markdown]
# In the package it is [`rms_norm_backward` in rms_norm.py](../minixfmr/layers/variants/rms_norm.py).

# %%
r = (mean(x * x) + eps) ** -0.5
n, dn = x * r, dy * weight
dx, dweight = r * (dn - n * mean(dn * n)), (dy * n).sum(axis=(0, 1))
agree(dx=(dx, numeric(lambda x: x * (mean(x * x) + eps) ** -0.5 * weight, x, dy)))
package = layers.rms_norm_backward(dy, layers.rms_norm(x, weight, eps)[1])
agree_each("dx dweight", package, (dx, dweight))
where(layers.rms_norm_backward)

# %% [markdown]
# ## 8 · Activations
#
# Here $y_i = f(x_i)$, each number by itself. The Jacobian has $f'(x_i)$ on its diagonal and 0 elsewhere, so (1.3)
# becomes
#
# $$dx = dy \odot f'(x) \tag{8.1}$$
#
# What is left is one derivative of one variable each.
#
# **ReLU**, $y = \max(0, x)$: the slope is 1 where $x > 0$ and 0 where $x < 0$. At 0 there is a kink and no derivative;
# any value between 0 and 1 would do, and the usual choice is 0.
#
# **tanh**: $y' = 1 - y^2$, a derivative that can be written in terms of the output alone.
#
# **GELU**, $y = x \Phi(x)$, where $\Phi$ is the probability that a standard normal variable is below $x$. Its
# derivative is the density $\varphi$ of the normal distribution. By the product rule,
#
# $$\Phi(x) = \tfrac{1}{2} \big( 1 + \mathrm{erf}(x / \sqrt 2) \big) \qquad \varphi(x) = \Phi'(x) =
# \frac{e^{-x^2/2}}{\sqrt{2 \pi}} \qquad y' = \Phi + x \varphi \tag{8.2}$$
#
# **GELU by tanh**, as in GPT-2. With $u$ the inner polynomial,
#
# $$u = \sqrt{2/\pi} (x + 0.044715 x^3) \qquad t = \tanh u \qquad y = \tfrac{1}{2} x (1 + t)$$
#
# $$u' = \sqrt{2/\pi} (1 + 3 \cdot 0.044715 x^2) \qquad t' = (1 - t^2) u' \qquad y' = \tfrac{1}{2} (1 + t + x (1 - t^2)
# u') \tag{8.3}$$
#
# **SiLU**, $y = x s$ with the logistic function $s = 1 / (1 + e^{-x})$. First $s' = s (1 - s)$, and then
#
# $$y' = s + x s (1 - s) = s (1 + x (1 - s)) \tag{8.4}$$

# %%
x = sp.symbols("x", real=True)
Phi, phi = (1 + sp.erf(x / sp.sqrt(2))) / 2, sp.exp(-(x**2) / 2) / sp.sqrt(2 * sp.pi)
u = sp.sqrt(2 / sp.pi) * (x + sp.Rational("0.044715") * x**3)
t, s = sp.tanh(u), 1 / (1 + sp.exp(-x))
du = sp.sqrt(2 / sp.pi) * (1 + 3 * sp.Rational("0.044715") * x**2)
proves("tanh' = 1 - tanh²", sp.diff(sp.tanh(x), x), 1 - sp.tanh(x) ** 2)
proves("Φ' = φ", sp.diff(Phi, x), phi)
proves("GELU' = Φ + x φ", sp.diff(x * Phi, x), Phi + x * phi)
proves("GELU' by tanh", sp.diff(x * (1 + t) / 2, x), (1 + t + x * (1 - t**2) * du) / 2)
proves("SiLU' = s (1 + x (1 - s))", sp.diff(x * s, x), s * (1 + x * (1 - s)))

# %%
x = np.linspace(-4, 4, 401)
figure, axes = plots.figure(1, 2, (9, 3.4))
for name, style in {"relu": "-", "gelu": "--", "silu": "-."}.items():
    forward, backward = layers.ACTIVATIONS[name]
    y, saved = forward(x)
    axes[0].plot(x, y, style, label=name)
    axes[1].plot(x, backward(np.ones_like(x), saved), style, label=name)
axes[0].set(title="y", xlabel="x")
axes[1].set(title="derivative", xlabel="x")
for axis in axes:
    axis.grid(alpha=0.3)
    axis.legend()
figure

# %% [markdown]
# ReLU passes the gradient on unchanged or not at all. The two smooth functions dip below 0 for negative $x$, so their
# slope is negative there for a while. Where they come back up to the line $y = x$, their slope is larger than 1. Far to
# the right all three let the gradient through, far to the left hardly anything gets through.
#
# ### In the package
#
# Each is a line or two. What a forward saves is what its derivative is written in: $y$ for ReLU and tanh, otherwise
# $x$ and the factor that cost an exponential, $\Phi$, $t$ or $s$.
#
# - [`relu_backward` in activations.py](../minixfmr/layers/activations.py)
# - [`tanh_backward` in activations.py](../minixfmr/layers/variants/activations.py)
# - [`gelu_backward` in activations.py](../minixfmr/layers/variants/activations.py)
# - [`gelu_tanh_backward` in activations.py](../minixfmr/layers/variants/activations.py)
# - [`silu_backward` in activations.py](../minixfmr/layers/variants/activations.py)

# %%
x, dy = rng.normal(size=(4, 6)), rng.normal(size=(4, 6))
phi, s = np.exp(-x * x / 2) / np.sqrt(2 * np.pi), 1 / (1 + np.exp(-x))
Phi = (1 + np.vectorize(math.erf)(x / np.sqrt(2))) / 2
t, du = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)), np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
derivatives = {
    "relu": x > 0,
    "tanh": 1 - np.tanh(x) ** 2,
    "gelu": Phi + x * phi,
    "gelu_tanh": (1 + t + x * (1 - t * t) * du) / 2,
    "silu": s * (1 + x * (1 - s)),
}

# %%
for name, (forward, backward) in layers.ACTIVATIONS.items():
    dx = dy * derivatives[name]
    print(f"{name:10}", end="")
    agree(formula=(dx, numeric(lambda x, f=forward: f(x)[0], x, dy)), package=(backward(dy, forward(x)[1]), dx))
where(*(backward for _, backward in layers.ACTIVATIONS.values()))

# %% [markdown]
# ### A gate
#
# LLaMA's feed-forward layer multiplies two linear maps of $x$, the first of them through SiLU:
#
# $$a = g \odot h \qquad g = \mathrm{silu}(x W_g) \qquad h = x W_1$$
#
# Each factor is the slope of the other. Since $x$ went into both, two gradients come back to it and are added (1.4):
#
# $$dg = da \odot h \qquad dh = da \odot g \qquad dx = (dg \odot \mathrm{silu}'(x W_g)) W_g^\top + dh W_1^\top
# \tag{8.5}$$
#
# In the package this is `GatedFeedForward` in [gated.py](../minixfmr/layers/variants/gated.py).

# %%
layer = layers.GatedFeedForward(4, 6, dtype="float64")
Wg, W1, W2 = (linear.weight.data for linear in (layer.gate, layer.hidden, layer.output))
x, dy = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
g, saved_silu = layers.silu(x @ Wg)
h, da = x @ W1, dy @ W2.T
dx = layers.silu_backward(da * h, saved_silu) @ Wg.T + (da * g) @ W1.T
agree(dx=(dx, numeric(layer, x, dy)), package=(layer.backward(dy, layer.forward(x)[1]), dx))

# %% [markdown]
# ## 9 · Dropout
#
# In training, each number is set to 0 with probability $p$, and those that are kept are scaled up:
#
# $$y = x \odot \frac{\mathrm{keep}}{1 - p} \qquad \mathrm{keep}_i \in \lbrace 0, 1 \rbrace \tag{9.1}$$
#
# The scale preserves the expectation: $y_i$ is $x_i / (1 - p)$ with probability $1 - p$, and 0 otherwise, so its mean
# is $x_i$. Once drawn, the values of keep are constants, and the layer multiplies by them. Its gradient is the same
# product:
#
# $$dx = dy \odot \frac{\mathrm{keep}}{1 - p} \tag{9.2}$$
#
# A number that was set to 0 had no influence on the loss, so its gradient is 0. The backward must use the draws of the
# forward, not new ones: that is why the forward saves its factor, $m = \mathrm{keep} / (1 - p)$. In evaluation nothing
# is drawn, $y = x$ and $dx = dy$.
#
# In the package it is [`dropout_backward` in dropout.py](../minixfmr/layers/dropout.py). With a generator made from the
# same seed for each call, the draws repeat, so finite differences can be taken.

# %%
x, dy, p = rng.normal(size=(4, 6)), rng.normal(size=(4, 6)), 0.25
y, saved = layers.dropout(x, p, np.random.default_rng(1))
keep = y != 0
dx = dy * keep / (1 - p)
agree(
    formula=(dx, numeric(lambda x: layers.dropout(x, p, np.random.default_rng(1))[0], x, dy)),
    package=(layers.dropout_backward(dy, saved), dx),
)
many = layers.dropout(np.full(100_000, 2.0), p, rng)[0]
print(f"The mean of 100,000 twos after dropout: {many.mean():.2f}")
assert abs(many.mean() - 2) < 5 * many.std() / 100_000**0.5  # five standard errors
where(layers.dropout_backward)

# %% [markdown]
# ## 10 · Attention
#
# Each query gathers the values of the keys that match it (one head, without the axes $B$ and $H$; $q$ counts queries,
# $k$ keys, $i$ features):
#
# $$S = \frac{Q K^\top}{\sqrt{d_h}} \qquad W = \mathrm{softmax}(S) \quad \mathrm{over\ the\ keys} \qquad y = W V
# \tag{10.1}$$
#
# | array | $Q$ | $K$ | $V$ | $S, W$ | $y$ |
# |---|---|---|---|---|---|
# | shape | $(T_q, d_h)$ | $(T_k, d_h)$ | $(T_k, d_h)$ | $(T_q, T_k)$ | $(T_q, d_h)$ |
#
# Two matrix products with a softmax in between: we know the gradients of all three. Backwards, from the last step to
# the first:
#
# **$y = W V$.** Both factors need a gradient. Take (2.2) and (2.3) with $W$ in place of $x$, and $V$ in place of the
# matrix:
#
# $$dV = W^\top dy \qquad\qquad dW = dy V^\top \tag{10.2}$$
#
# **$W = \mathrm{softmax}(S)$.** Row by row (4.4):
#
# $$dS_{qk} = W_{qk} \Big( dW_{qk} - \sum_{k'} W_{qk'} dW_{qk'} \Big) \tag{10.3}$$
#
# **$S = Q K^\top / \sqrt{d_h}$.** $S_{qk} = \sum_i Q_{qi} K_{ki} / \sqrt{d_h}$. $Q_{qi}$ moves row $q$ of $S$, and
# $K_{ki}$ moves column $k$:
#
# $$dQ_{qi} = \sum_k dS_{qk} \frac{K_{ki}}{\sqrt{d_h}} \qquad\qquad dK_{ki} = \sum_q dS_{qk} \frac{Q_{qi}}{\sqrt{d_h}}$$
#
# $$dQ = \frac{dS K}{\sqrt{d_h}} \qquad\qquad dK = \frac{dS^\top Q}{\sqrt{d_h}} \tag{10.4}$$

# %%
Q, K, V = rng.normal(size=(3, 2)), rng.normal(size=(4, 2)), rng.normal(size=(4, 2))  # Tq = 3, Tk = 4, dh = 2
scale = 2**-0.5
S = Q @ K.T * scale  # (Tq, Tk)
W = softmax(S)
y, dy = W @ V, rng.normal(size=(3, 2))

dV, dW = W.T @ dy, dy @ V.T
dS = W * (dW - (W * dW).sum(axis=-1, keepdims=True))  # (Tq, Tk)
dQ, dK = dS @ K * scale, dS.T @ Q * scale
agree(
    dV=(dV, numeric(lambda V: W @ V, V, dy)),
    dW=(dW, numeric(lambda W: W @ V, W, dy)),
    dS=(dS, numeric(lambda S: softmax(S) @ V, S, dy)),
    dQ=(dQ, numeric(lambda Q: softmax(Q @ K.T * scale) @ V, Q, dy)),
    dK=(dK, numeric(lambda K: softmax(Q @ K.T * scale) @ V, K, dy)),
)

# %% [markdown]
# Symbolically, for one query, two keys and heads of width 1:

# %%
q, k1, k2, v1, v2, g = sp.symbols("q k1 k2 v1 v2 dy", real=True)
w1 = sp.exp(q * k1) / (sp.exp(q * k1) + sp.exp(q * k2))
out = w1 * v1 + (1 - w1) * v2
ds1, ds2 = w1 * (g * v1 - g * out), (1 - w1) * (g * v2 - g * out)  # (10.3), by (10.5) below
found = [sp.diff(g * out, x) for x in (q, k1, k2, v1)]
proves("dQ, dK, dV of attention", found, [ds1 * k1 + ds2 * k2, ds1 * q, ds2 * q, w1 * g])

# %% [markdown]
# ### The sum that need not be taken
#
# The second term of (10.3) is, for each query, a sum over the keys. Substitute (10.2), and change the order of the
# sums:
#
# $$\sum_k W_{qk} dW_{qk} = \sum_k W_{qk} \sum_i dy_{qi} V_{ki} = \sum_i dy_{qi} \sum_k W_{qk} V_{ki} = \sum_i dy_{qi}
# y_{qi} \tag{10.5}$$
#
# So it is the inner product $y_q \cdot dy_q$, which takes two arrays of shape $(T_q, d_h)$ that exist already, and no
# pass over the $(T_q, T_k)$ weights. Attention over blocks of keys, below, depends on it.

# %%
agree(sums=((y * dy).sum(axis=-1), (W * dW).sum(axis=-1)))
T, dh = 256, 32
print(f"With {T} queries and keys and heads of width {dh}: {T * dh:,} products instead of {T * T:,}.")

# %% [markdown]
# ### Why the scores are divided
#
# The inner product of two random vectors of width $d_h$, with entries of variance 1, has variance $d_h$. Without the
# division, the scores grow with $\sqrt{d_h}$. Then each softmax is peaked, and by chapter 4 most of its scores get
# hardly any gradient:

# %%
dh = 64
Q, K, V, dy = (rng.normal(size=(100, dh)) for _ in range(4))
typical = []
for scale in 1.0, dh**-0.5:
    S = Q @ K.T * scale
    W = softmax(S)
    dS = W * (dy @ V.T - (W @ V * dy).sum(axis=-1, keepdims=True))
    typical.append(np.median(abs(dS)))
    print(f"scale {scale:.3f}: deviation of S {S.std():.1f}, mean of the largest weights {W.max(axis=-1).mean():.2f},")
    print(f"             half of all |dS| are below {typical[-1]:.0e}")
assert typical[0] < 0.01 * typical[1]

# %% [markdown]
# ### A mask
#
# Where a query may not look, its score is set to $-\infty$. Then $W_{qk} = 0$, and so $dS_{qk} = 0$, since $W_{qk}$ is
# a factor of (10.3). So the backward needs no mask of its own: **what was hidden gets no gradient.** Here is a
# look-ahead mask: query $q$ may look at keys $0 \ldots q$.

# %%
T = 5
Q, K, V, dy = (0.7 * rng.normal(size=(T, 3)) for _ in range(4))
mask = np.tri(T, dtype=bool)
S = np.where(mask, Q @ K.T * 3**-0.5, -np.inf)
W = softmax(S)
dW = dy @ V.T
dS = W * (dW - (W @ V * dy).sum(axis=-1, keepdims=True))
assert not dS[~mask].any() and abs(dS.sum(axis=-1)).max() < 1e-12
panels = {name: array.round(2) + 0 for name, array in {"W": W, "dW": dW, "dS": dS}.items()}
plots.heat_maps(panels, xlabel="key", ylabel="query", signed=True, numbers=True)

# %% [markdown]
# $dW$ is full: it says what each weight would do, even those held at 0. In $dS$ the upper triangle is gone. Each row of
# $dS$ sums to 0, because a softmax cannot raise all weights at once. The first query sees only one key, whose weight is
# 1 whatever its score is, so its row is 0.
#
# The package adds the lowest number of the dtype in place of $-\infty$; its exponential is 0 as well. For a query that
# may look at nothing, softmax is undefined. In the package its output and its gradient are 0 (question 3 at the end).
#
# ### A bias, a scale, dropout on the weights
#
# A **bias** that is added to the scores, $S = Q K^\top / \sqrt{d_h} + \mathrm{bias}$, has the gradient $dS$ (a sum has
# slope 1), summed wherever it was broadcast. A different **scale** replaces $1 / \sqrt{d_h}$ in (10.1) and (10.4), and
# nowhere else.
#
# With **dropout** on the weights, $D = W \odot \mathrm{keep} / (1 - p)$ and $y = D V$:
#
# $$dV = D^\top dy \qquad\qquad dD = dy V^\top \qquad\qquad dW = dD \odot \frac{\mathrm{keep}}{1 - p} \tag{10.6}$$
#
# The shortcut (10.5) still holds: the factor $\mathrm{keep} / (1 - p)$ moves from $dW$ to $W$:
#
# $$\sum_k W_{qk} dW_{qk} = \sum_k W_{qk} \frac{\mathrm{keep}_{qk}}{1 - p} dD_{qk} = \sum_k D_{qk} dD_{qk} = \sum_i
# y_{qi} dy_{qi}$$
#
# ### How the source writes it
#
# [`attention_backward` in attention.py](../minixfmr/layers/attention.py) is (10.6), (10.3) and (10.4), line by line.
# Only the scale is in an unexpected place: the forward multiplies $Q$ by it, which is smaller than $S$, and saves that
# product, so $dK$ needs no scale of its own:
#
# $$\tilde Q = \frac{Q}{\sqrt{d_h}} \qquad\qquad S = \tilde Q K^\top \qquad\qquad dK = dS^\top \tilde Q \tag{10.7}$$
#
# The comparison has a batch, heads, more keys than queries, a mask, a bias and dropout:

# %%
B, H, Tq, Tk, dh, p = 2, 3, 4, 5, 6, 0.25
Q, dy = (rng.normal(size=(B, H, Tq, dh)) for _ in range(2))
K, V = (rng.normal(size=(B, H, Tk, dh)) for _ in range(2))
bias, mask = rng.normal(size=(B, H, Tq, Tk)), np.tri(Tq, Tk, Tk - Tq, dtype=bool)
y, saved = layers.attention(Q, K, V, mask, p, np.random.default_rng(1), bias)
package = layers.attention_backward(dy, saved)

# %%
W = softmax(np.where(mask, Q @ K.swapaxes(-1, -2) * dh**-0.5 + bias, -np.inf))  # (B, H, Tq, Tk)
scaled_keep = layers.dropout(np.ones((B, H, Tq, Tk)), p, np.random.default_rng(1))[0]  # keep / (1 - p)
D = W * scaled_keep
dV, dD = D.swapaxes(-1, -2) @ dy, dy @ V.swapaxes(-1, -2)
dW = dD * scaled_keep
dS = W * (dW - (W * dW).sum(axis=-1, keepdims=True))
dQ, dK = dS @ K * dh**-0.5, dS.swapaxes(-1, -2) @ (Q * dh**-0.5)
agree(y=(y, D @ V), shortcut=((y * dy).sum(axis=-1), (W * dW).sum(axis=-1)))
agree_each("dQ dK dV dbias", package, (dQ, dK, dV, dS))


# %%
def attention(K):
    return layers.attention(Q, K, V, mask, p, np.random.default_rng(1), bias)[0]


agree(dK=(dK, numeric(attention, K, dy)))
where(layers.attention_backward)

# %% [markdown]
# ### Heads: split and merge
#
# `split_heads` makes $(B, T, H d_h)$ into $(B, H, T, d_h)$, and [`merge_heads` in
# multi_head.py](../minixfmr/layers/multi_head.py) reverses it. Each only rearranges numbers. The Jacobian of such a
# layer is a permutation matrix, with a single 1 in each row and column. If it sends the number at place $a$ to place
# $b$, then its transpose sends the gradient at $b$ to $a$, which is the way back. So **the backward of split is merge,
# and the backward of merge is split.**

# %%
x, dy = rng.normal(size=(2, 3, 8)), rng.normal(size=(2, 4, 3, 2))  # B = 2, T = 3, H = 4, dh = 2
split, merge = layers.split_heads, layers.merge_heads
agree(
    split=(merge(dy), numeric(lambda x: split(x, 4), x, dy)),
    merge=(split(x, 4), numeric(merge, dy, x)),
)
where(merge)

# %% [markdown]
# In self-attention the same $x$ becomes queries, keys and values. It is used three times, so three gradients come back
# and are added (1.4):
#
# $$dx = dQ W_Q^\top + dK W_K^\top + dV W_V^\top \tag{10.8}$$
#
# where $dQ$, $dK$ and $dV$ have been merged.

# %%
layer = layers.MultiHeadAttention(8, 2, dtype="float64")
x, dy = rng.normal(size=(2, 3, 8)), rng.normal(size=(2, 3, 8))
y, saved = layer.forward(x)
dheads = split(dy @ layer.output.weight.data.T, 2)  # (B, H, T, dh)
q, k, v = (split(linear(x), 2) for linear in (layer.query, layer.key, layer.value))
dq, dk, dv, _ = layers.attention_backward(dheads, layers.attention(q, k, v)[1])
dx = merge(dq) @ layer.query.weight.data.T + merge(dk) @ layer.key.weight.data.T
dx += merge(dv) @ layer.value.weight.data.T
agree(dx=(dx, numeric(layer, x, dy)), package=(layer.backward(dy, saved), dx))

# %% [markdown]
# ### Over blocks of keys
#
# For long sequences the $(T_q, T_k)$ scores are too large to keep, but they are not needed all at once. Take the keys
# in blocks, and look at one query. After block $j$ with scores $S_j$, keep the largest score so far and two sums:
#
# $$m_j = \max(m_{j-1}, \max S_j) \qquad Z_j = \sum_{\mathrm{seen}} e^{S - m_j} \qquad Y_j = \sum_{\mathrm{seen}}
# e^{S - m_j} V$$
#
# A sum taken with the old maximum is corrected by one factor, since $e^{S - m_j} = e^{m_{j-1} - m_j} e^{S - m_{j-1}}$:
#
# $$c = e^{m_{j-1} - m_j} \qquad Z_j = c Z_{j-1} + \sum e^{S_j - m_j} \qquad Y_j = c Y_{j-1} + e^{S_j - m_j} V_j \qquad
# y = \frac{Y}{Z} \tag{10.9}$$
#
# At the end one number per query is kept, $m + \log Z$ (the source calls it $L$). From it the backward can recompute
# any block of the weights, because
#
# $$W = \frac{e^{S - m}}{Z} = e^{S - (m + \log Z)} \tag{10.10}$$
#
# and thanks to the shortcut (10.5) the backward of a block needs nothing from the other blocks: $y \cdot dy$ is known
# for each query.

# %%
S, V = rng.normal(size=6) * 3, rng.normal(size=(6, 2))
m, Z, Y = -np.inf, 0.0, np.zeros(2)
for block in (slice(0, 2), slice(2, 4), slice(4, 6)):
    new = max(m, S[block].max())
    c, E = np.exp(m - new), np.exp(S[block] - new)
    Z, Y, m = c * Z + E.sum(), c * Y + E @ V[block], new
y, W, dy = Y / Z, softmax(S), rng.normal(size=2)
agree(y=(y, W @ V), W=(np.exp(S - (m + np.log(Z))), W))

dS = []
for block in (slice(0, 2), slice(2, 4), slice(4, 6)):
    again = np.exp(S[block] - (m + np.log(Z)))  # W of this block
    dS.append(again * (V[block] @ dy - y @ dy))
agree(dS=(np.concatenate(dS), numeric(lambda S: softmax(S) @ V, S, dy)))

# %% [markdown]
# In the package it is [`long_attention_backward` in long_attention.py](../minixfmr/layers/variants/long_attention.py);
# [`attend_backward` in either.py](../minixfmr/layers/variants/either.py) chooses it wherever the forward did, which is
# for long sequences.

# %%
T = 600
Q, K, V, dy = (rng.normal(size=(1, 2, T, 8)) for _ in range(4))
mask = np.tri(T, dtype=bool)[None, None]
whole = layers.attention_backward(dy, layers.attention(Q, K, V, mask)[1])[:3]
y, saved = layers.long_attention(Q, K, V, mask)
agree_each("dQ dK dV", layers.long_attention_backward(dy, saved), whole)
agree_each("dQ dK dV", attend_backward(dy, attend(Q, K, V, mask)[1])[:3], whole)
where(layers.long_attention_backward, attend_backward)

# %% [markdown]
# ## 11 · Rotary positions
#
# Features are taken in pairs $(x_1, x_2)$, and at position $t$ each pair is rotated by an angle $\theta$ that grows
# with $t$:
#
# $$y_1 = x_1 \cos\theta - x_2 \sin\theta \qquad y_2 = x_2 \cos\theta + x_1 \sin\theta \tag{11.1}$$
#
# This is linear in $x$, so the Jacobian is the rotation matrix itself:
#
# $$y = R x \qquad R = \begin{pmatrix} \cos\theta & -\sin\theta \\ \sin\theta & \cos\theta \end{pmatrix} \qquad
# R^\top = \begin{pmatrix} \cos\theta & \sin\theta \\ -\sin\theta & \cos\theta \end{pmatrix} \tag{11.2}$$
#
# The transpose is the same matrix with $-\sin\theta$ in place of $\sin\theta$. As $\cos(-\theta) = \cos\theta$ and
# $\sin(-\theta) = -\sin\theta$, it is the rotation by the opposite angle. **The backward turns $dy$ back.** So (1.3)
# becomes
#
# $$dx_1 = dy_1 \cos\theta + dy_2 \sin\theta \qquad dx_2 = dy_2 \cos\theta - dy_1 \sin\theta \tag{11.3}$$
#
# The angles are positions times fixed frequencies. Nothing about them is learned, so they need no gradient.

# %%
a, b = sp.symbols("alpha beta", real=True)


def R(angle):
    return sp.Matrix([[sp.cos(angle), -sp.sin(angle)], [sp.sin(angle), sp.cos(angle)]])


proves("Rᵀ turns by the opposite angle", R(a).T, R(-a))
proves("and undoes the rotation", R(a).T * R(a), sp.eye(2))
q, k = sp.Matrix(sp.symbols("q1 q2", real=True)), sp.Matrix(sp.symbols("k1 k2", real=True))
proves("a score depends on the difference of the angles", (R(a) * q).T * (R(b) * k), q.T * R(b - a) * k)

# %% [markdown]
# The last line is what rotary positions are for: the score of a query at angle $\alpha$ and a key at angle $\beta$
# depends only on $\beta - \alpha$, the distance.

# %%
x, dy = np.array([1.0, 0.3]), np.array([0.9, -0.5])
turn = {t: np.array([[np.cos(0.5 * t), -np.sin(0.5 * t)], [np.sin(0.5 * t), np.cos(0.5 * t)]]) for t in range(5)}
figure, axes = plots.figure(1, 2, (8, 4), sharex=True, sharey=True)
arrows = [(axes[0], turn[t] @ x, f"t = {t}", plots.BLUE) for t in range(5)]
arrows += [(axes[1], dy, "dy", plots.BLUE), (axes[1], turn[3].T @ dy, "dx", plots.RED)]
for axis, end, name, colour in arrows:
    axis.annotate("", end, (0, 0), arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 1.6})
    axis.text(*(1.2 * end), name, ha="center", va="center", color=colour)
for axis, title in zip(axes, ("forward: x, turned to its position", "backward at t = 3: dy, turned back"), strict=True):
    axis.set(title=title, xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), aspect="equal", xlabel="feature 1")
    axis.grid(alpha=0.3)
axes[0].set_ylabel("feature 2")
figure

# %% [markdown]
# On the left is one vector at positions 0 to 4, rotated half a radian further each time. On the right is the gradient
# of the output at position 3, and what it becomes for the input: the same length, rotated one and a half radians
# clockwise.
#
# ### In the package
#
# [`rotate` in rotary.py](../minixfmr/layers/variants/rotary.py) is its own backward: `rotate(dy, cos, -sin)`. Feature
# $i$ is paired with feature $i + d_h / 2$. Some models multiply cos and sin by a factor. Then $J$ is no longer a pure
# rotation, and its transpose is not its inverse. The backward is still the transpose, and the same line is right: the
# factor is in both.

# %%
x, dy = rng.normal(size=(2, 2, 3, 4)), rng.normal(size=(2, 2, 3, 4))  # (B, H, T, dh)
angle = np.arange(3)[:, None] * layers.rotary_frequencies(4)[0]  # (T, dh/2)
cos, sin = 1.2 * np.cos(angle), 1.2 * np.sin(angle)  # with a factor
dx = np.zeros_like(x)
for i in range(2):
    dx[..., i] = dy[..., i] * cos[:, i] + dy[..., i + 2] * sin[:, i]
    dx[..., i + 2] = dy[..., i + 2] * cos[:, i] - dy[..., i] * sin[:, i]
agree(formula=(dx, numeric(lambda x: layers.rotate(x, cos, sin), x, dy)), package=(layers.rotate(dy, cos, -sin), dx))
where(layers.rotate)

# %% [markdown]
# ## 12 · Relative positions
#
# T5 adds a learned number to each score. Which one depends on the head and on the distance $k - q$ from query to key,
# sorted into buckets:
#
# $$S_{bhqk} = \frac{Q K^\top}{\sqrt{d_h}} + \mathrm{bias}_{hqk} \qquad \mathrm{bias}_{hqk} = w_{R_{qk}, h} \qquad
# R_{qk} = \mathrm{bucket}(k - q) \tag{12.1}$$
#
# This is an embedding: $w$ is the table, and the ids are the buckets $R$. Here they are for 8 tokens and 8 buckets:

# %%
buckets = layers.relative_buckets(distances(8, 8), 8, 16, True)
plots.heat_maps({"bucket of key - query": buckets}, xlabel="key", ylabel="query", bar=False)

# %% [markdown]
# Each diagonal has one number, since only the distance matters. Buckets 0 to 3 are for keys at the query or before it,
# the others for those after it. Large distances share a bucket. Bucket 4 would be a key after the query at distance 0,
# so it never occurs.
#
# Each number of the table was used many times: by every pair $(q, k)$ in its bucket, and by every sequence $b$ of the
# batch, since the bias has no axis $b$. The gradient of the scores is $dS$ (chapter 10). So by (3.3) and the rule of
# broadcasting
#
# $$dw_{rh} = \sum_b \sum_{q, k} [R_{qk} = r] dS_{bhqk} \tag{12.2}$$
#
# The bias is added after the scores are divided by $\sqrt{d_h}$, so no scale appears here.
#
# In the package it is [`RelativeBias.backward` in relative.py](../minixfmr/layers/variants/relative.py). The check goes
# through the whole attention.

# %%
B, H, T, dh = 2, 3, 6, 4
Q, K, V, dy = (rng.normal(size=(B, H, T, dh)) for _ in range(4))
layer = layers.RelativeBias(H, buckets=8, max_distance=16, dtype="float64")
bias, R = layer.forward(Q, K)  # (1, H, T, T), (T, T)
dS = layers.attention_backward(dy, layers.attention(Q, K, V, bias=bias)[1])[3]  # (B, H, T, T)
dw = np.array([(dS * np.equal(R, r)).sum(axis=(0, 2, 3)) for r in range(8)])  # (8, H)


def through_attention(w):
    return layers.attention(Q, K, V, bias=w[R].transpose(2, 0, 1)[None])[0]


layer.backward(dS, R)
agree(dw=(dw, numeric(through_attention, layer.weight.data, dy)), package=(layer.weight.grad, dw))
where(layers.RelativeBias.backward)

# %% [markdown]
# ### Where position meets content
#
# In DeBERTa the term is not a learned number but an inner product: of the query with a vector for the distance, and of
# the key with another. Here is the first of the two, with $\delta_{qk}$ for the clipped distance and $P$ for the table
# of its vectors:
#
# $$\mathrm{bias}_{qk} = s \sum_i Q_{qi} P_{\delta_{qk}, i} \tag{12.3}$$
#
# It is a product and a lookup, each with the rule we know. $Q_{qi}$ moves row $q$ of the bias; row $r$ of $P$ moves
# all pairs at that distance:
#
# $$dQ_{qi} = s \sum_k d\mathrm{bias}_{qk} P_{\delta_{qk}, i} \qquad\qquad dP_{ri} = s \sum_{q, k} [\delta_{qk} = r]
# d\mathrm{bias}_{qk} Q_{qi} \tag{12.4}$$
#
# [`DisentangledBias.backward` in relative.py](../minixfmr/layers/variants/relative.py) does this with one product and
# one sum over the pairs at each distance. The other term is the same with $K$ for $Q$, and queries and keys exchanged.
# In the check the projection of the table is the identity matrix, so that $P$ is the table itself:

# %%
identity = layers.Linear(dh, dh, bias=False, dtype="float64")
identity.weight.data[...] = np.eye(dh)
P, s = rng.normal(size=(6, dh)), 0.5  # 3 distances to each side
layer = layers.DisentangledBias(minixfmr.Parameter(P), 1, s, to_key=identity)
Q, dbias = rng.normal(size=(1, 1, 5, dh)), rng.normal(size=(1, 1, 5, 5))
delta = np.clip(3 - distances(5, 5), 0, 5)  # (q - k) + 3
dQ = s * np.einsum("qk,qki->qi", dbias[0, 0], P[delta])
dP = s * np.einsum("qkr,qk,qi->ri", np.eye(6)[delta], dbias[0, 0], Q[0, 0])
agree(
    dQ=(dQ[None, None], numeric(lambda Q: layer.forward(Q, Q)[0], Q, dbias)),
    dP=(dP, numeric(lambda P: s * np.einsum("qi,qki->qk", Q[0, 0], P[delta]), P, dbias[0, 0])),
)
dQ_package, _ = layer.backward(dbias, layer.forward(Q, Q)[1])
agree(dQ=(dQ_package[0, 0], dQ), dP=(layer.table.grad, dP))
where(layers.DisentangledBias.backward)

# %% [markdown]
# ## 13 · Residual connections
#
# A block adds its result to its input:
#
# $$y = x + f(x) \tag{13.1}$$
#
# $x$ is used twice: by $f$, and by the sum, whose slope is 1. By (1.4)
#
# $$dx = dy + J_f^\top dy \tag{13.2}$$
#
# In code: run the backward of $f$, then add $dy$. The two orders of norm and sum differ in what lies on the direct
# path:
#
# $$\mathrm{pre\ norm:} \quad y = x + f(\mathrm{norm}(x)) \qquad dx = dy + J_{\mathrm{norm}}^\top J_f^\top dy
# \tag{13.3}$$
#
# $$\mathrm{post\ norm:} \quad y = \mathrm{norm}(x + f(x)) \qquad g = J_{\mathrm{norm}}^\top dy \qquad dx = g +
# J_f^\top g \tag{13.4}$$
#
# Why it matters: in a stack of $n$ layers without the sum, $dx$ is a product of $n$ Jacobians, $J_1^\top J_2^\top
# \cdots J_n^\top dy$. If each makes it a little smaller, it ends up near 0. With the sum, each factor is $I + J^\top$.
# Multiplied out, there is one term, $I \cdot I \cdots I$, that brings $dy$ to the bottom unchanged.

# %%
depth, d = 24, 32
feed_forward = [layers.FeedForward(d, 2 * d, rng=i, dtype="float64") for i in range(depth)]
norm = layers.LayerNorm(d, dtype="float64")
stacks = {"y = x + f(norm(x))": [PreNorm(f, norm, 0.0) for f in feed_forward]}
stacks["y = norm(x + f(x))"] = [PostNorm(f, norm, 0.0) for f in feed_forward]
stacks["y = f(x)"] = feed_forward

# %%
start, dtop, sizes = rng.normal(size=(8, d)), rng.normal(size=(8, d)), {}
for name, stack in stacks.items():
    x, dy, saved = start, dtop, []
    for layer in stack:
        x, kept = layer.forward(x)
        saved.append(kept)
    sizes[name] = [np.linalg.norm(dy)]
    for layer, kept in zip(stack[::-1], saved[::-1], strict=True):
        dy = layer.backward(dy, kept)
        sizes[name].append(np.linalg.norm(dy))

# %%
figure, axis = plots.figure()
for (name, size), style in zip(sizes.items(), ("-", "--", "-."), strict=True):
    axis.semilogy(range(depth, -1, -1), size, style, label=name)
axis.set(xlabel="layers below (the loss is at the right)", ylabel="size of the gradient")
axis.grid(alpha=0.3)
axis.legend()
last = {name: size[-1] / size[0] for name, size in sizes.items()}
print(
    *(f"{name:18} the gradient at the input is {x:.1g} times that at the output" for name, x in last.items()), sep="\n"
)
assert last["y = f(x)"] < 1e-3 and min(last["y = x + f(norm(x))"], last["y = norm(x + f(x))"]) > 0.1
figure

# %% [markdown]
# Without the sum the gradient shrinks by about the same factor in each layer, a straight line on this scale. With the
# sum it gets through, in both orders.
#
# ### In the package
#
# [`Residual` in residual.py](../minixfmr/models/residual.py) has both orders, `PreNorm` and `PostNorm`. The formulas,
# written with the backward of $f$ and of the norm:

# %%
x, dy, f = rng.normal(size=(3, d)), rng.normal(size=(3, d)), feed_forward[0]
n, saved_norm = norm.forward(x)
pre = dy + norm.backward(f.backward(dy, f.forward(n)[1]), saved_norm)
layer = PreNorm(f, norm, 0.0)
agree(pre_norm=(pre, numeric(layer, x, dy)), package=(layer.backward(dy, layer.forward(x)[1]), pre))

g = norm.backward(dy, norm.forward(x + f(x))[1])
post = g + f.backward(g, f.forward(x)[1])
layer = PostNorm(f, norm, 0.0)
agree(post_norm=(post, numeric(layer, x, dy)), package=(layer.backward(dy, layer.forward(x)[1]), post))
where(Residual)

# %% [markdown]
# ## 14 · Tied weights
#
# Many Transformers use the table $E$ twice: to turn tokens into vectors at the bottom, and to turn the last vectors
# $h$ into scores for each token at the top:
#
# $$x_t = E_{\mathrm{ids}_t} \qquad \ldots \qquad z = h E^\top \tag{14.1}$$
#
# The second is a linear map with $W = E^\top$. By (2.2) $dh = dz E$. By (2.3) $dE^\top = h^\top dz$. Transposed, and
# side by side:
#
# $$dh = dz E \qquad\qquad dE = dz^\top h \tag{14.2}$$
#
# The table was used twice, so its gradient is the sum of (3.2) and (14.2), by (1.4):
#
# $$dE = M^\top dx + dz^\top h \tag{14.3}$$
#
# Nothing special is needed for this, as long as both layers add into the same array: `+=` does it. The first term has
# rows only for tokens that were read. The second has a row for every token of the vocabulary, since each one is scored.
#
# In the package it is [`output_logits_backward` in linear.py](../minixfmr/layers/linear.py). The check is the
# smallest model there is: look up, tanh, score.

# %%
ids, dz = np.array([[2, 0, 2]]), rng.normal(size=(1, 3, 5))  # V = 5
tokens = layers.Embedding(5, 3, dtype="float64")
output = layers.OutputProjection(tokens.weight)  # the same Parameter
E = tokens.weight.data
h = np.tanh(E[ids])
dx = dz @ E * (1 - h * h)  # (B, T, d)
below, above = np.eye(5)[ids[0]].T @ dx[0], dz[0].T @ h[0]
agree(dE=(below + above, numeric(lambda E: np.tanh(E[ids]) @ E.T, E, dz)))

x, saved_tokens = tokens.forward(ids)
h, saved_tanh = layers.tanh(x)
dh = output.backward(dz, output.forward(h)[1])
tokens.backward(layers.tanh_backward(dh, saved_tanh), saved_tokens)
agree(package=(tokens.weight.grad, below + above))
print("rows with a gradient from below:", *below.any(axis=1).nonzero()[0])
print("rows with a gradient from above:", *above.any(axis=1).nonzero()[0])
where(layers.output_logits_backward)

# %% [markdown]
# ### All of it at once
#
# The original Transformer uses the table three times: source, target and scores. If one of the gradients were missing,
# or anything else in the model were wrong, (1.1) would not hold. So move *all* parameters at once by $h \delta$, with a
# random $\delta$, and compare the slope of the loss with the inner product $dx \cdot \delta$ over all of them. A single
# number tests the whole backward pass of an encoder and a decoder with their loss.

# %%
sizes = {"d_model": 8, "num_heads": 2, "d_ff": 16, "num_encoder_layers": 1, "num_decoder_layers": 1}
model = minixfmr.EncoderDecoder(minixfmr.Config(11, **sizes, activation="gelu", dtype="float64"))
source, target, labels = (rng.integers(0, 11, (2, 5)) for _ in range(3))
logits, saved = model.forward(source, target)
model.backward(criterion.backward(criterion.forward(logits, labels)[1]), saved)

# %%
parameters, h, losses = model.parameters(), 1e-6, []
deltas = [rng.normal(size=parameter.shape) for parameter in parameters]
predicted = sum((parameter.grad * delta).sum() for parameter, delta in zip(parameters, deltas, strict=True))
for step in h, -2 * h:  # to one side, then to the other
    for parameter, delta in zip(parameters, deltas, strict=True):
        parameter.data += step * delta
    losses.append(criterion.forward(model(source, target), labels)[0])
agree(slope=(np.array([losses[0] - losses[1]]) / (2 * h), np.array([predicted])))

# %% [markdown]
# ## 15 · AdamW and clipping
#
# The gradients are there; now the step. $g_t$ is the gradient of a parameter $p$ in step $t = 1, 2, \ldots$ Everything
# here is elementwise.
#
# **Two running means**, of the gradient and of its square, both 0 at first:
#
# $$m_t = \beta_1 m_{t-1} + (1 - \beta_1) g_t \qquad\qquad v_t = \beta_2 v_{t-1} + (1 - \beta_2) g_t^2 \tag{15.1}$$
#
# **How large are they?** Unroll the recursion: $m_t = (1 - \beta_1) \sum_{s=1}^{t} \beta_1^{t-s} g_s$. The weights
# sum to
#
# $$(1 - \beta_1) \sum_{s=1}^{t} \beta_1^{t-s} = (1 - \beta_1) \frac{1 - \beta_1^t}{1 - \beta_1} = 1 - \beta_1^t
# \tag{15.2}$$
#
# So at first $m_t$ is not a mean of the gradients: its weights do not sum to 1, and it is too small. Dividing by (15.2)
# makes it a mean. That is the **bias correction**:
#
# $$\hat m = \frac{m_t}{1 - \beta_1^t} \qquad\qquad \hat v = \frac{v_t}{1 - \beta_2^t} \tag{15.3}$$

# %%
beta, g1, g2, g3 = sp.symbols("beta g1 g2 g3")
m = 0
for g in (g1, g2, g3):
    m = beta * m + (1 - beta) * g
weights = [sp.diff(m, g) for g in (g1, g2, g3)]
proves("the weights after three steps sum to 1 - β³", [sum(weights)], [1 - beta**3])
proves("the corrected mean of equal gradients is that gradient", [m.subs({g2: g1, g3: g1}) / (1 - beta**3)], [g1])

# %% [markdown]
# **The step** divides the mean by the root of the mean square. A parameter whose gradients agree moves by about the
# learning rate $\mathrm{lr}$ per step, however large or small they are; one whose gradients change sign moves less. As
# a formula:
#
# $$p \leftarrow p - \mathrm{lr} \cdot \frac{\hat m}{\sqrt{\hat v} + \mathrm{eps}} \tag{15.4}$$
#
# **Decoupled weight decay** (the W in AdamW) pulls each weight towards 0, in proportion to its size:
#
# $$p \leftarrow p (1 - \mathrm{lr} \cdot \mathrm{weight\ decay}) \tag{15.5}$$
#
# The older way was to add $\mathrm{weight\ decay} \cdot p$ to the gradient. Then it is divided by $\sqrt{\hat v}$ along
# with the rest, and weights with large gradients hardly decay. Decoupled, all weights decay at the same rate. Here
# 1,000 weights that start at 1 get nothing but noise as gradients, faint noise for half of them and loud noise for the
# other half.

# %%
noise = np.repeat([0.1, 10.0], 500)  # the standard deviation of each weight's gradient
left = {}
for kind, decay in {"decoupled": 0.1, "in the gradient": 0.0}.items():
    p = minixfmr.Parameter(np.ones(1000))
    optimizer = minixfmr.AdamW([p], lr=0.01, weight_decay=decay)
    for _ in range(500):
        p.grad[...] = noise * rng.normal(size=1000) + (0.1 * p.data if decay == 0 else 0)
        optimizer.step()
    left[kind] = p.data.reshape(2, 500).mean(axis=1)
    print(f"{kind:16} left of weights with faint gradients {left[kind][0]:.2f}, with loud ones {left[kind][1]:.2f}")
faint, loud = left["in the gradient"]
assert abs(np.subtract(*left["decoupled"])) < 0.1 and faint < 0.1 and loud > 0.8

# %% [markdown]
# ### Why the means are corrected
#
# Here is the size of the steps (15.4) with the usual $\beta_1 = 0.9$ and $\beta_2 = 0.999$, for a gradient that is 3 in
# every step, for one that alternates between 3 and -3, and for the first one without the bias correction.


# %%
def step_sizes(gradients, corrected=True, beta1=0.9, beta2=0.999):
    m, v, found = 0.0, 0.0, []
    for t, g in enumerate(gradients, start=1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = (m / (1 - beta1**t), v / (1 - beta2**t)) if corrected else (m, v)
        found.append(abs(m_hat) / math.sqrt(v_hat))
    return np.array(found)


t = np.arange(1, 10_001)
curves = {"the same gradient": step_sizes(3.0 + 0 * t), "changing sign": step_sizes(3.0 * (-1.0) ** t)}
curves["the same, not corrected"] = step_sizes(3.0 + 0 * t, corrected=False)

# %%
figure, axis = plots.figure()
for (name, sizes), style in zip(curves.items(), ("-", ":", "--"), strict=True):
    axis.semilogx(t, sizes, style, label=name)
axis.set(xlabel="step", ylabel="step size / learning rate", ylim=(0, None))
axis.grid(alpha=0.3)
axis.legend()
same, changing, raw = curves.values()
assert abs(same - 1).max() < 1e-9 and changing[-1] < 0.1 and raw[0] > 3 and abs(raw[-1] - 1) < 0.01
print(f"Not corrected: {raw[0]:.1f} in step 1, {raw.max():.1f} at most, {raw[999]:.2f} in step 1,000.")
figure

# %% [markdown]
# Equal gradients give steps of exactly the learning rate, whatever their size. Alternating ones give steps of almost
# nothing. Without the correction the steps are too large at first, not too small: $v$ starts further below its mean
# than $m$ does, because $\beta_2$ is closer to 1, and its root is in the denominator. The excess fades only after
# several times $1 / (1 - \beta_2)$ steps.
#
# ### In the package
#
# [`adamw_update` in optimizers.py](../minixfmr/training/optimizers.py) does (15.1), (15.3), (15.5) and (15.4), in
# place. It writes a running mean as a step towards the new value:
#
# $$m \leftarrow m + (1 - \beta_1) (g - m) \qquad\qquad v \leftarrow v + (1 - \beta_2) (g^2 - v)$$
#
# Multiply out, and you have (15.1). Here the formulas are compared with `minixfmr.AdamW` over five steps with random
# gradients:

# %%
lr, beta1, beta2, eps, decay = 0.01, 0.9, 0.95, 1e-8, 0.1
parameter = minixfmr.Parameter(rng.normal(size=(3, 4)))
optimizer = minixfmr.AdamW([parameter], lr, (beta1, beta2), eps, decay)
p, m, v = parameter.data.copy(), 0.0, 0.0
for t in range(1, 6):
    g = rng.normal(size=(3, 4))
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    p = p * (1 - lr * decay) - lr * m_hat / (np.sqrt(v_hat) + eps)  # (15.5), then (15.4)
    parameter.grad[...] = g
    optimizer.step()
    agree(p=(parameter.data, p))
where(adamw_update)

# %% [markdown]
# ### Clipping
#
# A bad batch can have a gradient many times as large as usual. So all gradients of the model are treated as one long
# vector, and if it is longer than allowed, it is shortened:
#
# $$\lVert g \rVert = \sqrt{\sum g^2} \qquad\qquad g \leftarrow g \cdot \min\Big(1, \frac{\mathrm{max}}{\lVert g
# \rVert + 10^{-6}}\Big) \tag{15.6}$$
#
# All numbers get the same factor, so the direction does not change. This is [`clip_grad_norm` in
# optimizers.py](../minixfmr/training/optimizers.py).

# %%
parameters = [minixfmr.Parameter(np.zeros(shape)) for shape in ((2, 3), (4,))]
for parameter in parameters:
    parameter.grad[...] = rng.normal(size=parameter.shape)
g = np.concatenate([parameter.grad.ravel() for parameter in parameters])
norm = minixfmr.clip_grad_norm(parameters, 1.0)
clipped = np.concatenate([parameter.grad.ravel() for parameter in parameters])
agree(norm=(np.array([norm]), np.sqrt(np.array([(g**2).sum()]))), g=(clipped, g * min(1, 1 / (norm + 1e-6))))
print(f"norm before {norm:.3f}, after {np.linalg.norm(clipped):.3f}")
where(minixfmr.clip_grad_norm)

# %% [markdown]
# ## All on one page
#
# | | forward | backward |
# |---|---|---|
# | any layer | $y = f(x)$ | $dx = J^\top dy$ |
# | used twice | $y = f(x), z = g(x)$ | $dx = J_f^\top dy + J_g^\top dz$ |
# | linear | $y = x W + b$ | $dx = dy W^\top$, $dW = x^\top dy$, $db = \sum dy$ |
# | embedding | $y = E_{\mathrm{ids}}$ | $dE_v = \sum_t [\mathrm{ids}_t = v] dy_t$ |
# | softmax | $p = e^x / Z$ | $dx = p \odot (dp - \sum p \odot dp)$ |
# | cross-entropy | $\ell = -\sum q \log p$ | $dz = w (p - q)$ |
# | LayerNorm | $n = (x - \mu) r$ | $dx = r (dn - \mathrm{mean}(dn) - n \mathrm{mean}(dn \odot n))$ |
# | RMSNorm | $n = x r$ | $dx = r (dn - n \mathrm{mean}(dn \odot n))$ |
# | activation | $y = f(x)$ | $dx = dy \odot f'(x)$ |
# | dropout | $y = x \odot \mathrm{keep} / (1 - p)$ | $dx = dy \odot \mathrm{keep} / (1 - p)$ |
# | attention | $y = W V$, $W = \mathrm{softmax}(S)$ | $dV = W^\top dy$, $dW = dy V^\top$, $dS$ by softmax |
# | scores | $S = Q K^\top / \sqrt{d_h}$ | $dQ = dS K / \sqrt{d_h}$, $dK = dS^\top Q / \sqrt{d_h}$ |
# | rotary | $y = R x$ | $dx = R^\top dy$, rotated back |
# | residual | $y = x + f(x)$ | $dx = dy + J_f^\top dy$ |

# %% [markdown]
# ## The same, watched
#
# `minixfmr.trace` runs a module forward and backward and reports every step. On the left is the number of the step, in
# the order of the forward, with the shape of its output; on the right are the place that it has in the order of the
# backward and the formula from the docstring there, which is what the chapters derived. Here is a self-attention layer:

# %%
trace = minixfmr.trace(layers.MultiHeadAttention(8, 2), rng.normal(size=(1, 3, 8)).astype("float32"))
ways_back = sorted(step.backward.number for step in trace.steps)
for number, step in enumerate(trace.steps, 1):
    forward, backward = step.forward, step.backward
    name = "  " * forward.depth + f"{forward.name} {forward.path * forward.is_method}"
    formula = backward.formula.replace("\n", "\n" + 36 * " ")
    place = ways_back.index(backward.number) + 1
    print(f"{number:2} {name:18} {forward.shapes_out[0]!s:12} {place:2}  {formula}")
assert ways_back[0] == trace.steps[0].backward.number > max(step.forward.number for step in trace.steps)

# %% [markdown]
# The backward begins with the layer as a whole, as the forward does, but inside the layer it starts with the output
# map, which came last: a backward pass is its forward read from bottom to top. `trace.save("trace.html")` writes the
# same as a page, also for a whole model, with values, times, memory, and the source of both sides next to each other.

# %% [markdown]
# ## Check
#
# 1. Set `ids` in chapter 3 to `np.array([2, 2, 2])`, and run its cell and the next one. What is row 2 of $dE$, and what
#    does `dE[ids] += dy` make of it?
#    <details><summary>Answer</summary>
#
#    It is the sum of all three rows of $dy$, `[7. 70.]`, and `dE[ids] += dy` gives only the last row, `[4. 40.]`.
#
#    </details>
# 2. Scale a vector to length 1: $y = x / \lVert x \rVert$ with $\lVert x \rVert = \sqrt{\sum x^2}$. Derive $dx$
#    yourself, as in chapter 7, and compare it with `numeric` for a random `x` and `dy` of 5 numbers, by `agree`.
#    <details><summary>Answer</summary>
#
#    It has two terms: `(dy - y * (y * dy).sum()) / np.linalg.norm(x)`.
#
#    </details>
# 3. In chapter 10, after `bias, mask = ...`, hide all keys from the first query: `mask[0] = False`. Run this cell and
#    look at `y[0, 0, 0]` and `package[0][0, 0, 0]`, the output and the gradient of that query. Then run the next cell.
#    What do you see?
#    <details><summary>Answer</summary>
#
#    Zeros, and no NaN. The plain formulas in the next cell give NaN there, since there is no softmax of nothing, and
#    `agree` stops at `y`.
#
#    </details>
#
# ## Break
#
# Take the gain out of the means in LayerNorm: put `dy` where `dn` should be, and multiply by `weight` at the end. The
# gain is just a factor for each feature, so this looks harmless. With a gain of 1, as in a new model, no check can see
# it. With any other gain the gradient is wrong, because the means in (6.7) are means of $dn$, in which each feature has
# its own weight.

# %%
x, dy = rng.normal(size=(4, 6)), rng.normal(size=(4, 6))
c = x - mean(x)
r = (mean(c * c) + 1e-5) ** -0.5
n = c * r
broken = r * (dy - mean(dy) - n * mean(dy * n))
errors = []
for weight in np.ones(6), rng.normal(size=6):
    true = numeric(lambda x, w=weight: layers.layer_norm(x, w, np.zeros(6), 1e-5)[0], x, dy)
    errors.append(abs(broken * weight - true).max() / abs(true).max())
print(f"error of the broken gradient: {errors[0]:.0e} with a gain of 1, {errors[1]:.0e} with a random gain")
assert errors[0] < 1e-7 and errors[1] > 1e-2
