"""Homework as real courses write it: the right file is right, the wrong one WRONG, and what is in doubt is named."""

import textwrap
import types

import numpy as np
import pytest

from minixfmr import gradcheck, gradcheck_function
from minixfmr.gradcheck.discovery import items_in
from minixfmr.gradcheck.profile import Profile
from minixfmr.gradcheck.report import GradcheckError
from minixfmr.gradcheck.runner import check_item

pytestmark = pytest.mark.on_numpy("homework is NumPy")
RIGHT, WRONG, NOT_CHECKED = "right", "WRONG", "NOT CHECKED"


@pytest.fixture
def homework(tmp_path, monkeypatch):
    """The module of a homework file: its source can be read, as the checker reads it."""

    def load(text):
        file = tmp_path / f"homework_{len(list(tmp_path.iterdir()))}.py"
        file.write_text("import numpy as np\n" + textwrap.dedent(text))
        module = types.ModuleType(file.stem)
        module.__file__ = str(file)
        monkeypatch.setitem(__import__("sys").modules, file.stem, module)
        exec(compile(file.read_text(), str(file), "exec"), vars(module))
        return module

    return load


def checked(module):
    """{name: report}, or the message of what cannot be checked."""
    found = {}
    for item in items_in(module, Profile()):
        try:
            found[item.name] = check_item(item, [], Profile(), 0, 1e-7)
        except GradcheckError as error:
            found[item.name] = str(error)
    return found


DENSE = """
class Box:
    def __init__(self, W, b):
        self.W, self.b = W, b

class Dense:
    def __init__(self):
        W, b = np.ones((6, 4)), np.zeros(4)
        self.p = {values}
        self.g = None
    def forward(self, x):
        self.x = x
        return x @ self.p{W} + self.p{b}
    def backward(self, dy):
        dW, db = self.x.T @ dy * FACTOR, dy.sum(0)
        self.g = {gradients}
        return dy @ self.p{W}.T
"""
CONTAINERS = {
    "a dictionary": ("{'W': W, 'b': b}", "{'W': dW, 'b': db}", "['W']", "['b']"),
    "a list": ("[W, b]", "[dW, db]", "[0]", "[1]"),
    "nested lists": ("[[W], [b]]", "[[dW], [db]]", "[0][0]", "[1][0]"),
    "an object": ("Box(W, b)", "Box(dW, db)", ".W", ".b"),
}


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("factor", [1, 1.01])
def test_what_holds_the_gradients_may_be_made_anew_by_each_backward(kind, factor, homework):
    values, gradients, W, b = CONTAINERS[kind]
    module = homework(DENSE.format(values=values, gradients=gradients, W=W, b=b))
    module.FACTOR = factor
    report = checked(module)["Dense"]
    assert report.verdict == (RIGHT if factor == 1 else WRONG), f"\n{report}"
    assert len(report.rows) == 3
    assert [row.ok for row in report.rows].count(False) == (factor != 1)


@pytest.mark.parametrize(("form", "status"), [("", RIGHT), ("/ len(grad)", WRONG)])
@pytest.mark.parametrize("rate", ["self.lr", "LR"])
def test_a_backward_that_steps_by_a_rate_of_its_own(form, status, rate, homework):
    text = f"""
    LR = 0.05
    class Linear:
        def __init__(self):
            self.w, self.lr = np.ones((6, 2)), 0.1
        def forward(self, x):
            self.x = x
            return x @ self.w
        def backward(self, grad):
            dx = grad @ self.w.T
            self.w = self.w - {rate} * self.x.T @ grad {form}
            return dx
    """
    text = text.replace(", self.lr = ", " = ").replace(", 0.1", "") if rate == "LR" else text.replace("LR = 0.05", "")
    report = checked(homework(text))["Linear"]
    assert report.verdict == status, f"\n{report}"
    assert [row.name for row in report.rows] == ["x", "w"]


BUFFERS = {
    "zeros are hidden": ("np.tril(np.ones((5, 5)))", "np.where(self.buffer == 0, -np.inf, s)"),
    "ones are hidden": ("np.triu(np.ones((5, 5)), 1)", "np.where(self.buffer > 0, -np.inf, s)"),
    "added": ("np.triu(np.full((5, 5), -1e9), 1)", "s + self.buffer"),
}


@pytest.mark.parametrize("kind", BUFFERS)
def test_a_mask_that_a_layer_keeps_is_no_parameter(kind, homework):
    buffer, masked = BUFFERS[kind]
    text = f"""
    class Weights:
        def __init__(self):
            self.buffer = {buffer}
        def forward(self, s):
            e = np.exp({masked})
            self.a = e / e.sum(-1, keepdims=True)
            return self.a
        def backward(self, dy):
            return self.a * (dy - (dy * self.a).sum(-1, keepdims=True))
    """
    layer = homework(text).Weights()
    report = gradcheck(layer, np.random.default_rng(0).standard_normal((2, 5, 5)))
    assert report.verdict == RIGHT, f"\n{report}"
    assert any("buffer is taken as a mask" in note for note in report.notes)


def test_zeros_and_ones_that_are_multiplied_are_no_mask(rng):
    class Gated:
        def __init__(self):
            self.gate = np.tril(np.ones((3, 3)))

        def forward(self, x):
            return x @ self.gate

        def backward(self, dy):
            return dy @ self.gate.T

    report = gradcheck(Gated(), rng.standard_normal((2, 3)))
    assert report.verdict == NOT_CHECKED
    assert "gate moves the output" in report.unchecked[0]


@pytest.mark.parametrize("dba", ["dz.sum(1, keepdims=True)", "dz.mean(1, keepdims=True)"])
def test_one_dictionary_for_arguments_and_what_is_in_them(dba, homework):
    text = f"""
    def cell_forward(xt, a_prev, parameters):
        p = parameters
        a = np.tanh(p["Wax"] @ xt + p["Waa"] @ a_prev + p["ba"])
        return a, (a, a_prev, xt, p)
    def cell_backward(da, cache):
        a, a_prev, xt, p = cache
        dz = (1 - a ** 2) * da
        return {{"dxt": p["Wax"].T @ dz, "da_prev": p["Waa"].T @ dz, "dWax": dz @ xt.T, "dWaa": dz @ a_prev.T,
                "dba": {dba}}}
    """
    module, r = homework(text), np.random.default_rng(0).standard_normal
    parameters = {"Wax": r((5, 3)), "Waa": r((5, 5)), "ba": r((5, 1)), "unused": r(2)}
    report = gradcheck_function(module.cell_forward, module.cell_backward, r((3, 7)), r((5, 7)), parameters)
    assert report.verdict == (RIGHT if "sum" in dba else WRONG), f"\n{report}"
    assert [row.name for row in report.rows if not row.ok] == ([] if "sum" in dba else ["parameters['ba']"])


@pytest.mark.parametrize(("two", "status"), [("2 *", RIGHT), ("", WRONG)])
def test_the_backward_of_a_loss_may_take_the_input_alone(two, status, homework):
    text = f"""
    def penalty_forward(W, lam=0.01):
        return lam * np.sum(W * W)
    def penalty_backward(W, lam=0.01):
        return {two} lam * W
    """
    assert checked(homework(text))["penalty"].verdict == status


LOSS = """
def {name}(logits, y):
    e = np.exp(logits)
    {beside} = e / e.sum(1, keepdims=True)
    loss = -np.log({beside}[np.arange(len(y)), y]).mean()
    {change}
    return loss, {beside}
"""


def test_what_a_loss_returns_beside_it_is_a_gradient_or_in_doubt(homework):
    change = "{0}[np.arange(len(y)), y] -= 1; {0} /= len(y)"
    for name in ("softmax_loss", "cross_entropy", "ce"):
        for beside in ("probs", "dx"):
            text = LOSS.format(name=name, beside=beside, change=change.format(beside))
            assert checked(homework(text))[name].verdict == RIGHT
            found = checked(homework(LOSS.format(name=name, beside=beside, change="")))[name]
            if beside == "dx":
                assert found.verdict == WRONG
            else:
                assert f"{name} returns probs beside the loss, which is not its gradient" in found


@pytest.mark.parametrize(("gradients", "status"), [("dW, db", RIGHT), ("db, dW", RIGHT), ("2 * dW, db", WRONG)])
def test_gradients_returned_after_those_of_the_inputs_are_told_by_shape(gradients, status, homework):
    text = f"""
    class Linear:
        def __init__(self, n=6, m=4):
            self.W, self.b = np.ones((n, m)), np.zeros(m)
        def forward(self, x):
            return x @ self.W + self.b, x
        def backward(self, dy, x):
            dW, db = x.T @ dy, dy.sum(0)
            return dy @ self.W.T, {gradients}
    """
    report = checked(homework(text))["Linear"]
    assert report.verdict == status, f"\n{report}"
    assert [row.name for row in report.rows if not row.ok] == ([] if status == RIGHT else ["W"])


def test_two_gradients_of_one_shape_are_not_told_apart(rng):
    class Sum:
        def __init__(self):
            self.W, self.U = np.ones((3, 3)), 2 * np.ones((3, 3))

        def forward(self, x):
            return x @ self.W + x**2 @ self.U, x

        def backward(self, dy, x):
            return dy @ self.W.T + 2 * x * (dy @ self.U.T), (x**2).T @ dy, x.T @ dy

    report = gradcheck(Sum(), rng.standard_normal((4, 3)))
    assert report.verdict == NOT_CHECKED, f"\n{report}"


@pytest.mark.parametrize(("count", "status"), [("len(a)", RIGHT), ("a.size", WRONG)])
def test_examples_of_a_loss_stand_in_rows(count, status, homework):
    text = f"""
    def distance_loss(a, b):
        return ((a - b) ** 2).sum(-1).mean(), 2 * (a - b) / {count}, 2 * (b - a) / {count}
    """
    assert checked(homework(text))["distance_loss"].verdict == status


@pytest.mark.parametrize("name", ["softplus_grad", "dsoftplus", "softplus_prime"])
@pytest.mark.parametrize(("sign", "status"), [("-", RIGHT), ("", WRONG)])
def test_a_derivative_at_a_point_is_multiplied(name, sign, status, homework):
    text = f"""
    def softplus(x):
        return np.log1p(np.exp(x))
    def {name}(x):
        return 1 / (1 + np.exp({sign}x))
    """
    assert checked(homework(text))["softplus"].verdict == status


GAINS = {
    "a gain called w": """
    def norm_forward(x, w):
        r = np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)
        return x / r * w, (x, w, r)
    def norm_backward(dy, cache):
        x, w, r = cache
        g = dy * w
        dw = (dy * x / r).reshape(-1, x.shape[-1]).sum(0)
        return g / r - x * (g * x).mean(-1, keepdims=True) / r ** 3, dw
    """,
    "a bias of one row": """
    class Shift:
        def __init__(self, width):
            self.b = np.zeros((1, width))
        def forward(self, x):
            return x + self.b
        def backward(self, dy):
            self.db = dy.sum(0, keepdims=True)
            return dy
    """,
    "a width called dim": """
    class Shift:
        def __init__(self, dim):
            self.b = np.zeros(dim)
        def forward(self, x):
            return x + self.b
        def backward(self, dy):
            self.db = dy.reshape(-1, len(self.b)).sum(0)
            return dy
    """,
    "matrices a and b": """
    class Product:
        def forward(self, a, b):
            self.a, self.b = a, b
            return a @ b
        def backward(self, dy):
            return dy @ self.b.T, self.a.T @ dy
    """,
}


@pytest.mark.parametrize("kind", GAINS)
def test_shapes_are_made_up_that_all_gradients_fit(kind, homework):
    (report,) = checked(homework(GAINS[kind])).values()
    assert report.verdict == RIGHT, f"\n{report}"


def test_tensors_are_refused_in_a_sentence():
    torch = pytest.importorskip("torch")

    class Linear:
        def __init__(self):
            self.W = torch.ones(6, 4, dtype=torch.float64)

        def forward(self, x):
            return torch.as_tensor(x) @ self.W

        def backward(self, dy):
            return dy @ self.W.T

    with pytest.raises(GradcheckError, match=r"returned a torch\.Tensor"):
        gradcheck(Linear(), np.ones((3, 6)))


def test_a_wrong_gradient_of_a_number_has_a_verdict(rng):
    class Neuron:
        def __init__(self):
            self.b, self.db = 0.5, 0.0

        def forward(self, x):
            self.out = np.tanh(x.sum() + self.b)
            return self.out

        def backward(self, dy):
            self.db += dy
            return dy * (1 - self.out**2) * np.ones(3)

    report = gradcheck(Neuron(), rng.standard_normal(3))
    assert report.verdict == WRONG
    assert [row.name for row in report.rows if not row.ok] == ["b"]


def test_a_gradient_with_nan_is_said_where_and_the_others_are_explained(rng):
    def forward(x, w, b):
        return x * w + b, (x, w)

    def backward(dy, cache):
        x, w = cache
        db = dy.sum(0)
        db[1] = np.nan
        return 3 * dy * w, (dy * x).sum(0), db

    report = gradcheck_function(forward, backward, *(rng.standard_normal(s) for s in ((5, 3), 3, 3)))
    causes = {e.names: e for e in report.explanations}
    assert causes["b",].cause == "not finite"
    assert "1 of its 3 entries are NaN or infinite, the first at 1" in causes["b",].sentence
    assert ("x",) in causes


def test_two_explanations_that_share_a_gradient_are_both_kept(monkeypatch, rng):
    from minixfmr.gradcheck.diagnosis import explain
    from minixfmr.gradcheck.report import Explanation

    monkeypatch.setattr(explain, "swapped", lambda *_: [Explanation(("x", "w"), "swapped", "each is the other's")])
    monkeypatch.setattr(explain, "repair", lambda *_: Explanation(("x", "b"), "sign", "line 3", 3))
    monkeypatch.setattr(explain, "wrongly_saved", lambda *_: None)
    report = gradcheck_function(
        lambda x, w, b: (x * w + b, (x, w)),
        lambda dy, c: (2 * dy * c[1], 2 * (dy * c[0]), 2 * dy),
        *(rng.standard_normal((3, 2)) for _ in range(3)),
    )
    assert {e.names for e in report.explanations} == {("x", "w"), ("x", "b")}


def test_a_repair_that_only_empties_a_condition_is_no_explanation(homework):
    text = """
    def reshape_forward(x):
        return x.reshape(len(x), -1), x
    def reshape_backward(dy, x):
        return dy.reshape(x.shape) * (x > 0)
    """
    (report,) = checked(homework(text)).values()
    assert report.verdict == WRONG
    assert all("number must be" not in e.sentence and "squared" not in e.sentence for e in report.explanations)
    assert "one too many" in report.explanations[0].sentence
