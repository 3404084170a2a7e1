"""Why a forward is wrong, where the right results are known: the exercises say it."""

import textwrap

import numpy as np
import pytest

from minixfmr.gradcheck.diagnosis.forward import why_forward

pytestmark = pytest.mark.on_numpy("homework is NumPy")

SOFTMAX = """
def softmax_forward(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True), None
"""
NORM = """
def norm_forward(x, gain):
    centred = x - np.mean(x, axis=-1, keepdims=True)
    var = np.mean(centred**2, axis=-1, keepdims=True)
    return gain * centred / np.sqrt(var + 0.1), None
"""
ATTENTION = """
def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
def attention_forward(q, k, v, mask):
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    s = np.where(mask, s, -np.inf)
    w = softmax(s)
    return w @ v, None
"""
rng = np.random.default_rng(2)
ARGUMENTS = {
    "softmax": (rng.standard_normal((2, 4, 5)),),
    "norm": (rng.standard_normal((3, 4, 6)), rng.uniform(1, 2, 6)),
    "attention": (*rng.standard_normal((3, 2, 4, 6)), np.tri(4, dtype=bool)),
}


def functions(tmp_path, name, text):
    path = tmp_path / f"{name}.py"
    path.write_text("import numpy as np\n" + textwrap.dedent(text), encoding="utf-8")
    space = {"__name__": name}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), space)
    return space[f"{name}_forward"]


@pytest.mark.parametrize(
    ("name", "text", "old", "new", "words"),
    [
        ("softmax", SOFTMAX, "e.sum(axis=-1,", "e.sum(axis=1,", "the axis must be -1"),
        ("softmax", SOFTMAX, "e.sum(axis=-1, keepdims=True)", "e.sum()", "take the sum over axis -1"),
        ("norm", NORM, "np.sqrt(var + 0.1)", "(np.sqrt(var) + 0.1)", "belongs inside the root"),
        ("norm", NORM, "np.mean(centred**2", "np.sum(centred**2", "1/(width) = 1/6"),
        ("attention", ATTENTION, " / np.sqrt(q.shape[-1])", "", "1/√(d_head) = 1/√6"),
        (
            "attention",
            ATTENTION,
            "    s = np.where(mask, s, -np.inf)\n    w = softmax(s)",
            "    w = softmax(s)\n    w = np.where(mask, w, 0)",
            "the mask comes after softmax",
        ),
    ],
)
def test_a_wrong_forward_gets_a_reason(tmp_path, name, text, old, new, words):
    assert old in text
    right = functions(tmp_path, name, text)
    wrong = functions(tmp_path, name, text.replace(old, new))
    said = why_forward(wrong, lambda *a: right(*a)[0], ARGUMENTS[name])
    assert words in said
    assert said.startswith(f"{name}.py:")


@pytest.mark.parametrize(("name", "text"), [("softmax", SOFTMAX), ("norm", NORM), ("attention", ATTENTION)])
def test_a_right_forward_gets_none(tmp_path, name, text):
    right = functions(tmp_path, name, text)
    assert why_forward(right, lambda *a: right(*a)[0], ARGUMENTS[name]) == ""


def test_what_nothing_mends_gets_none(tmp_path):
    wrong = functions(tmp_path, "softmax", "def softmax_forward(x):\n    return np.sin(x) ** 3 + 7, None\n")
    right = functions(tmp_path, "softmax", SOFTMAX)
    assert why_forward(wrong, lambda *a: right(*a)[0], ARGUMENTS["softmax"]) == ""
