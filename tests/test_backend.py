import math
import os
import subprocess
import sys
import types

import numpy as np
import pytest

import minixfmr
from minixfmr.backend import (
    batch_sum,
    column_max,
    column_sum,
    erf,
    product,
    random_generator,
    random_keep,
    row_dot,
    row_mean,
    row_sum,
    xp,
)
from minixfmr.training.workers import ForkedWorker


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
    np.testing.assert_allclose(column_sum(x), x.sum(-2, keepdims=True))
    np.testing.assert_array_equal(column_max(x), x.max(-2, keepdims=True))
    np.testing.assert_allclose(batch_sum(x), x.reshape(-1, shape[-1]).sum(0))


@pytest.mark.parametrize("column_major", [False, True])
@pytest.mark.parametrize("shape", [(3, 5), (300, 700), (700, 2100), (2100, 1100)])
def test_a_product_is_the_same_in_every_order(rng, shape, column_major):
    b = rng.standard_normal(shape)
    b = np.asfortranarray(b) if column_major else b
    for rows in (1, 2, 5, 8, 9, 63, 64):
        a = rng.standard_normal((rows, shape[0]))
        np.testing.assert_allclose(product(a, b), a @ b, atol=1e-10)


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
    keep = random_keep(random_generator(7), (300, 501), p)
    assert keep.shape == (300, 501)
    assert keep.dtype == bool
    n = keep.size
    assert abs((~keep).mean() - p) < 5 * math.sqrt(p * (1 - p) / n) + 1 / 65536
    np.testing.assert_array_equal(keep, random_keep(random_generator(7), (300, 501), p))
    assert (keep != random_keep(random_generator(8), (300, 501), p)).any()
