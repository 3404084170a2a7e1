"""Attention by blocks: the same numbers as the plain one, forward and backward, whatever the lengths and masks."""

import sys

import pytest
from conftest import Draws, np, small_config
from hypothesis import given
from hypothesis import strategies as st

import minixfmr
from minixfmr.layers import MultiHeadAttention, attention, attention_backward, long_attention, long_attention_backward

plain, by_blocks = (
    sys.modules["minixfmr.layers.variants.either"],
    sys.modules["minixfmr.layers.variants.long_attention"],
)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(by_blocks, "BLOCK", 3)
    monkeypatch.setattr(plain, "LONG", 4)


def make_mask(kind, rng, B, H, Tq, Tk):
    mask = host_mask(kind, rng, B, H, Tq, Tk)
    return None if mask is None else minixfmr.to_device(mask)


def host_mask(kind, rng, B, H, Tq, Tk):
    if kind == "causal":
        return np.tri(Tq, Tk, Tk - Tq, dtype=bool)[None, None]
    if kind == "padding":  # the first sequence sees nothing at all
        return (np.arange(Tk) < np.arange(B)[:, None])[:, None, None]
    return {"none": None, "random": rng.random((B, H, Tq, Tk)) < 0.5, "queries": rng.random((B, 1, Tq, 1)) < 0.5}[kind]


@given(
    st.integers(1, 8),
    st.integers(1, 8),
    st.sampled_from(["none", "causal", "padding", "random", "queries"]),
    st.sampled_from([None, 1.0, 30.0]),
)
def test_equal_to_plain_attention(Tq, Tk, kind, scale):
    rng = Draws([Tq, Tk])
    B, H, dh = 2, 2, 3
    q, k, v = (rng.standard_normal((B, H, T, dh)) for T in (Tq, Tk, Tk))
    dy, mask = rng.standard_normal(q.shape), make_mask(kind, rng, B, H, Tq, Tk)
    y, saved = long_attention(q, k, v, mask, scale)
    expected, expected_saved = attention(q, k, v, mask, scale=scale)
    np.testing.assert_allclose(y, expected, atol=1e-12)
    gradients = long_attention_backward(dy, saved)
    for own, other in zip(gradients, attention_backward(dy, expected_saved)[:3], strict=True):
        np.testing.assert_allclose(own, other, atol=1e-10)
    np.testing.assert_allclose(by_blocks.long_attention_weights(saved).sum(-1), (expected != 0).any(-1), atol=1e-12)


@pytest.mark.parametrize("kind", ["none", "causal", "padding", "random"])
def test_gradients(rng, kind):
    q, k, v = (rng.standard_normal((2, 2, T, 3)) for T in (7, 8, 8))
    mask = make_mask(kind, rng, 2, 2, 7, 8)
    report = minixfmr.gradcheck_function(
        lambda q, k, v: long_attention(q, k, v, mask), lambda dy, saved: long_attention_backward(dy, saved), q, k, v
    )
    assert report.ok, str(report)
    assert report.max_relative_error <= 1e-7


def test_chosen_by_length(rng, monkeypatch):
    layer = MultiHeadAttention(8, 2, dropout=0.5, dtype="float64")
    x, mask = rng.standard_normal((2, 8, 8)), np.tri(8, dtype=bool)
    y, saved = layer.forward(x, mask=mask)
    dx, weights = layer.backward(y, saved), layer.attention_weights(saved)
    assert saved[3][0]
    assert not layer.forward(x, mask=mask, rng=np.random.Generator(np.random.SFC64(0)))[1][3][0]  # dropout on weights
    monkeypatch.setattr(plain, "LONG", 9)
    expected, saved = layer.forward(x, mask=mask)
    assert not saved[3][0]
    np.testing.assert_allclose(y, expected, atol=1e-12)
    np.testing.assert_allclose(dx, layer.backward(y, saved), atol=1e-12)
    np.testing.assert_allclose(weights, layer.attention_weights(saved), atol=1e-12)


@pytest.mark.parametrize("changes", [{}, {"relative_positions": "rotary", "num_key_value_heads": 1}])
def test_models(rng, monkeypatch, changes):
    """Rotary positions and shared key heads come before the blocks, and a cache holds as many keys."""
    model = minixfmr.DecoderOnly(small_config(**changes))
    ids = rng.integers(3, 13, (2, 8))
    logits = model(ids)
    _, state = model.start(ids)
    steps = [model.step(ids[:, :5], state), model.step(ids[:, 5:], state)]
    monkeypatch.setattr(plain, "LONG", 9)
    np.testing.assert_allclose(logits, model(ids), atol=1e-12)
    np.testing.assert_allclose(np.stack(steps, 1), logits[:, [4, 7]], atol=1e-12)
