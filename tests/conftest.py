"""What all tests share: both backends, hypothesis settings, small models in float64, and the tutorials' path."""

import signal
import sys
import types
from pathlib import Path

import cupy_double
import numpy
import pytest
from hypothesis import HealthCheck, settings

import minixfmr

sys.path.insert(0, str(Path(__file__).parent.parent / "tutorials"))

each_backend_in_turn = [HealthCheck.differing_executors]  # one test, run by pytest once for each of them
settings.register_profile(
    "minixfmr", deadline=None, max_examples=12, derandomize=True, suppress_health_check=each_backend_in_turn
)
settings.load_profile("minixfmr")

# --- the backends: every test runs on NumPy, on the double of CuPy, and on CuPy itself where there is a GPU

NUMPY_ONLY = {  # and why
    "test_backend": "chooses backends itself",
    "test_benchmarks": "chooses backends itself",
    "test_derivations": "reads files",
    "test_dpnp": "chooses backends itself",
    "test_exercises": "students write NumPy",
    "test_exercises_attacks": "students write NumPy",
    "test_exercises_reasons": "students write NumPy",
    "test_exercises_docs": "students write NumPy",
    "test_exercises_fuzz": "students write NumPy",
    "test_exercises_train": "students write NumPy",
    "test_mistakes": "students write NumPy",
    "test_browser_tab": "starts processes of its own",
    "test_cupy": "chooses backends itself",
    "test_cupy_double": "is about the double itself",
    "test_fuzz": "draws NumPy arrays",
    "test_gpu": "chooses backends itself",
    "test_house": "reads files",
    "test_notebooks": "starts kernels of its own",
    "test_packaging": "is about files",
    "test_parity": "compares with PyTorch on a CPU",
    "test_readme": "reads files and starts processes",
    "test_pretrained": "compares with transformers on a CPU",
    "test_pretrained_edits": "compares with transformers on a CPU",
    "test_pretrained_folders": "compares with transformers on a CPU",
    "test_pretrained_people": "compares with transformers on a CPU",
    "test_pretrained_sweep": "compares with transformers on a CPU",
    "test_pretrained_sweep_many": "compares with transformers on a CPU",
    "test_shakespeare": "starts processes of its own",
    "test_site": "reads pages",
    "test_translate": "starts processes of its own",
    "test_translate_data": "reads files",
    "test_translate_options": "reads options",
    "test_translate_edges": "reads files and starts processes of its own",
    "test_translate_kills": "starts processes of its own",
    "test_translate_runs": "starts processes of its own",
    "test_workers": "forks processes, which is unsafe on a GPU",
}


def _missing_gpu():
    """Why CuPy cannot be used here, or None."""
    try:
        with minixfmr.backend("cupy"):
            return None
    except minixfmr.BackendError as error:
        return str(error)


def pytest_generate_tests(metafunc):
    if "backend" in metafunc.fixturenames and metafunc.module.__name__ not in NUMPY_ONLY:
        gpu = pytest.param("cupy", marks=pytest.mark.gpu)
        metafunc.parametrize("backend", ["numpy", "double", gpu], indirect=True, scope="module")


def pytest_collection_modifyitems(items):
    """Skip, with the reason, what a test's marks say that cannot or need not run here."""
    missing = _missing_gpu()
    for item in items:
        backend = getattr(item, "callspec", None) and item.callspec.params.get("backend")
        if item.get_closest_marker("gpu") and missing:
            item.add_marker(pytest.mark.skip(reason=missing))
        on_numpy = item.get_closest_marker("on_numpy")
        if on_numpy and backend not in (None, "numpy"):
            item.add_marker(pytest.mark.skip(reason=f"on NumPy only: {on_numpy.args[0]}"))
        if item.get_closest_marker("bits") and backend == "cupy":
            item.add_marker(pytest.mark.skip(reason="a GPU adds up the gradients of a token in no fixed order"))


@pytest.fixture(autouse=True, scope="module")
def backend(request):
    """The name of the backend under test."""
    name = getattr(request, "param", "numpy")
    with pytest.MonkeyPatch.context() as patch:
        if name == "double":
            install_double(patch)
        with minixfmr.backend("numpy" if name == "numpy" else "cupy"):
            yield name


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, with a file of 120 pairs."""
    from translating import write_pairs

    monkeypatch.chdir(tmp_path)
    write_pairs()
    return tmp_path


def install_double(patch):
    """Let the double be found where CuPy would be."""
    patch.setitem(sys.modules, "cupy", cupy_double)
    patch.setitem(sys.modules, "cupyx.scipy.special", cupy_double.special)
    cupy_double.counts.clear()


class _OnHost(types.ModuleType):
    """numpy, for what a test expects: its functions fetch arrays that are on a device. Import it as np."""

    def __init__(self, module):
        super().__init__(module.__name__)
        self._module = module

    def __getattr__(self, name):
        value = getattr(self._module, name)
        if isinstance(value, types.ModuleType):
            value = _OnHost(value)
        elif callable(value) and not isinstance(value, type):
            value = _Fetching(value)
        setattr(self, name, value)
        return value


class _Fetching:
    def __init__(self, function):
        self._function = function

    def __call__(self, *args, **options):
        return self._function(*map(host, args), **{key: host(value) for key, value in options.items()})

    def __getattr__(self, name):  # such as np.add.at
        return getattr(self._function, name)


def host(x):
    """The same with every device array as a NumPy array."""
    if isinstance(x, list | tuple):
        return type(x)(map(host, x))
    return minixfmr.to_numpy(x) if hasattr(x, "get") and hasattr(x, "dtype") else x


np = _OnHost(numpy)


class Draws:
    """A numpy.random.Generator whose floats lie where the backend under test wants them; integers are NumPy arrays."""

    def __init__(self, seed=0):
        self.generator = numpy.random.default_rng(seed)

    def __getattr__(self, name):
        return getattr(self.generator, name)

    def standard_normal(self, shape):
        return minixfmr.to_device(self.generator.standard_normal(shape))


# --- small models


def small_config(**changes):
    """A Config small enough for finite differences."""
    fields = dict(
        vocab_size=13,
        d_model=8,
        num_heads=2,
        d_ff=12,
        num_encoder_layers=2,
        num_decoder_layers=2,
        max_position_embeddings=12,
        dropout=0.0,
        dtype="float64",
    )
    return minixfmr.Config(**(fields | changes))


def small_batch(config, seed=0, B=3, S=5, T=4):
    """Random ids with right padding on both sides: the arguments of forward, and labels."""
    rng = numpy.random.default_rng(seed)
    mask, target_mask = numpy.ones((B, S), int), numpy.ones((B, T), int)
    for b in range(1, B):
        mask[b, rng.integers(1, S + 1) :] = 0
        target_mask[b, rng.integers(1, T + 1) :] = 0
    return {
        "input_ids": rng.integers(3, config.vocab_size, (B, S)),
        "decoder_input_ids": rng.integers(3, config.target_vocab_size, (B, T)),
        "attention_mask": mask,
        "labels": numpy.where(target_mask, rng.integers(3, config.target_vocab_size, (B, T)), -100),
    }


def heed():
    """Signals as a terminal has them, for a process that a test starts: under nohup or in the background some are
    ignored, and it would inherit that."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


CHECKED: list[float] = []  # the largest relative error of each gradient check


def assert_ok(report):
    CHECKED.append(report.max_relative_error)
    assert report.ok, f"\n{report}"


def pytest_terminal_summary(terminalreporter):
    if CHECKED:
        half, most, largest = np.quantile(CHECKED, [0.5, 0.99, 1])
        terminalreporter.write_line(
            f"{len(CHECKED)} gradient checks of random configurations, largest relative error of each: "
            f"median {half:.0e}, 99 % below {most:.0e}, largest {largest:.0e}"
        )


@pytest.fixture
def rng():
    return Draws()
