"""What the checker says of a wrong gradient: one test for each kind of explanation, and for what must not be said."""

import textwrap

import numpy as np
import pytest

from minixfmr import gradcheck, gradcheck_function

pytestmark = pytest.mark.on_numpy("homework is NumPy")


@pytest.fixture
def module(tmp_path):
    """Import a text from a file of its own, so that its source can be read."""

    def load(text):
        path = tmp_path / "homework.py"
        path.write_text("import numpy as np\n" + textwrap.dedent(text), encoding="utf-8")
        namespace = {"__name__": "homework"}
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), namespace)
        return namespace

    return load


@pytest.fixture
def check(module):
    """The report on f_forward and f_backward of a text."""

    def run(text, *shapes, **options):
        names = module(text)
        rng = np.random.default_rng(5)
        arrays = [rng.standard_normal(s) if isinstance(s, tuple) else s for s in shapes]
        return gradcheck_function(names["f_forward"], names["f_backward"], *arrays, **options)

    return run


def told(report):
    return " | ".join(map(str, report.explanations))


# --- true, or absent


@pytest.mark.parametrize(
    ("forward", "backward", "words"),
    [
        ("x * 1.0, None", "np.clip(dy, -1, 1)", "clipping"),
        ("x**3, x", "dy * np.power(x, 3) * 3", "must be 2"),
        ("np.roll(x, 1, axis=1), None", "np.roll(dy, -2, axis=1)", "must be -1"),
        ("np.cumsum(x, axis=1), x.shape", "np.cumsum(dy[:, ::-1], axis=1)[:, :]", ""),
    ],
)
def test_a_number_in_a_call_is_no_axis(check, forward, backward, words):
    saved = forward.split(", ")[-1]
    name = saved if saved == "x" else "cache"
    text = f"def f_forward(x):\n    return {forward}\ndef f_backward(dy, {name}):\n    return {backward}\n"
    report = check(text, (4, 5))
    assert words in told(report)
    assert "axis must" not in told(report)


def test_an_axis_is_named_where_the_parameter_is_one(check):
    text = """
        def f_forward(x, b):
            return x + b, None
        def f_backward(dy, cache):
            return dy, np.sum(dy, 1)
    """
    assert "axis must be 0" in told(check(text, (4, 4), (4,)))


def test_a_bound_that_is_not_reached_here_is_no_repair(check):
    text = """
        def f_forward(x, b):
            return x + b, None
        def f_backward(dy, cache):
            return dy, np.minimum(dy.sum(axis=0), 1)
    """
    report = check(text, (6, 3), (3,))
    assert not report.ok
    assert "must be 4" not in told(report)


def test_a_factor_is_named_only_by_what_fits_at_two_shapes(check):
    text = """
        def f_forward(x, w):
            return x @ w, (x, w)
        def f_backward(dy, cache):
            x, w = cache
            return dy @ w.T, x.T @ dy / len(x)
    """
    said = told(check(text, (4, 4), (4, 4)))  # the batch and both widths are 4
    assert "batch size" in said
    assert "width" not in said


def test_a_plain_factor_is_no_size(check):
    text = """
        def f_forward(x):
            return x**2, x
        def f_backward(dy, x):
            return dy * x
    """
    said = told(check(text, (3, 4)))  # 2 is also the root of 4
    assert "2" in said
    assert "width" not in said


def test_the_examples_in_columns_are_called_examples(check):
    text = """
        def f_forward(A, W, b):
            return W @ A + b, (A, W)
        def f_backward(dZ, cache):
            A, W = cache
            m = A.shape[1]
            return W.T @ dZ, dZ @ A.T / m, dZ.sum(axis=1, keepdims=True) / m
    """
    assert "number of examples = 5" in told(check(text, (3, 5), (4, 3), (4, 1)))


def test_it_speaks_the_students_names(check):
    text = """
        def f_forward(x):
            e = np.exp(x - x.max(-1, keepdims=True))
            p = e / e.sum(-1, keepdims=True)
            return p, (p, x)
        def f_backward(upstream, cache):
            probs, x = cache
            return upstream * probs
    """
    said = told(check(text, (4, 5)))
    assert "probs · (upstream - sum(upstream · probs) over the last axis)" in said
    assert "dy" not in said
    assert "saved" not in said


def test_where_everything_is_wrong_there_is_no_map(check):
    text = """
        def f_forward(x):
            return np.sin(3 * x), x
        def f_backward(dy, x):
            return dy * np.exp(x) + x**3
    """
    report = check(text, (6, 5))
    assert "every entry is wrong" in str(report)
    assert "#" not in str(report)


# --- more of them


def test_inside_a_lambda(check):
    text = """
        def f_forward(x):
            y = np.tanh(x)
            return y, (x, lambda dy: dy * (1 - y))
        def f_backward(dy, cache):
            return cache[1](dy)
    """
    report = check(text, (3, 4))
    assert "`y`: what belongs here is squared" in told(report)
    assert report.explanations[0].line == 5


def test_on_an_entry_of_the_cache(check):
    text = """
        def f_forward(x, w):
            return np.tanh(x) * w, (x, w, np.tanh(x))
        def f_backward(dy, cache):
            return dy * cache[1] * (1 - cache[0] ** 2), (dy * cache[2]).sum(axis=0)
    """
    assert "cache[2] belongs here, not cache[0]" in told(check(text, (3, 4), (4,)))


MASKS = """
    P = 0.8
    KEEP = np.random.default_rng(1).random((4, 5)) < P
    LABELS = np.array([1, -1, 0, 2, -1, 1])
    def drop_forward(x):
        return x * KEEP / P, None
    def loss_forward(z):
        e = np.exp(z - z.max(axis=1, keepdims=True))
        p, counts = e / e.sum(axis=1, keepdims=True), LABELS >= 0
        return -np.sum(np.log(p[np.arange(len(z)), LABELS]) * counts) / counts.sum(), p
    def loss(p):
        d = p.copy()
        d[np.arange(len(p)), LABELS] -= 1
        return d, LABELS >= 0
"""


@pytest.mark.parametrize(
    ("kind", "backward", "words"),
    [
        ("drop", "return dy", "KEEP"),
        ("drop", "return dy / P", "KEEP"),
        ("drop", "return dy * KEEP", "1/P = 1.25"),
        ("loss", "d, counts = loss(cache)\n    return dy * d / counts.sum()", "LABELS is -1"),
        ("loss", "d, counts = loss(cache)\n    return dy * d * counts[:, None] / len(d)", "labels that count"),
    ],
)
def test_masks_and_labels_of_the_module(check, kind, backward, words):
    text = textwrap.dedent(MASKS) + f"f_forward = {kind}_forward\ndef f_backward(dy, cache):\n    {backward}\n"
    report = check(text, (4, 5) if kind == "drop" else (6, 3))
    assert words in told(report)


RNN = """
    def f_forward(x, w, u):
        h, hs = np.zeros((len(x), len(u))), []
        for t in range(x.shape[1]):
            h = np.tanh(x[:, t] @ w + h @ u)
            hs.append(h)
        return np.stack(hs, axis=1), (x, w, u, hs)
    def f_backward(dy, cache):
        x, w, u, hs = cache
        dx, dw, du, carry = np.zeros_like(x), np.zeros_like(w), np.zeros_like(u), np.zeros_like(hs[0])
        for t in reversed(range(x.shape[1])):
            dh = dy[:, t] + carry
            dz = dh * (1 - hs[t] ** 2)
            dx[:, t] = dz @ w.T
            dw += x[:, t].T @ dz
            if t > 0:
                du += hs[t - 1].T @ dz
            carry = dz @ u.T
        return dx, dw, du
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "            carry = dz @ u.T",
            "            earlier = dz @ u.T",
            "earlier of the step after is never handed on",
        ),
        ("(1 - hs[t] ** 2)", "(1 - np.tanh(hs[t]) ** 2)", "the output"),
        ("reversed(range(x.shape[1]))", "reversed(range(1, x.shape[1]))", "leaves out its first step"),
        (
            "            if t > 0:\n                du +=",
            "            du +=",
            "its index is -1, which is the last entry",
        ),
    ],
)
def test_recurrent_cells(check, old, new, words):
    assert old in RNN
    report = check(RNN.replace(old, new), (2, 4, 3), (3, 5), (5, 5))
    assert words in told(report)
    assert not report.ok
    assert "axis" not in told(report)


CONVOLUTION = """
    def f_forward(x, w, stride, pad):
        k, padded = len(w), np.pad(x, ((0, 0), (pad, pad)))
        n = (padded.shape[1] - k) // stride + 1
        y = np.stack([padded[:, i * stride : i * stride + k] @ w for i in range(n)], axis=1)
        return y, (x, w, padded, stride, pad)
    def f_backward(dy, cache):
        x, w, padded, stride, pad = cache
        k, wide, dw = len(w), np.zeros_like(padded), np.zeros_like(w)
        for i in range(dy.shape[1]):
            dw += dy[:, i] @ padded[:, i * stride : i * stride + k]
            wide[:, i * stride : i * stride + k] += dy[:, i : i + 1] * w
        return wide[:, pad : pad + x.shape[1]], dw
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("wide[:, i * stride : i * stride + k] +=", "wide[:, i : i + k] +=", "multiples of stride"),
        ("wide[:, pad : pad + x.shape[1]]", "wide[:, : x.shape[1]]", "from pad to pad + size"),
        ("wide[:, i * stride : i * stride + k] +=", "wide[:, i * stride : i * stride + k] =", "write +="),
    ],
)
def test_windows(check, old, new, words):
    report = check(CONVOLUTION.replace(old, new), (2, 7), (3,), 2, 1)
    assert words in told(report)


HEADS = """
    def f_forward(x, num_heads):
        B, T, D = x.shape
        heads = x.reshape(B, T, num_heads, D // num_heads).transpose(0, 2, 1, 3)
        y = heads * np.cumsum(heads, axis=-1)
        return y.transpose(0, 2, 1, 3).reshape(B, T, D), (heads, num_heads)

    def f_backward(dy, cache):
        heads, num_heads = cache
        B, T, D = dy.shape
        dheads = dy.reshape(B, T, num_heads, D // num_heads).transpose(0, 2, 1, 3)
        later = np.cumsum((dheads * heads)[..., ::-1], axis=-1)[..., ::-1]
        dx = dheads * np.cumsum(heads, axis=-1) + later
        return dx.transpose(0, 2, 1, 3).reshape(B, T, D)
"""


def test_heads_come_first_when_they_are_split(check):
    assert check(HEADS, (2, 5, 12), 3).ok
    right = "dheads = dy.reshape(B, T, num_heads, D // num_heads).transpose(0, 2, 1, 3)"
    wrong = "dheads = dy.reshape(B, T, -1, num_heads).transpose(0, 3, 1, 2)"
    report = check(HEADS.replace(right, wrong), (2, 5, 12), 3)
    assert {e.cause for e in report.explanations} == {"axes permuted"}
    assert "heads come first when they are split: reshape to (2, 5, 3, 4)" in told(report)


def test_a_term_that_is_worked_out_and_never_used(check):
    text = """
        def f_forward(x):
            xc = x - x.mean(axis=0)
            return xc**3, xc
        def f_backward(dy, xc):
            N = len(xc)
            dxc = 3 * xc**2 * dy
            dmu = -dxc.sum(axis=0)
            return dxc
    """
    said = told(check(text, (5, 3)))
    assert "dmu is worked out and never used" in said
    assert "1/N" in said or "1/(batch size)" in said


def test_an_array_that_has_two_names(check):
    text = """
        def f_forward(x, w):
            h = x @ w
            return x + np.maximum(h, 0), (x, w, h)
        def f_backward(dy, cache):
            x, w, h = cache
            skip = branch = dy
            branch *= h > 0
            return skip + branch @ w.T, x.T @ branch
    """
    report = check(text, (5, 4), (4, 4))
    assert "has another name" in told(report)
    assert report.explanations[0].line == 9


def test_a_comparison_the_wrong_way_round(check):
    text = """
        def f_forward(x):
            return np.maximum(x, 0), x
        def f_backward(dy, x):
            return dy * (x < 0)
    """
    assert "wrong way round" in told(check(text, (4, 5)))


def test_a_slope_without_its_dy(check):
    text = """
        def f_forward(x, alpha):
            return np.where(x > 0, x, alpha * x), (x, alpha)
        def f_backward(dy, cache):
            x, alpha = cache
            return np.where(x > 0, dy, alpha)
    """
    assert "`alpha`: alpha · dy belongs here" in told(check(text, (4, 5), 0.1))


def test_labels_as_columns_of_every_row(check):
    text = """
        def f_forward(z, labels):
            e = np.exp(z)
            p = e / e.sum(axis=1, keepdims=True)
            return -np.log(p[np.arange(len(z)), labels]).sum(), (p, labels)
        def f_backward(dy, cache):
            p, labels = cache
            d = p.copy()
            d[:, labels] -= 1
            return dy * d
    """
    assert "one entry a row" in told(check(text, (5, 4), np.array([0, 2, 1, 3, 3])))


def test_the_wrong_array_in_the_cache(check):
    text = """
        def f_forward(x):
            s = np.sin(x)
            y = s * np.exp(s)
            return y, (x, y)
        def f_backward(dy, cache):
            x, s = cache
            return dy * (1 + s) * np.exp(s) * np.cos(x)
    """
    assert "forward saves y as s, where backward needs s" in told(check(text, (4, 5)))


def test_letters_of_einsum(check):
    text = """
        def f_forward(x, w):
            return np.einsum("bti,ij->btj", x, w), (x, w)
        def f_backward(dy, cache):
            x, w = cache
            return np.einsum("btj,ij->bti", dy, w), np.einsum("bti,bsj->ij", x, dy)
    """
    assert "subscripts must be" in told(check(text, (2, 3, 4), (4, 5)))


# --- the first wrong step


def test_the_first_wrong_step_is_named(check):
    text = """
        def f_forward(x, w, v):
            z = x @ w
            h = np.tanh(z)
            y = h @ v
            return y, (x, w, v, h)
        def f_backward(dy, cache):
            x, w, v, h = cache
            dv = h.T @ dy
            dh = dy @ v.T
            dz = np.sqrt(abs(dh)) * np.sin(h)
            return dz @ w.T, x.T @ dz, dv
    """
    report = check(text, (3, 4), (4, 5), (5, 2))
    assert report.first_step.startswith("dz (homework.py:12) is the first that is wrong: dh before it is right")
    assert report.first_step in " ".join(str(report).split())


def test_at_which_step_of_a_loop(check):
    text = RNN.replace("h = np.tanh(x[:, t] @ w + h @ u)", "z = x[:, t] @ w + h @ u\n            h = np.tanh(z)")
    text = text.replace("dz = dh * (1 - hs[t] ** 2)", "dz = dh * (1 - hs[t] ** 2) * (1 if t > 1 else np.cos(hs[t]))")
    report = check(text, (2, 4, 3), (3, 5), (5, 5))
    assert report.first_step.startswith("dz (homework.py:15) is the first that is wrong, at step 1 of its loop")


def test_a_part_of_a_gradient_is_not_accused(check):
    """dh holds one of two uses of h: a convention, and the mistake is elsewhere."""
    text = """
        def f_forward(x, w):
            h = np.tanh(x)
            return h @ w + h.sum(axis=1, keepdims=True), (x, w, h)
        def f_backward(dy, cache):
            x, w, h = cache
            dh = dy @ w.T
            dx = (dh + dy.sum(axis=1, keepdims=True)) * (1 - h**2)
            return dx, 2 * h.T @ dy
    """
    report = check(text, (3, 4), (4, 2))
    assert not report.ok
    assert report.first_step == ""


# --- the pencil case


def test_the_pencil_case_is_small_and_true(module):
    names = module("""
        def f_forward(x, w):
            return x @ w, (x, w)
        def f_backward(dy, cache):
            x, w = cache
            return dy @ w.T, 3 * x.T @ dy
    """)
    rng = np.random.default_rng(0)
    report = gradcheck_function(
        names["f_forward"], names["f_backward"], rng.standard_normal((6, 5)), rng.standard_normal((5, 4))
    )
    case = report.pencil
    x, w, dy = (np.array(a) for a in (*case["inputs"].values(), case["dy"]))
    assert case["gradient"] == "dw"
    assert x.size + w.size + dy.size <= 6
    np.testing.assert_allclose(case["right"], x.T @ dy, rtol=1e-5)
    np.testing.assert_allclose(case["yours"], 3 * x.T @ dy, rtol=1e-5)
    assert "must be" in str(report)


def test_a_right_gradient_has_neither_step_nor_pencil_case(check):
    report = check(RNN, (2, 4, 3), (3, 5), (5, 5))
    assert report.ok
    assert report.first_step == ""
    assert report.pencil == {}


def test_nothing_of_the_students_is_changed(module):
    """Copies with hooks stand in for a while; arrays, functions and globals are as they were."""
    names = module(MASKS + "    def f_backward(dy, cache):\n        return dy\n")
    x = np.random.default_rng(0).standard_normal((4, 5))
    before, held = x.copy(), dict(names)
    report = gradcheck_function(names["drop_forward"], names["f_backward"], x)
    assert not report.ok
    assert names.keys() == held.keys()
    assert all(names[key] is held[key] for key in held)
    np.testing.assert_array_equal(x, before)


def test_a_layer_is_put_back(module):
    names = module("""
        class Scale:
            def __init__(self):
                self.params, self.grads = {"w": np.ones(4)}, {"w": np.zeros(4)}
            def forward(self, x):
                self.x = x
                return x * self.params["w"]
            def backward(self, dy):
                self.grads["w"] += (dy * self.x).sum(axis=0)
                return dy * self.params["w"] * 2
    """)
    layer = names["Scale"]()
    report = gradcheck(layer, np.random.default_rng(0).standard_normal((3, 4)))
    assert type(layer) is names["Scale"]
    np.testing.assert_array_equal(layer.params["w"], np.ones(4))
    assert "2" in told(report)
