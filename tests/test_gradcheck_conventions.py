"""The conventions of real courses: each right file is right (or says what is missing), each wrong one never right."""

import random

import numpy as np
import pytest

from minixfmr import gradcheck, gradcheck_function
from minixfmr.gradcheck.profile import PRESETS, profile_of
from minixfmr.gradcheck.report import GradcheckError

pytestmark = pytest.mark.on_numpy("homework is NumPy")
RIGHT, WRONG, NOT_CHECKED = "right", "WRONG", "NOT CHECKED"


class Box:
    """A student's own Parameter."""

    def __init__(self, value):
        self.value, self.gradient = value, None


LAYER = """
class Scale:
    {fixed}
    def __init__(self):
        {init}
    def forward(self, x):
        self.x = x
        return x * {gain} + {shift}
    def backward(self, dy):
        {dgain} {op} (dy * self.x).sum(0) * FACTOR
        {dshift} {op} dy.sum(0)
        return dy * {gain}
"""
# where gain and shift live, where their gradients come, and whether those are there before backward
PLACES = {
    "beside": ("self.gain", "self.shift", "self.dgain", "self.dshift"),
    "underscore": ("self.gain", "self.shift", "self.grad_gain", "self.grad_shift"),
    "suffix": ("self.gain", "self.shift", "self.gain_grad", "self.shift_grad"),
    "course": ("self.gain", "self.shift", "self.dLdgain", "self.dLdshift"),
    "initials": ("self.gain", "self.shift", "self.dg", "self.ds"),
    "private": ("self._gain", "self._shift", "self._dgain", "self._dshift"),
    "dictionaries": ("self.params['gain']", "self.params['shift']", "self.grads['gain']", "self.grads['shift']"),
    "named d": ("self.params['gain']", "self.params['shift']", "self.grads['dgain']", "self.grads['dshift']"),
    "one dictionary": ("self.p['gain']", "self.p['shift']", "self.p['dgain']", "self.p['dshift']"),
    "within": ("self.fc_gain", "self.fc_shift", "self.fc_grad_gain", "self.fc_grad_shift"),
    "of a loss": ("self.all_gain", "self.all_shift", "self.all_dl_dgain", "self.all_dl_dshift"),
    "lists cut short": ("self.gains[0]", "self.shifts[0]", "self.nabla_g[0]", "self.nabla_s[0]"),
    "lists": ("self.params[0]", "self.params[1]", "self.grads[0]", "self.grads[1]"),
    "boxes": ("self.gain.value", "self.shift.value", "self.gain.gradient", "self.shift.gradient"),
    "beside a dictionary": ("self.gain", "self.shift", "self.grads['gain']", "self.grads['shift']"),
}
CONTAINERS = {
    "params[": "self.params = [None, None]",
    "params['": "self.params = {}",
    "p['": "self.p = {}",
    "gains[": "self.gains, self.shifts, self.nabla_g, self.nabla_s = ([None] for _ in range(4))",
    "gain.value": "self.gain, self.shift = Box(None), Box(None)",
}


def scale(name, op, factor, born=False):
    gain, shift, dgain, dshift = PLACES[name]
    init = [line for key, line in CONTAINERS.items() if f"self.{key}" in gain]
    if "self.grads" in dgain:
        init.append("self.grads = [None, None]" if "[0]" in dgain else "self.grads = {}")
    init += [f"{gain} = np.ones(3)", f"{shift} = np.zeros(3)"]
    if not born:
        init += [f"{dgain} = np.zeros(3)", f"{dshift} = np.zeros(3)"]
    text = LAYER.format(fixed="", init="; ".join(init), gain=gain, shift=shift, dgain=dgain, dshift=dshift, op=op)
    space = {"np": np, "Box": Box, "FACTOR": factor}
    exec(text, space)
    return space["Scale"]()


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize(("op", "born"), [("+=", False), ("=", False), ("=", True)])
def test_gradients_are_found_wherever_they_are_left(name, op, born, rng):
    x = rng.standard_normal((4, 3))
    right = gradcheck(scale(name, op, 1, born), x)
    assert right.verdict == RIGHT, f"\n{right}"
    assert len(right.rows) == 3
    assert gradcheck(scale(name, op, 1.01, born), x, explain=False).verdict == WRONG


def test_what_moves_the_output_unseen_is_named(rng):
    class Hidden:
        table = np.ones(3)

        def __init__(self):
            self.inner = {"deep": [np.ones(3)]}

        def forward(self, x):
            self.x = x
            return x * self.inner["deep"][0] + self.table

        def backward(self, dy):
            return dy * self.inner["deep"][0]

    report = gradcheck(Hidden(), rng.standard_normal((2, 3)))
    assert report.verdict == NOT_CHECKED
    told = " ".join(report.unchecked)
    assert "inner.deep[0] moves the output" in told
    assert "table moves the output" in told
    course = {"data": ["inner.deep[0]", "table"]}
    assert gradcheck(Hidden(), rng.standard_normal((2, 3)), profile=course).verdict == RIGHT


def test_a_closure_and_a_default_setting(rng):
    weight = rng.standard_normal((3, 2))
    report = gradcheck_function(lambda x: (x @ weight, None), lambda dy, _: dy @ weight.T, rng.standard_normal((4, 3)))
    assert report.verdict == NOT_CHECKED
    assert "weight moves the output" in report.unchecked[0]

    class Leaky:
        def __init__(self):
            self.slope = 0.2

        def forward(self, x):
            self.x = x
            return np.where(x > 0, x, self.slope * x)

        def backward(self, dy):
            return dy * np.where(self.x > 0, 1, self.slope)

    report = gradcheck(Leaky(), rng.standard_normal((4, 3)))
    assert report.verdict == RIGHT
    assert "slope" in " ".join(report.notes)


# --- calls: forward, backward with FACTOR wrong where it is not 1


def two_outputs(f):
    return (lambda x, z: (x * z, x + z, (x, z))), (lambda du, dv, cache: (du * cache[1] * f + dv, du * cache[0] + dv))


def cache_first(f):
    return (lambda x: (np.sin(x), x)), (lambda cache, dout: dout * np.cos(cache) * f)


def input_again(f):
    return (lambda a, w: a @ w), (lambda dz, a, w: (dz @ w.T * f, a.T @ dz))


def output_again(f):
    return (lambda x: np.tanh(x)), (lambda dy, y: dy * (1 - y * y) * f)


def output_or_input(f):
    return (lambda x: np.tanh(x)), (lambda grad, t: grad * (1 - np.tanh(t) ** 2) * f)


def dictionary(f):
    return (lambda x, w: (x * w, (x, w))), (lambda dy, c: {"x": dy * c[1] * f, "dw": dy * c[0]})


def lists(f):
    return (lambda parts: (parts[0] * parts[1], parts)), (lambda dy, p: [dy * p[1] * f, dy * p[0]])


def nested(f):
    return (lambda x, p: (x @ p["W"] + p["b"], (x, p))), (
        lambda dy, c: (dy @ c[1]["W"].T, {"dW": c[0].T @ dy * f, "db": dy.sum(0)})
    )


def target(f):
    return (lambda pred, target: (((pred - target) ** 2).mean(), (pred, target))), (
        lambda dy, c: dy * f * 2 * (c[0] - c[1]) / c[0].size
    )


def state_in_settings(f):
    def forward(x, settings):
        settings["mean"] = 0.9 * settings.get("mean", 0) + 0.1 * x.mean(0)
        return x - x.mean(0), None

    return forward, lambda dy, _: (dy - dy.mean(0)) * f


def unseeded(f):
    def forward(x):
        keep = (np.random.rand(*x.shape) < 0.7) / 0.7
        return x * keep, keep

    return forward, lambda dy, keep: dy * keep * f


def own_generator(f):
    def forward(x):
        keep = np.random.default_rng().random(x.shape) < 0.7
        return x * keep, keep

    return forward, lambda dy, keep: dy * keep * f


A, B, C = ((5, 4), (4, 3), (3,))
CALLS = {
    two_outputs: [A, A], cache_first: [A], input_again: [A, B], output_again: [A], output_or_input: [A],
    dictionary: [A, A], target: [A, A], unseeded: [A], own_generator: [A],
}  # fmt: skip


@pytest.mark.parametrize("pair", [*CALLS, lists, nested, state_in_settings])
def test_pairs_are_called_as_they_are_meant(pair, rng):
    draw = rng.standard_normal
    inputs = {
        lists: lambda: ([draw(A), draw(A)],),
        nested: lambda: (draw(A), {"W": draw(B), "b": draw(C)}),
        state_in_settings: lambda: (draw(A), {}),
    }.get(pair, lambda: tuple(draw(shape) for shape in CALLS[pair]))()
    right = gradcheck_function(*pair(1), *inputs)
    assert right.verdict == RIGHT, f"\n{right}"
    assert gradcheck_function(*pair(1.01), *inputs, explain=False).verdict == WRONG


def test_a_layer_that_returns_nothing_and_one_that_takes_a_step(rng):
    class Quiet:
        def forward(self, inputs):
            self.inputs = inputs
            self.output = inputs**2

        def backward(self, dvalues):
            self.dinputs = 2 * dvalues * self.inputs

    class Steps:
        def __init__(self, factor=1.0):
            self.weights, self.factor = np.ones(3), factor

        def forward(self, x):
            self.x = x
            return x * self.weights

        def backward(self, dy, lr):
            dx = dy * self.weights
            self.weights = self.weights - lr * self.factor * (dy * self.x).sum(0)
            return dx

    x = rng.standard_normal((4, 3))
    assert gradcheck(Quiet(), x).verdict == RIGHT
    report = gradcheck(Steps(), x)
    assert report.verdict == RIGHT, f"\n{report}"
    assert [row.name for row in report.rows] == ["x", "weights"]
    assert gradcheck(Steps(1.01), x, explain=False).verdict == WRONG


@pytest.mark.parametrize("hidden_is", [True, False])
def test_masks_of_either_meaning(hidden_is, rng):
    hide = np.array([[False, False, True], [False, True, True]])

    def forward(x, pad_mask, leak=False):
        keep = pad_mask != hidden_is
        w = np.ones((2, 3, 3)) / 3 if leak else keep[:, None, :] / keep.sum(1)[:, None, None] * np.ones((2, 3, 3))
        return w @ x, w

    def backward(dy, w):
        return w.transpose(0, 2, 1) @ dy

    x, mask = rng.standard_normal((2, 3, 4)), hide == hidden_is
    assert gradcheck_function(forward, backward, x, mask).verdict == RIGHT
    assert gradcheck_function(lambda x, pad_mask: forward(x, pad_mask, True), backward, x, mask).verdict == WRONG
    other = {"mask": "attend" if hidden_is else "padding"}
    assert gradcheck_function(forward, backward, x, mask, profile=other).verdict == WRONG


def test_a_branch_that_never_ran_is_named(rng):
    def backward(dy, cache):
        _x, mode = cache
        if mode == "train":
            dy = dy * 2
        else:
            dy = dy + 0
            dy = dy * 3
        return dy

    report = gradcheck_function(lambda x, mode: (x * 2, (x, mode)), backward, rng.standard_normal(3), "train")
    assert report.verdict == NOT_CHECKED
    assert "`dy = dy + 0`, never ran" in report.unchecked[0]


# --- profiles


def test_the_factor_of_a_course(rng):
    def backward(dZ, cache):
        A, W = cache
        return W.T @ dZ, dZ @ A.T / A.shape[1]

    inputs = rng.standard_normal((4, 5)), rng.standard_normal((3, 4))

    def forward(A, W):
        return W @ A, (A, W)

    assert gradcheck_function(forward, backward, *inputs).verdict == WRONG
    report = gradcheck_function(forward, backward, *inputs, profile="deeplearning.ai")
    assert report.verdict == RIGHT
    assert "divides the gradients of W by 5" in " ".join(report.notes)


def test_names_of_gradients_from_a_file(tmp_path, rng):
    class Odd:
        def __init__(self):
            self.W = np.ones((3, 2))

        def forward(self, x):
            self.x = x
            return x @ self.W

        def backward(self, dy):
            self.slope_of_W = self.x.T @ dy
            return dy @ self.W.T

    x, path = rng.standard_normal((4, 3)), tmp_path / "course.toml"
    assert gradcheck(Odd(), x).verdict == NOT_CHECKED
    path.write_text('gradients = ["slope_of_{name}"]\ntolerance = 1e-6\n')
    report = gradcheck(Odd(), x, profile=str(path))
    assert report.verdict == RIGHT
    assert report.tolerance == 1e-6


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"gradient": []}, "'gradient' is no setting: choose from gradients"),
        ({"mask": "yes"}, "mask is 'yes': give 'padding' or 'attend'"),
        ({"gradients": ["dW"]}, "write {name} where"),
        ({"preset": "mit"}, "preset is 'mit': choose from cs231n"),
        ({"seconds": 0}, "seconds is 0: give a number above 0"),
    ],
)
def test_a_profile_is_obeyed_or_refused(table, message):
    with pytest.raises(GradcheckError, match=message):
        profile_of(table)


def test_presets_are_profiles():
    for name in PRESETS:
        assert profile_of(name).given


def test_a_preset_is_a_start_and_lists_are_added_to():
    profile = profile_of({"preset": "cs231n", "suffixes": ["_slow"]})
    assert {"_naive", "_slow"} <= set(profile.suffixes)


def test_a_number_in_a_tuple_is_a_setting(rng):
    settings = (2.0, 3.0)

    def forward(x):
        return settings[0] * x, None

    assert gradcheck_function(forward, lambda dy, _: 2 * dy, rng.standard_normal(3)).ok
    assert not gradcheck_function(forward, lambda dy, _: 3 * dy, rng.standard_normal(3)).ok


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState, random.Random])
def test_a_generator_in_a_tuple_repeats_its_draws_and_is_put_back(make):
    tools = (make(3), 0.5)

    def forward(x):
        keep = np.array([tools[0].random() for _ in range(4)]) < tools[1]
        return x * keep, keep

    assert gradcheck_function(forward, lambda dy, keep: dy * keep, np.arange(1.0, 5.0)).ok
    assert tools[0].random() == make(3).random()


def test_a_setting_that_was_tried_is_put_back_before_the_next(rng):
    class Scale:
        def __init__(self):
            self.params, self.grads, self.eps = {"gain": np.ones(3)}, {"gain": np.zeros(3)}, 0.1

        def forward(self, x):
            self.x = x
            return (self.params["gain"] + self.eps) * x

        def backward(self, dy):
            self.grads["gain"] += (dy * self.x).sum(0)
            return (self.params["gain"] + self.eps) * dy

    report = gradcheck(Scale(), rng.standard_normal((4, 3)))
    assert (report.ok, report.unchecked) == (True, [])
