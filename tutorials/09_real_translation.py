# %% [markdown]
# # 09 · Real translation
#
# The models of the earlier tutorials learned toy tasks. This one reads 29,000 captions of photographs, in English and
# in German, and becomes a small translator: from the raw files to the score that papers report. At the end you know how
# subwords are made, why batches are sorted by length, what sacreBLEU measures and what it does not, what beam search
# gains, and which errors no search can mend.
#
# It takes about ten minutes on two cores. Every part of the model is explained in [05](05_encoder_decoder.ipynb), which
# translates numbers; [08](08_published_checkpoints.ipynb), the tutorial before this one, is about models trained by
# others.

# %%
import math
import os
import re
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its threads cannot be forked safely, and the workers are forked

import numpy as np
import plots
import sacrebleu
import translate
from corpus import END, PAD, UNKNOWN, Corpus, read_parallel, train_tokenizer

import minixfmr
from minixfmr.training import cosine, pad, token_batches

QUICK = bool(os.environ.get("QUICK"))  # less data, for the tests

# %% [markdown]
# ## The data
#
# [Multi30k](https://github.com/multi30k/dataset) holds captions that people wrote for photographs, with translations by
# professionals: 29,000 pairs to train on, 1,014 to validate, 1,000 to test. Take the files `train`, `val` and
# `test_2016_flickr` (`.en.gz` and `.de.gz`) from its folder `data/task1/raw`, and put them in a folder `multi30k`
# beside this notebook, or name another folder in the environment variable `MULTI30K`. None of its sentences is printed
# here, because the licence does not let us pass them on.

# %%
folder = Path(os.environ.get("MULTI30K", "multi30k"))
REAL = not QUICK and (folder / "train.en.gz").is_file()
if REAL:
    print("Multi30k is here.")
else:
    print("Without Multi30k, this run goes on with captions that a small grammar makes.")

# %% [markdown]
# The grammar is for those who are offline. It writes captions in the same style, and it includes what makes them hard
# to translate word by word: in German the endings of article and adjective depend on the gender and case of the noun
# ("**a red** hat" is "ein rot**er** Hut", but "in **a red** hat" is "in ein**em** rot**en** Hut"), and in a clause with
# "während" (while) the verb goes to the end.

# %%
PEOPLE = dict(man="m Mann", woman="f Frau", girl="n Mädchen", dog="m Hund", child="n Kind", cat="f Katze")
CLOTHES = dict(shirt="n Hemd", hat="m Hut", jacket="f Jacke", coat="m Mantel", cap="f Mütze", dress="n Kleid")
THINGS = dict(ball="m Ball", book="n Buch", guitar="f Gitarre", bag="f Tasche", umbrella="m Schirm", cup="f Tasse")
PLACES = dict(bench="f Bank", wall="f Mauer", car="n Auto", tree="m Baum", house="n Haus", fence="m Zaun")
SIZES = dict(old="alt", young="jung", big="groß", small="klein")
COLOURS = dict(red="rot", blue="blau", green="grün", black="schwarz", white="weiß", yellow="gelb", brown="braun")
ENDINGS = {  # of "ein" and of the adjective after it
    "nominative": {"m": ("", "er"), "f": ("e", "e"), "n": ("", "es")},
    "accusative": {"m": ("en", "en"), "f": ("e", "e"), "n": ("", "es")},
    "dative": {"m": ("em", "en"), "f": ("er", "en"), "n": ("em", "en")},
}
VERBS = {  # the German verb, its preposition and case, and its possible objects
    "is holding": ("hält", "", "accusative", THINGS),
    "is sitting in front of": ("sitzt", "vor ", "dative", PLACES),
    "is jumping over": ("springt", "über ", "accusative", PLACES),
    "is sleeping behind": ("schläft", "hinter ", "dative", PLACES),
}


# %%
def pick(rng, words):
    return list(words.items())[rng.integers(len(words))]


def phrase(rng, adjectives, nouns, case):
    """(English, German) of an article, an adjective and a noun."""
    (english, german), (adjective, adjektiv) = pick(rng, nouns), pick(rng, adjectives)
    gender, nomen = german.split()
    article, ending = ENDINGS[case][gender]
    return f"a{'n' * (adjective[0] in 'aeo')} {adjective} {english}", f"ein{article} {adjektiv}{ending} {nomen}"


def clause(rng, verb_last):
    (who, wer), (worn, getragen) = phrase(rng, SIZES, PEOPLE, "nominative"), phrase(rng, COLOURS, CLOTHES, "dative")
    does, (verb, preposition, case, targets) = pick(rng, VERBS)
    what, was = phrase(rng, COLOURS, targets, case)
    german = f"{preposition}{was} {verb}" if verb_last else f"{verb} {preposition}{was}"
    return f"{who} in {worn} {does} {what}", f"{wer} in {getragen} {german}"


def caption(rng):
    (english, german), (rest, schluss) = clause(rng, verb_last=False), clause(rng, verb_last=True)
    if rng.random() < 0.4:
        english, german = f"{english} while {rest}", f"{german}, während {schluss}"
    return english[0].upper() + english[1:] + ".", german[0].upper() + german[1:] + "."


for pair in [caption(np.random.default_rng(5)), caption(np.random.default_rng(7))]:
    print(*pair, sep="\n   ")


# %% [markdown]
# ## Reading, and how much to clean
#
# Real files have blemishes: spaces at the end of a line, two spaces in a row, lines where one side is empty, pairs that
# do not belong together. We look before we clean.


# %%
def grammar_corpus(train, held_out):
    """Captions, each different, cut into the three parts."""
    rng = np.random.default_rng(0)
    made = {}
    while len(made) < train + 2 * held_out:
        made.update([caption(rng)])
    pairs = list(made.items())
    return Corpus(pairs[:train], pairs[train : train + held_out], pairs[train + held_out :])


if REAL:
    parts = [[folder / f"{part}.{side}.gz" for side in ("en", "de")] for part in ("train", "val", "test_2016_flickr")]
    captions = Corpus(*(read_parallel(*files) for files in parts))  # drops what is empty, and spaces at the ends
else:
    captions = grammar_corpus(*((500, 60) if QUICK else (12_000, 500)))
for name, pairs in vars(captions).items():
    words = [np.mean([len(side.split()) for side in sides]) for sides in zip(*pairs, strict=True)]
    print(f"{name:5}  {len(pairs):6,} pairs, {words[0]:.1f} English and {words[1]:.1f} German words each")

# %%
ratios = np.array([len(english) / len(german) for english, german in captions.train])
alien = (ratios > 3) | (ratios < 1 / 3)  # one side three times as long: hardly a translation of the other
twice = len(captions.train) - len(set(captions.train))
spaces = sum("  " in side or "\xa0" in side for pair in captions.train for side in pair)
seen = {english for english, _ in captions.train}
leaked = sum(english in seen for english, _ in captions.test)
captions.train = [pair for pair, bad in zip(captions.train, alien, strict=True) if not bad]
print(f"{alien.sum()} training pairs have sides of very different length: dropped")
print(f"{twice} pairs come twice, {spaces} sentences have odd blanks: the tokenizer will make each run of blanks one")
print(f"{leaked} test sentences occur in the training data")
assert leaked == 0  # or the score would measure memory

# %% [markdown]
# This is all the cleaning there is, and for captions it is enough. Two rules matter more than any filter. A test
# sentence must not be in the training data. And the references of the test set are never touched: a score on
# lower-cased references, or with punctuation split off, could not be compared with anybody else's.
#
# ## Subwords
#
# A network needs a fixed list of tokens. The obvious list is the words of the training data, but then any other word
# can be neither read nor written:


# %%
def words_of(text):
    return re.findall(r"\w+", text)


known = [Counter(w for sentence in side for w in words_of(sentence)) for side in zip(*captions.train, strict=True)]
for language, counts, side in zip(["English", "German"], known, zip(*captions.test, strict=True), strict=True):
    tested = {w for sentence in side for w in words_of(sentence)}
    once = sum(n == 1 for n in counts.values()) / len(counts)
    print(
        f"{language}: {len(counts):,} different words in training, {once:.0%} of them only once; "
        f"{len(tested - counts.keys())} of the {len(tested):,} different words of the test never"
    )

# %% [markdown]
# German joins nouns into compounds and inflects them, so it has many more different words, and in any new text more of
# them are new.
#
# **Byte-pair encoding** (Sennrich et al. 2016) starts from single characters and merges the pair of neighbours that
# occurs most often, again and again, until the list is full. Frequent words end up as one token, rare ones as a few
# pieces, and a word never seen is spelled out. With one list for both languages, names and numbers can be copied piece
# by piece, and one table of vectors serves both sides. The work is done by the library `tokenizers`
# ([corpus.py](corpus.py)). How long should the list be?

# %%
sizes = [300] if QUICK else [250, 500, 1000, 2000, 4000, 6000, 10_000]
lengths = {"English": [], "German": []}
for size in sizes:
    tokenizer = train_tokenizer(captions.train, size)
    for language, side in zip(lengths, zip(*captions.valid, strict=True), strict=True):
        counts = [len(encoding.ids) for encoding in tokenizer.encode_batch(list(side))]
        lengths[language].append((tokenizer.get_vocab_size(), np.mean(counts)))
drawn, axis = plots.figure()
for language, points in lengths.items():
    axis.plot(*zip(*points, strict=True), marker="o", label=language)
axis.set(xlabel="subwords in the vocabulary", ylabel="subwords in a sentence", ylim=(0, None))
axis.legend()
drawn

# %% [markdown]
# A longer list makes sentences shorter, quickly at first, then hardly at all. Each entry costs a vector that has to be
# learned; each subword of a sentence costs a step of attention and of writing. Where the curve is flat, the new entries
# are words so rare that their vectors would hardly be trained. We take 6,000 (the grammar has fewer words than that, so
# its list is shorter).

# %%
tokenizer = train_tokenizer(captions.train, 300 if QUICK else 6000)
V = tokenizer.get_vocab_size()
words = ["man", "Hund", "skateboarder", "Fahrradhelm", "Gitarrenspielerin", "photosynthesis", "Steuererklärung", "☂"]
for word in words:
    encoding = tokenizer.encode(word)
    in_training = sum(counts[word] for counts in known)
    print(f"{word:18} {in_training:6,} times in training  " + " · ".join(encoding.tokens))
assert UNKNOWN in tokenizer.encode("☂").ids
assert not any(UNKNOWN in e.ids for pair in captions.valid for e in tokenizer.encode_batch(list(pair)))

# %% [markdown]
# `▁` marks the start of a word, so that decoding can put the spaces back. Frequent words stay whole; rare compounds are
# split into pieces that are sometimes real parts of the word and sometimes not, since the merges count letters and know
# nothing of grammar. Only a character that is not in the training data becomes `<unk>`. The pieces of an unseen word
# can be read, but they carry no meaning of their own; a later section shows what the model makes of them.
#
# ## Batches of similar length
#
# Sentences in a batch share an array, so the short ones are filled up with padding, which is computed and thrown away.
# `token_batches` of [data.py](../minixfmr/training/data.py) puts sentences of similar length together, up to a given
# number of tokens, and shuffles the batches. Here is how much that saves, on the training data:

# %%
config = minixfmr.Config(
    vocab_size=V,
    d_model=32 if QUICK else 128,
    num_heads=4,
    d_ff=64 if QUICK else 512,
    num_encoder_layers=4 if REAL else 1 if QUICK else 2,
    num_decoder_layers=4 if REAL else 1 if QUICK else 2,
    max_position_embeddings=256,
    norm_order="pre",
    dropout=0.1,
)
train = translate.as_data(captions.train, tokenizer, config, 400 if QUICK else 1250, seed=0)
valid = translate.as_data(captions.valid, tokenizer, config, batch_tokens=2500)
by_length = train.order(0)
shuffled = np.random.default_rng(0).permutation(len(train.sources))
at_random = np.split(shuffled, np.cumsum([len(indices) for indices in by_length])[:-1])  # as many in each batch


def waste(batches):
    """The share of the source positions that are padding."""
    masks = [train.batch(indices)["attention_mask"] for indices in batches]  # (B, S), 1 for a real token
    return 1 - sum(mask.sum() for mask in masks) / sum(mask.size for mask in masks)


print(f"padding: {waste(at_random):.0%} of the positions at random, {waste(by_length):.1%} by length")
print(f"at random an epoch computes {(1 - waste(by_length)) / (1 - waste(at_random)):.1f} times as many positions")
assert waste(by_length) < waste(at_random)

# %%
ways = {"at random": at_random, "by length": by_length}
masks = {title: train.batch(batches[0])["attention_mask"][:60] for title, batches in ways.items()}
drawn, axes = plots.figure(1, 2, (7.4, 3.2))
for axis, (title, mask) in zip(axes, masks.items(), strict=True):
    axis.imshow(mask, aspect="auto", interpolation="nearest", cmap="cividis", vmin=0, vmax=1)
    axis.set(title=f"{title}: {1 - mask.mean():.0%} padding", xlabel="position in the sentence")
    axis.set_xlim(-0.5, max(m.shape[1] for m in masks.values()) - 0.5)
axes[0].set_ylabel("sentence of the batch")
drawn

# %% [markdown]
# Each row is a sentence of one batch (60 at most are shown); yellow is a token, dark is padding. At random the longest
# sentence sets the width for all. By length, every row has nearly the same number of tokens, and a batch of short
# sentences simply has more rows. The price is that the sentences of a batch are alike, which makes its gradient a
# little more one-sided. The effect stays small because the batches, and who shares one, are shuffled in each epoch.
#
# ## The model
#
# It is a small version of the Transformer of Vaswani et al. (2017), with the norms before the sublayers, so that it
# trains stably from the first step on. One table E serves as source embedding, target embedding and output layer: z = y
# Eᵀ.

# %%
model = minixfmr.EncoderDecoder(config, seed=0)
table = model.source.tokens.weight
assert model.target.tokens.weight is table and model.head.output.weight is table
print(f"{model.num_parameters():,} parameters, {table.data.size:,} of them in the shared table E, {table.data.shape}")

loss = minixfmr.evaluate(model, valid)
print(f"loss before training: {loss:.2f} nats a token; guessing blindly costs ln V = {math.log(V):.2f}")
assert abs(loss - math.log(V)) < 1.5

# %% [markdown]
# ## Training on a budget
#
# This notebook has time for seven passes over Multi30k. With so few, every choice is about learning quickly:
#
# - **small batches** of 1,250 tokens, which make more steps out of an epoch.
# - **a high learning rate**, reached by a linear warm-up and then lowered to 0 along half a cosine, so that the model
#   settles just when the time is up.
# - **little dropout**: it prevents learning by heart, for which seven passes leave hardly any time.
# - **smoothed labels** (ε = 0.1): a tenth of the target probability is spread over the vocabulary. The model becomes
#   less sure of itself, and its translations better (Vaswani et al. 2017, section 5.4).
# - **two workers**: each takes half of every batch in a process of its own, and their gradients are added up.

# %%
epochs, warmup, peak = (7, 500, 3e-3) if REAL else (5, 20, 1e-2) if QUICK else (2, 200, 3e-3)
total = epochs * len(train.order(0))
trainer = minixfmr.Trainer(
    model,
    minixfmr.AdamW(model.parameters(), betas=(0.9, 0.98), eps=1e-9, weight_decay=1e-4),
    cosine(peak, warmup, total),
    train,
    criterion=minixfmr.CrossEntropy(label_smoothing=0.1),
    workers=2,
    seed=0,
)
steps, validation, tokens, began = [], [], 0, time.perf_counter()
for result in trainer.run(epochs):
    steps.append((result.step, result.loss))
    tokens += result.tokens
    if trainer.progress.position == 0:  # an epoch has ended
        validation.append((result.step, minixfmr.evaluate(model, valid)))
        print(f"epoch {trainer.progress.epoch}: validation loss {validation[-1][1]:.3f}")
seconds = time.perf_counter() - began
print(f"{total:,} steps in {seconds:.0f} s, {tokens / seconds:,.0f} target tokens a second")

# %%
counts = np.bincount([i for target in train.targets for i in [*target, END]])
p = counts[counts > 0] / counts.sum()
baselines = {"blind guess, ln V": math.log(V), "frequencies of the subwords": -(p * np.log(p)).sum()}
assert validation[-1][1] < baselines["frequencies of the subwords"]
drawn = plots.losses({"training (dropout, smoothed labels)": steps, "validation (neither)": validation}, baselines)
drawn.axes[0].legend(loc="upper right", frameon=True, framealpha=1, edgecolor="none")
drawn

# %% [markdown]
# The upper dashed line is a model that knows nothing, the lower one a model that knows how often each subword occurs
# but does not read the source. The validation loss is below the training loss: it is measured without dropout and
# without smoothing, and smoothing alone adds a cost that even a perfect model pays. At the end, where the learning rate
# is nearly 0, the curve is nearly level. A longer schedule with more dropout gets further;
# [docs/results.md](../docs/results.md) has such runs.
#
# ## Writing translations
#
# The encoder reads the source once; the decoder then writes one token at a time. Greedy search always takes the
# likeliest token. Beam search keeps the K best unfinished sentences and compares finished ones by
#
#     score(y) = log p(y) / |y|^α
#
# A longer sentence has more factors below 1, so log p alone (α = 0) favours stopping early. α = 1 is the mean over the
# tokens; α > 1 favours long sentences.


# %%
def write(sentences, **options):
    """The translations of the sentences; options: those of minixfmr.generate."""
    sources = [[*encoding.ids, END] for encoding in tokenizer.encode_batch(list(sentences))]
    outputs = [""] * len(sources)
    for batch in token_batches([len(s) for s in sources], 2000):
        ids = minixfmr.generate(
            model,
            pad([sources[i] for i in batch], PAD),  # (B, S)
            attention_mask=pad([[1] * len(sources[i]) for i in batch], 0),
            max_new_tokens=2 * max(len(sources[i]) for i in batch) + 20,
            **options,
        )
        for i, text in zip(batch, tokenizer.decode_batch(ids.tolist()), strict=True):
            outputs[i] = text
    return outputs


few = [source for source, _ in captions.valid[:50]]
assert write(few) == translate.translate(model, tokenizer, few)  # the same as the command line's

# %% [markdown]
# ## The score
#
# BLEU (Papineni et al. 2002) counts how many runs of 1, 2, 3 and 4 words of the output occur in the reference, takes
# the geometric mean of the four shares, and lowers it if the output is too short:
#
#     BLEU = min(1, e^(1 - r/c)) · (p₁ p₂ p₃ p₄)^¼      c, r: words of all outputs, of all references
#
# Everything depends on what counts as a word. sacreBLEU fixes that: it takes outputs and references as plain text,
# splits them itself (rule "13a", upper and lower case kept), and prints a signature that says so. Scores with different
# signatures must not be compared. chrF counts runs of characters, so a wrong ending costs less than a wrong word.
#
# α is a setting like any other: we choose it on the validation data, then look at the test set once.

# %%
bleu, chrf = sacrebleu.BLEU(), sacrebleu.CHRF()
sources, references = map(list, zip(*captions.valid[: 300 if REAL else 30], strict=True))
alphas = {}
for alpha in [0.0, 1.0, 2.0]:
    outputs = write(sources, num_beams=5, length_penalty=alpha)
    score = bleu.corpus_score(outputs, [references])
    alphas[alpha] = score.score
    print(f"α = {alpha}: BLEU {score.score:.1f}, the output has {score.sys_len / score.ref_len:.1%} of the words")
best_alpha = max(alphas, key=alphas.get)

# %%
sources, references = map(list, zip(*captions.test, strict=True))
outputs = {}
for name, options in {"greedy": {}, "beam 5": dict(num_beams=5, length_penalty=best_alpha)}.items():
    began = time.perf_counter()
    outputs[name] = write(sources, **options)
    score, second = (metric.corpus_score(outputs[name], [references]).score for metric in (bleu, chrf))
    print(f"{name:7} BLEU {score:5.2f}   chrF {second:5.2f}   {time.perf_counter() - began:4.0f} s")
print(bleu.get_signature())
print(chrf.get_signature())
if not QUICK:
    assert bleu.corpus_score(outputs["greedy"], [references]).score > (30 if REAL else 80)

# %% [markdown]
# Is the difference more than luck? The test sentences are a sample, so draw as many of them again and again, with
# replacement, and score each draw: the spread of the difference gives the answer. This is quick, since BLEU needs only
# ten numbers per sentence, which can simply be added up: hits and runs for lengths 1 to 4, and the two lengths. From
# them we can also compute the score by hand, with the formula above.


# %%
def statistics(texts):
    scores = [bleu.corpus_score([text], [[reference]]) for text, reference in zip(texts, references, strict=True)]
    return np.array([[*s.counts, *s.totals, s.sys_len, s.ref_len] for s in scores], float)  # (sentences, 10)


def score_of(sums):
    """BLEU by hand.   sums: (..., 10)"""
    hits, runs, c, r = sums[..., :4], sums[..., 4:8], sums[..., 8], sums[..., 9]
    return 100 * np.minimum(1, np.exp(1 - r / c)) * (hits / runs).prod(-1) ** 0.25


greedy, beam = (statistics(outputs[name]) for name in ("greedy", "beam 5"))
if not QUICK:  # a model that has learned hardly anything may score 0, which sacreBLEU smooths
    assert math.isclose(score_of(greedy.sum(0)), bleu.corpus_score(outputs["greedy"], [references]).score, abs_tol=1e-6)
draws = np.random.default_rng(0).integers(len(references), size=(500, len(references)))
gains = score_of(beam[draws].sum(1)) - score_of(greedy[draws].sum(1))
low, high = np.quantile(gains, [0.025, 0.975])
print(f"beam 5 minus greedy: {low:+.1f} to {high:+.1f} BLEU in 95 % of the draws, above 0 in {np.mean(gains > 0):.0%}")

# %% [markdown]
# ## Sentences of your own
#
# Now some captions that are not in the data. The first five are made of the usual material; the others move away from
# it step by step: a rare compound, a question, politics, a person speaking. "Sure" is the geometric mean of the
# probabilities that the model gave to the tokens it wrote, and "new" lists the words it never saw in training.

# %%
mine = [
    "A young woman in a yellow raincoat is jumping over a puddle next to her brown dog.",
    "Two old men are playing chess while a small boy is eating an apple.",
    "A little girl in a blue dress holds a red umbrella and looks at the camera.",
    "Three musicians with guitars are standing in front of a green house.",
    "A man on a ladder is painting the wall of a tall building white.",
    "A lighthouse keeper is repairing a lawnmower.",
    "Why is nobody playing soccer today?",
    "The parliament has rejected the new tax law.",
    "I would have called you if I had not lost my phone.",
    "An astronaut is explaining photosynthesis to a penguin.",
]
if not REAL:
    mine[:2] = [caption(np.random.default_rng(1_000_000 + i))[0] for i in range(2)]
assert not seen & set(mine)


# %%
def sure(source):
    """The geometric mean of the probabilities of the tokens that greedy search writes."""
    ids = np.array([[*tokenizer.encode(source).ids, END]])
    p = [step.probabilities[0] for step in minixfmr.generate_steps(model, ids, max_new_tokens=80)]
    return math.exp(np.mean(np.log(p)))


translations = write(mine, num_beams=5, length_penalty=best_alpha)
for source, translation in zip(mine, translations, strict=True):
    new = [word for word in words_of(source) if word not in known[0]]
    print(f"{source}\n  {translation}\n  sure {sure(source):.0%}" + (f", new: {', '.join(new)}" if new else ""))

# %% [markdown]
# The first ones come out as German captions, with genders, cases and word order mostly right. The others show what
# translation means to this model: writing the likeliest caption, given what it recognizes. It has no way to say that it
# does not understand. If a word is unknown it reads the pieces, and may write about something those pieces resemble; if
# the sentence is not a caption, it turns it into one, or gets lost in repetitions. How sure it is gives a hint, but no
# more than that: a fluent mistake can look as sure as a right translation.
#
# ## Where it looks
#
# This is the cross-attention of the last block, averaged over its heads: each row is a token that the model writes,
# each column one that it reads.

# %%
example = "A tall woman is reading a newspaper while two small dogs are sleeping under the table."
if not REAL:
    example = (
        "A small girl in a red hat is holding a blue ball while an old cat in a green cap is sleeping behind a car."
    )
(translation,) = write([example])
print(translation)
plots.attention_maps([translate.cross_attention(model, tokenizer, example, translation)])

# %% [markdown]
# The bright cells follow the diagonal as long as both languages keep the same order, and leave it where German does
# not: in the clause with "während" the verb comes last, so the row that writes it looks back to the left, past source
# words that have already been translated. Nobody told the model which word belongs to which.
#
# ## Which errors
#
# Are long sentences harder? Here is the chrF of single sentences, with standard errors, by the length of the source:

# %%
by_words = np.array([len(words_of(source)) for source in sources])
scores = np.array([chrf.corpus_score([o], [[r]]).score for o, r in zip(outputs["beam 5"], references, strict=True)])
edges = np.unique(np.quantile(by_words, np.linspace(0, 1, 7)).astype(int))
points = []
for low, high in pairwise(edges):
    inside = (by_words >= low) & ((by_words < high) | (high == edges[-1]))
    points.append((by_words[inside].mean(), scores[inside].mean(), scores[inside].std() / math.sqrt(inside.sum())))
drawn, axis = plots.figure()
xs, ys, errors = np.array(points).T
axis.errorbar(xs, ys, 2 * errors, marker="o", capsize=3)
axis.set(xlabel="words in the source", ylabel="chrF of a sentence", ylim=(0, 100))
drawn

# %% [markdown]
# Each point stands for about a sixth of the test sentences; the bars show twice the standard error.

# %%
trend = np.corrcoef(by_words, scores)[0, 1] if scores.std() else 0.0  # 0: every sentence is right
print(f"correlation of length and chrF: {trend:+.2f}; shortest group {ys[0]:.0f}, longest {ys[-1]:.0f}")
if REAL:
    assert abs(trend) < 0.5

# %% [markdown]
# Length alone explains little of what goes wrong. Are rare words harder? For each word of the references: how often
# did it occur in the German training data, and is it in the translation?

# %%
groups = {"never": (0, 0), "1 or 2": (1, 2), "3 to 9": (3, 9), "10 to 99": (10, 99), "100 and more": (100, math.inf)}
found = {name: [] for name in groups}
for output, reference in zip(outputs["beam 5"], references, strict=True):
    written = set(words_of(output))
    for word in words_of(reference):
        (name,) = (name for name, (low, high) in groups.items() if low <= known[1][word] <= high)
        found[name].append(word in written)
shares = {f"{name} ({len(hits):,} words)": np.mean(hits) for name, hits in found.items() if hits}
if REAL:
    assert max(np.mean(found["never"]), np.mean(found["3 to 9"])) < np.mean(found["100 and more"])
plots.bars(shares, xlabel="share that the translation has", digits=".0%")

# %% [markdown]
# This picture explains most of the errors. A word that occurs a hundred times in the training data is usually there; a
# word that occurs once or twice is usually missing, and a word that never occurs can only appear through a lucky
# spelling. (A reference is one of many right translations, so even the best translator would not reach 100 %.) No
# search can mend that: 29,000 captions contain only the words of 29,000 captions. More text would, in the pairs or
# before them, which is why systems such as those of [08](08_published_checkpoints.ipynb) read billions of words first.
#
# ## Check
#
# 1. Write captions of your own into `mine`, then the same in capitals (`[s.upper() for s in mine]`). What comes out,
#    and why?
#    <details><summary>Answer</summary>
#
#    Nonsense: "MAN" and "man" have no token in common, and the training data has hardly any words in capitals.
#
#    </details>
# 2. Run `write(mine, num_beams=5, length_penalty=-1.0)`. What happens to the length of the translations?
#    <details><summary>Answer</summary>
#
#    Some become shorter, perhaps even empty. With α = -1 the score, a negative number, is multiplied by the length.
#
#    </details>
# 3. Score the outputs again with `sacrebleu.BLEU(lowercase=True)`. Is the model better now?
#    <details><summary>Answer</summary>
#
#    The number is higher, with `lc` in its signature: German nouns start with a capital, and this score forgives each
#    one that is missing. It is a different score, not a better model.
#
#    </details>
#
# ## Break
#
# Remove the `attention_mask` from the call in `write`. A batch of similar lengths has little padding, so the damage is
# easy to miss. The next cell makes it visible: the same sentences, each padded to 60 tokens, with the mask and without.

# %%
ids = [[*encoding.ids, END] for encoding in tokenizer.encode_batch(mine)]
padded = pad([*ids, [END] * 60], PAD)[:-1]  # (B, 60)
mask = pad([*([1] * len(s) for s in ids), [1] * 60], 0)[:-1]
changed = {}
for name, given in {"with": mask, "without": None}.items():
    out = minixfmr.generate(model, padded, attention_mask=given, max_new_tokens=60)
    texts = tokenizer.decode_batch(out.tolist())
    changed[name] = sum(a != b for a, b in zip(texts, translate.translate(model, tokenizer, mine), strict=True))
    print(f"{name} the mask: {changed[name]} of {len(mine)} translations change")
    print(f"  {texts[0]}")
if not QUICK:
    assert changed["with"] < changed["without"]

# %% [markdown]
# Without the mask the encoder and the decoder attend to the padding as if it were words. Nothing fails and nothing
# warns you: the translations are just worse, by an amount that depends on what else is in the batch.
