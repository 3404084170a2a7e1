"""The layers and options of the Transformer's descendants: gradients, and what a gradient check cannot see.

That they are those of the published systems is shown in test_pretrained.py.
"""

import math

import pytest
from conftest import Draws, assert_ok, np, small_config
from hypothesis import given, settings
from hypothesis import strategies as st

import minixfmr
from minixfmr import gradcheck, gradcheck_function, layers
from minixfmr.backend import random_generator, to_device, to_numpy
from minixfmr.layers.variants.relative import log_distances
from minixfmr.models import causal_mask, padding_mask, pool, prefix_mask, sliding_window_mask
from minixfmr.models.variants.heads import pool_backward
from minixfmr.models.variants.sentence import SentenceEncoder

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 4)


@given(seeds, sizes, sizes, st.integers(1, 9), st.sampled_from([1e-6, 0.1]))
def test_rms_norm(seed, B, T, d, eps):
    rng = Draws(seed)
    x, weight = rng.standard_normal((B, T, d)), rng.standard_normal(d)
    eps = max(eps, 0.1) if d == 1 else eps  # one number normalizes to ±1: nothing to differentiate
    assert_ok(gradcheck_function(lambda *a: layers.rms_norm(*a, eps), layers.rms_norm_backward, x, weight))
    assert_ok(gradcheck(layers.RMSNorm(d, eps=eps, dtype="float64"), x))


@given(seeds, sizes, sizes, st.sampled_from(["silu", "gelu", "gelu_tanh", "relu"]), st.booleans())
def test_gated_feed_forward(seed, B, T, activation, bias):
    x = Draws(seed).standard_normal((B, T, 4))
    layer = layers.GatedFeedForward(4, 6, activation=activation, bias=bias, dropout=0.3, rng=seed, dtype="float64")
    assert_ok(gradcheck(layer, x))
    assert_ok(gradcheck(layer, x, rng=random_generator(seed)))


@given(seeds, sizes, sizes, st.sampled_from([2, 4, 6]), st.integers(0, 5))
def test_rotary(seed, B, T, dh, offset):
    rng = Draws(seed)
    x = rng.standard_normal((B, 2, T, dh))
    layer = layers.Rotary(dh, theta=100.0)
    table = layer.table(offset + T, x.dtype)
    assert_ok(gradcheck(layer, x, table=table))
    y = layer(x, table)
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), np.linalg.norm(x, axis=-1))  # turned, not stretched


def test_rotary_scores_depend_on_distance_alone(rng):
    q, k, layer = rng.standard_normal((1, 1, 1, 6)), rng.standard_normal((1, 1, 1, 6)), layers.Rotary(6)

    def turned(x, position):
        return layer(x, layer.table(position + 1, x.dtype))

    scores = [float((turned(q, 7 + s) * turned(k, 3 + s)).sum()) for s in (0, 5, 90)]
    np.testing.assert_allclose(scores, scores[0])


def test_keys_are_cached_with_their_norm_and_turned(rng):
    rotary = layers.Rotary(4, theta=100.0)
    layer = layers.VariantAttention(8, 2, rotary=rotary, rng=1, dtype="float64")
    layer.query_norm, layer.key_norm = (layers.RMSNorm(4, dtype="float64") for _ in range(2))
    x, cache = to_device(rng.standard_normal((1, 6, 8))), layers.KeyValueCache()
    steps = [layer(x[:, t : t + 1], cache=cache) for t in range(6)]
    keys = layer.key_norm(layers.split_heads(layer.key(x), 2))
    np.testing.assert_allclose(to_numpy(cache.keys), to_numpy(rotary(keys)), atol=1e-12)
    whole = layer(x, mask=causal_mask(6))
    np.testing.assert_allclose(to_numpy(steps[-1]), to_numpy(whole[:, -1:]), atol=1e-12)


@given(seeds, sizes, st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_relative_bias(seed, B, Tq, Tk, bidirectional):
    rng = Draws(seed)
    Tk = max(Tq, Tk)
    layer = layers.RelativeBias(2, buckets=8, max_distance=6, bidirectional=bidirectional, rng=seed, dtype="float64")
    attention = layers.VariantAttention(6, 2, scale=1.0, bias=False, score_bias=layer, rng=seed, dtype="float64")
    assert_ok(gradcheck(attention, rng.standard_normal((B, Tq, 6))))
    bias = layer(np.zeros((B, 2, Tq, 3)), np.zeros((B, 2, Tk, 3)))
    assert bias.shape == (1, 2, Tq, Tk)
    for q in range(Tq):  # the queries are the last: equal distances have equal biases
        np.testing.assert_array_equal(bias[0, :, q, : Tk - Tq + q + 1][:, -1], bias[0, :, 0, Tk - Tq])


def test_buckets_of_t5():
    near = layers.relative_buckets(to_device([0, -1, -15]), 32, 128, False)
    np.testing.assert_array_equal(near, [0, 1, 15])
    far = layers.relative_buckets(to_device([-16, -127, -128, -10_000, 5]), 32, 128, False)
    np.testing.assert_array_equal(far, [16, 31, 31, 31, 0])
    both = layers.relative_buckets(to_device([-3, 3]), 32, 128, True)
    np.testing.assert_array_equal(both, [3, 19])


def test_distances_of_deberta():
    n = np.arange(-40, 41)
    b = to_numpy(log_distances(to_device(n), 8, 32))
    np.testing.assert_array_equal(b, -b[::-1])
    np.testing.assert_array_equal(b[np.abs(n) <= 4], n[np.abs(n) <= 4])
    assert (np.diff(b) >= 0).all()
    assert log_distances(to_device([31]), 8, 32) == 7


@pytest.mark.long
@settings(max_examples=15)
@given(seeds, st.booleans(), st.booleans(), st.sampled_from(["c2p|p2c", "c2p", "p2c"]), st.sampled_from([0, 4]))
def test_disentangled_attention(seed, shared, norm, terms, buckets):
    config = small_config(
        relative_positions="disentangled",
        relative_max_distance=5,
        relative_buckets=buckets,
        relative_norm=norm,
        shared_position_projections=shared,
        disentangled_terms=terms,
        key_bias=shared,
        attention_scale=0.3,
        num_encoder_layers=2,
        layer_norm_eps=1e-3,
    )
    rng = Draws(seed)
    stack = minixfmr.models.Stack(config, config.num_encoder_layers, seed)
    mask = rng.random((2, 1, 1, 7)) < 0.8
    assert_ok(gradcheck(stack, rng.standard_normal((2, 7, 8)), mask=mask, max_entries=6, seed=seed))


@given(seeds, sizes, st.integers(1, 5), st.sampled_from([1, 2, 4]), st.booleans(), st.booleans())
def test_grouped_queries_and_odd_widths(seed, B, T, groups, rotary, bias):
    rng = Draws(seed)
    layer = layers.VariantAttention(
        6,
        4,
        head_dim=2,
        num_key_value_heads=groups,
        bias=bias,
        rotary=layers.Rotary(2) if rotary else None,
        rng=seed,
        dtype="float64",
    )
    x = rng.standard_normal((B, T, 6))
    assert layer.key.weight.shape == (6, 2 * groups)
    assert_ok(gradcheck(layer, x, mask=np.tri(T, dtype=bool)))
    assert_ok(gradcheck(layer, x, rng.standard_normal((B, T + 1, 6)))) if not rotary else None


def test_the_plain_attention_is_the_variant_without_variants(rng):
    kinds = (layers.MultiHeadAttention, layers.VariantAttention)
    plain, variant = (kind(8, 2, rng=3, dtype="float64") for kind in kinds)
    x = rng.standard_normal((2, 5, 8))
    np.testing.assert_array_equal(plain(x), variant(x))


@given(seeds, sizes, st.integers(1, 5), st.sampled_from([1, 3, 5]))
def test_convolution(seed, B, T, width):
    rng = Draws(seed)
    x, weight, bias = rng.standard_normal((B, T, 3)), rng.standard_normal((width, 3, 2)), rng.standard_normal(2)
    assert_ok(gradcheck_function(layers.convolution, layers.convolution_backward, x, weight, bias))
    y = layers.convolution(x, weight, bias)[0]
    for t in range(T):
        near = [x[:, t + j - width // 2] @ weight[j] for j in range(width) if 0 <= t + j - width // 2 < T]
        np.testing.assert_allclose(y[:, t], sum(near) + bias)
    with pytest.raises(ValueError, match="width must be odd, .* got 4"):
        layers.Convolution(3, 3, 4)


def test_convolution_block(rng):
    config = small_config(convolution=3, convolution_activation="tanh", layer_norm_eps=1e-3)
    block, x = minixfmr.models.ConvolutionBlock(config), rng.standard_normal((2, 4, 8))
    mask = padding_mask(np.array([[1, 1, 1, 1], [1, 1, 0, 0]]))
    assert_ok(gradcheck(block, x, max_entries=16))
    report = gradcheck(block, x, max_entries=16, mask=mask)
    assert all(row.ok for row in report.rows), f"\n{report}"
    # as published, the last token's neighbour is read even where it is padding: the checker sees that
    assert [p.name for p in report.properties if not p.ok] == ["mask blocks x"]
    assert not block(x, mask)[1, 2:].any()


def test_window_and_prefix_masks():
    np.testing.assert_array_equal(
        (causal_mask(4) & sliding_window_mask(4, 4, 2))[0, 0], [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    )
    np.testing.assert_array_equal(sliding_window_mask(1, 4, 2)[0, 0], [[0, 0, 1, 1]])
    np.testing.assert_array_equal(prefix_mask(3, [2])[0, 0], [[1, 1, 0], [1, 1, 0], [1, 1, 1]])


OPTIONS = {
    "gpt2": dict(norm_order="pre", positions="learned", activation="gelu_tanh", scale_embeddings=False),
    "gpt3": dict(norm_order="pre", positions="learned", sliding_window=2, window_every=2),
    "llama": dict(
        norm_order="pre",
        norm="rms",
        positions="none",
        relative_positions="rotary",
        gated_feed_forward=True,
        activation="silu",
        num_key_value_heads=1,
        attention_bias=False,
        feed_forward_bias=False,
        tie_word_embeddings=False,
    ),
    "mistral": dict(norm="rms", positions="none", relative_positions="rotary", sliding_window=2, head_dim=6),
}


@pytest.mark.parametrize("name", OPTIONS)
class TestDecoderOnly:
    def model(self, name, **changes):
        return minixfmr.DecoderOnly(small_config(layer_norm_eps=1e-3, **OPTIONS[name], **changes), seed=1)

    def test_gradients(self, name, rng):
        ids = rng.integers(0, 13, (2, 5))
        mask = np.array([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]])
        for options in ({}, {"attention_mask": mask}, {"mask": prefix_mask(5, [2, 3])}):
            model = self.model(name, dropout=0.2)
            assert_ok(gradcheck(model, ids, max_entries=5, rng=random_generator(1), **options))

    def test_it_does_not_look_ahead(self, name, rng):
        model, ids = self.model(name), rng.integers(0, 13, (2, 6))
        logits = model(ids)
        for t in range(6):
            changed = ids.copy()
            changed[:, t] = (changed[:, t] + 1) % 13
            np.testing.assert_array_equal(model(changed)[:, :t], logits[:, :t])
            assert (model(changed)[:, t] != logits[:, t]).any()

    def test_left_padding_and_the_cache_change_nothing(self, name, rng):
        model = self.model(name)
        prompts = [rng.integers(3, 13, n) for n in (2, 5, 3)]
        ids = np.zeros((3, 5), int)
        for row, prompt in zip(ids, prompts, strict=True):
            row[5 - len(prompt) :] = prompt
        mask = (ids != 0).astype(int)
        for search in ({}, {"num_beams": 3}, {"do_sample": True, "seed": 3, "top_k": 1}):
            options = dict(max_new_tokens=5, eos_token_id=[], **search)
            together = minixfmr.generate(model, ids, attention_mask=mask, **options)
            again = minixfmr.generate(model, ids, attention_mask=mask, use_cache=False, **options)
            np.testing.assert_array_equal(together, again)
            np.testing.assert_array_equal(together[:, :5], ids)
            for row, prompt in zip(together, prompts, strict=True):
                alone = minixfmr.generate(model, prompt[None], **options)[0]
                np.testing.assert_array_equal(row[5 - len(prompt) :], alone)

    def test_steps_equal_one_pass(self, name, rng):
        model, ids = self.model(name), rng.integers(0, 13, (2, 7))
        logits = model(ids)
        for chunks in ([1] * 7, [3, 1, 3], [7]):
            (_, state), start = model.start(ids[:, : chunks[0]]), 0
            for n in chunks:
                step = model.step(ids[:, start : start + n], state)
                start += n
                np.testing.assert_allclose(step, logits[:, start - 1], atol=1e-12)


def test_layers_alternate_between_dense_and_banded(rng):
    """As GPT-3's: in a banded layer a query sees its window, in a dense one everything before it."""
    config = small_config(**OPTIONS["gpt3"], num_decoder_layers=4)
    model, ids = minixfmr.DecoderOnly(config), rng.integers(0, 13, (1, 6))
    _, saved = model.forward(ids)
    for i, weights in enumerate(model.attention_weights(saved)):
        seen = weights[0, 0] > 0
        expected = np.tri(6, dtype=bool) if i % 2 == 0 else np.tri(6, dtype=bool) & ~np.tri(6, k=-2, dtype=bool)
        np.testing.assert_array_equal(seen, expected)


ENCODERS = {
    "bert": dict(
        positions="learned", type_vocab_size=2, embedding_norm=True, scale_embeddings=False, activation="gelu"
    ),
    "roberta": dict(positions="learned", positions_from_ids=True, embedding_norm=True, max_position_embeddings=20),
    "deberta": dict(
        positions="none",
        relative_positions="disentangled",
        relative_max_distance=4,
        relative_buckets=0,
        attention_scale=0.3,
        embedding_norm=True,
        embedding_padding=False,
        convolution=3,
    ),
}


@pytest.mark.parametrize("head", ["masked_lm", "sequence_classification", "token_classification", "none"])
@pytest.mark.parametrize("name", ENCODERS)
def test_encoder_only(name, head, rng):
    config = small_config(**ENCODERS[name], head=head, num_labels=3, pooling="mean", layer_norm_eps=1e-3, dropout=0.2)
    model, ids = minixfmr.EncoderOnly(config), rng.integers(3, 13, (3, 5))
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]])
    ids = np.where(mask, ids, 0)
    options = {"attention_mask": mask, "rng": random_generator(2)}
    if name == "bert":
        options["token_type_ids"] = rng.integers(0, 2, ids.shape)
    assert_ok(gradcheck(model, ids, max_entries=4, **options))
    options.pop("rng")
    output = model(ids, **options)
    shapes = {"masked_lm": (3, 5, 13), "sequence_classification": (3, 3), "token_classification": (3, 5, 3)}
    assert output.shape == shapes.get(head, (3, 5, 8))
    one = {key: value[1:2, :2] for key, value in options.items()}  # padding changes nothing
    alone = model(ids[1:2, :2], **one)
    np.testing.assert_allclose(alone[0], output[1] if output.ndim == 2 else output[1, :2], atol=1e-12)


def test_embeddings_of_tokens_and_sentences(rng):
    model = minixfmr.EncoderOnly(small_config(**ENCODERS["bert"], head="none"))
    ids, mask = rng.integers(3, 13, (2, 4)), np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
    tokens, sentences = model(ids, mask), SentenceEncoder(model)(ids, mask)
    assert tokens.shape == (2, 4, 8)
    np.testing.assert_allclose(np.linalg.norm(sentences, axis=1), 1)
    mean = tokens[1, :2].mean(0)
    np.testing.assert_allclose(sentences[1], mean / np.linalg.norm(mean))
    other = ids.copy()
    other[0, 0] = (other[0, 0] - 2) % 10 + 3
    assert (model(other, mask)[0, 3] != tokens[0, 3]).any()  # in context, both ways


@pytest.mark.parametrize("pooling", ["first", "last", "mean"])
def test_pooling(rng, pooling):
    mask = np.array([[1, 1, 0], [0, 1, 1]])
    report = gradcheck_function(lambda x: pool(x, mask, pooling), pool_backward, rng.standard_normal((2, 3, 4)))
    assert_ok(report)


@pytest.mark.long
@settings(max_examples=8)
@given(seeds, st.sampled_from(["t5", "bart", "m2m100", "pegasus"]))
def test_gradients_of_encoder_decoders(seed, name):
    options = {
        "t5": dict(
            norm_order="pre",
            norm="rms",
            positions="none",
            relative_positions="buckets",
            relative_buckets=6,
            relative_max_distance=4,
            attention_scale=1.0,
            attention_bias=False,
            feed_forward_bias=False,
            gated_feed_forward=True,
            head_dim=3,
            scale_output=True,
        ),
        "bart": dict(positions="learned", position_offset=2, embedding_norm=True, decoder_num_heads=4, decoder_d_ff=7),
        "m2m100": dict(
            norm_order="pre", positions="sinusoidal_t2t", positions_from_ids=True, max_position_embeddings=20
        ),
        "pegasus": dict(norm_order="pre", positions="sinusoidal_stored", logits_bias=True),
    }[name]
    rng = Draws(seed)
    model = minixfmr.EncoderDecoder(small_config(layer_norm_eps=1e-3, **options), seed)
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
    ids, target_ids = rng.integers(3, 13, (2, 4)), rng.integers(3, 13, (2, 3))
    assert_ok(gradcheck(model, ids, target_ids, attention_mask=mask, max_entries=3, seed=seed))


def test_a_padding_token_gets_no_gradient_from_lookups(rng):
    table = layers.Embedding(5, 3, padding_idx=2, dtype="float64")
    y, saved = table.forward(np.array([[2, 1, 2]]))
    table.backward(y, saved)
    assert not table.weight.grad[2].any()
    assert table.weight.grad[1].any()


def test_buffers_are_saved_but_not_learned(tmp_path):
    model = minixfmr.EncoderDecoder(small_config(logits_bias=True, positions="sinusoidal_stored"))
    learned, saved = dict(model.named_parameters()), model.state_dict()
    assert set(saved) - set(learned) == {"head.bias", "source.positions.table", "target.positions.table"}
    model.head.bias.data += 3
    minixfmr.save(model, tmp_path)
    np.testing.assert_array_equal(minixfmr.load(tmp_path).head.bias.data, 3)


def test_generate_steps(rng):
    model = minixfmr.DecoderOnly(small_config(**OPTIONS["llama"]))
    prompt = rng.integers(3, 13, (2, 3))
    steps = list(minixfmr.generate_steps(model, prompt, max_new_tokens=4, top=3, eos_token_id=[]))
    ids = minixfmr.generate(model, prompt, max_new_tokens=4, eos_token_id=[])
    np.testing.assert_array_equal(np.stack([s.ids for s in steps], axis=1), ids[:, 3:])
    for step in steps:
        for chosen, p, alternatives in zip(step.ids, step.probabilities, step.alternatives, strict=True):
            assert len(alternatives) == 3
            assert alternatives[0] == (chosen, pytest.approx(p))
            assert sorted(alternatives, key=lambda pair: -pair[1]) == alternatives
    log_p = [math.log(p) for s in steps for p in s.probabilities]
    assert np.isfinite(log_p).all()
    with pytest.raises(ValueError, match="top must be an integer of at least 1, got 0"):
        next(minixfmr.generate_steps(model, prompt, max_new_tokens=1, top=0))
    with pytest.raises(TypeError, match="generate has no argument max_lenght; its rules are sequence_bias"):
        minixfmr.generate(model, prompt, max_new_tokens=1, max_lenght=3)


def test_heads_that_do_not_fit_an_architecture():
    with pytest.raises(minixfmr.ConfigError, match="EncoderOnly has no head 'causal_lm': choose one of masked_lm"):
        minixfmr.EncoderOnly(small_config(head="causal_lm"))
    with pytest.raises(minixfmr.ConfigError, match="DecoderOnly has no head 'masked_lm'"):
        minixfmr.DecoderOnly(small_config(head="masked_lm"))
    with pytest.raises(minixfmr.ConfigError, match="writes nothing: its head must be causal_lm"):
        model = minixfmr.DecoderOnly(small_config(head="none"))
        minixfmr.generate(model, np.ones((1, 2), int), max_new_tokens=1)
    with pytest.raises(minixfmr.ConfigError, match="num_key_value_heads must be a divisor of num_heads = 2, got 3"):
        small_config(num_key_value_heads=3)


@pytest.mark.parametrize("kind", [minixfmr.EncoderOnly, minixfmr.DecoderOnly])
def test_models_save_and_load(kind, tmp_path, rng):
    model, ids = kind(small_config(dtype="float32")), rng.integers(0, 13, (2, 4))
    minixfmr.save(model, tmp_path)
    loaded = minixfmr.load(tmp_path)
    assert type(loaded) is kind
    np.testing.assert_array_equal(loaded(ids), model(ids))


def test_the_last_real_token_is_pooled(rng):
    x, mask = rng.standard_normal((3, 4, 2)), np.array([[1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 1, 0]])
    np.testing.assert_array_equal(pool(x, mask, "last")[0], [x[0, 1], x[1, 3], x[2, 2]])
    np.testing.assert_array_equal(pool(x, None, "last")[0], x[:, 3])
    np.testing.assert_array_equal(pool(x, mask, "first")[0], x[:, 0])
    np.testing.assert_allclose(pool(x, mask, "mean")[0][2], x[2, 1:3].mean(0))


@pytest.mark.parametrize("head", ["sequence_classification", "token_classification", "none"])
def test_decoder_only_heads(rng, head):
    model = minixfmr.DecoderOnly(small_config(head=head, pooling="last", num_labels=3))
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
    assert_ok(gradcheck(model, rng.integers(0, 13, (2, 4)), attention_mask=mask, max_entries=4))


def test_padding_mask_of_the_prompt_is_checked(rng):
    model = minixfmr.DecoderOnly(small_config())
    with pytest.raises(ValueError, match=r"attention_mask has shape \(2, 3\), input_ids \(2, 4\)"):
        minixfmr.generate(model, np.ones((2, 4), int), attention_mask=np.ones((2, 3), int), max_new_tokens=2)
    assert padding_mask(np.ones((2, 3))).shape == (2, 1, 1, 3)
