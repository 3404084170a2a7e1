# %% [markdown]
# # 00 · The whole picture
#
# Before the numbers, the ideas: why attention at all, why a token has a query *and* a key, what the feed-forward layer
# is for, why positions have to be added, and why they may be. Each comes with a picture or an experiment of a few
# lines. At the end they come together in one diagram, with links to the source. You need to know what a matrix product
# is. It runs in a few seconds.

# %%
from itertools import pairwise

import numpy as np
import one_file_gpt as one
import plots
from IPython.display import SVG

import minixfmr
from minixfmr import layers
from minixfmr.layers import sinusoidal_table, softmax

rng = np.random.default_rng(0)

# %% [markdown]
# ## Why attention at all?
#
# *The animal did not cross the street because it was too tired.* Who was tired? To know, a model has to carry something
# from "animal" to "it", past six other words. There are three ways for information to travel from one token to another:
#
# - **step by step**: each token hands a summary on to the next one (a recurrent network);
# - **through a window**: each layer mixes a token with its neighbours, here the two to its left, so the reach grows
#   with each layer (a convolution);
# - **directly**: each token looks at all tokens at once and takes what it needs (attention).

# %%
words = ["The", "animal", "did", "not", "cross", "the", "street", "because", "it", "was", "too", "tired"]
there, here = words.index("animal"), words.index("it")
T = len(words)


def layers_of_points(axis, levels):
    """Rows of points, one per token, with the words below the lowest row."""
    for level in range(levels):
        axis.scatter(range(T), [level] * T, s=18, color="0.6", zorder=2)
    for t, word in enumerate(words):
        colour = plots.RED if t in (there, here) else "0.2"
        axis.text(t, -0.25, word, rotation=45, ha="right", va="top", size=9, color=colour)
    axis.set(xlim=(-1, T), ylim=(-1.6, levels - 0.6), xticks=[], yticks=[])
    for side in axis.spines.values():
        side.set_visible(False)


def road(axis, points):
    for (x0, y0), (x1, y1) in pairwise(points):
        arrow = {"arrowstyle": "->", "color": plots.BLUE, "linewidth": 2}
        axis.annotate("", (x1, y1), (x0, y0), arrowprops=arrow)


drawn, axes = plots.figure(1, 3, size=(10.5, 3))
layers_of_points(axes[0], 2)
chain = [(there, 0), *((t, 1) for t in range(there, here + 1))]
layers_of_points(axes[1], 5)
window = [(there, 0), (there + 2, 1), (there + 4, 2), (there + 6, 3), (here, 4)]  # each layer reaches two tokens back
layers_of_points(axes[2], 2)
direct = [(there, 0), (here, 1)]
roads = {"step by step": chain, "window of 3, four layers": window, "attention": direct}
for axis, (title, points) in zip(axes, roads.items(), strict=True):
    road(axis, points)
    axis.set_title(f"{title}: {len(points) - 1} step{'s' * (len(points) > 2)}")
drawn

# %% [markdown]
# The longer the path, the less arrives. If each step keeps half of the summary and takes half from the new token, the
# share of a token in the summary halves with each step. The cell prints what is left after eight. Attention instead
# chooses what to take by its content, however far away it is.

# %%
summary = np.array([0.5 ** (here - t + 1) for t in range(here + 1)])
print(f"share of 'animal' in the summary at 'it': {summary[there]:.1%}")
assert np.isclose(summary.sum() + 0.5 ** (here + 1), 1)

# %% [markdown]
# ## One look, in four steps
#
# Here is what happens when "it" looks around, with vectors of two numbers so that they can be drawn. Each token offers
# a **key**, by which it can be found, and a **value**, which it hands over. The token that looks has a **query**.
#
# 1. The query is an arrow, the keys are points.
# 2. A key's score says how far it reaches along the query: their dot product.
# 3. The softmax turns scores into shares that sum to 1.
# 4. The result is the average of the values, weighted by the shares. It lies among them, drawn towards those with the
#    largest shares.

# %%
names = ["animal", "cross", "street", "tired"]
query = np.array([0.9, 0.6])
keys = np.array([[1.5, 1.2], [-1.2, 0.4], [0.9, -0.7], [-0.4, -1.3]])
values = np.array([[0.4, 1.6], [1.5, 0.2], [-1.4, 0.9], [0.3, -1.4]])
scores = keys @ query  # (4,)
weights = softmax(scores)
result = weights @ values  # (2,)


def plane(axis, title):
    axis.axhline(0, color="0.85", zorder=0)
    axis.axvline(0, color="0.85", zorder=0)
    axis.set(title=title, xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), xticks=[], yticks=[], aspect="equal")


def labelled(axis, points, sizes, colours):
    axis.scatter(*points.T, s=sizes, color=colours, zorder=3)
    for name, (x, y) in zip(names, points, strict=True):
        axis.annotate(name, (x, y), xytext=(0, 9), textcoords="offset points", size=9, ha="center")


colours = plots.COLOURS[:4]
drawn, ((one_, two), (three, four)) = plots.figure(2, 2, size=(8, 7.2))
for axis, title in ((one_, "1  the query of 'it', and the keys"), (two, "2  how far each key reaches along it")):
    plane(axis, title)
    axis.annotate("", query, (0, 0), arrowprops={"arrowstyle": "-|>", "linewidth": 2, "color": "0.2"})
    axis.text(*(query + [0.12, -0.28]), "it", size=10)
    labelled(axis, keys, 40, colours)
direction = query / np.linalg.norm(query)
two.plot(*np.array([-2.2 * direction, 2.2 * direction]).T, color="0.7", linewidth=1, zorder=1)
for key, colour in zip(keys, colours, strict=True):
    foot = (key @ direction) * direction
    two.plot(*np.array([key, foot]).T, color=colour, linestyle=":", zorder=2)
    two.scatter(*foot, color=colour, marker="|", s=80, zorder=3)
bars = three.barh(names, weights, color=colours)
three.bar_label(bars, [f"score {s:+.1f}, share {w:.2f}" for s, w in zip(scores, weights, strict=True)], padding=3)
three.set(title="3  softmax: scores become shares", xlim=(0, 1.75), xticks=[0, 0.5, 1])
three.invert_yaxis()
plane(four, "4  the average of the values")
labelled(four, values, 40 + 300 * weights, colours)
four.scatter(*result, marker="*", s=260, color="k", zorder=4)
for value, weight in zip(values, weights, strict=True):
    four.plot(*np.array([value, result]).T, color="0.6", linewidth=0.5 + 4 * weight, zorder=1)
drawn

# %% [markdown]
# "it" has found the animal and taken over most of its value (the star). In [01](01_attention_by_hand.ipynb) you compute
# the same by hand, with all the numbers, forward and backward.
#
# ## Why two matrices, for queries and for keys?
#
# Queries and keys are two linear maps of the same vectors. Would one map not do? Then the score of i for j would be
# that of j for i: the table of scores would be symmetric, and "it looks for the animal" would imply "the animal looks
# for it". Language is not like that. A plain case: seven tokens, the days of the week, and each should look at *the day
# before*. They learn it by gradient descent, once with two maps, once with one. (Row i of A is the query of token i,
# row i of B its key.)


# %%
def learn_to_look(shared, steps=2000):
    """The attention weights (7, 7) after learning that each day should look at the day before."""
    A = rng.normal(0, 0.3, (7, 7))
    B = A if shared else rng.normal(0, 0.3, (7, 7))
    target = np.roll(np.eye(7), -1, axis=1)  # (7, 7)  1 at the day before
    for _ in range(steps):
        dS = (softmax(A @ B.T) - target) / 7  # the gradient of cross-entropy through the softmax
        dA, dB = dS @ B, dS.T @ A
        if shared:
            A -= dA + dB  # one array that is used twice gets both gradients
        else:
            A -= dA
            B -= dB
    return softmax(A @ B.T)


days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
two_maps, one_map = learn_to_look(shared=False), learn_to_look(shared=True)
before = np.arange(7), np.arange(-1, 6)
print(f"weight on the day before: {two_maps[before].mean():.2f} with two maps, {one_map[before].mean():.2f} with one")
assert two_maps[before].mean() > 0.95 and one_map[before].mean() < 0.4
panels = {"two maps": two_maps, "one map": one_map}
plots.heat_maps(panels, days, days, xlabel="looked at", ylabel="looks", numbers=False)

# %% [markdown]
# With one map, looking back is looking ahead as well: if Tuesday matches Monday, Monday matches Tuesday. And each day
# looks most at itself (the diagonal): a vector's product with itself is its squared length, which grows with everything
# that makes the vector match its neighbours.
#
# ## What is the feed-forward layer for?
#
# Attention gathers, but it cannot draw conclusions. For given weights its result is a weighted *sum* of vectors, and
# stacking sums gives sums. Say two tokens each bring a number, 0 or 1, and the answer should be 1 if exactly one of
# them is 1. Attention can bring both to one place, as their sum. Here is the best straight line through the answers:

# %%
pairs = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
answer = np.array([0, 1, 1, 0])
gathered = pairs.sum(-1)  # (4,) what attention can deliver
slope, intercept = np.polyfit(gathered, answer, 1)
print("best line:   ", slope * gathered + intercept)


def feed_forward(s):
    """Two hidden units with ReLU, found with a pencil: one rises from 0, the other falls from 1, twice as steeply."""
    return np.maximum(s, 0) - 2 * np.maximum(s - 1, 0)


print("feed-forward:", feed_forward(gathered))
assert (feed_forward(gathered) == answer).all()

# %%
drawn, axis = plots.figure(size=(6.4, 3))
s = np.linspace(-0.3, 2.3, 200)
axis.plot(s, slope * s + intercept, color="0.5", linestyle="--", label="best linear map")
axis.plot(s, np.maximum(s, 0), color=plots.GREEN, linewidth=1, label="hidden unit 1")
axis.plot(s, -2 * np.maximum(s - 1, 0), color=plots.ORANGE, linewidth=1, label="hidden unit 2, times -2")
axis.plot(s, feed_forward(s), color=plots.BLUE, linewidth=2.5, label="their sum")
axis.scatter(gathered, answer, color=plots.RED, zorder=3, label="wanted")
axis.set(xlabel="what attention gathered", ylabel="answer", ylim=(-2.2, 2.2), xticks=[0, 1, 2])
axis.legend(fontsize=8, loc="lower left")
drawn

# %% [markdown]
# So the two take turns: attention moves information between tokens, the feed-forward layer works on what has arrived,
# in each token by itself. More than half of the weights in the blocks are in the second:

# %%
base = minixfmr.EncoderDecoder(minixfmr.Config(vocab_size=1000))  # the sizes of the paper, with a small vocabulary
sizes = {name: p.data.size for name, p in base.named_parameters() if "blocks" in name}
shares = {
    part: sum(n for name, n in sizes.items() if part in name) / sum(sizes.values())
    for part in ("self_attention", "cross_attention", "feed_forward")
}
print({part: f"{share:.0%}" for part, share in shares.items()})
assert shares["feed_forward"] > 0.5

# %% [markdown]
# ## Why positions?
#
# In the four steps above nothing said *where* a token stands. Shuffle the tokens, and every token gets the same result
# as before, only in another place: to attention, "dog bites man" and "man bites dog" are one bag of words.

# %%
attention = layers.MultiHeadAttention(8, 2, dtype="float64")
vector = dict(zip(["dog", "bites", "man"], rng.standard_normal((3, 8)), strict=True))
first, second = ["dog", "bites", "man"], ["man", "bites", "dog"]
outputs = {
    " ".join(sentence): dict(zip(sentence, attention(np.array([[vector[w] for w in sentence]]))[0], strict=True))
    for sentence in (first, second)
}
for sentence, output in outputs.items():
    print(f"{sentence}:  output of 'dog' {output['dog'][:4].round(3)} ...")
assert np.allclose(outputs["dog bites man"]["dog"], outputs["man bites dog"]["dog"])

# %% [markdown]
# So each position gets a vector of its own, which is added to that of the token.
#
# ## Positions as waves
#
# The paper takes a sine and a cosine for each of d/2 frequencies: number 2i of the vector at position t is sin(t ω) and
# number 2i + 1 is cos(t ω), with ω from 1 down to almost 1/10000. Think of the hands of many clocks: the fast ones tell
# neighbours apart, the slow ones tell near from far.

# %%
table = sinusoidal_table(100, 32)  # (100, 32)
drawn, (left, right) = plots.figure(1, 2, size=(9, 3.4))
image = left.imshow(table.T, aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
left.set(xlabel="position", ylabel="number in the vector", title="the table, one column per position")
drawn.colorbar(image, ax=left)
for i, colour in zip((0, 4, 8, 16), plots.COLOURS, strict=False):
    right.plot(table[:, i], color=colour, label=f"number {i}")
right.set(xlabel="position", title="four of its rows", ylim=(-1.1, 1.6))
right.legend(fontsize=8, ncols=2, loc="upper right")
drawn

# %% [markdown]
# ## Why may they be added?
#
# A sum of two numbers cannot be taken apart. A sum of two long vectors can, if the two kinds of vector lie in different
# directions. Here are 100 random token vectors and 100 position vectors, of 128 numbers each. Can a linear map undo the
# addition? We fit one map for the token and one for the position, and check for each of the 10,000 sums whether the
# vector nearest to the result is the right one:

# %%
d = 128
tokens, waves = rng.standard_normal((100, d)), sinusoidal_table(100, d)
sums = (tokens[:, None] + waves[None]).reshape(-1, d)  # (10000, d): token 0 at all positions, then token 1 ...
token_of, position_of = np.divmod(np.arange(len(sums)), 100)
found = {}
for name, vectors, number in (("token", tokens, token_of), ("position", waves, position_of)):
    read, *_ = np.linalg.lstsq(sums, vectors[number], rcond=None)  # (d, d) a linear map for all sums
    # the nearest vector v to r: |r - v|² = |r|² - 2 r · v + |v|², in which |r|² is the same for all
    closeness = sums @ read @ vectors.T - (vectors**2).sum(-1) / 2  # (10000, 100)
    found[name] = (closeness.argmax(-1) == number).mean()
print({name: f"{share:.1%} right" for name, share in found.items()})
assert min(found.values()) > 0.9

# %% [markdown]
# Both can be read out of the sum, by matrices like those that make queries, keys and values.
#
# The waves have a second virtue. Moving on by k positions turns each clock hand by a fixed angle, whatever the time is.
# So one and the same matrix leads from each position to the one k further on:

# %%
k = 3
move, *_ = np.linalg.lstsq(waves[:-k], waves[k:], rcond=None)  # (d, d)
print(f"waves[t] times one matrix is waves[t + {k}] for all t, to {abs(waves[:-k] @ move - waves[k:]).max():.0e}")
assert np.allclose(waves[:-k] @ move, waves[k:])

# %% [markdown]
# ## Learned positions, and rotary ones
#
# Two other ways are in use. GPT and BERT **learn** a table of positions, like that of the tokens. We can watch one
# being learned: the small GPT of [one_file_gpt.py](one_file_gpt.py) reads words, letter by letter, for a second.
# **Rotary** positions (LLaMA and most models since) add nothing. They turn each pair of numbers of the query and of the
# key, like a clock hand, by an angle that grows with the position. The dot product of two turned vectors depends only
# on the *difference* of their angles, and so on the distance between the tokens.
#
# What matters to attention is how much two positions have in common, so this is what the pictures show: for the waves
# and the learned table the dot products of all pairs of positions, for rotary the score of one query with one key, both
# turned according to where they stand.

# %%
w = one.new_gpt()
for t in range(1, 1001):
    ids = [one.LETTERS.index(letter) for letter in f".{one.rng.choice(one.WORDS)}."]
    logits, saved = one.gpt(ids[:-1], w)
    one.gpt_backward(one.cross_entropy(logits, ids[1:])[1], saved)
    one.adam(w.values(), t, lr=0.01 * (1 - t / 1000))
learned = w["positions"].data[:12]  # (12, 16)  few words are longer
learned = learned / np.linalg.norm(learned, axis=-1, keepdims=True)

n, dh = 12, 16
rotary = layers.Rotary(dh)
q = k = np.ones((1, 1, n, dh)) / dh**0.5  # the same vector at all positions
turned, _ = rotary.forward(q)
turned = turned[0, 0]  # (n, dh)
near = {"waves": waves[:n] @ waves[:n].T / (d / 2), "learned": learned @ learned.T, "rotary": turned @ turned.T}
plots.heat_maps(near, xlabel="position", ylabel="position", signed=True, numbers=False)

# %% [markdown]
# Waves and rotary show stripes along the diagonal: what counts is the distance. The learned table follows no such law,
# and within a second it has found something else: the positions of the first letters differ from all others, and the
# late ones are much alike. And this is what turning does, for one pair of numbers: two positions further on, the angle
# between query and key is the same.

# %%
drawn, axes = plots.figure(1, 2, size=(7, 2.8))
for axis, first in zip(axes, (1, 3), strict=True):
    for name, length, where, colour in (("query", 1, first, plots.BLUE), ("key", 0.75, first + 2, plots.RED)):
        tip = length * np.array([np.cos(0.5 * where), np.sin(0.5 * where)])
        axis.annotate("", tip, (0, 0), arrowprops={"arrowstyle": "-|>", "linewidth": 2, "color": colour})
        axis.text(*(1.15 * tip), f"{name} at {where}", color=colour, size=9, ha="center")
    axis.set(xlim=(-1.2, 1.2), ylim=(-0.1, 1.3), xticks=[], yticks=[], aspect="equal")
    axis.set_title(f"positions {first} and {first + 2}")
drawn

# %% [markdown]
# ## The whole Transformer
#
# Now all of it, from the bottom up. Tokens become vectors, and positions are added. In the encoder (left) attention and
# feed-forward take turns, L times. Around each of them runs a bypass: what the layer computes is *added* to what came
# in, so that nothing is lost and gradients have a straight way back, and then a norm brings the vectors to one scale.
# The decoder (right) does the same with what has been written so far. Its attention is masked, because the words to
# come are not there yet when it writes, and in the middle it looks at the encoder's output: this is cross-attention. At
# the top are the scores of the next token, and the loss that training brings down. The names are links to the files.

# %%
SVG("../docs/transformer.svg")

# %% [markdown]
# An encoder-only model (BERT) is the left side with a head on top, a decoder-only model (GPT) is the right side without
# cross-attention. From here there are two ways on: [01](01_attention_by_hand.ipynb) computes attention with a pencil,
# [12](12_from_bigram_to_gpt.ipynb) builds a whole GPT in one sitting.
#
# ## Check
#
# 1. In the four steps, make the query twice as long: `query = 2 * query`. Does "it" look elsewhere? What happens to the
#    shares?
#    <details><summary>Answer</summary>
#
#    It prefers the same keys in the same order, but the largest share grows: scores twice as far apart make the softmax
#    more decided. That is why scores are divided by √dh when vectors are long (see [01](01_attention_by_hand.ipynb)).
#
#    </details>
# 2. Give all four tokens the same value. What is the result, whatever the query?
#    <details><summary>Answer</summary>
#
#    That value: the average of equal things does not depend on the weights.
#
#    </details>
# 3. Make the waves ten times as small before they are added, `waves / 10`. Which of the two can still be read out of
#    the sum?
#    <details><summary>Answer</summary>
#
#    Both, as before: a linear map can undo the scale as well.
#
#    </details>
#
# ## Break
#
# Mark the positions in the simplest way: add the number t itself to every number of the vector. Then apply a LayerNorm,
# as every block does: it shifts each vector to mean 0 and scales it to variance 1.

# %%
x = tokens[:5]  # five tokens, (5, d)
t = np.arange(5)[:, None]
ones, zeros = np.ones(d), np.zeros(d)
plain, *_ = layers.layer_norm(x, ones, zeros, 1e-5)
counted, *_ = layers.layer_norm(x + t, ones, zeros, 1e-5)
waved, *_ = layers.layer_norm(x + waves[:5], ones, zeros, 1e-5)
print(f"what is left of t: {abs(counted - plain).max():.0e};  of the waves: {abs(waved - plain).max():.2f}")
assert np.allclose(counted, plain)

# %% [markdown]
# Nothing is left of it. LayerNorm subtracts the mean of each vector, and a number that is added to all entries is part
# of the mean. A position has to be a *direction*, not a size.
