import itertools

import pytest
from conftest import Draws, np, small_batch, small_config

import minixfmr
from minixfmr.backend import to_device, to_numpy
from minixfmr.generation import generate, sampling_probabilities
from minixfmr.layers import log_softmax


@pytest.fixture(scope="module")
def trained(backend):
    """A model that has learned to copy its source, a little: probabilities that are neither flat nor certain."""
    config = small_config(vocab_size=9, dtype="float64", norm_order="pre", max_position_embeddings=16)
    model = minixfmr.EncoderDecoder(config)
    rng = Draws(0)
    sequences = [rng.integers(3, 9, rng.integers(1, 6)).tolist() for _ in range(60)]
    data = minixfmr.TranslationData(sequences, sequences, config, max_tokens=60, seed=0)
    trainer = minixfmr.Trainer(model, minixfmr.AdamW(model.parameters()), lambda step: 1e-2, data)
    list(trainer.run(epochs=12))
    return model


@pytest.fixture
def batch(trained):
    return small_batch(trained.config, B=4, S=5)


def test_greedy_takes_the_likeliest_token_each_time(trained, batch):
    ids = generate(trained, batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=8)
    assert (ids[:, 0] == 1).all()
    logits = trained(batch["input_ids"], ids[:, :-1], attention_mask=batch["attention_mask"])
    best = logits.argmax(-1)
    for row, chosen in zip(ids, best, strict=True):
        end = np.flatnonzero(row == 2)
        stop = end[0] if len(end) else len(row) - 1
        np.testing.assert_array_equal(row[1 : stop + 1], chosen[:stop])
        assert (row[stop + 1 :] == 0).all()


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"num_beams": 3, "length_penalty": 2.0}])
def test_a_batch_equals_one_at_a_time_and_the_cache_changes_nothing(trained, batch, options):
    ids = generate(trained, batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=8, **options)
    plain = generate(
        trained,
        batch["input_ids"],
        attention_mask=batch["attention_mask"],
        max_new_tokens=8,
        use_cache=False,
        **options,
    )
    np.testing.assert_array_equal(ids, plain)
    for b, row in enumerate(ids):
        real = int(batch["attention_mask"][b].sum())
        alone = generate(trained, batch["input_ids"][b : b + 1, :real], max_new_tokens=8, **options)[0]
        np.testing.assert_array_equal(alone, row[: len(alone)])
        assert (row[len(alone) :] == 0).all()


def every_hypothesis(model, source, length):
    """All token sequences that end in eos or have the given length, with the sum of their log-probabilities."""
    V, eos = model.config.vocab_size, model.config.eos_token_id
    inner = [t for t in range(V) if t != eos]
    hypotheses = []
    for n in range(1, length + 1):
        for head in itertools.product(inner, repeat=n - 1):
            hypotheses += [[*head, t] for t in (range(V) if n == length else [eos])]
    scored = []
    for tokens in hypotheses:
        ids = np.array([[1, *tokens]])
        log_p = log_softmax(model(source, ids[:, :-1]))[0]
        scored.append((float(log_p[np.arange(len(tokens)), tokens].sum()), tokens))
    return scored


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 2.0])
def test_a_beam_as_wide_as_the_tree_finds_the_best_of_all(length_penalty):
    config = small_config(vocab_size=5, max_position_embeddings=8)
    model = minixfmr.EncoderDecoder(config, seed=3)
    source = np.array([[3, 4, 3]])
    scored = every_hypothesis(model, source, 3)
    _, best = max(scored, key=lambda pair: pair[0] / len(pair[1]) ** length_penalty)
    ids = generate(model, source, max_new_tokens=3, num_beams=4**3 * 2, length_penalty=length_penalty)
    assert ids[0, 1:].tolist() == best


def test_a_wider_beam_never_finds_less(trained, batch):
    def score(ids):
        log_p = log_softmax(trained(batch["input_ids"], ids[:, :-1], attention_mask=batch["attention_mask"]))
        real = np.cumsum(ids[:, 1:] == 2, axis=1) - (ids[:, 1:] == 2) == 0
        return (np.take_along_axis(log_p, ids[:, 1:, None], 2)[..., 0] * real).sum(1)

    options = dict(attention_mask=batch["attention_mask"], max_new_tokens=7, length_penalty=0.0)
    greedy, beam = (score(generate(trained, batch["input_ids"], num_beams=k, **options)) for k in (1, 6))
    assert (beam >= greedy - 1e-9).all()


def test_sampling_probabilities():
    logits = to_device(np.log(np.array([[0.5, 0.25, 0.15, 0.1]])))
    close = dict(rtol=1e-12)
    np.testing.assert_allclose(sampling_probabilities(logits), [[0.5, 0.25, 0.15, 0.1]], **close)
    np.testing.assert_allclose(sampling_probabilities(logits, top_k=2), [[2 / 3, 1 / 3, 0, 0]], **close)
    np.testing.assert_allclose(sampling_probabilities(logits, top_p=0.7), [[2 / 3, 1 / 3, 0, 0]], **close)
    np.testing.assert_allclose(sampling_probabilities(logits, top_p=0.1), [[1, 0, 0, 0]], **close)
    squared = np.array([[0.5, 0.25, 0.15, 0.1]]) ** 2
    np.testing.assert_allclose(sampling_probabilities(logits, temperature=0.5), squared / squared.sum(), **close)


def test_samples_follow_the_distribution_and_the_seed(trained):
    source = np.array([[3, 4, 5]] * 4000)
    ids = generate(trained, source, max_new_tokens=1, do_sample=True, seed=1)
    p = to_numpy(sampling_probabilities(trained(source[:1], np.array([[1]]))[:, -1])[0])
    observed = np.bincount(ids[:, 1], minlength=9) / 4000
    assert np.abs(observed - p).max() < 4 * np.sqrt(0.25 / 4000)
    np.testing.assert_array_equal(ids, generate(trained, source, max_new_tokens=1, do_sample=True, seed=1))
    assert (ids != generate(trained, source, max_new_tokens=1, do_sample=True, seed=2)).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens must be from 1 to 16"),
        ({"max_new_tokens": 17}, "max_new_tokens must be from 1 to 16, where the model's positions end, got 17"),
        ({"num_beams": 0}, "num_beams must be an integer of at least 1, got 0"),
        ({"temperature": 0.0}, "temperature must be greater than 0"),
        ({"top_k": -1}, "top_k must be None, 0 for no limit, or an integer of at least 1, got -1"),
        ({"top_p": 2}, r"top_p must be None or in \(0, 1\], got 2"),
        ({"do_sample": True, "num_beams": 2}, "choose one"),
        ({"num_return_sequences": 2}, "num_return_sequences must be from 1 to num_beams = 1, got 2"),
        ({"repetition_penalty": 0}, "repetition_penalty must be greater than 0"),
        ({"num_beams": 2, "early_stopping": "soon"}, "early_stopping must be True, False or"),
        ({"input_ids": np.ones((2, 0), int)}, "input_ids must be an array of shape"),
        ({"input_ids": np.array([3, 4])}, "input_ids must be an array of shape"),
    ],
)
def test_bad_arguments_give_one_sentence(trained, options, message):
    arguments = {"input_ids": np.array([[3, 4]]), "max_new_tokens": 3} | options
    with pytest.raises(ValueError, match=message):
        generate(trained, **arguments)


def test_prompts_may_be_a_list(trained):
    written = generate(trained, [[3, 4]], max_new_tokens=3)
    np.testing.assert_array_equal(written, generate(trained, np.array([[3, 4]]), max_new_tokens=3))


def test_a_model_reads_lists(trained):
    np.testing.assert_array_equal(trained([[3, 4]], [[1, 2]]), trained(np.array([[3, 4]]), np.array([[1, 2]])))


def test_padding_outside_the_vocabulary_serves_a_single_prompt_alone():
    model = minixfmr.DecoderOnly(small_config(eos_token_id=None))
    ids = minixfmr.generate(model, [[5, 6]], max_new_tokens=3)
    model.generation = {"pad_token_id": 99, "eos_token_id": int(ids[0, 2])}
    assert minixfmr.generate(model, [[5, 6]], max_new_tokens=3).tolist() == [[5, 6, int(ids[0, 2])]]
    for more in ({"num_beams": 2}, {"do_sample": True, "num_return_sequences": 2}):
        with pytest.raises(ValueError, match=r"pad_token_id must be a token id in \[0, \d+\).*got 99"):
            minixfmr.generate(model, [[5, 6]], max_new_tokens=3, **more)
