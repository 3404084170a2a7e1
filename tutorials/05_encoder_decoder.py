# %% [markdown]
# # 05 · Encoder-decoder
#
# A Transformer learns to translate numbers from English words to German words, and you look at every stage: what it
# reads, what it is asked, how its loss falls and where the fall stops, where it looks, how it searches, how
# translations are scored, and where it fails. At the end you know what a number such as "98 % exact" or "BLEU 40" says,
# and what it hides. It runs for about a minute. It builds on attention ([01](01_attention_by_hand.ipynb)) and on the
# decoder of [04](04_decoder_only.ipynb); [translate.py](translate.py) is the same task at full size, as a command.

# %%
import os
from collections import Counter

import numpy as np
import plots
import sacrebleu
from corpus import END, PAD, START, in_words, number_corpus, train_tokenizer
from translate import cross_attention

import minixfmr
from minixfmr.training import cosine, pad, rouge_1, token_batches

QUICK = bool(os.environ.get("QUICK"))  # less data, for the tests

# %% [markdown]
# ## The task
#
# Numbers in words are a small language with real grammar. English says forty-two, German says two-and-forty; English
# goes from the largest part to the smallest, German swaps the last two in every group of three digits. And nothing has
# to be downloaded: num2words writes both sides.
#
# The training set has every number below 1,000 and a random sample of the larger ones below a million. The test numbers
# are different ones, so that a right translation cannot come from memory. Odd numbers are read as in Britain, with
# "and" and commas, even ones as in America: the model has to understand both ways, and German has only one.

# %%
corpus = number_corpus("en", "de", train_size=300 if QUICK else 6000, valid_size=300, test_size=1000)
tokenizer = train_tokenizer(corpus.train, vocab_size=130)
V = tokenizer.get_vocab_size()
seen = {source for source, _ in corpus.train}
assert not any(source in seen for source, _ in corpus.test)
print(f"{len(corpus.train):,} pairs to train on, {len(corpus.valid):,} to validate, {len(corpus.test):,} to test\n")
for source, target in [*corpus.train[40:44], *corpus.test[:2]]:
    print(source, "→", target)

# %% [markdown]
# The model reads subwords. One vocabulary serves both sides: byte-pair encoding keeps joining the pair of neighbouring
# pieces that occurs most often, until there are V pieces. ▁ marks the start of a word. The pieces are often, but not
# always, what a grammar book would call the parts of a number.

# %%
for text in corpus.test[0]:
    print(" ".join(tokenizer.encode(text).tokens))
print(f"V = {V}")

# %% [markdown]
# ## Teacher forcing
#
# The decoder factorizes the probability of a translation y of a source x into one factor per token:
#
# $$p(y \mid x) = \prod_{t=1}^{T} p(y_t \mid y_{<t}, x)$$
#
# To learn the factor of position t, it must be given the tokens before t. In training these are the **true** ones,
# whatever the model itself would have written, as if a teacher corrected it after each token. So the decoder's input is
# the target shifted right by one, after a start token, and the labels are the target with an end token. Under the
# look-ahead mask all T factors are computed at once.

# %%
config = minixfmr.Config(
    vocab_size=V,
    d_model=96,
    num_heads=4,
    d_ff=384,
    num_encoder_layers=2,
    num_decoder_layers=2,
    max_position_embeddings=128,
    norm_order="pre",
    pad_token_id=PAD,
    decoder_start_token_id=START,
    eos_token_id=END,
)


# %%
def encode(texts):
    return [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]


def as_data(pairs, seed=None):
    sources, targets = zip(*pairs, strict=True)
    return minixfmr.TranslationData(encode(sources), encode(targets), config, max_tokens=2000, seed=seed)


train_data, valid_data = as_data(corpus.train, seed=0), as_data(corpus.valid)

# %%
batch = train_data.batch([42, 5])  # forty-two, and a shorter one beside it


def tokens(ids):
    return [tokenizer.id_to_token(int(i)) if i >= 0 else "·" for i in ids]


for name in ("input_ids", "decoder_input_ids", "labels"):
    print(f"{name:18}", batch[name].shape)
    for row in batch[name]:
        print(" " * 18, " ".join(f"{token:6}" for token in tokens(row)))
real = batch["labels"][:, :-1] >= 0
assert (batch["decoder_input_ids"][:, 1:] == batch["labels"][:, :-1])[real].all()

# %% [markdown]
# Read the two lower blocks column by column: below each decoder input is the token that follows it. A dot stands for
# the label -100, which [losses.py](../minixfmr/training/losses.py) leaves out of the mean.
#
# ## Padding, and batches by length
#
# The rows of an array all have the same length, so the shorter sentence is filled up with `<pad>`. Two things keep
# padding from doing harm: the attention mask hides it from every query, and its labels do not count. So a sentence gets
# the same logits alone and in company:

# %%
model = minixfmr.EncoderDecoder(config, seed=0)
inputs = {name: array for name, array in batch.items() if name != "labels"}
alone = train_data.batch([5])
S, T = alone["input_ids"].shape[1], alone["decoder_input_ids"].shape[1]
by_itself = model(alone["input_ids"], alone["decoder_input_ids"])
in_company = model(**inputs)[1:, :T]
no_mask = model(inputs["input_ids"], inputs["decoder_input_ids"])[1:, :T]
print(f"with the mask, padding changes the logits by   {abs(in_company - by_itself).max():.1e}")
print(f"without it                                     {abs(no_mask - by_itself).max():.1e}")
assert abs(in_company - by_itself).max() < 1e-4 < abs(no_mask - by_itself).max()

# %% [markdown]
# Padding does no harm, but it makes work: it is multiplied like everything else. So sentences of similar length share a
# batch, and the size of a batch is limited in tokens, not in sentences: see `token_batches` in
# [data.py](../minixfmr/training/data.py).

# %%
lengths = np.array([max(len(s), len(t)) + 1 for s, t in zip(train_data.sources, train_data.targets, strict=True)])


def padding_share(batches):
    computed = sum(len(batch) * lengths[batch].max() for batch in batches)
    return 1 - lengths.sum() / computed


by_length = train_data.order(epoch=0)
shuffled = np.array_split(np.random.default_rng(0).permutation(len(lengths)), len(by_length))
print(
    f"padding in {len(by_length)} batches: drawn at random {padding_share(shuffled):.0%},"
    f" by length {padding_share(by_length):.0%}"
)
assert padding_share(by_length) < padding_share(shuffled) / 3

# %% [markdown]
# ## Training, and the floor of label smoothing
#
# With label smoothing ε, the label is no longer one token but a distribution q: the true token gets 1 - ε, and the rest
# is shared by the whole vocabulary. The loss is the cross-entropy between q and the model's p, and it is lowest where p
# = q. There it is not 0, but the entropy of q:
#
# $$q_{label} = 1 - ε + ε/V, \quad q_{other} = ε/V, \qquad
# \min_p \; -\sum_v q_v \log p_v = H(q) = -\sum_v q_v \log q_v$$
#
# No model can get below it. The package's loss of the logits log q agrees:

# %%
epsilon = 0.1
q = np.full(V, epsilon / V)
q[END] += 1 - epsilon  # whichever token it is
floor = -(q * np.log(q)).sum()
smoothed = minixfmr.CrossEntropy(label_smoothing=epsilon)
loss, _ = smoothed.forward(np.log(q)[None], np.array([END]))
print(f"H(q) = {floor:.4f}, the loss at p = q: {loss:.4f}; ln V = {np.log(V):.2f}")
assert np.isclose(loss, floor)

# %% [markdown]
# A model that finds all tokens equally likely has a loss of ln V. A new model is a little above that: its guesses are
# random, but not uniform. One thing in the loop below is unusual: it keeps a copy of the weights from the middle of
# training. A finished model is right too often to show what search and metrics are for; the half-trained one will be
# useful for that.

# %%
epochs, half = (2, 1) if QUICK else (6, 2)
steps = epochs * len(train_data.order(0))
optimizer = minixfmr.AdamW(model.parameters(), betas=(0.9, 0.98), eps=1e-9, weight_decay=1e-4)
schedule = cosine(4e-3, min(200, steps // 4), steps)
trainer = minixfmr.Trainer(model, optimizer, schedule, train_data, criterion=smoothed, workers=2, seed=0)

# %%
training_curve, validation_curve = [], [(0, minixfmr.evaluate(model, valid_data))]
for result in trainer.run(epochs):
    training_curve.append((result.step, result.loss))
    if trainer.progress.position == 0:  # an epoch has ended
        validation_curve.append((result.step, minixfmr.evaluate(model, valid_data)))
        if trainer.progress.epoch == half:
            half_weights = model.state_dict()
print(f"{model.num_parameters():,} parameters, {steps} steps, last training loss {result.loss:.3f}, floor {floor:.3f}")
assert all(loss > floor for _, loss in training_curve)

# %%
plots.losses(
    {"training (dropout, smoothed labels)": training_curve, "validation (neither)": validation_curve},
    {"ln V": np.log(V), "floor of the smoothed loss": floor},
)

# %% [markdown]
# The training loss settles a little above its floor. It is not stuck: the remaining gap is due to dropout. The
# validation loss is measured without smoothing, so it may go below that line. It will not reach 0 either, because the
# model has been taught to keep ε of its probability for other tokens. (It may end a little below the value printed
# here: without dropout a model is surer of itself than in training.)

# %%
print(
    f"-log q_label = {-np.log(q.max()):.3f} is the validation loss of a model with p = q;"
    f" ours: {validation_curve[-1][1]:.3f}"
)

# %% [markdown]
# ## Translating
#
# At test time there is no teacher. `generate` encodes the source once, then writes one token after another, always the
# likeliest (*greedy*), and feeds the model its own words. Source sentences of similar length share a batch, as in
# training.


# %%
def translate(model, texts, **options):
    """The translations of the texts, in their order."""
    sources, outputs = [[*ids, END] for ids in encode(texts)], [""] * len(texts)
    for batch in token_batches([len(source) for source in sources], 2000):
        ids = minixfmr.generate(
            model,
            pad([sources[i] for i in batch], PAD),
            attention_mask=pad([[1] * len(sources[i]) for i in batch], 0),
            max_new_tokens=60,
            **options,
        )
        for i, text in zip(batch, tokenizer.decode_batch(ids.tolist()), strict=True):  # without special tokens
            outputs[i] = text
    return outputs


def exact(outputs, references):
    return float(np.mean([output == reference for output, reference in zip(outputs, references, strict=True)]))


# %%
test = corpus.test[: 40 if QUICK else 1000]
sources, references = map(list, zip(*test, strict=True))
outputs = translate(model, sources)
print(f"{exact(outputs, references):.1%} of {len(test)} unseen numbers are exactly right")
print(sources[0], "→", outputs[0])
assert QUICK or exact(outputs, references) > 0.9

# %% [markdown]
# ## Cross-attention as alignment
#
# The decoder's only way to the source is cross-attention: each target position asks with a query, and the encoder's
# vectors answer with keys and values. The weights say where it looked, so they can be read as an alignment of the two
# sentences. `cross_attention` in [translator.py](translation/translator.py) returns those of the last block, averaged
# over heads.

# %%
examples = ["forty-two", "three hundred sixty-five thousand eighty-nine"]
maps = [
    cross_attention(model, tokenizer, text, translation)
    for text, translation in zip(examples, translate(model, examples), strict=True)
]
plots.attention_maps(maps)

# %% [markdown]
# Each row shows where the model looked while it wrote that token. From group to group the bright cells run down the
# diagonal; inside a two-digit number they run backwards. Nobody told the model about this order. Two pictures may be
# luck, so let us count: for all numbers from 21 to 99 that have a hyphen, does the token for the ones look to the right
# of the hyphen, and the token for the tens to the left?


# %%
def looks(text, translation):
    """Where the ones' token and the tens' token look, relative to the hyphen: (> 0 is to the right, likewise)."""
    read, written, weights = cross_attention(model, tokenizer, text, translation)
    hyphen, best = read.index("-"), weights.argmax(axis=1)  # (T,)
    joint = next(t for t, token in enumerate(written) if "und" in "".join(written[: t + 1]))
    return best[1] - hyphen, best[joint + 1] - hyphen


pairs = [(in_words(n, "en"), in_words(n, "de")) for n in range(21, 100) if n % 10]
ones, tens = np.array([looks(*pair) for pair in pairs]).T
print(
    f"of {len(pairs)} numbers, the ones look right of the hyphen in {(ones > 0).mean():.0%},"
    f" the tens left of it in {(tens < 0).mean():.0%}"
)
assert QUICK or (ones > 0).mean() > 0.5 < (tens < 0).mean()

# %% [markdown]
# An alignment is not an explanation: the encoder has already mixed the source tokens, so the vector at "forty" may also
# carry information about its neighbours. That is why `</s>` or a hyphen can be a useful place to look.
#
# ## Exposure bias
#
# In training every prefix was right. At test time the prefix is the model's own, and after its first mistake it is in a
# situation it has never met: this is called exposure bias. To see it, put words into the model's mouth and let it
# continue. `start` and `step` are what `generate` is made of.


# %%
def go_on(text, prefix):
    """What the model writes after a prefix that it did not choose."""
    _, state = model.start(np.array([[*encode([text])[0], END]]))
    written = new = [START, *encode([prefix])[0]] if prefix else [START]
    while written[-1] != END and len(written) < 40:
        new = [int(model.step(np.array([new]), state).argmax())]
        written = written + new
    return tokenizer.decode(written)


for prefix in ("", "zwei", "drei", "vier", "neunhundert"):
    print(f"forty-two, after {prefix!r:14} → {go_on('forty-two', prefix)}")
if not QUICK:
    assert go_on("forty-two", "") == go_on("forty-two", "zwei") == "zweiundvierzig"

# %% [markdown]
# The model never takes a word back, and what follows a wrong word is a compromise between the source and a prefix that
# does not belong to it. In numbers: replace the third token of each test target with another and measure the loss of
# what comes after it, given the source.

# %%
some = as_data(test[:200])
right_loss = wrong_loss = count = 0.0
rng = np.random.default_rng(0)
for key in some.order(0):
    batch = some.batch(key)
    labels = batch.pop("labels")
    labels[:, :3] = -100  # only what is written after the wrong token
    n = smoothed.count(labels)
    right_loss += n * minixfmr.CrossEntropy().forward(model(**batch), labels)[0]
    batch["decoder_input_ids"][:, 3] = rng.choice(batch["decoder_input_ids"][:, 3], len(labels))  # of another number
    wrong_loss += n * minixfmr.CrossEntropy().forward(model(**batch), labels)[0]
    count += n
print(f"nats a token after a right prefix {right_loss / count:.3f}, after a wrong one {wrong_loss / count:.3f}")
assert QUICK or wrong_loss > right_loss

# %% [markdown]
# Teacher forcing is still how everybody trains, because it makes all positions of a sentence one parallel computation.
# The usual remedy at test time is not to commit to a single prefix.
#
# ## Beam search and the length penalty
#
# Greedy search always takes the likeliest token; the likeliest *sequence* may begin with a token that is only second.
# Beam search keeps the K best unfinished hypotheses and compares the finished ones by
#
# $$score(y) = \frac{\log p(y \mid x)}{T^{α}}, \qquad \log p(y \mid x) = \sum_{t=1}^{T} \log p(y_t \mid y_{<t}, x)$$
#
# Every factor is below 1, so a longer sequence has a lower log p, and α = `length_penalty` makes up for it: α = 0
# compares plain probabilities, α = 1 compares means per token, and a larger α favours longer sequences. (log p is
# negative, so dividing by a larger number brings it closer to 0.)
#
# The half-trained model is unsure enough for the two to differ:

# %%
half_model = minixfmr.EncoderDecoder(config, seed=0)
half_model.load_state_dict(half_weights)
valid_sources, valid_references = map(list, zip(*corpus.valid[: 40 if QUICK else 300], strict=True))
found = {K: translate(half_model, valid_sources, num_beams=K) for K in (1, 2, 4)}
for K, texts in found.items():
    print(f"{K} beam{'s' * (K > 1)}: {exact(texts, valid_references):.1%} exactly right")
print(f"the finished model, greedy: {exact(translate(model, valid_sources), valid_references):.1%}")


# %%
def hypothesis(text, K):
    """(the tokens that a search with K beams finds, the log p of each) in the half-trained model."""
    source = np.array([[*encode([text])[0], END]])
    ids = minixfmr.generate(half_model, source, max_new_tokens=60, num_beams=K)
    logits = half_model(source, ids[:, :-1])[0]  # (T, V)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return ids[0, 1:], log_p[np.arange(len(logits)), ids[0, 1:]]


different = sorted(
    (source for source, one, four in zip(valid_sources, found[1], found[4], strict=True) if one != four), key=len
)
likelier = (s for s in different if hypothesis(s, 4)[1].sum() > hypothesis(s, 1)[1].sum())
shown = next(likelier, valid_sources[0])
print(shown)
for K in (1, 4):
    ids, log_p = hypothesis(shown, K)
    print(f"{K} beam{'s' * (K > 1):1}  log p {log_p.sum():6.2f}, T {len(ids):2}, score {log_p.mean():.3f}: ", end="")
    print(*(f"{token} {each:.2f} " for token, each in zip(tokens(ids), log_p, strict=True)))

# %% [markdown]
# Each token stands with its log p. Follow the two rows from the left to where they part. There greedy search took the
# likelier token, and paid for it with less likely ones afterwards; beam search still had the other beginning when the
# cost showed up. It looks for a hypothesis with a higher score. Whether that is a better translation, the score does
# not tell.
#
# Note how little the search repairs: most mistakes are the model's own, and the model finds them likely. Here is the
# effect of the length penalty on the same numbers:

# %%
mean_length = {}
for alpha in (0.0, 1.0, 2.0, 8.0):
    texts = translate(half_model, valid_sources, num_beams=4, length_penalty=alpha)
    mean_length[alpha] = np.mean([len(ids) for ids in encode(texts)])
    print(f"α = {alpha:.0f}: {mean_length[alpha]:.2f} tokens on average, {exact(texts, valid_references):.1%} right")
print(f"the references: {np.mean([len(ids) for ids in encode(valid_references)]):.2f} tokens")
assert mean_length[0] <= mean_length[1] < mean_length[8] or QUICK

# %% [markdown]
# A small α hardly changes the choice; a large one makes length itself the goal, and the model adds words that are not
# in the source. The default is 1.
#
# ## Metrics, and what they miss
#
# **Exact match** is the share of translations that equal the reference. It is strict and clear where only one
# translation is right, as here. A sentence has many right translations, so the usual metrics count the overlap between
# output and reference:
#
# - **BLEU**: precision of word n-grams, n = 1 to 4 (what share of the output's n-grams occurs in the reference),
#   their geometric mean, times a penalty for outputs that are too short.
#   [sacrebleu](https://github.com/mjpost/sacrebleu) computes it the same way for everybody.
# - **chrF**: precision and recall of *character* n-grams, n = 1 to 6, as an F-score that weighs recall twice. Also
#   from sacrebleu.
# - **ROUGE**: made for summaries. ROUGE-1 is the F-score of single words in common; ROUGE-L that of the longest
#   common subsequence (words in the same order, gaps allowed):
#
# $$\mathrm{ROUGE\text{-}1} = \frac{2 \cdot |y \cap r|}{|y| + |r|}, \qquad
# \mathrm{ROUGE\text{-}L} = \frac{2 \cdot LCS(y, r)}{|y| + |r|}$$
#
# ROUGE is short enough to implement here. LCS(i, j) of the first i and j words is LCS(i-1, j-1) + 1 where word i and
# word j are equal, else the larger of LCS(i-1, j) and LCS(i, j-1).


# %%
def one(y, r):
    overlap = sum((Counter(y) & Counter(r)).values())  # with repetition
    return 2 * overlap / (len(y) + len(r))


def rouge_l(y, r):
    longest = np.zeros((len(y) + 1, len(r) + 1), int)
    for i, j in np.ndindex(len(y), len(r)):
        longest[i + 1, j + 1] = longest[i, j] + 1 if y[i] == r[j] else max(longest[i, j + 1], longest[i + 1, j])
    return 2 * longest[-1, -1] / (len(y) + len(r))


y, r = list("bacd"), list("abced")
print(f"ROUGE-1 {one(y, r):.3f}, ROUGE-L {rouge_l(y, r):.3f}")  # 4 words in common, 3 of them in order
assert np.isclose(one(y, r), 8 / 9) and np.isclose(rouge_l(y, r), 6 / 9)
assert np.isclose(one(y, r), rouge_1(y, r))  # the package has it, too, for PEGASUS' objective

# %% [markdown]
# Here are five outputs for one reference sentence, and then four for one number. Judge them yourself before you look at
# the scores.

# %%
bleu, chrf = sacrebleu.BLEU(effective_order=True), sacrebleu.CHRF()


def scores(output, reference):
    y, r = output.split(), reference.split()
    overlap = bleu.sentence_score(output, [reference]).score, chrf.sentence_score(output, [reference]).score
    return (*overlap, 100 * one(y, r), 100 * rouge_l(y, r))


def table(reference, cases):
    print(f"reference: {reference}\n{'BLEU':>6} {'chrF':>6} {'R-1':>6} {'R-L':>6}")
    for remark, output in cases.items():
        print(" ".join(f"{value:6.1f}" for value in scores(output, reference)), f"  {remark}: {output}")


sentence = "Der Zug nach Wien fährt um acht Uhr zwölf von Gleis sieben ab"
table(
    sentence,
    {
        "the same": sentence,
        "wrong platform": sentence.replace("sieben", "neun"),
        "right, said otherwise": "Um zwölf nach acht verlässt der Zug nach Wien Gleis sieben",
        "a salad of its words": "von Wien ab fährt sieben Uhr nach Gleis acht um zwölf Zug Der",
        "its beginning": "Der Zug nach Wien",
    },
)
wrong, right = sentence.replace("sieben", "neun"), "Um zwölf nach acht verlässt der Zug nach Wien Gleis sieben"
assert all(a > b for a, b in zip(scores(wrong, sentence), scores(right, sentence), strict=True))

# %%
number = in_words(70243, "de")
table(
    number,
    {
        "the same": number,
        "wrong by one digit": in_words(70143, "de"),
        "two digits exchanged": in_words(70234, "de"),
        "right, in digits": "70243",
    },
)

# %% [markdown]
# All four metrics rank the sentence that sends you to the wrong platform above the right one in other words: they count
# words, and one wrong word among many costs little, however much depends on it. ROUGE-1 cannot tell the word salad from
# the sentence. For a number written as one word, BLEU and ROUGE on words are all or nothing; chrF gives most of the
# points to a number that is off by a hundred, and none to the right number in digits. So the metric has to fit the
# task. Here exact match is the honest one; for sentences one asks people or uses a trained metric, and BLEU serves to
# compare versions of one system.
#
# Here are the same metrics over many translations by our models:

# %%
print(f"{'':14} exact   BLEU   chrF    R-L of subwords")
for name, texts in {"half-trained": found[1], "finished": translate(model, valid_sources)}.items():
    subwords = [rouge_l(*pair) for pair in zip(encode(texts), encode(valid_references), strict=True)]
    corpus_bleu = bleu.corpus_score(texts, [valid_references]).score
    corpus_chrf = chrf.corpus_score(texts, [valid_references]).score
    print(
        f"{name:14}{100 * exact(texts, valid_references):6.1f}"
        f" {corpus_bleu:6.1f} {corpus_chrf:6.1f} {100 * np.mean(subwords):6.1f}"
    )

# %% [markdown]
# BLEU follows exact match here, because one number is one word. chrF and ROUGE-L of the half-trained model look much
# better than its share of right answers. If it had to write cheques, which of the columns would you want to see?
#
# ## Where it fails
#
# A test set drawn like the training set answers one question: does the model know what it was trained for? To see what
# it has *not* learned, ask about something else. For each range below we draw numbers that were not in the training
# set; only the first two ranges were in it completely.

# %%
each = 30 if QUICK else 300
ranges = {
    "0 to 12": (0, 13),
    "13 to 999": (13, 1000),
    "1,000 to 9,999": (1000, 10_000),
    "10,000 to 99,999": (10_000, 100_000),
    "100,000 to 999,999": (100_000, 1_000_000),
    "1 to 9 million": (1_000_000, 10_000_000),
    "10 to 999 million": (10_000_000, 1_000_000_000),
}

# %%
right_in, failures = {}, {}
for label, (low, high) in ranges.items():
    drawn = np.unique(np.random.default_rng(1).integers(low, high, each)).tolist()
    asked = [(in_words(n, "en", british=n % 2 == 1), in_words(n, "de")) for n in drawn]
    asked = [pair for pair in asked if high <= 1000 or pair[0] not in seen]
    written = translate(model, [source for source, _ in asked])
    right_in[f"{label} ({len(asked)})"] = 100 * exact(written, [target for _, target in asked])
    wrong = [(*pair, output) for pair, output in zip(asked, written, strict=True) if output != pair[1]]
    failures[label] = min(wrong, key=lambda case: len(case[0]), default=None)

# %%
plots.bars(right_in, xlabel="exactly right, % (in brackets: how many were asked)")

# %%
for label, case in failures.items():
    if case:
        print(f"{label}: {case[0]}\n   should be {case[1]}\n   written   {case[2]}")
if not QUICK:
    *inside, million, millions = right_in.values()
    assert million < 50 and millions < 50 < min(inside[-3:])

# %% [markdown]
# Millions fail, nearly all of them. The word "million" was in no training pair: not even its first letter is in the
# vocabulary, and the decoder has never written "Million". It has learned the words of the numbers it saw, not what a
# number is. Length may play a part too: positions beyond the longest training sentence were never used.
#
# Look at the short numbers as well. Of random numbers below a million only one in a hundred has four digits, so there
# are few of them in training, and that is the bar to watch in a run of your own. The numbers of the first two ranges
# were in the training set, but what is seen once per epoch, in a word that occurs nowhere else, such as "zero" and
# "null", need not have been learned.

# %%
longest = max(len(s) for s in train_data.sources)
million_lengths = [len(ids) for ids in encode([in_words(n, "en") for n in range(1_111_111, 10_000_000, 777_777)])]
print(
    f"longest source in training: {longest} subwords;"
    f" of some millions: {min(million_lengths)} to {max(million_lengths)}"
)
print(" ".join(tokenizer.encode("two million").tokens), "→", translate(model, ["two million"])[0])

# %% [markdown]
# Words that are not numbers, and numbers written in another way, get an answer all the same. The model has no way to
# say that it does not know; if the source contains `<unk>`, your program can give a warning in its place.

# %%
for text in ("one", "seven", "forty two", "Forty-two", "a dozen", "half a hundred", "42", "good morning"):
    read = tokenizer.encode(text).tokens
    print(f"{text:15} read as {' '.join(read):38} → {translate(model, [text])[0]}")

# %% [markdown]
# ## Check
#
# 1. Change ε to 0.01 and run again. The validation loss falls too: which number printed above says where it would end
#    if p were q? And are more translations right?
#    <details><summary>Answer</summary>
#
#    -log q_label does: it is 0.01 now instead of 0.10. Whether more translations are right can only be found by
#    counting them: the loss has changed its scale, which says nothing about them.
#
#    </details>
# 2. Count the alignment in the first decoder block: put these lines into `looks`, below the one that sets `weights`.
#
#        asked, said = [*encode([text])[0], END], [START, *encode([translation])[0]]
#        _, saved = model.forward(np.array([asked]), np.array([said]))
#        weights = model.attention_weights(saved)["cross"][0][0].mean(axis=0)  # of the last block with ["cross"][-1]
#
#    Are the percentages the same?
#    <details><summary>Answer</summary>
#
#    They are different, for the same model. Which block you show is your choice, and that is the trouble with attention
#    as evidence.
#
#    </details>
# 3. Add `range(1_000_000, 1_002_001, 10)`, made into pairs with `in_words`, to `corpus.train` before the tokenizer is
#    trained, and run again. Translate `one million five hundred` and `two million`. What is right now?
#    <details><summary>Answer</summary>
#
#    The first is right, most numbers below 1,002,000 are, and the bar of 1 to 9 million is still empty. Once more, the
#    model has learned what it was shown.
#
#    </details>
#
# ## Break
#
# Forget to shift the decoder's input: give it the labels themselves. The token it should predict is now right in front
# of it, and the look-ahead mask does not hide it, because a position may attend to itself.


# %%
class Unshifted(minixfmr.TranslationData):
    def batch(self, indices):
        batch = super().batch(indices)
        return batch | {"decoder_input_ids": np.where(batch["labels"] < 0, PAD, batch["labels"])}  # no shift


copier = minixfmr.EncoderDecoder(config, seed=0)
leak = Unshifted(train_data.sources, train_data.targets, config, 2000, seed=0)
optimizer = minixfmr.AdamW(copier.parameters(), betas=(0.9, 0.98), eps=1e-9)
short = minixfmr.Trainer(copier, optimizer, cosine(4e-3, 20, 100), leak, criterion=smoothed, workers=2)
for result in short.run(epochs=100):
    if result.step == (20 if QUICK else 100):
        break
leaked = minixfmr.evaluate(copier, Unshifted(valid_data.sources, valid_data.targets, config, 2000))
print(f"after {result.step} steps: training loss {result.loss:.3f} (floor {floor:.3f}), validation loss {leaked:.3f}")
copied = translate(copier, sources[:100])
print(f"exactly right: {exact(copied, references[:100]):.0%}; {sources[0]} → {copied[0][:60]!r}")
assert QUICK or result.loss < training_curve[result.step - 1][1]

# %% [markdown]
# The losses are better than those of the real model after as many steps, on validation pairs too, and the translations
# are worthless: the model copies, and at test time there is nothing to copy. Whenever a loss looks too good, check what
# the model can see. The one test that cannot be fooled is to let the model write by itself.
