"""Every operation: its gradient against finite differences over random shapes, and what such a check cannot see."""

import math

import pytest
from conftest import Draws, assert_ok, host, np
from hypothesis import given
from hypothesis import strategies as st

import minixfmr
from minixfmr import gradcheck, gradcheck_function, layers
from minixfmr.backend import random_generator, to_device, to_numpy, xp

sizes = st.integers(1, 5)
seeds = st.integers(0, 2**32 - 1)


@given(seeds, sizes, sizes, sizes, sizes, st.booleans())
def test_linear(seed, B, T, n, m, bias):
    rng = Draws(seed)
    x, weight, b = rng.standard_normal((B, T, n)), rng.standard_normal((n, m)), rng.standard_normal(m)
    assert_ok(gradcheck_function(layers.linear, layers.linear_backward, x, weight, b))
    assert_ok(gradcheck(layers.Linear(n, m, bias=bias, dtype="float64"), x))
    np.testing.assert_allclose(layers.linear(x, weight, b)[0], x @ weight + b)


@given(seeds, sizes, sizes, sizes, st.integers(1, 9))
def test_output_logits(seed, B, T, d, V):
    rng = Draws(seed)
    x, table = rng.standard_normal((B, T, d)), rng.standard_normal((V, d))
    bias = rng.standard_normal(V)
    assert_ok(gradcheck_function(layers.output_logits, layers.output_logits_backward, x, table, bias))
    assert_ok(gradcheck(layers.OutputProjection(minixfmr.Parameter(table)), x))
    assert_ok(gradcheck(layers.OutputProjection(minixfmr.Parameter(table), minixfmr.Parameter(bias)), x))


@pytest.mark.parametrize("used", [[], [3], [0, 4, 5], range(8)])
def test_rows_without_a_gradient_may_be_left_out(rng, used):
    x, table, dz = rng.standard_normal((2, 4, 3)), rng.standard_normal((7, 3)), xp.zeros((8, 7))
    dz[list(used)] = rng.standard_normal((len(used), 7))
    _, saved = layers.output_logits(x, table)
    dx, dtable, dbias = layers.output_logits_backward(dz.reshape(2, 4, 7), saved)
    np.testing.assert_allclose(dx.reshape(8, 3), dz @ table)
    np.testing.assert_allclose(dtable, dz.T @ x.reshape(8, 3), atol=1e-12)
    np.testing.assert_allclose(dbias, dz.sum(axis=0), atol=1e-12)


@given(seeds, sizes, st.integers(1, 7), sizes, st.integers(1, 4))
def test_embedding_with_repeated_tokens(seed, B, T, d, V):
    rng = Draws(seed)
    ids, table = to_device(rng.integers(0, V, (B, T))), rng.standard_normal((V, d))
    assert_ok(gradcheck_function(layers.embedding, layers.embedding_backward, ids, table))
    assert_ok(gradcheck(layers.Embedding(V, d, dtype="float64"), ids))


@given(seeds, sizes, sizes, sizes, st.integers(0, 3))
def test_positions(seed, B, T, d, offset):
    rng = Draws(seed)
    x, table = rng.standard_normal((B, T, d)), rng.standard_normal((9, d))
    pair = (lambda x, table: layers.add_positions(x, table, offset), layers.add_positions_backward)
    assert_ok(gradcheck_function(*pair, x, table))
    assert_ok(gradcheck(layers.LearnedPositions(9, d, dtype="float64"), x, rows=offset))
    assert_ok(gradcheck(layers.SinusoidalPositions(9, d, dtype="float64"), x, rows=offset))


@pytest.mark.parametrize("d", [1, 2, 7, 8])
def test_sinusoids_are_those_of_the_paper(d):
    table = to_numpy(layers.sinusoidal_table(50, d))
    for t in (0, 1, 17, 49):
        for i in range(d):
            angle = t / 10000 ** (2 * (i // 2) / d)
            assert table[t, i] == pytest.approx(math.cos(angle) if i % 2 else math.sin(angle), abs=1e-12)


@given(seeds, sizes, sizes, st.integers(2, 9), st.sampled_from([1e-12, 1e-5, 0.1]))
def test_layer_norm(seed, B, T, d, eps):
    rng = Draws(seed)
    x, weight, bias = rng.standard_normal((B, T, d)), rng.standard_normal(d), rng.standard_normal(d)
    eps = max(eps, 1e-3) if d == 2 else eps  # two numbers normalize to ±1 whatever they are: nothing to differentiate
    pair = (lambda *a: layers.layer_norm(*a, eps), layers.layer_norm_backward)
    assert_ok(gradcheck_function(*pair, x, weight, bias))
    assert_ok(gradcheck(layers.LayerNorm(d, eps=eps, dtype="float64"), x))
    y, _ = layers.layer_norm(x, xp.ones(d), xp.zeros(d), 1e-12)
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-9)
    if d > 2:
        np.testing.assert_allclose(to_numpy(y).std(-1), 1, rtol=1e-4)


@given(seeds, sizes, sizes, st.sampled_from(sorted(layers.ACTIVATIONS)))
def test_activations(seed, B, n, name):
    x = 2 * Draws(seed).standard_normal((B, n))
    assert_ok(gradcheck_function(*layers.ACTIVATIONS[name], x))
    assert_ok(gradcheck(layers.Activation(name), x))


def test_activation_values_and_unknown_names():
    x = to_device([-3.0, -0.5, 0.0, 0.5, 3.0])
    cdf = to_device([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x])
    np.testing.assert_allclose(layers.gelu(x)[0], x * cdf)
    np.testing.assert_allclose(layers.gelu_tanh(x)[0], x * cdf, atol=1e-3)
    np.testing.assert_array_equal(layers.relu(x)[0], [0, 0, 0, 0.5, 3])
    np.testing.assert_array_equal(layers.relu_backward(xp.ones(5), layers.relu(x)[1]), [0, 0, 0, 1, 1])
    with pytest.raises(ValueError, match="activation must be one of .*got 'swish'"):
        layers.Activation("swish")


@given(seeds, sizes, sizes, st.sampled_from([0.1, 0.5, 0.9]))
def test_dropout(seed, B, n, p):
    x = Draws(seed).standard_normal((B, n))
    assert_ok(gradcheck(layers.Dropout(p), x, rng=random_generator(seed)))
    assert layers.Dropout(p)(x) is x  # evaluation is exactly the identity
    assert layers.Dropout(0.0).forward(x, random_generator(0))[0] is x


def test_dropout_keeps_the_expectation_and_two_uses_do_not_share_draws():
    x = xp.ones((400, 500))
    y, saved = layers.dropout(x, 0.3, random_generator(0))
    assert abs(y.mean() - 1) < 0.01
    np.testing.assert_array_equal(layers.dropout_backward(x, saved), y)
    rng = random_generator(0)
    layer = layers.Dropout(0.3)
    (a, saved_a), (b, _) = layer.forward(x, rng), layer.forward(x, rng)
    assert (a != b).any()
    np.testing.assert_array_equal(layer.backward(x, saved_a), a)


@st.composite
def attention_inputs(draw):
    """(query, key, value, mask): random sizes, Tq ≠ Tk, and masks of all broadcastable shapes, some rows empty."""
    rng = Draws(draw(seeds))
    B, H, Tq, Tk, dh = (draw(st.integers(1, 4)) for _ in range(5))
    query, key, value = (rng.standard_normal((B, H, T, dh)) for T in (Tq, Tk, Tk))
    shape = draw(st.sampled_from([None, (B, 1, 1, Tk), (1, 1, Tq, Tk), (B, 1, Tq, Tk), (B, H, Tq, Tk), (Tq, Tk)]))
    return query, key, value, None if shape is None else to_device(rng.random(shape) < 0.6)


def naive_attention(query, key, value, mask):
    """One query at a time, with a loop, in NumPy."""
    query, key, value, mask = host((query, key, value, mask))
    B, H, Tq, dh = query.shape
    y = np.zeros((B, H, Tq, dh))
    full = np.ones((B, H, Tq, key.shape[2]), bool) if mask is None else np.broadcast_to(mask, (B, H, Tq, key.shape[2]))
    for b in range(B):
        for h in range(H):
            for t in range(Tq):
                seen = full[b, h, t]
                if seen.any():
                    scores = np.exp(key[b, h, seen] @ query[b, h, t] / math.sqrt(dh))
                    y[b, h, t] = scores / scores.sum() @ value[b, h, seen]
    return y


@given(attention_inputs(), st.sampled_from([0.0, 0.4]))
def test_attention(inputs, p):
    query, key, value, mask = inputs

    def forward(q, k, v):
        return layers.attention(q, k, v, mask, p, random_generator(5))

    assert_ok(gradcheck_function(forward, lambda *a: layers.attention_backward(*a)[:3], query, key, value))
    y, _ = layers.attention(query, key, value, mask)
    np.testing.assert_allclose(y, naive_attention(query, key, value, mask), atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_attention_survives_large_scores_and_empty_rows(dtype):
    rng = Draws(0)
    query, key, value = (100 * rng.standard_normal((1, 1, 3, 4)).astype(dtype) for _ in range(3))
    mask = to_device([[True, False, True], [False, False, False], [True, True, True]])
    y, saved = layers.attention(query, key, value, mask)
    gradients = layers.attention_backward(xp.full_like(y, 1), saved)
    assert np.isfinite(y).all()
    assert all(np.isfinite(g).all() and g.dtype == dtype for g in gradients)
    assert not y[0, 0, 1].any()  # may attend to nothing: zeros, and zero gradients
    assert not gradients[0][0, 0, 1].any()


@pytest.mark.long
@given(seeds, st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.sampled_from([(4, 1), (4, 2), (6, 3)]))
def test_multi_head_attention(seed, B, Tq, Tk, widths):
    rng = Draws(seed)
    d, H = widths
    x, memory = rng.standard_normal((B, Tq, d)), rng.standard_normal((B, Tk, d))
    layer = layers.MultiHeadAttention(d, H, dropout=0.3, rng=seed, dtype="float64")
    look_ahead = np.tri(Tq, dtype=bool)
    padding = rng.random((B, 1, 1, Tk)) < 0.7
    assert_ok(gradcheck(layer, x, mask=look_ahead))
    assert_ok(gradcheck(layer, x, mask=look_ahead, rng=random_generator(seed)))
    assert_ok(gradcheck(layer, x, memory, mask=padding))


def test_heads_split_and_merge_are_inverse(rng):
    x = rng.standard_normal((2, 5, 6))
    heads = layers.split_heads(x, 3)
    assert heads.shape == (2, 3, 5, 2)
    assert heads.base is x
    np.testing.assert_array_equal(heads[1, 2, 3], x[1, 3, 4:6])
    np.testing.assert_array_equal(layers.merge_heads(heads), x)


def test_attention_weights_are_rows_that_sum_to_one(rng):
    layer = layers.MultiHeadAttention(6, 3, dropout=0.5, dtype="float64")
    x, memory = rng.standard_normal((2, 4, 6)), rng.standard_normal((2, 5, 6))
    mask = np.ones((2, 1, 1, 5), bool)
    mask[1, ..., 3:] = False
    _, saved = layer.forward(x, memory, mask, rng=random_generator(0))
    weights = to_numpy(layer.attention_weights(saved))
    assert weights.shape == (2, 3, 4, 5)
    np.testing.assert_allclose(weights.sum(-1), 1)
    assert not weights[1, ..., 3:].any()


@given(seeds, sizes, sizes, st.sampled_from(sorted(layers.ACTIVATIONS)))
def test_feed_forward(seed, B, T, activation):
    x = Draws(seed).standard_normal((B, T, 4))
    layer = layers.FeedForward(4, 6, activation=activation, dropout=0.3, rng=seed, dtype="float64")
    assert_ok(gradcheck(layer, x))
    assert_ok(gradcheck(layer, x, rng=random_generator(seed)))


def test_forward_and_backward_change_no_input(rng):
    x = rng.standard_normal((2, 3, 4))
    ids = rng.integers(0, 5, (2, 3))
    cases = [
        (layers.Linear(4, 3, dtype="float64"), x),
        (layers.LayerNorm(4, dtype="float64"), x),
        (layers.Embedding(5, 4, dtype="float64"), ids),
        (layers.SinusoidalPositions(9, 4, dtype="float64"), x),
        (layers.LearnedPositions(9, 4, dtype="float64"), x),
        (layers.MultiHeadAttention(4, 2, dtype="float64"), x),
        (layers.FeedForward(4, 5, dtype="float64"), x),
        *((layers.Activation(name), x) for name in layers.ACTIVATIONS),
    ]
    for layer, value in cases:
        before = value.copy()
        y, saved = layer.forward(value)
        dy = rng.standard_normal(y.shape)
        dy_before, saved_before = dy.copy(), _flat_copies(saved)
        first = layer.backward(dy, saved)
        np.testing.assert_array_equal(value, before)
        np.testing.assert_array_equal(dy, dy_before)
        for now, then in zip(_flat_copies(saved), saved_before, strict=True):
            np.testing.assert_array_equal(now, then)
        again = layer.backward(dy, saved)
        assert first is None if again is None else np.array_equal(first, again)


def _flat_copies(saved):
    if isinstance(saved, xp.ndarray):
        return [saved.copy()]
    return [a for item in saved for a in _flat_copies(item)] if isinstance(saved, tuple | list) else []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layers_keep_their_dtype(rng, dtype):
    x = rng.standard_normal((2, 3, 4)).astype(dtype)
    for layer in (
        layers.Linear(4, 3, dtype=dtype),
        layers.LayerNorm(4, dtype=dtype),
        layers.SinusoidalPositions(9, 4, dtype=dtype),
        layers.LearnedPositions(9, 4, dtype=dtype),
        layers.MultiHeadAttention(4, 2, dropout=0.2, dtype=dtype),
        layers.FeedForward(4, 5, activation="gelu", dropout=0.2, dtype=dtype),
    ):
        options = {"rng": random_generator(0)} if "rng" in layer.forward.__code__.co_varnames else {}
        y, saved = layer.forward(x, **options)
        assert y.dtype == dtype
        assert layer.backward(y, saved).dtype == dtype
        assert all(p.data.dtype == dtype and p.grad.dtype == dtype for p in layer.parameters())


class TestBadInput:
    def test_ids(self):
        table = layers.Embedding(5, 4)
        for ids, error, message in [
            (np.array([[0, 5]]), ValueError, r"must lie in \[0, 5\), got values from 0 to 5"),
            (np.array([[-1, 0]]), ValueError, r"got values from -1 to 0"),
            (np.array([[0.0, 1.0]]), TypeError, "must be integers .*got float64"),
            (np.array([[True]]), TypeError, "must be integers"),
        ]:
            with pytest.raises(error, match=message):
                table(ids)

    def test_masks(self, rng):
        layer, x = layers.MultiHeadAttention(4, 2), rng.standard_normal((2, 3, 4)).astype("float32")
        with pytest.raises(TypeError, match="mask must be boolean"):
            layer(x, mask=np.ones((3, 3)))
        for shape in [(3, 2), (3, 1, 3), (3, 1, 1, 3), (1, 1, 1, 3, 3), (3,)]:
            with pytest.raises(ValueError, match=r"does not broadcast to \(B, H, Tq, Tk\) = \(2, 2, 3, 3\)"):
                layer(x, mask=np.ones(shape, bool))

    def test_widths_heads_and_lengths(self, rng):
        with pytest.raises(
            ValueError, match="d_model must be divisible by num_heads, got d_model = 6 and num_heads = 4"
        ):
            layers.MultiHeadAttention(6, 4)
        with pytest.raises(ValueError, match=r"shape \(2, 3\), its last axis must be d_in = 4"):
            layers.Linear(4, 5)(xp.ones((2, 3)))
        for positions in (layers.SinusoidalPositions(4, 2), layers.LearnedPositions(4, 2)):
            with pytest.raises(ValueError, match="length 5 is longer than max_position_embeddings = 4"):
                positions(xp.ones((1, 5, 2)))
            with pytest.raises(ValueError, match="length 5 is longer"):
                positions(xp.ones((1, 2, 2)), rows=3)
