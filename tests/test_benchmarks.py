"""The benchmarks on a GPU, as far as they can be tried without one: on the double of CuPy, with a clock for it."""

import json
import subprocess
import sys
import time
import types
from pathlib import Path

import cupy_double
import numpy
import pytest
from conftest import install_double

import minixfmr

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import common, generation, gpu, instructions, results, training_step

CASE = "encoder-decoder d 32"


class Event:
    def record(self):
        self.at = time.perf_counter()

    def synchronize(self):
        EVENTS.append(self.at)


EVENTS: list[float] = []  # those that were waited for


class MemoryHook:
    """Here a run allocates once."""

    def __enter__(self):
        self.malloc_postprocess(device_id=0, size=500, mem_size=512, mem_ptr=1, pmem_id=1)
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def double(monkeypatch):
    """The double, with the clock and the memory pool of a card of 8 MiB."""
    install_double(monkeypatch)
    EVENTS.clear()
    cuda = vars(cupy_double.cuda) | {"Event": Event, "MemoryHook": MemoryHook}
    cuda |= {"get_elapsed_time": lambda began, ended: (ended.at - began.at) * 1000}
    cuda["Device"] = lambda: types.SimpleNamespace(id=0, synchronize=lambda: None)
    properties = {"name": b"Double", "totalGlobalMem": 8 << 20}
    cuda["runtime"] = types.SimpleNamespace(**vars(cuda["runtime"]), getDeviceProperties=lambda device: properties)
    monkeypatch.setattr(cupy_double, "cuda", types.SimpleNamespace(**cuda))
    pool = types.SimpleNamespace(used_bytes=lambda: 3 << 20, total_bytes=lambda: 5 << 20)
    monkeypatch.setattr(cupy_double, "get_default_memory_pool", lambda: pool, raising=False)
    monkeypatch.setattr(cupy_double, "__version__", "14.0", raising=False)
    yield cupy_double
    minixfmr.use_backend("numpy")


def first_losses(run):
    return [float(run()) for _ in range(3)]


def has_gpu():
    try:
        with minixfmr.backend("cupy"):
            return True
    except minixfmr.BackendError:
        return False


def test_the_products_alone_are_those_of_the_step():
    assert training_step.products(CASE, 0.0)() == 0
    pairs = training_step.multiplications(CASE, 1)
    assert sum(2 * a.size * b.shape[-1] for a, b in pairs) == training_step.flops(CASE)
    for case, (V, d, _, f, layers, B, T) in training_step.SIZES.items():
        if case.startswith("encoder-decoder"):
            block = 3 * (4 * d * d + 2 * T * d) + 2 * 2 * d * f
            assert training_step.flops(case) == 3 * 2 * B * T * (layers * block + V * d)


def test_the_instructions_of_a_step_are_what_more_steps_add(monkeypatch):
    commands = []

    def valgrind(command, **_):
        commands.append(command)
        n = int(command[-1])
        text = f"I   refs:   {1000 + 100 * n:,}\nD1  misses:   {50 + 7 * n:,} (...)\nLLd misses:   {9 + n} (...)"
        return types.SimpleNamespace(returncode=0, stderr=text)

    monkeypatch.setattr(instructions.subprocess, "run", valgrind)
    assert instructions.one_step(CASE, "a step") == [100, 7, 1]
    assert [command[0] for command in commands] == ["valgrind"] * 2
    monkeypatch.setattr(
        instructions.subprocess, "run", lambda *_, **__: types.SimpleNamespace(returncode=1, stderr="no")
    )
    with pytest.raises(SystemExit, match="valgrind failed: no"):
        instructions.one_step(CASE, "a step")


def test_what_the_instructions_are_counted_of_runs():
    for side in instructions.SIDES.values():
        side(CASE, 1)


@pytest.mark.parametrize("name", ["training_step", "generation"])
def test_without_a_gpu_they_end_with_one_sentence(name):
    if has_gpu():
        pytest.skip("there is a GPU")
    command = [sys.executable, "-m", f"benchmarks.{name}", "--backend", "cupy"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1
    assert "cupy backend" in ended.stderr
    assert "Traceback" not in ended.stderr


# --- our sides


def test_a_training_step_there_has_the_losses_of_numpy(double):
    expected = first_losses(training_step.ours(CASE, 0.0))
    run = training_step.ours(CASE, 0.0, "float32")
    assert minixfmr.backend_name() == "cupy_double"
    cupy_double.counts.clear()
    losses = [run() for _ in range(3)]
    assert cupy_double.counts.downloads == []  # the clock does not wait for a loss
    numpy.testing.assert_allclose([float(x) for x in losses], expected, rtol=1e-5)


def test_its_meter_waits_for_the_last_event_and_knows_the_memory(double):
    run = training_step.ours(CASE, 0.0, "TF32")
    seconds, values = run.meter.timed(run, 2)
    assert seconds > 0
    assert len(EVENTS) == 1
    assert all(type(v) is float for v in values)
    found = run.meter.memory(run)
    assert found["gpu_mb"] == 3
    assert found["gpu_held_mb"] == 5


def test_the_peak_is_a_product_of_two_matrices(double):
    run = gpu.matmul("float32", size=8)
    cupy_double.counts.clear()
    assert run() == 0
    assert cupy_double.counts.launches == 1


def test_the_environment_of_a_side_decides_on_tf32(monkeypatch):
    seen = []
    monkeypatch.setattr(common.subprocess, "Popen", lambda *_, env, **__: seen.append(env))
    monkeypatch.setattr(common.Side, "_answer", lambda self: {})
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    monkeypatch.setenv("CUPY_TF32", "1")
    for precision in (None, "float32", "TF32"):
        common.Side("module:function", precision=precision)
    assert [env["CUPY_TF32"] for env in seen] == ["0", "0", "1"]
    assert not any("NVIDIA_TF32_OVERRIDE" in env for env in seen)


# --- PyTorch's, on a CPU: the double has no events for it


@pytest.mark.parity
def test_the_side_of_pytorch_trains_on_the_device_with_the_same_losses(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(gpu, "TORCH_DEVICE", "cpu")
    monkeypatch.setattr(common, "CORES", 1)
    expected = first_losses(training_step.ours(CASE, 0.0))
    for precision in ("TF32", "float32"):  # in this order, so that it is off afterwards
        run = training_step.torch_eager(CASE, 0.0, precision)
        assert torch.backends.cuda.matmul.allow_tf32 == (precision == "TF32")
        assert type(run.meter) is gpu.Torch
        numpy.testing.assert_allclose(first_losses(run), expected, rtol=1e-4)


@pytest.mark.parity
def test_all_sides_of_generation_write_the_same(double, monkeypatch, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    monkeypatch.setattr(gpu, "TORCH_DEVICE", "cpu")
    monkeypatch.setattr(common, "CORES", 1)
    monkeypatch.setitem(generation.GPU_MODELS, "tiny", (2, 16, 2, 50))
    monkeypatch.setattr(generation, "NEW", 8)
    generation.save_model("tiny", tmp_path)
    written = {side("tiny", 2, 2, tmp_path, "float32")() for side in generation.GPU_SIDES.values()}
    assert len(written) == 1


# --- tables


def measured(**changes):
    """What in_turn gives for a side on a GPU."""
    result = {"first": [4.0, 3.0, 2.0], "ms": 2.0, "low": 1.0, "high": 3.0, "peak_mb": 100, "gpu_mb": 20}
    return result | {"gpu_held_mb": 30} | changes


def test_a_row_says_the_share_of_the_peak_and_the_memory_on_the_gpu():
    case = "encoder-decoder d 1024"
    ms = training_step.flops(case) / gpu.MATMUL_FLOPS * 4  # four times as long as the matrix products alone
    sides = {"minixfmr": measured(ms=ms), "PyTorch": measured(ms=ms / 2), "sgemm": measured(ms=1.0)}
    cells = training_step.row(case, 0.0, "TF32", sides, ["minixfmr", "PyTorch"])
    assert cells[:3] == [case, 0.0, "TF32"]
    assert cells[-3:] == ["0.50", "25%", "20 (30), 20 (30)"]
    assert len(cells) == 8
    assert training_step.row(case, 0.0, "TF32", sides | {"sgemm": {"failed": "-"}}, ["minixfmr"])[-2] == "nan%"


@pytest.mark.parametrize(("precision", "other", "agree"), [("float32", 4.002, False), ("TF32", 4.002, True)])
def test_the_losses_of_the_sides_must_agree(precision, other, agree):
    sides = {"minixfmr": measured(), "PyTorch": measured(first=[other, 3.0, 2.0]), "sgemm": measured()}
    if agree:
        training_step.row(CASE, 0.0, precision, sides, list(sides)[:2])
    else:
        with pytest.raises(SystemExit, match="the losses of PyTorch"):
            training_step.row(CASE, 0.0, precision, sides, list(sides)[:2])


def test_a_row_of_generation_compares_with_the_faster_peer():
    names = list(generation.GPU_SIDES)
    sides = {name: measured(ms=ms) for name, ms in zip(names, (4.0, 8.0, 2.0), strict=True)}
    cells = generation.row("a model", 1, "float32", sides, names)
    assert cells[-3:] == ["0.50", "yes", "20 (30), 20 (30), 20 (30)"]
    sides["Hugging Face compiled"] = {"failed": "no compiler"}
    assert generation.row("a model", 1, "float32", sides, names)[-3] == "2.00"


def test_one_command_writes_the_table_with_the_card(double, monkeypatch, tmp_path):
    """The whole of training_step but the processes, then the results."""
    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(results, "__file__", str(tmp_path / "results.py"))
    monkeypatch.setattr(gpu, "jax_sees_one", lambda: False)
    asked = []

    def in_turn(sides, *_):
        asked.append(sides)
        return {name: measured() for name in sides}

    monkeypatch.setattr(common, "in_turn", in_turn)
    monkeypatch.setattr(sys, "argv", ["training_step", "--backend", "cupy", "--only", "d 1024"])
    training_step.main()
    assert [list(sides) for sides in asked] == [["sgemm", "minixfmr", "PyTorch", "PyTorch compiled"]] * 4
    assert {sides["minixfmr"][1]["precision"] for sides in asked} == set(gpu.PRECISIONS)
    monkeypatch.setattr(sys, "argv", ["results", "--gpu"])
    results.main()
    text = (tmp_path / "RESULTS_GPU.md").read_text(encoding="utf-8")
    assert "Double with 0 GiB, driver" in text
    assert "CuPy 14.0 with CUDA 12.9" in text
    assert text.count("| encoder-decoder d 1024 |") == 4
    data = json.loads((tmp_path / "results" / "training_step_gpu.json").read_text(encoding="utf-8"))
    assert data["machine"]["date"] in text
    assert not (tmp_path / "results" / "training_step.json").exists()


@pytest.mark.cupy
def test_cupy_has_what_the_meter_asks_for():
    cupy = pytest.importorskip("cupy")
    assert callable(cupy.cuda.get_elapsed_time)
    for kind, names in {
        cupy.cuda.Event: "record synchronize",
        cupy.cuda.Device: "id synchronize",
        cupy.cuda.MemoryHook: "malloc_postprocess",
        cupy.cuda.MemoryPool: "used_bytes total_bytes",
    }.items():
        assert all(hasattr(kind, name) for name in names.split())
    assert cupy.cuda.runtime.getDeviceProperties


@pytest.mark.gpu
def test_the_meter_measures_a_real_card():
    try:
        run = gpu.matmul("float32", size=1024)
        run.meter.timed(run, 3)
        began = time.perf_counter()
        seconds, _ = run.meter.timed(run, 10)
        assert 0 < seconds < time.perf_counter() - began
        found = run.meter.memory(run)
        assert 8 <= found["gpu_mb"] <= found["gpu_held_mb"]
    finally:
        minixfmr.use_backend("numpy")
