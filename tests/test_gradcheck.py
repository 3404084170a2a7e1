import json
import subprocess
import sys
import textwrap

import pytest
from conftest import np

import minixfmr
from minixfmr import gradcheck, gradcheck_function, layers
from minixfmr.gradcheck import GradcheckError, assert_gradients
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
    assert [row.name for row in report.rows] == ["x", "weight", "bias"]
    assert "all gradients agree" in str(report)


@pytest.mark.parametrize(
    ("layer", "wrong"), [(GainOutsideTheSums(6), {"x"}), (ForgetsTheBias(6, 5, dtype="float64"), {"bias"})]
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


def test_a_misshapen_gradient_is_wrong_and_explained(rng):
    x, w, b = rng.standard_normal((2, 4, 3)), rng.standard_normal((3, 2)), rng.standard_normal(2)

    def backward(dy, saved):
        dx, dw, _ = layers.linear_backward(dy, saved)
        return dx, dw.T, dy

    report = gradcheck_function(layers.linear, backward, x, w, b)
    assert [row.ok for row in report.rows] == [True, False, False]
    assert {(e.names, e.cause) for e in report.explanations} == {
        (("weight",), "transposed"),
        (("bias",), "bias not summed"),
    }
    (shapes,) = [p for p in report.properties if not p.ok]
    assert shapes.name == "gradients have the shape of their arrays"
    assert "dbias is of shape (2, 4, 2), not (2,)" in shapes.remark


def test_a_whole_model(rng):
    config = minixfmr.Config(
        vocab_size=7, d_model=4, num_heads=2, d_ff=6, num_encoder_layers=1, num_decoder_layers=1, dropout=0.0
    )
    report = gradcheck(minixfmr.EncoderDecoder(config), rng.integers(0, 7, (2, 3)), rng.integers(0, 7, (2, 2)))
    assert report.ok, f"\n{report}"


@pytest.mark.on_numpy("homework is NumPy")
def test_dictionaries_of_arrays_integers_and_losses(rng):
    p = {"w": rng.standard_normal((5, 3)), "b": rng.standard_normal(3)}
    ids = np.array([[0, 2], [2, 4]])

    def forward(ids, p, power=2):
        h = p["w"][ids] + p["b"]
        return float((h**power).sum()), (ids, h, power)

    def backward(dy, cache):
        ids, h, power = cache
        dh = dy * power * h ** (power - 1)
        dw = np.zeros((5, 3))
        np.add.at(dw, ids, dh)
        return {"w": dw, "b": dh.sum((0, 1))}

    report = gradcheck_function(forward, backward, ids, p, power=3)
    assert report.ok, f"\n{report}"
    assert [row.name for row in report.rows] == ["p['w']", "p['b']"]
    criterion = minixfmr.CrossEntropy(label_smoothing=0.1)
    logits, labels = rng.standard_normal((2, 3, 7)), np.array([[1, 2, -100], [0, -100, 6]])
    report = gradcheck(criterion, logits, labels)  # its backward takes what was saved alone
    assert report.ok, f"\n{report}"


def test_assert_gradients_raises_with_the_table(rng):
    assert assert_gradients(LayerNorm(6), rng.standard_normal((2, 6))).ok
    with pytest.raises(AssertionError, match="gradient of .*\n.*WRONG x .*\n(.*\n)*.*gain weight belongs inside"):
        assert_gradients(GainOutsideTheSums(6), rng.standard_normal((2, 3, 6)))
    with pytest.raises(AssertionError, match="wrong sign"):
        assert_gradients(lambda x: (x * x, x), lambda dy, x: -2 * dy * x, rng.standard_normal(5))


def test_a_report_as_a_dictionary_survives_json(rng):
    report = gradcheck_function(lambda x: (x * 2, None), lambda dy, _: dy.sum(0), rng.standard_normal((3, 4)))
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert told["ok"] is False
    assert told["rows"][0]["verdict"] == "WRONG"
    assert told["rows"][0]["relative_error"] is None  # of another shape
    assert {p["name"] for p in told["properties"]} == {p.name for p in report.properties}


@pytest.mark.on_numpy("homework is NumPy")
def test_what_nothing_explains_is_mapped(rng):
    x = rng.standard_normal((4, 6))

    def backward(dy, x):
        dx = 2 * dy * x
        dx[2, 3:] *= np.array([3.7, -1.1, 0.2])
        return dx

    report = gradcheck_function(lambda x: (x * x, x), backward, x)
    assert not report.explanations
    assert "row         2 ...###" in report.maps["x"]
    assert "3 of 24 entries wrong" in str(report)


@pytest.mark.on_numpy("homework is NumPy")
def test_a_line_of_a_notebook_is_named_by_its_cell(rng, monkeypatch):
    class Shell:  # as much of IPython's as is asked
        @property
        def compile(self):
            return self

        def format_code_name(self, filename):
            return ("Cell", "In[7]") if filename == __file__ else None

    def forward(x):
        e = np.exp(x - x.max(-1, keepdims=True))
        w = e / e.sum(-1, keepdims=True)
        return w @ x.T, (w, x)

    def backward(dy, saved):
        w, x = saved
        dw = dy @ x
        return w * dw + dy.T @ w

    def broken(dy, saved):
        raise NameError("dyy")

    monkeypatch.setattr("builtins.get_ipython", Shell, raising=False)
    (why,) = gradcheck_function(forward, backward, rng.standard_normal((3, 4))).explanations
    assert why.sentence.startswith(f"In[7]:{backward.__code__.co_firstlineno + 3}, `w * dw`: softmax's row term")
    with pytest.raises(GradcheckError, match=r"\(In\[7\]:\d+: raise NameError"):
        gradcheck_function(forward, broken, rng.standard_normal((3, 4)))


@pytest.mark.on_numpy("homework is NumPy")
def test_large_arrays_are_sampled_within_the_time(rng):
    x = rng.standard_normal((300, 300))
    report = gradcheck_function(lambda x: (np.sin(x), x), lambda dy, x: dy * np.cos(x), x, max_seconds=0.0)
    assert report.ok
    assert report.rows[0].checked == 4
    report = gradcheck_function(lambda x: (np.sin(x), x), lambda dy, x: dy * np.cos(x), x, max_entries=10)
    assert report.rows[0].checked == 10


def test_a_small_array_without_any_gradient_is_compared_whole_however_slow_the_machine(rng):
    """A softmax does not feel the keys' bias: along no direction is there a slope to compare."""
    layer = layers.MultiHeadAttention(8, 2, dtype="float64")
    report = gradcheck(layer, rng.standard_normal((2, 3, 8)), max_entries=3, max_seconds=0.0)
    assert report.ok, f"{report}"


def test_gains_of_one_are_moved(rng):
    """With a gain of ones the mistake cannot be seen; the checker does not use ones."""
    x = rng.standard_normal((2, 3, 6))

    def backward(dy, saved):
        n, r, weight = saved
        dx = weight * r * (dy - dy.mean(-1, keepdims=True) - n * (dy * n).mean(-1, keepdims=True))
        return dx, (dy * n).sum((0, 1)), dy.sum((0, 1))

    report = gradcheck_function(layers.layer_norm, backward, x, np.ones(6), np.zeros(6), eps=1e-5)
    assert [row.ok for row in report.rows] == [False, True, True]


class PlainLinear:
    """As students write it: state and gradients on the layer."""

    def __init__(self, d_in, d_out):
        self.W, self.dW = np.ones((d_in, d_out)), np.zeros((d_in, d_out))

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, dy):
        self.dW += self.x.T @ dy
        return dy @ self.W.T


class InDictionaries(PlainLinear):
    def __init__(self, d_in, d_out):
        self.params, self.grads = {"W": np.ones((d_in, d_out))}, {"W": np.zeros((d_in, d_out))}

    W = property(lambda self: self.params["W"])

    def backward(self, dy):
        self.grads["W"] += self.x.T @ dy
        return dy @ self.W.T


class NamedOtherwise(PlainLinear):
    def __init__(self, d_in, d_out):
        self.matrix, self.slope = np.ones((d_in, d_out)), np.zeros((d_in, d_out))

    W = property(lambda self: self.matrix)

    def backward(self, dy):
        self.slope += self.x.T @ dy
        return dy @ self.W.T


@pytest.mark.on_numpy("homework is NumPy")
@pytest.mark.parametrize("kind", [PlainLinear, InDictionaries, NamedOtherwise])
def test_layers_with_plain_arrays(kind, rng):
    layer = kind(3, 2)
    kept = layer.W
    options = {"parameters": {"matrix": "slope"}} if kind is NamedOtherwise else {}
    report = gradcheck(layer, rng.standard_normal((4, 3)), **options)
    assert report.ok, f"\n{report}"
    assert len(report.rows) == 2
    assert layer.W is kept
    assert (kept == 1).all()


@pytest.mark.on_numpy("homework is NumPy")
def test_masks_must_block(rng):
    """A right gradient of a wrong forward: only moving the inputs shows it."""
    x, mask = rng.standard_normal((2, 4, 3)), np.tri(4, dtype=bool)

    def forward(x, mask):
        w = mask / mask.sum(-1, keepdims=True)
        return w @ x, w

    def open_forward(x, mask):
        w = np.ones((4, 4)) / 4
        return w @ x, w

    def backward(dy, w):
        return w.T @ dy

    for given in (mask, ~mask, np.where(mask, 0.0, -np.inf)):  # True = may attend, True = hidden, additive
        report = gradcheck_function(forward, backward, x, mask)
        assert report.ok, f"\n{report}"
        assert "mask blocks x" in [p.name for p in report.properties]
        wrong = gradcheck_function(open_forward, backward, x, given)
        (leak,) = [p for p in wrong.properties if not p.ok]
        assert "moves when x at position" in leak.remark
    padding = np.array([[1, 1, 1, 0], [1, 1, 1, 1]])
    layer = layers.MultiHeadAttention(4, 2, dtype="float64")
    assert gradcheck(layer, rng.standard_normal((2, 4, 4)), mask=padding[:, None, None, :] == 1).ok


def test_a_whole_model_with_a_mask_on_ids(rng):
    config = minixfmr.Config(vocab_size=9, d_model=4, num_heads=2, d_ff=6, num_encoder_layers=1, num_decoder_layers=1)
    ids, mask = rng.integers(3, 9, (2, 5)), np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    report = gradcheck(minixfmr.EncoderOnly(config), ids, attention_mask=mask, max_entries=6)
    assert report.ok, f"\n{report}"
    assert "attention_mask blocks input_ids" in [p.name for p in report.properties]


# --- bad input: one sentence, with the student's line


def no_return(x):
    x * 2


def raises(x):
    return x @ x.undefined, None


@pytest.mark.parametrize(
    ("forward", "backward", "message"),
    [
        (
            no_return,
            lambda dy, c: dy,
            r"no_return returned nothing: is a return statement missing\? \(test_gradcheck.py:",
        ),
        (lambda x: ("no", 1), lambda dy, c: dy, r"returned a str as its output: return a NumPy array"),
        (lambda x: (x > 0, 1), lambda dy, c: dy, r"array of bool .* only an output of floats has a gradient"),
        (raises, lambda dy, c: dy, r"raises raised AttributeError: .* \(test_gradcheck.py:\d+: return x @ x.undefined"),
        (lambda x, w: (x, 1), lambda dy, c: dy, r"takes \(x, w\) but is called with 1 arguments: missing .*'w'"),
        (lambda x: (x, 1), lambda dy, c: None, r"returned nothing: return the gradient of x"),
        (lambda x: (x, 1), lambda dy, c: (dy, dy), r"returned 2 gradients for 1 float inputs \(x\)"),
        (
            lambda x: (x, 1),
            lambda dy, c: "no",
            r"returned a str as the gradient of x: return an array of shape",
        ),
        (lambda x: (x, 1), lambda dy, c: dy[7], r"raised IndexError: index 7 is out of bounds"),
        (lambda x: (x, 1), 5, r"backward is 5: pass a function"),
    ],
)
def test_bad_functions_are_named(forward, backward, message):
    with pytest.raises(GradcheckError, match=message) as caught:
        gradcheck_function(forward, backward, np.ones((3, 4)))
    assert caught.value.__cause__ is None  # no traceback of the checker


@pytest.mark.on_numpy("homework is NumPy")
def test_bad_arguments_are_named(rng):
    with pytest.raises(GradcheckError, match=r"x is a list: pass an array, numpy.array\(x\)"):
        gradcheck_function(lambda x: (x, 1), lambda dy, c: dy, [1.0, 2.0])
    with pytest.raises(GradcheckError, match=r"gradient for x, which is an array of int64 .* pass x as floats"):
        gradcheck_function(lambda x, w: (x * w, (x, w)), lambda dy, c: (dy * c[1], dy * c[0]), np.arange(3), np.ones(3))
    with pytest.raises(GradcheckError, match="list has no method forward: a layer needs forward and backward"):
        gradcheck([], np.ones(3))
    with pytest.raises(GradcheckError, match="parameters names 'V', which PlainLinear lacks; it has W, dW"):
        gradcheck(PlainLinear(3, 2), np.ones((4, 3)), parameters={"V": "dV"})
    with pytest.raises(GradcheckError, match="nothing to check: .* none of them is a float array"):
        gradcheck_function(lambda x: (x * 1.0, 1), lambda dy, c: (), np.arange(3))


# --- python -m minixfmr.gradcheck

HOMEWORK = """
import numpy as np

def scale_forward(x, w):
    return x * w, (x, w)

def scale_backward(dy, cache):
    x, w = cache
    return dy * w, (dy * x).mean((0, 1))

def square_forward(x):
    return x * x, x

def square_backward(dy, x):
    return 2 * dy * x

class Shift:
    def __init__(self, d):
        self.b, self.db = np.zeros(d), np.zeros(d)

    def forward(self, x):
        return x + self.b

    def backward(self, dy):
        self.db += dy.sum((0, 1))
        return dy

def gradcheck_inputs(name, rng):
    if name == "scale":
        return rng.standard_normal((2, 5, 3)), rng.standard_normal(3)
"""


def command(folder, text, *options):
    (folder / "homework.py").write_text(textwrap.dedent(text))
    run = [sys.executable, "-m", "minixfmr.gradcheck", str(folder / "homework.py"), *options]
    return subprocess.run(run, capture_output=True, text=True, cwd=folder)


@pytest.mark.on_numpy("homework is NumPy")
def test_the_command_checks_every_pair_and_class_of_a_file(tmp_path):
    result = command(tmp_path, HOMEWORK)
    assert result.returncode == 1, result.stderr
    headings = [line for line in result.stdout.splitlines() if line.startswith("==")]
    assert headings == ["== scale: WRONG", "== square: right", "== Shift: right"]
    assert "it lacks the factor number of positions = 10" in result.stdout
    told = json.loads(command(tmp_path, HOMEWORK, "--json", "--only", "square").stdout)
    assert list(told) == ["square"]
    assert told["square"]["ok"]
    assert command(tmp_path, HOMEWORK, "--only", "square").returncode == 0


@pytest.mark.on_numpy("homework is NumPy")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:", "homework.py: invalid syntax (homework.py:1: def f(:)"),
        ("import numpy as np\nnp.zeros(2) + np.zeros(3)", "homework.py raised ValueError: operands could not"),
        ("x = 1", "has nothing to check"),
    ],
)
def test_the_command_names_a_file_that_it_cannot_check(tmp_path, text, message):
    result = command(tmp_path, text)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


# --- what trying changes must not do


def rows_forward(x):
    return x * np.arange(1.0, len(x) + 1)[:, None], len(x)


def rows_backward(dy, n):
    print("backward runs")
    dx, i = np.zeros_like(dy), 0
    while i < n - 1:  # stops one row too early; other numbers below make it endless
        dx[i] = dy[i] * (i + 1)
        i += 1
    return dx


@pytest.mark.on_numpy("homework is NumPy")
def test_a_change_that_makes_a_loop_endless_is_given_up_and_prints_are_seen_once(rng, capsys):
    report = gradcheck_function(rows_forward, rows_backward, rng.standard_normal((3, 4)))
    (explanation,) = report.explanations
    assert (explanation.cause, explanation.line) == ("wrong number", rows_backward.__code__.co_firstlineno + 3)
    assert "`1`: the number must be 0" in explanation.sentence
    assert capsys.readouterr().out == "backward runs\n"
