# %% [markdown]
# # 07 · Text to text
#
# One model, several tasks: the first words of the input say which task is meant, and every answer is a text. At the end
# you know how such a model is built and trained, how its tasks are measured, how it reacts to a prefix that does not
# fit, and how T5 and BART turn plain text without any labels into training pairs. It runs for about two minutes. It
# builds on the encoder-decoder of [05](05_encoder_decoder.ipynb).

# %%
import difflib
import itertools
import os
import random
import re
from collections import Counter
from pydoc_data.topics import topics

import numpy as np
import plots
from corpus import END, PAD, in_words, train_tokenizer

import minixfmr
from minixfmr.layers import log_softmax
from minixfmr.training import cosine, sentence_permutation, span_corruption, text_infilling, token_deletion

QUICK = bool(os.environ.get("QUICK"))  # less data, for the tests

# %% [markdown]
# ## Five tasks in one format
#
# A translator has text as its input and text as its output. So has everything else, if you look at it that way: the
# digits of a number are text, and so are a summary, an answer, and the name of a class. T5 (Raffel et al. 2020) takes
# this literally. The task is put as a *prefix* before the input, and all tasks share one vocabulary, one model and one
# loss. Our tasks are small, and made on the spot:

# %%
draw = random.Random(0)
GERMAN = [(f"translate English to German: {in_words(n, 'en')}", in_words(n, "de")) for n in range(1000)]
DIGITS = [(f"digits: {in_words(n, 'en')}", " ".join(str(n))) for n in range(1000)]

PLACES = ["berlin", "paris", "rome", "london", "madrid", "vienna", "oslo", "athens"]
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
EVENTS = {
    "a house burned down": "fire",
    "the river rose over its banks": "flood",
    "two trains collided": "accident",
    "thousands sang in the streets": "festival",
    "snow closed all roads": "storm",
    "the workers left the factory": "strike",
}
IDLE = ["shops were open as usual", "the weather was mild", "nobody was surprised", "prices did not change"]

# %% [markdown]
# A summary keeps what matters in a short report and drops the irrelevant sentence, wherever it is. It says *fire* where
# the report says that a house burned down, a word that is nowhere in the input.


# %%
def report(place, day, event):
    sentences = [f"{event} on {day}", draw.choice(IDLE)]
    draw.shuffle(sentences)
    return f"summarize: in {place} {sentences[0]} . {sentences[1]} .", f"{EVENTS[event]} in {place} on {day}"


SUMMARY = [report(*parts) for parts in itertools.product(PLACES, DAYS, EVENTS)]
SUMMARY[40]

# %% [markdown]
# The next two tasks read texts made from templates. A question asks for one of four things in a sentence, which comes
# in two word orders. And a sentence about a film or a meal has to be classified; a negation reverses its meaning, so no
# single word decides.

# %%
NAMES, THINGS = ["anna", "ben", "carl", "dora", "emil", "frida"], ["ball", "book", "cup", "hat", "lamp", "key"]
QUESTIONS = ["who bought it", "what was bought", "where was it", "when was it"]
ANSWER = []
for who, what, where, when in itertools.product(NAMES, THINGS, PLACES, DAYS):
    order = draw.choice(["{0} bought a {1} in {2} on {3}", "on {3} a {1} was bought in {2} by {0}"])
    kind = draw.randrange(4)
    text = order.format(who, what, where, when)
    ANSWER.append((f"answer: {QUESTIONS[kind]} ? {text} .", (who, what, where, when)[kind]))

OPENINGS = ["i think the", "my sister said that the", "in the end the", "the"]
THEMES = ["film", "book", "meal", "song", "play", "story", "hotel", "trip"]
VERBS = {"was": True, "was really": True, "was quite": True, "was never": False, "was not": False, "was hardly": False}
GOOD, BAD = ["good", "great", "charming", "lovely", "clever"], ["bad", "dull", "awful", "boring", "silly"]
CLASS = [
    (f"classify: {o} {t} {v} {a}", "positive" if (a in GOOD) == VERBS[v] else "negative")
    for o, t, v, a in itertools.product(OPENINGS, THEMES, VERBS, GOOD + BAD)
]

# %% [markdown]
# From each task, 100 inputs are set aside and never trained on. A held-out number, report or sentence is a new
# *combination* of words that were seen: a model that has found the rule can solve it, one that has learned the pairs by
# heart cannot. (Two reports of one event at one place and day would differ only in the irrelevant sentence; there is
# just one of each, so the held-out summaries are new too.)

# %%
TASKS = {"translate": GERMAN, "digits": DIGITS, "summarize": SUMMARY, "answer": ANSWER, "classify": CLASS}
train, held_out = {}, {}
for task, pairs in TASKS.items():
    pairs = draw.sample(pairs, len(pairs))
    held_out[task], train[task] = pairs[:100], pairs[100:]
    assert not {source for source, _ in held_out[task]} & {source for source, _ in train[task]}
    print(f"{len(train[task]):5} × {held_out[task][0][0]}\n        → {held_out[task][0][1]}")

# %% [markdown]
# How good is a given accuracy? That depends on how easy the task is. A machine that always gives the most frequent
# answer of its task is right this often:

# %%
baseline = {}
for task, pairs in train.items():
    answer, _ = Counter(target for _, target in pairs).most_common(1)[0]
    baseline[task] = sum(target == answer for _, target in held_out[task]) / 100
    print(f'{task:10} always "{answer}": {baseline[task]:.0%}')

# %% [markdown]
# ## One model, with T5's settings
#
# One subword vocabulary serves all inputs and outputs. Common words become one token, rare ones several:

# %%
tokenizer = train_tokenizer([pair for pairs in train.values() for pair in pairs], 300)
V = tokenizer.get_vocab_size()


def encoded(pairs):
    return [(tokenizer.encode(source).ids, tokenizer.encode(target).ids) for source, target in pairs]


train_ids = {task: encoded(pairs) for task, pairs in train.items()}
print(V, "tokens;", " ".join(tokenizer.encode(GERMAN[342][0]).tokens))
print("→", " ".join(tokenizer.encode(GERMAN[342][1]).tokens))

# %% [markdown]
# The model is an `EncoderDecoder` whose `Config` says what T5 changed in the Transformer of 2017 (the mapping from a
# published T5 is in [t5.py](../minixfmr/pretrained/t5.py)):
#
# - no positions are added to the embeddings; instead each head learns a number for each *distance* between query and
#   key, which is added to the score (`"buckets"`, [relative.py](../minixfmr/layers/variants/relative.py));
# - norms come before the sublayer, and only scale to root mean square 1 (`"rms"`); no layer has a bias;
# - the scores are $q k^\top$, not $q k^\top / \sqrt{d_h}$ (`attention_scale=1`);
# - the final vectors are divided by $\sqrt d$ before the output matrix, which is the token table (`scale_output`).

# %%
STEPS = 20 if QUICK else 600
SIZES = {"translate": 32, "digits": 32, "summarize": 8, "answer": 16, "classify": 16}  # examples of each task in a step
config = minixfmr.Config(
    vocab_size=V,
    d_model=64,
    num_heads=4,
    d_ff=256,
    num_encoder_layers=2,
    num_decoder_layers=2,
    max_position_embeddings=128,
    positions="none",
    relative_positions="buckets",
    relative_max_distance=64,
    norm_order="pre",
    norm="rms",
    layer_norm_eps=1e-6,
    attention_bias=False,
    feed_forward_bias=False,
    attention_scale=1.0,
    scale_embeddings=False,
    scale_output=True,
    dropout=0.0,
    pad_token_id=PAD,
    decoder_start_token_id=PAD,  # T5 starts with the padding token: it has no start token of its own
    eos_token_id=END,
)

# %% [markdown]
# The last two settings move a factor from the computation into the weights. So they need other *initial* weights, or
# the model starts with logits that hardly differ and scores that are too large. T5 draws its token vectors with
# variance 1, and its query matrices smaller by $1/\sqrt{d_h}$:


# %%
def new_model(config, seed=0):
    model = minixfmr.EncoderDecoder(config, seed)
    model.source.tokens.weight.data *= config.d_model**0.5  # they were drawn with variance 1/d
    for name, p in model.named_parameters():
        if name.endswith("query.weight"):
            p.data *= (config.d_model // config.num_heads) ** -0.5
    return model


f"{new_model(config).num_parameters():,} parameters"

# %% [markdown]
# ## Training on all of them at once
#
# A batch holds a single task, since its sequences are of similar length and need little padding. A *step* adds up the
# gradients of one batch of each task (`accumulate`), so that no step pulls the weights towards one task alone. The loss
# is the mean over all labels of the step. How many examples of each task go into the mixture is up to us: the two tasks
# about numbers turn out to be the hardest, and get the most.


# %%
def batch_of(pairs):
    sources, targets = zip(*pairs, strict=True)
    return minixfmr.TranslationData(sources, targets, config, max_tokens=10**9).batch(range(len(pairs)))


class Mixture:
    """Batches of each task in turn; the key (step, number of the task) decides what is drawn."""

    def __init__(self, tasks):
        self.tasks = tasks

    def order(self, epoch):
        return [(step, number) for step in range(STEPS) for number in range(len(self.tasks))]

    def batch(self, key):
        task = self.tasks[key[1]]
        chosen = np.random.default_rng(key).integers(len(train_ids[task]), size=SIZES[task])
        return batch_of([train_ids[task][i] for i in chosen])


# %% [markdown]
# Progress is measured as a user would measure it: the model writes, greedily, and an answer counts if all of it is
# right.


# %%
def write(model, texts):
    batch = batch_of(encoded([(text, "") for text in texts]))
    ids = minixfmr.generate(model, batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=20)
    return [tokenizer.decode(row.tolist()) for row in ids]


def accuracy(model, task):
    written = write(model, [source for source, _ in held_out[task]])
    return np.mean([text == target for text, (_, target) in zip(written, held_out[task], strict=True)])


def training(model, tasks):
    """The steps of a training on these tasks, one after another."""
    optimizer = minixfmr.AdamW(model.parameters(), betas=(0.9, 0.98))
    schedule = cosine(3e-3, min(50, STEPS // 2), STEPS, final=3e-4)
    trainer = minixfmr.Trainer(model, optimizer, schedule, Mixture(tasks), accumulate=len(tasks), workers=2)
    return trainer.run(epochs=1)


def trained(tasks, every=None):
    """A model trained on these tasks, and {task: [(step, held-out accuracy), ...]}."""
    model, curves = new_model(config), {task: [] for task in tasks}
    for result in training(model, tasks):
        if result.step == STEPS or (every and (result.step % every == 0 or result.step == every // 2)):
            for task in tasks:
                curves[task].append((result.step, accuracy(model, task)))
    return model, curves


model, curves = trained(list(TASKS), every=max(STEPS // 8, 1))
final = {task: points[-1][1] for task, points in curves.items()}
if not QUICK:
    assert all(final[task] > baseline[task] + 0.3 for task in TASKS)
    assert min(final[task] for task in ("summarize", "answer", "classify")) > 0.9

# %%
figure, axis = plots.figure()
for marker, (task, points) in zip("osD^v", curves.items(), strict=True):
    axis.plot(*zip(*points, strict=True), marker=marker, markersize=4, label=f"{task} (baseline {baseline[task]:.0%})")
axis.set(xlabel="step", ylabel="held-out accuracy", ylim=(-0.03, 1.03))
axis.grid(alpha=0.3)
axis.legend()
figure

# %% [markdown]
# Every curve ends far above its baseline (asserted). The last three tasks end almost without errors (also asserted):
# the words to copy, or the words that decide, are in the input. The number tasks keep some errors: each digit depends
# on its place, and German changes the order. Here are the first two errors of each task:

# %%
for task in TASKS:
    print(f"{task}: {final[task]:.0%} right")
    sources, targets = zip(*held_out[task], strict=True)
    triples = zip(sources, write(model, sources), targets, strict=True)
    for source, written, target in [(s, w, t) for s, w, t in triples if w != t][:2]:
        print(f"    {source}\n      wrote {written!r}, not {target!r}")

# %% [markdown]
# ## What the prefix does
#
# With one prefix the same weights write a number in German, with the other in digits: the prefix is read like any other
# word, and through attention it changes everything that follows. But what does the model do when prefix and text do not
# go together? We put every prefix before some held-out texts of each task, and a simple rule tells what form the output
# has: a German number, digits, "... in ... on ...", a word that is an answer, or a class.

# %%
FORMS = {
    "translate": {target for _, target in GERMAN}.__contains__,
    "digits": re.compile(r"\d( \d)*").fullmatch,
    "summarize": re.compile(r"\w+ in \w+ on \w+").fullmatch,
    "answer": {*NAMES, *THINGS, *PLACES, *DAYS}.__contains__,
    "classify": {"positive", "negative"}.__contains__,
}
PREFIX = {task: pairs[0][0].partition(": ")[0] for task, pairs in TASKS.items()}


def under(prefix, task, count):
    return [f"{PREFIX[prefix]}: {source.partition(': ')[2]}" for source, _ in held_out[task][:count]]


count = 4 if QUICK else 40
fits = [[np.mean([bool(FORMS[p](w)) for w in write(model, under(p, task, count))]) for p in TASKS] for task in TASKS]
if not QUICK:
    assert min(fits[i][i] for i in range(len(TASKS))) > 0.9
    assert min(fits[0][1], fits[1][0]) > 0.9
plots.heat_maps(
    {"the output has the form that the prefix asks for": fits},
    TASKS,
    TASKS,
    xlabel="prefix",
    ylabel="text of the task",
    limits=(0, 1),
)

# %% [markdown]
# The diagonal, where prefix and text belong together, is asserted. So is a second fact: number texts accept the prefix
# of the other number task, because the model has read numbers after both. Everything else is up to chance: with a text
# that never followed the prefix in training, the model writes something between what the prefix asks for and what the
# text is like.


# %%
def show(texts):
    for text, written in zip(texts, write(model, texts), strict=True):
        print(f"{text}\n    → {written}")


number, question, opinion = ("digits", "answer", "classify")
pairs = [("digits", number), ("translate", number), ("classify", number), ("translate", question), ("digits", opinion)]
show([under(prefix, task, 1)[0] for prefix, task in pairs])
show(["three hundred forty-two", "spell: three hundred forty-two"])

# %% [markdown]
# Of the last two texts, one has no prefix and the other a prefix that was never seen. None of these outputs is marked
# as nonsense. A model that was only ever asked sensible questions has not learned to decline: nothing in its training
# data shows how. Is it at least less sure? Here is the mean probability of the first token it writes:


# %%
def first_token(model, texts):
    batch = batch_of(encoded([(text, "") for text in texts]))
    steps = minixfmr.generate_steps(model, batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=1)
    return next(steps).probabilities.mean()


for prefix in TASKS:
    own = first_token(model, under(prefix, prefix, count))
    others = np.mean([first_token(model, under(prefix, task, count)) for task in TASKS if task != prefix])
    print(f"{prefix:10} its own texts {own:.2f}   texts of the other tasks {others:.2f}   a guess {1 / V:.3f}")
    assert QUICK or own > others > 10 / V

# %% [markdown]
# It is less sure, but far from guessing (both asserted).
#
# ## One model for all, or one for each?
#
# For comparison, each task gets a model of its own: the same size, the same number of steps, and the same number of
# examples of the task as the joint model saw. Five such models have five times as many weights.

# %%
alone = {task: trained([task])[1][task][-1][1] for task in TASKS}
compared = {}
for task in TASKS:
    compared |= {f"{task}, together": final[task], f"{task}, alone": alone[task]}
plots.bars(compared, xlabel="held-out accuracy", digits=".0%")

# %%
mean = {"together": np.mean(list(final.values())), "alone": np.mean(list(alone.values()))}
print(f"mean accuracy: together {mean['together']:.1%} (one model), alone {mean['alone']:.1%} (five models)")
better = [task for task in TASKS if alone[task] > final[task] + 0.02]
print("more than two points better alone:", ", ".join(better) or "none")

# %% [markdown]
# Whether tasks help or hinder each other depends on what they have in common and on how much room there is in the
# weights. Both number tasks read the same words; the others share little but the prefix mechanism. The point of T5 is
# not that joint training always wins. It is that a new task needs no new model, only pairs of texts.
#
# ## Denoising: pairs without labels
#
# Pairs are scarce, plain text is not. So T5 and BART are first trained on pairs made from text alone: damage it, and
# ask for the damage to be repaired. [objectives.py](../minixfmr/training/variants/objectives.py) has the kinds of
# damage as pure functions of ids and a random generator. Take one sentence, with one id per word.

# %%
sentence = "a model reads the damaged text . then it writes what was there before ."
WORDS = sentence.split()
word = dict(enumerate(WORDS)) | {100 + k: f"<S{k}>" for k in range(9)} | {99: "<mask>", -1: "<start>", -2: "<end>"}
inputs, targets = span_corruption(
    range(len(WORDS)), np.random.default_rng(30), sentinels=[100 + k for k in range(9)], rate=0.3, mean_length=2
)
labels = [*targets, -2]
print("encoder reads: ", *(word[i] for i in inputs))
print(f"\n{'decoder reads':>14}   is to write")
for read, label in zip([-1, *labels[:-1]], labels, strict=True):
    print(f"{word[read]:>14}   {word[label]}")
assert sorted(i for i in [*inputs, *targets] if i < 99) == list(range(len(WORDS)))

# %% [markdown]
# This is T5's *span corruption*. Each cut leaves a sentinel behind, `<S0>`, `<S1>`, ..., and the target lists each
# sentinel with the words it stands for. Inputs and targets together hold every word exactly once (asserted): nothing
# that the encoder sees is written again. The decoder reads its own labels, shifted by one, as in every encoder-decoder.
#
# BART (Lewis et al. 2020) damages in other ways, and always asks for the whole text:

# %%
rng = np.random.default_rng(11)
ids = list(range(len(WORDS)))
damaged = {
    "infilling": text_infilling(ids, rng, mask_token=99, rate=0.3, mean_length=2),
    "deletion": token_deletion(ids, rng, rate=0.3),
    "permutation": sentence_permutation([ids[:7], ids[7:]], rng),
}
print("".join(f"{title:>13}" for title in damaged) + f"{'label of all':>16}")
for *row, label in itertools.zip_longest(*damaged.values(), [*ids, -2]):
    print("".join(f"{'' if i is None else word[i]:>13}" for i in row) + f"{word[label]:>16}")

# %% [markdown]
# Each column is what the encoder reads, from top to bottom; the rows do not correspond. *Infilling* puts a single mask
# where a span was, whatever its length, even 0: how much is missing is part of the question. *Deletion* leaves no
# trace: the model also has to find out where something is missing. *Permutation* keeps all words and loses the order of
# the sentences.
#
# Writing everything is more work. Compare the numbers of labels:

# %%
print(f"T5 {len(labels)}, BART {len(ids) + 1}, for {len(WORDS)} words; at T5's rate of 15 % and 512 tokens:")
example = span_corruption(range(512), np.random.default_rng(0), range(1000, 1100))
print(f"T5 {len(example[1]) + 1}, BART 513")

# %% [markdown]
# ## A short training on denoising
#
# English prose ships with Python: the texts behind `help("topics")`. Paragraphs of prose are cut into pieces of 32
# tokens; some whole paragraphs are set aside.

# %%
text = "\n\n".join(topics[name] for name in sorted(topics))
paragraphs = [re.sub(r"\s+", " ", p).strip() for p in re.split(r"\n\s*\n", text)]
prose = re.compile(r"[A-Z][a-z]+ (?!.*(::=|>>>|==|def |import )).*[.:]")  # no grammar, no code
paragraphs = sorted({p for p in paragraphs if prose.fullmatch(p)})
paragraphs = random.Random(0).sample(paragraphs, len(paragraphs))
english = train_tokenizer([(p,) for p in paragraphs[60:]], 500)
MASK = english.get_vocab_size()  # one more id


def pieces(paragraphs, length=32):
    ids = [english.encode(p).ids for p in paragraphs]
    return [row[i : i + length] for row in ids for i in range(0, len(row) - 7, length)]  # none shorter than 8


kept, unseen = pieces(paragraphs[60:]), pieces(paragraphs[:60])
print(f"{len(paragraphs)} paragraphs, {len(kept)} pieces to train on, {len(unseen)} held out")

# %% [markdown]
# Each time a piece is drawn it is damaged anew, by infilling that hides three tokens in ten. The settings are those of
# BART except for the size and the place of the norm: learned positions, added to the tokens, and a norm on the sum. As
# most of the text has to be written again unchanged, *position* is the best guide to where to copy from. We start with
# larger position vectors than usual, so that the model notices them early.

# %%
DENOISING_STEPS, ROWS = (20, 8) if QUICK else (600, 32)
bart_config = minixfmr.Config(
    vocab_size=MASK + 1,
    d_model=64,
    num_heads=4,
    d_ff=256,
    num_encoder_layers=2,
    num_decoder_layers=2,
    max_position_embeddings=48,
    positions="learned",
    embedding_norm=True,
    norm_order="pre",
    activation="gelu",
    scale_embeddings=False,
    dropout=0.0,  # so short a training does not overfit
    decoder_start_token_id=END,  # as BART has it
    eos_token_id=END,
)


class Denoising:
    def __init__(self, pieces, steps, seed):
        self.pieces, self.steps, self.seed = pieces, steps, seed

    def order(self, epoch):
        return range(self.steps)

    def batch(self, step):
        rng = np.random.default_rng([self.seed, step])
        whole = [self.pieces[i] for i in rng.integers(len(self.pieces), size=ROWS)]
        damaged = [text_infilling(ids, rng, MASK) for ids in whole]
        return minixfmr.TranslationData(damaged, whole, bart_config, max_tokens=10**9).batch(range(ROWS))


# %% [markdown]
# The yardstick is a *unigram* guess: it knows how often each token occurs, and ignores the text before it.

# %%
test = Denoising(unseen, 6, seed=1)
labels = np.concatenate([test.batch(step)["labels"].reshape(-1) for step in test.order(0)])
labels = labels[labels >= 0]
counts = 1 + np.bincount([token for ids in kept for token in [*ids, END]], minlength=MASK + 1)
log_unigram = np.log(counts / counts.sum())
unigram = -log_unigram[labels].mean()

bart = minixfmr.EncoderDecoder(bart_config)
for side in (bart.source, bart.target):
    side.positions.weight.data *= 5
optimizer = minixfmr.AdamW(bart.parameters(), betas=(0.9, 0.98))
schedule = cosine(3e-3, min(50, DENOISING_STEPS // 2), DENOISING_STEPS, final=3e-4)
trainer = minixfmr.Trainer(bart, optimizer, schedule, Denoising(kept, DENOISING_STEPS, seed=0), workers=2)
curves = {"training": [], "held out": [(0, minixfmr.evaluate(bart, test))]}
for result in trainer.run(epochs=1):
    curves["training"].append((result.step, result.loss))
    if result.step % (DENOISING_STEPS // 10) == 0:
        curves["held out"].append((result.step, minixfmr.evaluate(bart, test)))
loss = curves["held out"][-1][1]
assert loss < (unigram + 1 if QUICK else 0.6 * unigram)
plots.losses(curves, {"unigram": unigram})

# %% [markdown]
# The held-out loss falls far below the unigram guess. Why so far? Most labels are still in the damaged text, and
# copying them costs little once the model has found out how. So let us split the labels into those that are still there
# to be read (where damaged and whole text match), and those that were hidden.


# %%
def still_there(damaged, whole):
    found = np.zeros(len(whole), bool)
    for _, start, size in difflib.SequenceMatcher(None, damaged, whole, autojunk=False).get_matching_blocks():
        found[start : start + size] = True
    return found


costs = {True: [], False: []}  # still there or not: [(loss, loss of the unigram), ...]
for step in test.order(0):
    batch = test.batch(step)
    labels = batch.pop("labels")
    log_p = log_softmax(bart(**batch))  # (B, T, V)
    for b, row in enumerate(labels):
        row = row[row >= 0]
        seen = still_there(batch["input_ids"][b].tolist(), row.tolist())
        for t, token in enumerate(row):
            costs[bool(seen[t])].append((-log_p[b, t, token], -log_unigram[token]))
for seen, name in ((True, "still there"), (False, "hidden")):
    ours, guess = np.mean(costs[seen], axis=0)
    share = len(costs[seen]) / sum(map(len, costs.values()))
    print(f"{name:12} {share:4.0%} of the labels   loss {ours:.2f}   unigram {guess:.2f}")
    assert QUICK or ours < guess

# %% [markdown]
# In this short time the model has learned to copy, and to fill gaps a little better than by frequency alone (both
# asserted). Filling them as a reader would takes knowledge of the language, and so far more text than the help pages
# hold. This is how it restores texts it has never seen:


# %%
def readable(ids):
    return "".join("▁[…]" if t == MASK else english.id_to_token(t) for t in ids if t > END).replace("▁", " ").strip()


batch = test.batch(0)
ids = minixfmr.generate(bart, batch["input_ids"][:3], attention_mask=batch["attention_mask"][:3], max_new_tokens=40)
for damaged, written, label in zip(batch["input_ids"], ids.tolist(), batch["labels"], strict=False):
    print(f"damaged  {readable(damaged.tolist())}\nrestored {readable(written)}\nwhole    {readable(label)}\n")

# %% [markdown]
# Published models are trained like this on hundreds of gigabytes of text, and only then on pairs, as in the first half
# of this tutorial. The pairs then only have to show *what is asked*; by then the model knows the language.
#
# ## Check
#
# 1. Misspell a prefix, as in `write(model, ["digts: three hundred forty-two"])`, or ask for a language that the model
#    does not know: `"translate English to French: ..."`. What does it answer?
#    <details><summary>Answer</summary>
#
#    The answer for the most similar prefix that it does know. It has learned to tell five tasks apart, not to read
#    instructions.
#
#    </details>
# 2. Look at what the heads of the encoder have learned about distance: `model.encoder.relative_positions.weight.data`
#    has shape (32 buckets, 4 heads). Draw it with `plots.heat_maps({"bias": table.T}, signed=True, numbers=False)`.
#    Bucket 0 is the query's own position, 1 to 15 are keys further and further before it, 17 to 31 keys after it. Where
#    are the strongest colours?
#    <details><summary>Answer</summary>
#
#    At near keys. There is hardly any colour for far ones, which short texts do not have.
#
#    </details>
# 3. Hide more: `text_infilling(ids, rng, MASK, rate=0.6)` in `Denoising.batch`, and train again. What happens to the
#    share of hidden labels and to the loss?
#    <details><summary>Answer</summary>
#
#    The share grows, and the loss with it: there is less to copy.
#
#    </details>
#
# ## Break
#
# Leave out what `new_model` does to the initial weights, so that it is a plain `EncoderDecoder(config)`. Nothing is
# wrong with the gradients, and the model does learn in the end, but it learns later. Here is the loss of the first
# steps, with and without:

# %%
plain = minixfmr.EncoderDecoder(config)
losses = {
    name: [(result.step, result.loss) for result in itertools.islice(training(start, list(TASKS)), 10 if QUICK else 80)]
    for name, start in (("as T5 begins", new_model(config)), ("as usual", plain))
}
if not QUICK:
    assert losses["as T5 begins"][-1][1] < 0.7 * losses["as usual"][-1][1]
plots.losses(losses)

# %% [markdown]
# With the plain start the logits are so small that all tokens are nearly equally likely: the loss starts near ln V and
# takes many steps to get away from it, since every weight along the way has to grow first. When you rebuild a published
# architecture, its initial weights are part of it.

# %%
for name, points in losses.items():
    print(f"{name:13} first loss {points[0][1]:.2f}, last {points[-1][1]:.2f}; ln V = {np.log(V):.2f}")
