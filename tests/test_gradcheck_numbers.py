"""No right gradient is called wrong, no wrong one right: random functions, noise, kinks, ends of domains."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minixfmr import gradcheck_function

pytestmark = [
    pytest.mark.on_numpy("finite differences are taken on the host"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # exp of a million overflows, as a course's may
]


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def row(x):
    return x.sum(-1, keepdims=True)


# name: (f, dx from dy, x and y); x of any sign
KINDS = {
    "sin": (np.sin, lambda dy, x, y: dy * np.cos(x)),
    "tanh": (np.tanh, lambda dy, x, y: dy * (1 - y * y)),
    "exp": (lambda x: np.exp(x / 3), lambda dy, x, y: dy * y / 3),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), lambda dy, x, y: dy * y * (1 - y)),
    "relu": (lambda x: np.maximum(x, 0), lambda dy, x, y: dy * (x > 0)),
    "leaky": (lambda x: np.where(x > 0, x, 0.1 * x), lambda dy, x, y: dy * np.where(x > 0, 1, 0.1)),
    "elu": (lambda x: np.where(x > 0, x, np.expm1(x)), lambda dy, x, y: dy * np.where(x > 0, 1, np.exp(x))),
    "softplus": (lambda x: np.logaddexp(0, x), lambda dy, x, y: dy / (1 + np.exp(-x))),
    "gelu": (
        lambda x: x / (1 + np.exp(-1.702 * x)),
        lambda dy, x, y: dy * ((s := 1 / (1 + np.exp(-1.702 * x))) + 1.702 * x * s * (1 - s)),
    ),
    "square": (lambda x: x * x, lambda dy, x, y: 2 * dy * x),
    "cube": (lambda x: x**3, lambda dy, x, y: 3 * dy * x * x),
    "x|x|": (lambda x: x * abs(x), lambda dy, x, y: 2 * dy * abs(x)),
    "abs": (np.abs, lambda dy, x, y: dy * np.sign(x)),
    "huber": (
        lambda x: np.where(abs(x) < 1, x * x / 2, abs(x) - 0.5),
        lambda dy, x, y: dy * np.clip(x, -1, 1),
    ),
    "clip": (lambda x: np.clip(x, -1, 1), lambda dy, x, y: dy * (abs(x) < 1)),
    "arctan": (np.arctan, lambda dy, x, y: dy / (1 + x * x)),
    "root": (lambda x: np.sqrt(1 + x * x), lambda dy, x, y: dy * x / y),
    "log": (lambda x: np.log(1 + x * x), lambda dy, x, y: 2 * dy * x / (1 + x * x)),
    "inverse": (lambda x: 1 / (1 + x * x), lambda dy, x, y: -2 * dy * x * y * y),
    "gauss": (lambda x: np.exp(-x * x), lambda dy, x, y: -2 * dy * x * y),
    "softmax": (softmax, lambda dy, x, y: y * (dy - row(dy * y))),
    "log softmax": (lambda x: np.log(softmax(x)), lambda dy, x, y: dy - softmax(x) * row(dy)),
    "centred": (lambda x: x - x.mean(-1, keepdims=True), lambda dy, x, y: dy - dy.mean(-1, keepdims=True)),
    "unit": (
        lambda x: x / np.sqrt(row(x * x)),
        lambda dy, x, y: (dy - y * row(dy * y)) / np.sqrt(row(x * x)),
    ),
    "cumsum": (lambda x: np.cumsum(x, -1), lambda dy, x, y: np.cumsum(dy[..., ::-1], -1)[..., ::-1]),
    "reverse": (lambda x: x[..., ::-1] * 2, lambda dy, x, y: dy[..., ::-1] * 2),
    "sum": (lambda x: row(x), lambda dy, x, y: dy * np.ones_like(x)),
    "mean square": (lambda x: (x * x).mean(), lambda dy, x, y: 2 * dy * x / x.size),
    "maximum": (
        lambda x: x.max(-1),
        lambda dy, x, y: dy[..., None] * (np.arange(x.shape[-1]) == x.argmax(-1)[..., None]),
    ),
    "shifted": (lambda x: np.roll(x, 1, -1) * x, lambda dy, x, y: dy * np.roll(x, 1, -1) + np.roll(dy * x, -1, -1)),
}


@st.composite
def cases(draw):
    """(kind, x, a number to wrong the gradient by): shapes, scales and signs of all sorts."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    scale = draw(st.sampled_from([1e-4, 1e-2, 1.0, 1.0, 1.0, 3.0, 1e2, 1e6]))
    if scale > 3 and kind in ("exp", "cube", "softmax", "log softmax", "gauss", "inverse", "sigmoid", "tanh"):
        scale = 1.0
    off = 10 ** draw(st.floats(-3, 0))
    return kind, scale * rng.standard_normal(shape), off * draw(st.sampled_from([1, -1])), rng


def never_wrong(case):
    kind, x, _, _ = case
    f, df = KINDS[kind]
    report = gradcheck_function(lambda x: (f(x), (x, f(x))), lambda dy, s: df(dy, *s), x, explain=False)
    assert all(row.ok for row in report.rows), f"{kind}, {x!r}\n{report}"


def never_right(case):
    kind, x, off, rng = case
    f, df = KINDS[kind]
    spread = 1 + off * rng.uniform(0.5, 1, x.shape)

    def wrong(dy, saved):
        return df(dy, *saved) * spread

    right = df(np.ones(np.shape(f(x))), x, f(x))
    if not np.abs(right).max() > 1e-12:  # times what it likes, zero is zero
        return
    report = gradcheck_function(lambda x: (f(x), (x, f(x))), wrong, x, explain=False)
    assert not report.ok, f"{kind}, {x!r}, off {off}\n{report}"


@settings(max_examples=150, deadline=None, derandomize=True)
@given(cases())
def test_a_right_gradient_is_never_called_wrong(case):
    never_wrong(case)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(cases())
def test_a_wrong_gradient_is_never_called_right(case):
    never_right(case)


def test_a_minimum_shows_neither_noise_nor_a_wrong_gradient():
    target = np.array([0.3, -1.7, 2.2])

    def forward(x):
        return 40 + ((x - target) ** 2).sum(), x

    course = {"data": ["target"]}
    assert gradcheck_function(forward, lambda dy, x: 2 * dy * (x - target), target.copy(), profile=course).ok
    wrong = gradcheck_function(forward, lambda dy, x: 3 * dy * (x - target), target.copy(), profile=course)
    assert wrong.verdict == "WRONG"


@pytest.mark.parametrize("factor", [1.0, 1.01])
def test_the_end_of_a_domain_is_no_kink(factor):
    x = np.array([1e-6, 1e-3, 0.5, 1 - 1e-6])
    report = gradcheck_function(
        lambda x: (np.log(x) + np.sqrt(1 - x), x), lambda dy, x: factor * dy * (1 / x - 0.5 / np.sqrt(1 - x)), x
    )
    assert report.ok == (factor == 1)
    assert report.rows[0].kinks == 0


def test_one_slope_with_two_curvatures_is_no_kink():
    x = np.array([0.0, 1.0, -1.0, 0.4])
    report = gradcheck_function(
        lambda x: (np.where(x > 0, x * x, -3 * x * x), x), lambda dy, x: dy * np.where(x > 0, 2 * x, -6 * x), x
    )
    assert report.ok
    assert report.rows[0].kinks == 0


def test_nothing_compared_is_not_right():
    report = gradcheck_function(lambda x: (np.abs(x), x), lambda dy, x: dy * np.sign(x), np.zeros(1))
    assert report.verdict == "NOT CHECKED"
    assert "no entry could be compared" in report.unchecked[0]
    assert math.isfinite(report.max_relative_error)


def test_nan_is_named_and_no_kink():
    report = gradcheck_function(lambda x: (np.log(x - 5), x), lambda dy, x: dy / (x - 5), np.array([1.0, 6.0]))
    assert report.verdict == "WRONG"
    assert "kink" not in str(report)
    assert "NaN" in str(report)


def test_a_wrong_entry_among_many_is_found_along_a_direction():
    x = np.random.default_rng(0).standard_normal((40, 25))

    def backward(dy, x):
        dx = dy * np.cos(x)
        dx[17, 3] *= 1.01
        return dx

    report = gradcheck_function(lambda x: (np.sin(x), x), backward, x, max_entries=8)
    assert report.rows[0].where == (17, 3)
    assert not report.ok


def test_float32_inside_is_named_with_its_line():
    def forward(x):
        h = x.astype(np.float32)
        return np.tanh(h), h

    def backward(dy, h):
        return dy * (1 - np.tanh(h) ** 2)

    report = gradcheck_function(forward, backward, np.array([0.1, 0.4]))
    line = forward.__code__.co_firstlineno + 1
    assert f"test_gradcheck_numbers.py:{line}" in str(report).replace("\n      ", "")


def test_rounding_inside_is_seen_where_the_output_is_small():
    x = np.array([1.2573e-5])  # log(1 + x²) knows x² to 1e-16 only, a millionth of it
    assert gradcheck_function(lambda x: (np.log(1 + x * x), x), lambda dy, x: 2 * dy * x / (1 + x * x), x).ok


def test_a_step_longer_than_a_period_is_not_believed():
    x = np.array([125730.22109339])
    assert gradcheck_function(lambda x: (np.sin(x), x), lambda dy, x: dy * np.cos(x), x).ok


ROUNDED = {  # 1 + a little, and the 1 taken off again: (f, df)
    "log": (lambda x: np.log(1 + x * x), lambda x: 2 * x / (1 + x * x)),
    "gauss": (lambda x: 1 - np.exp(-x * x), lambda x: 2 * x * np.exp(-x * x)),
    "root": (lambda x: np.sqrt(1 + x * x) - 1, lambda x: x / np.sqrt(1 + x * x)),
}


@pytest.mark.parametrize("x", [3e-7, 1e-6, 1.03e-5, 1.9e-5, 1.12e-4, 1e-3])
@pytest.mark.parametrize("name", ROUNDED)
def test_jumps_of_rounding_inside_are_no_mistake_and_hide_none_where_they_are_small(name, x):
    f, df = ROUNDED[name]
    right = gradcheck_function(lambda x: (f(x), x), lambda dy, x: dy * df(x), np.array([x]))
    wrong = gradcheck_function(lambda x: (f(x), x), lambda dy, x: 1.01 * dy * df(x), np.array([x]))
    assert right.ok, f"\n{right}"
    assert x < 1e-6 or not wrong.ok


def test_a_small_output_of_small_numbers_is_known_as_well_as_a_large_one():
    x = np.random.default_rng(0).standard_normal(5)
    report = gradcheck_function(lambda x: (1e-12 * np.sin(x), x), lambda dy, x: (1 + 1e-5) * 1e-12 * dy * np.cos(x), x)
    assert not report.ok
