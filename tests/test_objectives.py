import math
from collections import Counter

import pytest
from conftest import np
from hypothesis import given
from hypothesis import strategies as st

import minixfmr
from minixfmr import training as o
from minixfmr.backend import random_generator
from minixfmr.training import cosine, pad

MASK, V = 4, 200
SENTINELS = list(range(100, 120))
texts = st.lists(st.integers(5, 99), min_size=2, max_size=60)


def test_next_token():
    batch = o.next_token(np.array([[5, 6, 7, 8], [9, 5, 6, 7]]), [2, 1])
    np.testing.assert_array_equal(batch["input_ids"], [[5, 6, 7], [9, 5, 6]])
    np.testing.assert_array_equal(batch["labels"], [[-100, 7, 8], [5, 6, 7]])
    np.testing.assert_array_equal(o.next_token(np.array([[5, 6]]))["labels"], [[6]])


def test_prefix_lm_reads_the_prefix_both_ways():
    batch = o.prefix_lm(np.array([[5, 6, 7, 8, 9]]), [2])
    np.testing.assert_array_equal(batch["mask"][0, 0], [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]])
    np.testing.assert_array_equal(batch["labels"], [[-100, 7, 8, 9]])
    config = minixfmr.Config(vocab_size=10, d_model=8, num_heads=2, d_ff=8, num_decoder_layers=1, dropout=0.0)
    model, (inputs, mask) = minixfmr.DecoderOnly(config), (batch["input_ids"], batch["mask"])
    logits, changed = model(inputs, mask=mask), inputs.copy()
    changed[0, 1] = 4
    assert (model(changed, mask=mask)[0, 0] != logits[0, 0]).any()  # the first sees the second
    changed = inputs.copy()
    changed[0, 3] = 4
    np.testing.assert_array_equal(model(changed, mask=mask)[0, :3], logits[0, :3])


def test_shift_right():
    labels = np.array([[5, -100, 7], [8, 9, -100]])
    np.testing.assert_array_equal(o.shift_right(labels, 1, 0), [[1, 5, 0], [1, 8, 9]])


def test_masked_lm_rates():
    rng, ids = random_generator(0), [*([3] + list(range(5, 100))) * 300]
    inputs, labels = o.masked_lm(ids, rng, MASK, V, special=(0, 1, 2, 3))
    chosen = [i for i, label in enumerate(labels) if label != -100]
    n = len(chosen)
    assert n == round(0.15 * sum(t != 3 for t in ids))
    assert all(labels[i] == ids[i] and ids[i] != 3 for i in chosen)
    assert all(inputs[i] == ids[i] for i in range(len(ids)) if labels[i] == -100)
    masked, kept = (sum(inputs[i] == other for i in chosen) for other in (MASK, None))
    kept = sum(inputs[i] == ids[i] for i in chosen)
    for observed, p in ((masked, 0.8), (kept, 0.1 + 0.1 / 195), (n - masked - kept, 0.1 - 0.1 / 195)):
        assert abs(observed / n - p) < 4 * math.sqrt(p * (1 - p) / n)
    assert not {inputs[i] for i in chosen} & {0, 1, 2, 3}


def test_masks_are_dynamic_and_seeded():
    ids = list(range(5, 60))
    a, b, c = (o.masked_lm(ids, random_generator(seed), MASK, V) for seed in (1, 1, 2))
    assert a == b
    assert a != c


@given(texts, st.integers(0, 999))
def test_whole_words_are_masked_together(ids, seed):
    words = [i // 3 for i in range(len(ids))]
    _, labels = o.masked_lm(ids, random_generator(seed), MASK, V, words=words, rate=0.3)
    for word in set(words):
        hit = {labels[i] != -100 for i in range(len(ids)) if words[i] == word}
        assert len(hit) == 1
    assert any(label != -100 for label in labels)


@given(texts, st.integers(0, 999), st.sampled_from([0.15, 0.5]))
def test_span_corruption_can_be_undone(ids, seed, rate):
    inputs, targets = o.span_corruption(ids, random_generator(seed), SENTINELS, rate)
    spans, current = {}, None
    for token in targets:
        if token in SENTINELS:
            current = spans.setdefault(token, [])
        else:
            current.append(token)
    assert [t for token in inputs for t in spans.get(token, [token])] == ids
    assert list(spans) == SENTINELS[: len(spans)]
    assert targets[-1] not in inputs
    cut = sum(map(len, spans.values()))
    assert cut == min(max(round(rate * len(ids)), 1), len(ids) - 1)


def test_span_lengths():
    ids = list(range(5, 95)) * 30
    _, targets = o.span_corruption(ids, random_generator(0), list(range(1000, 2000)))
    spans = sum(t >= 1000 for t in targets) - 1
    assert abs((len(targets) - spans - 1) / spans - 3) < 0.05
    with pytest.raises(ValueError, match="at least 2 tokens, got 1"):
        o.span_corruption([5], random_generator(0), SENTINELS)


@given(texts, st.integers(0, 999))
def test_text_infilling_keeps_the_rest_in_order(ids, seed):
    inputs = o.text_infilling(ids, random_generator(seed), MASK)
    kept = [t for t in inputs if t != MASK]
    assert len(kept) == len(ids) - round(0.3 * len(ids))
    rest = iter(ids)
    assert all(t in rest for t in kept)  # a subsequence


def test_infilling_and_deletion_rates():
    ids = list(range(5, 95)) * 200
    masks = sum(t == MASK for t in o.text_infilling(ids, random_generator(0), MASK))
    assert abs(0.3 * len(ids) / masks - 3) < 0.1  # tokens a span, spans of length 0 counted
    left = len(o.token_deletion(ids, random_generator(0))) / len(ids)
    assert abs(left - 0.7) < 4 * math.sqrt(0.21 / len(ids))


def test_sentence_permutation():
    sentences = [[5, 6], [7], [8, 9, 10]]
    orders = Counter(tuple(o.sentence_permutation(sentences, random_generator(s))) for s in range(600))
    assert len(orders) == 6
    assert all(sorted(order) == [5, 6, 7, 8, 9, 10] for order in orders)
    assert min(orders.values()) > 60


def test_gap_sentences_are_those_that_say_most_of_the_rest():
    sentences = [[10, 11], [12, 13], [10, 11, 12, 13], [50, 51]]
    inputs, targets = o.gap_sentences(sentences, MASK, rate=0.25)
    assert inputs == [10, 11, 12, 13, MASK, 50, 51]
    assert targets == [10, 11, 12, 13]
    assert o.rouge_1([1, 1, 2], [1, 3, 4]) == pytest.approx(2 / 6)
    assert o.rouge_1([], []) == 0


# --- each objective can be learned: on English text that ships with Python, from characters


@pytest.fixture(scope="module")
def english():
    """(training ids, held-out ids, vocabulary size, unigram entropy in nats); ids from 6 on are characters."""
    from pydoc_data.topics import topics

    text = " ".join(" ".join(topics[name].split()) for name in sorted(topics))[:250_000]
    letters = [c for c, n in Counter(text).most_common() if n > 20]
    index = {c: i + 6 for i, c in enumerate(letters)}
    ids = [index[c] for c in text if c in index]
    n = len(ids) * 9 // 10
    train, held_out = ids[:n], ids[n:]
    counts = Counter(train)
    entropy = -sum(math.log(counts[t] / n) for t in held_out) / len(held_out)
    return train, held_out, len(letters) + 6 + 20, entropy


def windows(ids, rng, B, T):
    return [ids[s : s + T] for s in rng.integers(0, len(ids) - T, B).tolist()]


def lines(ids, space, n=6):
    """Stretches of text as sentences: cut at every n-th space."""
    cuts = [i for i, t in enumerate(ids) if t == space][n - 1 :: n]
    return [ids[a:b] for a, b in zip([0, *cuts], [*cuts, len(ids)], strict=True) if b > a]


def objective_batch(name, ids, rng, V):
    """A batch for the architecture that the objective belongs to."""
    start, end, pad_id, sentinels = 1, 2, 0, list(range(V - 20, V))
    few_labels = name in ("masked", "whole word")  # so more and shorter pieces
    pieces = windows(ids, rng, *((96, 24) if few_labels else (24, 48)))
    if name == "causal":
        return o.next_token(np.array(pieces))
    if name == "prefix":
        return o.prefix_lm(np.array(pieces), rng.integers(5, 20, len(pieces)))
    if few_labels:
        words = None if name == "masked" else [np.cumsum(np.array(p) == 6).tolist() for p in pieces]
        pairs = [
            o.masked_lm(p, rng, MASK, V - 20, special=range(6), words=None if words is None else words[i])
            for i, p in enumerate(pieces)
        ]
        inputs, labels = zip(*pairs, strict=True)
        return {"input_ids": np.array(inputs), "labels": np.array(labels)}
    makers = {
        "spans": lambda p: o.span_corruption(p, rng, sentinels),
        "infilling": lambda p: (o.text_infilling(p, rng, MASK), p),
        "deletion": lambda p: (o.token_deletion(p, rng), p),
        "permutation": lambda p: (o.sentence_permutation(lines(p, 6, 2), rng), p),
        "gap sentences": lambda p: o.gap_sentences(lines(p, 6, 2), MASK),
    }
    inputs, targets = zip(*map(makers[name], pieces), strict=True)
    labels = pad([[*t, end] for t in targets], -100)
    return {
        "input_ids": pad([[*i, end] for i in inputs], pad_id),
        "attention_mask": pad([[1] * (len(i) + 1) for i in inputs], 0),
        "decoder_input_ids": o.shift_right(labels, start, pad_id),
        "labels": labels,
    }


@pytest.mark.long
@pytest.mark.on_numpy("long; other training runs on all backends")
@pytest.mark.parametrize(
    ("name", "kind", "steps"),
    [
        ("causal", minixfmr.DecoderOnly, 150),
        ("prefix", minixfmr.DecoderOnly, 150),
        ("masked", minixfmr.EncoderOnly, 500),
        ("whole word", minixfmr.EncoderOnly, 500),
        ("spans", minixfmr.EncoderDecoder, 200),
        ("infilling", minixfmr.EncoderDecoder, 150),
        ("deletion", minixfmr.EncoderDecoder, 150),
        ("permutation", minixfmr.EncoderDecoder, 150),
        ("gap sentences", minixfmr.EncoderDecoder, 150),
    ],
)
def test_a_tiny_model_learns_from_it(english, name, kind, steps):
    train, held_out, V, entropy = english
    config = minixfmr.Config(
        vocab_size=V,
        d_model=96 if kind is minixfmr.EncoderOnly else 64,
        num_heads=4,
        d_ff=128,
        num_encoder_layers=1 if kind is minixfmr.EncoderOnly else 2,
        num_decoder_layers=2,
        max_position_embeddings=80,
        norm_order="pre",
        dropout=0.0,
    )
    model, criterion, rng = kind(config), minixfmr.CrossEntropy(), random_generator(3)
    optimizer, schedule = minixfmr.AdamW(model.parameters(), betas=(0.9, 0.95)), cosine(5e-3, 30, steps)

    def loss_of(batch, learn):
        labels = batch.pop("labels")
        logits, saved = model.forward(**batch)
        loss, saved_loss = criterion.forward(logits, labels)
        if learn:
            model.zero_grad()
            model.backward(criterion.backward(saved_loss), saved)
            minixfmr.clip_grad_norm(model.parameters(), 1.0)
            optimizer.step()
        return loss

    for step in range(1, steps + 1):
        optimizer.lr = schedule(step)
        loss_of(objective_batch(name, train, rng, V), learn=True)
    losses = [loss_of(objective_batch(name, held_out, rng, V), learn=False) for _ in range(8)]
    print(f"{name}: {np.mean(losses):.2f} nats, unigrams {entropy:.2f}")
    assert np.mean(losses) < entropy - 0.4
