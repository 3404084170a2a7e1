import math
import os
import subprocess
import sys
import types

import numpy as np
import pytest

import minixfmr
from minixfmr.backend import (
    Kinship,
    batch_sum,
    by_rows,
    erf,
    hidden,
    largest,
    moved_rows,
    pairwise_dot,
    product,
    random_generator,
    random_keep,
    row_dot,
    row_max,
    row_mean,
    row_sum,
    to_device,
    to_numpy,
    xp,
)
from minixfmr.backend.workers import ForkedWorker


@pytest.fixture(autouse=True)
def numpy_afterwards():
    yield
    minixfmr.use_backend("numpy")


def test_numpy_is_the_default():
    assert minixfmr.backend_name() == "numpy"
    assert xp.exp is np.exp


def test_any_numpy_like_module_can_be_used():
    calls = []
    module = types.ModuleType("counting")
    module.__dict__.update({name: getattr(np, name) for name in dir(np) if not name.startswith("__")})
    module.exp = lambda *a, **k: calls.append(1) or np.exp(*a, **k)
    minixfmr.use_backend(module)
    assert minixfmr.backend_name() == "counting"
    x = np.random.default_rng(0).standard_normal((1, 1, 3, 4))
    minixfmr.layers.attention(x, x, x)
    assert calls
    minixfmr.use_backend("numpy")
    assert xp.exp is np.exp


@pytest.mark.parametrize("bad", ["torch", "", None, 3, math])
def test_an_unknown_backend_is_named(bad):
    with pytest.raises(minixfmr.BackendError, match="unknown backend .*use"):
        minixfmr.use_backend(bad)
    assert minixfmr.backend_name() == "numpy"


@pytest.mark.parametrize(("value", "outcome"), [("numpy", "numpy"), ("nonsense", "unknown backend 'nonsense'")])
def test_the_environment_variable(value, outcome):
    code = "import minixfmr; print(minixfmr.backend_name())"
    environment = os.environ | {"MINIXFMR_BACKEND": value}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert outcome in run.stdout + run.stderr
    assert (run.returncode == 0) == (value == "numpy")


@pytest.mark.parametrize("shape", [(3, 4), (1, 5), (2, 7, 4), (2, 3, 4, 5)])
def test_sums_and_maxima(rng, shape):
    x = rng.standard_normal(shape)
    np.testing.assert_allclose(row_sum(x), x.sum(-1, keepdims=True))
    np.testing.assert_allclose(row_dot(x, x + 1), (x * (x + 1)).sum(-1, keepdims=True))
    np.testing.assert_allclose(row_mean(x), x.mean(-1, keepdims=True))
    np.testing.assert_array_equal(row_max(x), x.max(-1, keepdims=True))
    np.testing.assert_allclose(batch_sum(x), x.reshape(-1, shape[-1]).sum(0))


@pytest.mark.parametrize("column_major", [False, True])
@pytest.mark.parametrize("shape", [(3, 5), (300, 700), (700, 2100), (2100, 1100)])
def test_a_product_is_the_same_in_every_order(rng, shape, column_major):
    b = rng.standard_normal(shape)
    b = np.asfortranarray(b) if column_major else b
    for rows in (1, 2, 5, 8, 9, 63, 64):
        a = rng.standard_normal((rows, shape[0]))
        np.testing.assert_allclose(product(a, b), a @ b, atol=1e-10)


@pytest.mark.parametrize("kind", ["normal", "ties", "few are possible", "nothing is a number"])
@pytest.mark.parametrize(("n", "k"), [(5, 5), (40, 3), (5000, 8), (5000, 2000)])
def test_the_largest_are_found(rng, n, k, kind):
    x = rng.standard_normal((3, n))
    x = {"normal": x, "ties": x.round(1), "few are possible": np.where(x < 2, -np.inf, x)}.get(kind, x * np.nan)
    found = np.sort(to_numpy(largest(to_device(x), k)), axis=-1)
    assert found.shape == (3, k) and (np.diff(found) > 0).all()
    expected = np.sort(x, axis=-1)[:, ::-1][:, :k] if kind != "nothing is a number" else np.full((3, k), np.nan)
    np.testing.assert_array_equal(-np.sort(-np.take_along_axis(x, found, -1), axis=-1), expected)


def test_rows_that_change_places_are_those_copied_whole(rng):
    """Kinship says from where on; what lies before is equal."""
    K, T = 5, 12
    kinship, whole, buffer = Kinship(), np.zeros((2, 1, T, 1)), to_device(np.zeros((2, 1, T, 1)))
    copied = 0
    for length in range(T):
        rows = (
            np.repeat([0, 1], K) if length == 2 else rng.integers(0, K, len(whole)) + K * (np.arange(len(whole)) >= K)
        )
        rows = np.arange(2) if length < 2 else rows
        since = kinship.reorder(rows, length)
        copied += (length - since) * (rows != np.arange(len(rows))).any()
        whole, buffer = whole[rows].copy(), moved_rows(buffer, rows, since, length)
        np.testing.assert_array_equal(to_numpy(buffer)[:, :, :length], whole[:, :, :length])
        new = rng.standard_normal((len(whole), 1, 1))
        whole[:, :, length], buffer[:, :, length] = new, to_device(new)
    assert 0 < copied < sum(range(3, T))  # not all of it


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked there")
def test_a_forked_worker_does_not_wait_for_threads_it_has_not_got():
    a, b = np.ones((4, 1500), "float32"), np.asfortranarray(np.ones((1500, 1500), "float32"))
    product(a, b)  # large enough for the threads of this process
    worker = ForkedWorker(lambda: float(product(a, b).sum()))
    worker.start()
    answered = worker._pipe.poll(30)
    if not answered:
        worker._process.kill()
    else:
        assert worker.result() == 4 * 1500 * 1500
    worker.close()
    assert answered


def test_erf_is_exact_to_rounding():
    x = np.concatenate([np.linspace(-8, 8, 20001), [0.0, 1e-6, -30.0, 30.0]])
    exact = np.array([math.erf(v) for v in x])
    assert np.abs(erf(x) - exact).max() == 0
    single = x.astype(np.float32)
    exact = np.array([math.erf(v) for v in single])
    assert erf(single).dtype == np.float32
    assert np.abs(erf(single) - exact).max() < 1.5e-7


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_random_keep_drops_that_share_and_repeats_with_the_seed(p):
    x = np.zeros((300, 501))
    keep, drawn = random_keep(random_generator(7), x, p)
    assert abs(drawn - p) <= 0.5 / 65536
    assert keep.shape == (300, 501)
    assert keep.dtype == bool
    n = keep.size
    assert abs((~keep).mean() - p) < 5 * math.sqrt(p * (1 - p) / n) + 1 / 65536
    np.testing.assert_array_equal(keep, random_keep(random_generator(7), x, p)[0])
    assert (keep != random_keep(random_generator(8), x, p)[0]).any()


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (2, 3, 4, 6), (2, 2, 7, 1), (1, 2, 8, 33)])
def test_rows_of_scores_in_either_layout(rng, shape):
    *lead, Tq, Tk = shape
    q, k = rng.standard_normal((*lead, Tq, 3)), rng.standard_normal((*lead, Tk, 3))
    scores = pairwise_dot(q, k)
    np.testing.assert_allclose(scores, q @ k.swapaxes(-1, -2))
    for x in (scores, np.ascontiguousarray(scores)):
        np.testing.assert_array_equal(row_max(x), x.max(-1, keepdims=True))
        np.testing.assert_allclose(row_sum(x), x.sum(-1, keepdims=True), atol=1e-12)
        mask = rng.random((Tq, Tk)) < 0.5
        np.testing.assert_array_equal(hidden(mask, x) == 0, mask)
        keep, _ = random_keep(random_generator(0), x, 0.5)
        assert keep.shape == x.shape


class TestByRows:
    """Blocks give what the whole gives, whatever the shapes, and constants and arguments are handed on."""

    @pytest.fixture(autouse=True)
    def small_blocks(self, monkeypatch):
        module = sys.modules["minixfmr.backend.blocks"]
        monkeypatch.setattr(module, "WORTH", 0)
        monkeypatch.setattr(module.row_blocks, "__defaults__", (12,))

    @pytest.mark.parametrize("shape", [(1, 3), (7, 3), (2, 5, 3), (2, 3, 4, 5)])
    def test_results_are_those_of_the_whole(self, rng, shape):
        from minixfmr.layers import gelu, gelu_backward, layer_norm, layer_norm_backward

        x, dy, weight, bias = (rng.standard_normal(s) for s in (shape, shape, shape[-1:], shape[-1:]))
        for pair, arguments in (
            ((gelu, gelu_backward), (x,)),
            ((layer_norm, layer_norm_backward), (x, weight, bias, 0.1)),
        ):
            found, wanted = [], []
            for results, (forward, backward) in ((found, pair), (wanted, [f.__wrapped__ for f in pair])):
                y, saved = forward(*arguments)
                dx = backward(dy, saved)
                results += [y, *saved, *(dx if isinstance(dx, tuple) else (dx,))]
            for a, b in zip(found, wanted, strict=True):
                assert np.shape(a) == np.shape(b)
                np.testing.assert_allclose(a, b, atol=1e-12)

    def test_what_was_given_is_handed_on_not_copied(self, rng):
        @by_rows
        def function(x, table, factor=2.0):
            return x * factor, (x, table, factor, x.sum())

        x, table = rng.standard_normal((9, 4)), rng.standard_normal((3, 3))
        y, (same, kept, factor, total) = function(x, table)
        assert same is x and kept is table and factor == 2.0
        np.testing.assert_array_equal(y, 2 * x)
        np.testing.assert_allclose(total, x.sum())

    def test_an_array_that_is_not_contiguous_is_taken_whole(self, rng):
        calls = []
        function = by_rows(lambda x: calls.append(x.shape) or (x + 1, ()))
        function(rng.standard_normal((4, 9)).T)
        assert calls == [(9, 4)]


def test_importing_the_package_changes_nothing_in_the_process():
    code = (
        "import ctypes\n"
        "calls = []\n"
        "real = ctypes.CDLL\n"
        "class CDLL(real):\n"
        "    def __getattr__(self, name):\n"
        "        calls.append(name)\n"
        "        return super().__getattr__(name)\n"
        "ctypes.CDLL = CDLL\n"
        "import minixfmr\n"
        "assert 'mallopt' not in calls, calls\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
