import pytest
from conftest import np

import minixfmr
from minixfmr import gradcheck, gradcheck_function, layers
from minixfmr.layers import LayerNorm, Linear


class GainOutsideTheSums(LayerNorm):
    """A bug of a published project: right as long as the gain is 1."""

    def backward(self, dy, saved):
        n, r, weight = saved
        dx = weight * r * (dy - dy.mean(-1, keepdims=True) - n * (dy * n).mean(-1, keepdims=True))
        self.weight.grad += (dy * n).sum((0, 1))
        self.bias.grad += dy.sum((0, 1))
        return dx


class ForgetsTheBias(Linear):
    def backward(self, dy, saved):
        dx = super().backward(dy, saved)
        self.bias.grad[...] = 0
        return dx


def test_a_right_layer_passes_with_a_small_error(rng):
    report = gradcheck(LayerNorm(6), rng.standard_normal((2, 3, 6)))
    assert report.ok
    assert report.max_relative_error < 1e-9
    assert [row.name for row in report.rows] == ["input 0", "weight", "bias"]
    assert "all gradients agree" in str(report)


@pytest.mark.parametrize(
    ("layer", "wrong"), [(GainOutsideTheSums(6), {"input 0"}), (ForgetsTheBias(6, 5, dtype="float64"), {"bias"})]
)
def test_a_wrong_one_is_named(rng, layer, wrong):
    report = gradcheck(layer, rng.standard_normal((2, 3, 6)))
    assert not report.ok
    assert {row.name for row in report.rows if not row.ok} == wrong
    assert report.max_relative_error > 0.01
    assert "WRONG" in str(report)
    assert max(map(len, str(report).splitlines())) <= 100


def test_functions(rng):
    x, w, b = rng.standard_normal((4, 3)), rng.standard_normal((3, 2)), rng.standard_normal(2)
    assert gradcheck_function(layers.linear, layers.linear_backward, x, w, b).ok

    def transposed(dy, saved):
        dx, dw, db = layers.linear_backward(dy, saved)
        return dx, dw * 1.001, db

    report = gradcheck_function(layers.linear, transposed, x, w, b)
    assert [row.ok for row in report.rows] == [True, False, True]


def test_a_single_wrong_entry_is_found_in_a_large_array(rng):
    x = rng.standard_normal((60, 50))

    def backward(dy, saved):
        (y,) = saved
        dx = 2 * dy * y
        dx[41, 7] += 100  # large where it is wrong, as such entries often are
        return dx

    report = gradcheck_function(lambda x: (x * x, (x,)), backward, x)
    assert not report.ok
    assert report.rows[0].where == (41, 7)


def test_parameters_and_gradients_come_back_bit_for_bit(rng):
    model = layers.FeedForward(4, 6)
    for p in model.parameters():
        p.grad += 3
    kept = [(p.data, p.data.copy(), p.grad, p.grad.copy()) for p in model.parameters()]
    gradcheck(model, rng.standard_normal((2, 4)).astype("float32"))
    with pytest.raises(ValueError, match="d_in"):
        gradcheck(model, rng.standard_normal((2, 5)))
    for p, (data, data_copy, grad, grad_copy) in zip(model.parameters(), kept, strict=True):
        assert p.data is data
        assert p.grad is grad
        np.testing.assert_array_equal(data, data_copy)
        np.testing.assert_array_equal(grad, grad_copy)
        assert data.dtype == np.float32


def test_kinks_are_no_errors():
    x = np.array([1.0, 1e-4, 0.0, -1e-5, -2.0])
    report = gradcheck_function(layers.relu, layers.relu_backward, x)
    assert report.ok, f"\n{report}"
    assert report.rows[0].kinks == 1  # x = 0 itself; nearby the step shrinks until it fits


def test_small_gradients_are_not_passed_as_zeros(rng):
    x = rng.standard_normal((3, 4))
    report = gradcheck_function(lambda x: (1e-6 * x, None), lambda dy, _: 0 * dy, x)
    assert not report.ok


def test_nan_is_an_error(rng):
    x = rng.standard_normal(3)
    assert not gradcheck_function(lambda x: (x * 2, None), lambda dy, _: dy * np.nan, x).ok


def test_a_missing_or_misshapen_gradient_is_named(rng):
    x = rng.standard_normal((3, 4))
    with pytest.raises(ValueError, match=r"nothing as the gradient of argument 0, which has shape \(3, 4\)"):
        gradcheck_function(lambda x: (x, None), lambda dy, _: None, x)
    with pytest.raises(ValueError, match=r"an array of shape \(4,\) as the gradient of argument 0"):
        gradcheck_function(lambda x: (x, None), lambda dy, _: dy.sum(0), x)


def test_a_whole_model(rng):
    config = minixfmr.Config(
        vocab_size=7, d_model=4, num_heads=2, d_ff=6, num_encoder_layers=1, num_decoder_layers=1, dropout=0.0
    )
    report = gradcheck(minixfmr.EncoderDecoder(config), rng.integers(0, 7, (2, 3)), rng.integers(0, 7, (2, 2)))
    assert report.ok, f"\n{report}"
