# %% [markdown]
# # 03 · Encoder-only
#
# An encoder reads a whole text at once: every token may look at every other, to its left and to its right. Here you
# train one to guess words that were hidden from it, look at what it has learned, and then reuse its body for two other
# tasks. At the end you know what masked language modelling is, how to tell whether it works, what fine-tuning saves,
# and how to prove that a model looks both ways. It runs in less than two minutes on two cores, and builds on
# [02](02_your_gradient_checked.ipynb).

# %%
import math
import os
import textwrap
from collections import Counter
from dataclasses import replace

import english
import numpy as np
import plots
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

import minixfmr
from minixfmr.training import cosine, masked_lm, pad, token_batches

QUICK = bool(os.environ.get("QUICK"))  # less data, for the tests

# %% [markdown]
# ## The text
#
# Python ships with enough English: the language reference and the docstrings of the standard library.
# [english.py](english.py) collects their prose. Each sentence is kept once, with a note of where it comes from, which
# becomes a label later.

# %%
found = [(package, s) for package, text in english.paragraphs() for s in english.sentences(text)]
found = [(package, s) for s, package in {s: package for package, s in found if 5 <= len(s.split()) <= 25}.items()]
np.random.default_rng(0).shuffle(found)
if QUICK:
    found = found[:3000]
print(f"{len(found):,} sentences, for example:")
for package, sentence in found[:4]:
    print(f"  {package:10} {sentence}")

# %% [markdown]
# The tokens here are words and punctuation marks, so that the pictures below can be read. The vocabulary holds the most
# frequent ones; any other word becomes `[UNK]`, unknown. Quotation marks are dropped. One sentence in seven is held
# out: neither the vocabulary nor any model below learns from it.

# %%
PAD, UNK, MASK = range(3)
tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
tokenizer.normalizer = normalizers.Lowercase()
tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\w+('\w+)?|[.,:;()=/-]"), "removed", invert=True)
n = len(found) * 6 // 7
special = ["[PAD]", "[UNK]", "[MASK]"]
trainer = trainers.WordLevelTrainer(vocab_size=2000, special_tokens=special, show_progress=False)
tokenizer.train_from_iterator((sentence for _, sentence in found[:n]), trainer)
V = tokenizer.get_vocab_size()
word = [tokenizer.id_to_token(i) for i in range(V)]

ids_of = [tokenizer.encode(sentence).ids for _, sentence in found]
train, held_out = ids_of[:n], ids_of[n:]
unknown = np.mean([i == UNK for sentence in train for i in sentence])
print(f"{V:,} words; {sum(map(len, train)):,} tokens to train on, {unknown:.1%} of them unknown")
print(found[0][1], train[0], sep="\n")

# %% [markdown]
# ## The task: guess the hidden words
#
# Unlabelled text has to provide its own questions. In masked language modelling (Devlin et al. 2019) some tokens are
# chosen at random, hidden, and have to be guessed from all the others. Of the chosen tokens
#
# - 80 % are replaced by `[MASK]`,
# - 10 % by a random token, so that the model cannot trust what it reads, and
# - 10 % stay as they are, so that it cannot distrust it either.
#
# The second and third kind are there because no later task has masks in its text: the model must build a good vector
# for ordinary tokens too. Only the chosen tokens count in the loss; the label of all others is -100, "does not count".
# Here `[UNK]` is never chosen: there is nothing to guess. All this is done in
# [objectives.py](../minixfmr/training/variants/objectives.py).

# %%
example = tokenizer.encode("This method returns a list of all the names that are defined in the module.").ids
inputs, labels = masked_lm(example, np.random.default_rng(9), MASK, V, special=[PAD, UNK], rate=0.3)
print(f"{'text':10} {'the model reads':16} label")
for i, read, label in zip(example, inputs, labels, strict=True):
    print(f"{word[i]:10} {word[read]:16} {word[label] if label >= 0 else '-100'}")
assert all(label in (-100, i) for i, label in zip(example, labels, strict=True))

# %% [markdown]
# The paper chooses 15 % of the tokens. Here it is 30 %, which gives a small model with little training time twice as
# many labels for the same work.
#
# ## Batches
#
# A batch is a rectangle, sentences are not, so short ones are filled up with `[PAD]`. The attention mask says which
# tokens are real (1), and no query may attend to the others. `token_batches` puts sentences of similar length together,
# so that little work is spent on padding. The class below serves all three tasks of this tutorial: `ask` says what the
# model reads and what it should answer. The masks are drawn anew in each epoch, so the model never sees the same
# question twice.


# %%
class Sentences:
    """Batches for a Trainer: order says which sentences go together, batch makes the arrays."""

    def __init__(self, ids, ask, max_tokens=500):
        self.ids, self.ask, self.max_tokens = ids, ask, max_tokens

    def order(self, epoch):
        lengths = [len(sentence) for sentence in self.ids]
        return [(epoch, b) for b in token_batches(lengths, self.max_tokens, np.random.default_rng(epoch))]

    def batch(self, key):
        epoch, chosen = key
        ids = pad([self.ids[i] for i in chosen], PAD)  # (B, T)
        inputs, labels = self.ask(ids, chosen, epoch)
        return {"input_ids": inputs, "attention_mask": (ids != PAD).astype(int), "labels": labels}


def hide(ids, chosen, epoch):
    """Masked language modelling."""
    rng = np.random.default_rng([epoch, chosen[0]])
    inputs, labels = masked_lm(ids.ravel().tolist(), rng, MASK, V, special=[PAD, UNK], rate=0.3)
    return np.reshape(inputs, ids.shape), np.reshape(labels, ids.shape)


batch = Sentences(train, hide, max_tokens=60).batch((0, [5, 6, 7]))
print(*(f"{name} {array.shape}\n{array}" for name, array in batch.items()), sep="\n")

# %% [markdown]
# ## The model
#
# [EncoderOnly](../minixfmr/models/encoder_only.py): token vectors plus positions, a stack of blocks, and a head. In
# each block a token first gathers information from the others by attention, then is processed alone in the feed-forward
# layer. The positions are needed because attention alone sees a bag of words, and the feed-forward layer because
# attention only mixes: [00](00_the_whole_picture.ipynb) shows both. There is no look-ahead mask. The head of this task
# turns each vector $x_t$ into a score for every word,
#
# $$z = \mathrm{norm}(\mathrm{gelu}(x W + b))\, E^\top + c,$$
#
# where $E$ is the token table of the input, used a second time.

# %%
config = minixfmr.Config(
    vocab_size=V,
    d_model=96,
    num_heads=4,
    d_ff=192,
    num_encoder_layers=3,
    max_position_embeddings=64,
    norm_order="pre",
    activation="gelu",
    dropout=0.0,
    eos_token_id=None,
    head="masked_lm",
)
model = minixfmr.EncoderOnly(config, seed=0)
untrained = model.state_dict()  # a copy
for part in ("embedding", "encoder", "head"):
    count = sum(array.size for name, array in untrained.items() if name.startswith(part))
    print(f"{part:10} {count:8,} parameters")

# %% [markdown]
# ## A baseline
#
# How good is a guess that reads nothing at all? The best such guess is the share of each word in the training text, the
# unigram distribution $p(w) = n_w / n$. Its loss on the held-out sentences, in nats (log is the natural logarithm), is
#
# $$-\frac{1}{N} \sum_t \log p(w_t).$$
#
# A model at this level knows how frequent words are and nothing else; a model below it uses what it reads. (One is
# added to each count, so that no word has probability 0.)

# %%
counts = Counter(i for sentence in train for i in sentence if i != UNK)
total = sum(counts.values())
answers = [i for sentence in held_out for i in sentence if i != UNK]
unigram = -np.mean([math.log((counts[i] + 1) / (total + V)) for i in answers])
print(f"unigram baseline {unigram:.2f} nats, a blind guess among all words ln V = {math.log(V):.2f}")

# %% [markdown]
# ## Training
#
# `Trainer` runs the loop. In each step it takes a batch, computes the gradients on two cores (`workers=2`), and lets
# AdamW change the weights (derived in [11](11_every_gradient_derived.ipynb), chapter 15). The learning rate rises for a
# tenth of the steps, then falls along half a cosine.

# %%
steps = 40 if QUICK else 2200
data, valid = Sentences(train, hide), Sentences(held_out, hide, max_tokens=2000)
schedule = cosine(3e-3, warmup=steps // 10, total=steps)
optimizer = minixfmr.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.05)
trainer = minixfmr.Trainer(model, optimizer, schedule, data, workers=2)
curve, checked = [], [(0, minixfmr.evaluate(model, valid))]
for result in trainer.run(epochs=100):  # more than will be needed
    curve.append((result.step, result.loss))
    if result.step % (steps // 2 if QUICK else steps // 8) == 0:
        checked.append((result.step, minixfmr.evaluate(model, valid)))
    if result.step >= steps:
        break
held_out_loss = checked[-1][1]
print(f"held-out loss {held_out_loss:.2f} nats, unigram baseline {unigram:.2f}: the right word is on average")
print(f"{math.exp(unigram - held_out_loss):.1f} times as likely as the baseline has it")
if not QUICK:
    assert held_out_loss < unigram - 0.8

# %%
plots.losses({"training": curve, "held out": checked}, {"unigram baseline": unigram}, bottom=3)

# %% [markdown]
# There are two phases. First the loss falls to the dashed line: the model learns which words are frequent, which it can
# do without reading. Then it sinks slowly below the line, and all of that gain comes from the other words of the
# sentence.
#
# ## What it fills in
#
# Where `_` stands below, the model reads `[MASK]`. The bars are its probabilities.


# %%
def fill_in(model, sentence, top=6):
    """[(word, probability)] for the one mask of a sentence, likeliest first."""
    ids = np.array([[MASK if part == "_" else i for part in sentence.split() for i in token_ids(part)]])
    logits = model(ids)[0, ids[0].tolist().index(MASK)]  # (V,)
    p = np.exp(logits - logits.max())
    p /= p.sum()
    return [(word[i], float(p[i])) for i in np.argsort(-p)[:top]]


def token_ids(text):
    return tokenizer.encode(text).ids or [UNK]


questions = [
    "this method _ be called by the user .",
    "return a _ of all the names .",
    "the second argument _ optional .",
    "return true _ the file exists .",
    "this method is called _ .",
    "this method is called _ the thread is started .",
]
plots.probabilities({textwrap.fill(q, 26): fill_in(model, q) for q in questions})

# %% [markdown]
# In the first four questions the words around the mask determine what kind of word it must be, and the model has found
# out: modal verbs, collections, a form of "to be", a conjunction. In the last two, the words to the left of the mask
# are the same. Only the right side differs, and with it the guesses: this model reads in both directions.
#
# ## Word vectors before and after
#
# Nobody told the model which words are alike. But words that fit the same gaps get similar rows in the table E, because
# the gradient pushes them in the same direction. Here are some words in groups, each vector scaled to length 1,
# projected onto the plane that keeps most of their variance.

# %%
groups = {
    "modal verbs": "can must should will",
    "numbers": "0 1 2 one two three",
    "types": "string list tuple dictionary integer",
    "verbs": "return write create get read",
    "prepositions": "in of for with from by to at",
}
group_of = {w: name for name, words in groups.items() for w in words.split() if tokenizer.token_to_id(w) is not None}


def directions(state):
    """The vectors of these words, each of length 1: (N, d)."""
    vectors = state["embedding.tokens.weight"][[tokenizer.token_to_id(w) for w in group_of]]
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


tables = {"before": directions(untrained), "after": directions(model.state_dict())}
plots.embeddings(tables, list(group_of), list(group_of.values()))

# %% [markdown]
# Before training, the words are scattered at random. Afterwards the modal verbs and the prepositions have corners of
# their own; the other groups overlap in this plane. A plane shows only part of 96 dimensions, so here is the comparison
# in all of them: the mean cosine between words of the same group and between words of different groups.

# %%
same = np.equal.outer(list(group_of.values()), list(group_of.values()))
other_word = ~np.eye(len(group_of), dtype=bool)
for title, e in tables.items():
    cosines = e @ e.T  # (N, N)
    within, between = cosines[same & other_word].mean(), cosines[~same].mean()
    print(f"{title:7} same group {within:+.2f}, different groups {between:+.2f}")
if not QUICK:
    assert within > between + 0.1

# %% [markdown]
# ## Where the heads look
#
# The attention weights of one sentence: each row is a token that looks (a query), each column one that is looked at (a
# key). Rows sum to 1. `attention_weights` reads them from what the forward pass saved.

# %%
sentence = "return true [MASK] the file exists ."
parts = sentence.split()
ids = np.array([[tokenizer.token_to_id(w) for w in parts]])
_, saved = model.forward(ids)
weights = [w[0] for w in model.attention_weights(saved)]  # of each layer (H, T, T)
assert all(np.allclose(w.sum(axis=-1), 1, atol=1e-5) for w in weights)
ahead = np.array([np.triu(w, 1).sum(axis=(1, 2)) for w in weights]) / len(parts)  # (L, H)
back = np.array([np.tril(w, -1).sum(axis=(1, 2)) for w in weights]) / len(parts)
print(f"{ahead.mean():.0%} of all attention goes to the right, {back.mean():.0%} to the left, the rest stays")
for side, shares in (("right", ahead), ("left", back)):
    layer, head = np.unravel_index(shares.argmax(), shares.shape)
    print(f"layer {layer + 1}, head {head + 1} looks most to the {side}: {shares.max():.0%}")
plots.attention_heads(weights, parts)

# %% [markdown]
# There is attention on both sides of the diagonal: tokens look ahead as well as back. Some heads of the first layer
# have specialized in neighbours on one side, and in some later heads several tokens look at the same one. Which head
# does what depends on the random start.
#
# ## A test that it looks both ways
#
# A picture is no proof. This is: replace the token at position j, and measure how far the output at each position i
# moves. The output of an encoder may change everywhere. A decoder with the same configuration has a look-ahead mask:
# there only the outputs at j and later may change, and all others must stay the same to the last bit.


# %%
def influence(model, ids):
    """(T, T): how far the output vector at i moves when the token at j is replaced."""
    T = ids.shape[1]
    before, moved = model(ids), np.zeros((T, T))
    for j in range(T):
        other = ids.copy()
        other[0, j] = tokenizer.token_to_id("none")
        moved[:, j] = np.linalg.norm(model(other) - before, axis=-1)[0]
    return moved


vectors = replace(config, head="none", num_decoder_layers=config.num_encoder_layers)
encoder, decoder = minixfmr.EncoderOnly(vectors), minixfmr.DecoderOnly(vectors)
both_ways, one_way = influence(encoder, ids), influence(decoder, ids)
assert (both_ways > 0).all()
assert (np.triu(one_way, 1) == 0).all() and (np.diag(one_way) > 0).all()
panels = {"encoder": both_ways, "decoder": one_way}
plots.heat_maps(panels, parts, parts, xlabel="token replaced (j)", ylabel="output (i)", numbers=False)

# %% [markdown]
# Both models are untrained: this is a property of the architecture. The diagonal is strongest, because each output
# starts from its own token. Above it the encoder's outputs have all moved a little, the decoder's not at all. In the
# decoder the first tokens have more influence than the last: the early outputs divide their attention among fewer
# tokens.
#
# ## One body, many heads
#
# The body, that is, the embedding and the blocks, has seen a lot of text. A new task needs only a new head on top of
# it. In minixfmr a head is a field of the Config; the parameters of the body have the same names under every head. So
# reusing it takes three lines: make the new model, take all of its values, and replace those of the body.


# %%
def with_body(config, state, seed=0):
    """A new model of this config, with the body from `state` and a fresh head. state None: all of it is fresh."""
    new = minixfmr.EncoderOnly(config, seed)
    body = {name: array for name, array in (state or {}).items() if not name.startswith("head.")}
    new.load_state_dict(new.state_dict() | body)
    return new


def fine_tune(new, data, steps):
    """Train all of it, body and head."""
    optimizer = minixfmr.AdamW(new.parameters(), betas=(0.9, 0.98), weight_decay=0.05)
    schedule = cosine(3e-3, warmup=steps // 10, total=steps)
    for result in minixfmr.Trainer(new, optimizer, schedule, data, workers=2).run(epochs=1000):
        if result.step >= steps:
            return new


pretrained = model.state_dict()
print([name for name in pretrained if name.startswith("head.")])

# %% [markdown]
# ## Fine-tuning 1: what is the sentence about?
#
# We know where each sentence comes from, and that makes a task: which of five parts of the library does it describe?


# %%
KINDS = {
    "mail": "email smtplib mailbox imaplib poplib",
    "concurrency": "asyncio threading multiprocessing concurrent queue",
    "numbers": "_pydecimal statistics fractions random",
    "tests": "unittest doctest",
    "logging": "logging",
}
kind_of = {package: k for k, packages in enumerate(KINDS.values()) for package in packages.split()}
labelled = [i for i, (package, _) in enumerate(found) if package in kind_of]
kinds = np.array([kind_of[found[i][0]] for i in labelled])
cut = np.searchsorted(labelled, n)  # the same sentences are held out as before
majority = np.bincount(kinds[cut:]).max() / len(kinds[cut:])
print(f"{cut} labelled sentences, {len(labelled) - cut} held out; always saying the largest kind: {majority:.0%} right")
for k, name in enumerate(KINDS):
    print(f"  {name:12} {found[labelled[np.flatnonzero(kinds == k)[0]]][1][:90]}")

# %% [markdown]
# The head "sequence_classification" averages the vectors of all real tokens (`pooling="mean"`) and puts a small network
# on top: $z = \mathrm{gelu}(s W + b)\,W_2 + c$ with one logit per kind.
#
# Suppose that only 200 sentences have labels. Two models of the same size learn from them for the same number of steps:
# one starts with the pretrained body, the other from scratch. Each number is the mean over three draws of the 200
# sentences.


# %%
def about(numbers):
    """The sentences with these numbers among the labelled ones, and their kinds, as data."""

    def ask(ids, chosen, epoch):
        return ids, kinds[numbers[list(chosen)]]

    return Sentences([ids_of[labelled[i]] for i in numbers], ask)


def accuracy(model, data):
    """The share of the labels that count for which the highest logit is right."""
    hits = []
    for key in data.order(0):
        batch = data.batch(key)
        labels = batch.pop("labels")
        hits.append((model(**batch).argmax(axis=-1) == labels)[labels >= 0])
    return np.concatenate(hits).mean()


size, draws = (50, 1) if QUICK else (200, 3)
classifier = replace(config, head="sequence_classification", num_labels=len(KINDS), pooling="mean", dropout=0.1)
test = about(np.arange(cut, len(labelled)))
rights = {"the largest kind": majority}
for name, state in {"from scratch": None, "pretrained": pretrained}.items():
    scores = []
    for draw in range(draws):
        some = about(np.random.default_rng(draw).permutation(cut)[:size])
        tuned = fine_tune(with_body(classifier, state, draw), some, steps=20 if QUICK else 100)
        scores.append(accuracy(tuned, test))
    rights[name] = np.mean(scores)
noise = math.sqrt(majority * (1 - majority) / (len(labelled) - cut))
print(f"a share of {len(labelled) - cut} sentences is uncertain by about {noise:.0%}")
if not QUICK:
    assert min(rights["pretrained"], rights["from scratch"]) > majority + 0.1
plots.bars(rights, xlabel=f"share of held-out sentences that are right, after {size} labels", digits=".0%")

# %% [markdown]
# Both have learned the task, and pretraining has helped little, if at all. That is worth understanding. Which word fits
# a gap is above all a matter of grammar, and grammar is what the body has learned, as the word vectors showed. But the
# subject of a sentence lies in single words such as "header" or "coroutine". To learn from gaps which of these belong
# together takes far more text: BERT read 3.3 billion words. So here is a task that needs grammar.
#
# ## Fine-tuning 2: which words are code?
#
# The language reference puts code in quotation marks. In *the "for" statement* the word is code; in *for example* it is
# not. We remove the quotation marks, and the model has to put them back: one label per token. Only words count;
# punctuation gets the label -100.


# %%
def tagged(pairs):
    """(ids, labels) of the sentences of the reference that quote something: 1 inside quotation marks, 0 outside."""
    for package, text in pairs:
        if package == english.REFERENCE and '"' in text and text.count('"') % 2 == 0:
            encoded = tokenizer.encode(text)
            inside = [text[:a].count('"') % 2 for a, _ in encoded.offsets]
            is_word = [text[a] == "_" or text[a].isalnum() for a, _ in encoded.offsets]
            yield encoded.ids, np.where(is_word, inside, -100).tolist()


tag_train, tag_test = list(tagged(found[:n])), list(tagged(found[n:]))
for ids, labels in tag_test[:3]:
    print(" ".join(f"«{word[i]}»" if label == 1 else word[i] for i, label in zip(ids, labels, strict=True)))
share = np.mean([label for _, labels in tag_test for label in labels if label >= 0])
print(f"{len(tag_train)} sentences to learn from, {len(tag_test)} held out, {share:.0%} of the words are code")

# %% [markdown]
# Since most words are not code, accuracy says little: a model that calls nothing code is mostly right. The usual
# measure is
#
# $$F_1 = \frac{2\,\text{hits}}{2\,\text{hits} + \text{false alarms} + \text{misses}},$$
#
# which is 0 for a model that calls nothing code. The baseline knows each word but not its neighbours: it gives each
# word the label that it had more often in the training sentences.


# %%
def f1(predictions):
    """F₁ of lists of tags against those of the held-out sentences."""
    truth = np.concatenate([labels for _, labels in tag_test])
    said = np.concatenate(predictions)[truth >= 0]
    truth = truth[truth >= 0]
    return 2 * (said & truth).sum() / (said.sum() + truth.sum())


votes = Counter()
for ids, labels in tag_train:
    votes.update({i: 2 * label - 1 for i, label in zip(ids, labels, strict=True) if label >= 0})
scores = {"each word by itself": f1([[int(votes[i] > 0) for i in ids] for ids, _ in tag_test])}

# %%
tagger = replace(config, head="token_classification", num_labels=2, dropout=0.1)


def train_tagger(state, some):
    data = Sentences(
        [ids for ids, _ in some], lambda ids, chosen, epoch: (ids, pad([some[i][1] for i in chosen], -100))
    )
    return fine_tune(with_body(tagger, state), data, steps=20 if QUICK else 300)


third = tag_train[: len(tag_train) // 3]
taggers = {
    "from scratch": train_tagger(None, tag_train),
    "pretrained, a third of the labels": train_tagger(pretrained, third),
    "pretrained": train_tagger(pretrained, tag_train),
}
for name, tuned in taggers.items():
    scores[name] = f1([tuned(np.array([ids]))[0].argmax(axis=-1) for ids, _ in tag_test])
if not QUICK:
    assert scores["pretrained"] > scores["from scratch"] > scores["each word by itself"]
plots.bars(scores, xlabel="F₁ on held-out sentences (1 is perfect)")

# %% [markdown]
# The models beat the baseline because they see the neighbours, and this time the pretrained body is well ahead: from
# text without labels it has learned to make use of them. With a third of the labels it comes close to the model that
# started from scratch and had all of them. Text is cheap and labels are expensive; that is the reason for pretraining.
#
# The same word is tagged according to its context:

# %%
for text in [
    "the for statement is used to iterate over a list .",
    "this method is used for a list of names .",
    "the optional else clause is executed when the loop ends .",
]:
    ids = tokenizer.encode(text).ids
    tags = tuned(np.array([ids]))[0].argmax(axis=-1)
    print(" ".join(f"«{word[i]}»" if tag and word[i].isalnum() else word[i] for i, tag in zip(ids, tags, strict=True)))

# %% [markdown]
# ## Check
#
# 1. Ask a model that has learned nothing: `fill_in(minixfmr.EncoderOnly(config, seed=0), questions[0])`. How sure is
#    it?
#    <details><summary>Answer</summary>
#
#    It is sure of nothing: its best guess gets less than one per cent, and makes no sense.
#
#    </details>
# 2. Read `ids = pad([train[0], max(train, key=len)], PAD)` with `attention_mask=(ids != PAD).astype(int)` and without,
#    and compare the first row with `model(np.array([train[0]]))`. Where do they agree?
#    <details><summary>Answer</summary>
#
#    With the mask, the real positions agree to rounding. Without it they do not, because the sentence has attended to
#    its own padding.
#
#    </details>
# 3. Take `ids = np.array([train[0]])` and a random order `p` of its positions, and compare `encoder(ids[:, p])` with
#    `encoder(ids)[:, p]`. Then do the same with `replace(vectors, positions="none")`.
#    <details><summary>Answer</summary>
#
#    With positions they differ, because each position adds a vector of its own. Without, they agree to rounding:
#    attention alone sees a bag of words.
#
#    </details>
#
# ## Break
#
# Forget to hide the words the model should guess: let the model read the plain text, with the same labels. The loss
# falls faster and lower than any honest one, and the model is worthless. Each question contains its own answer, so all
# the model learns is to copy.


# %%
def forget_to_hide(ids, chosen, epoch):
    return ids, hide(ids, chosen, epoch)[1]


steps = 20 if QUICK else 200
copier = fine_tune(minixfmr.EncoderOnly(config, seed=0), Sentences(train, forget_to_hide), steps)
leaky = minixfmr.evaluate(copier, Sentences(held_out, forget_to_hide))
print(f"its own loss after {steps} steps {leaky:.2f}; on honest questions {minixfmr.evaluate(copier, valid):.2f}")
if not QUICK:
    assert leaky < 0.5 < unigram < minixfmr.evaluate(copier, valid)
plots.probabilities({textwrap.fill(q, 26): fill_in(copier, q) for q in questions[:4]})

# %% [markdown]
# None of its guesses makes sense: it has never had to look at another token. A loss that is too good is a reason to
# look for a leak.
