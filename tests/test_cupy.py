"""The CuPy backend without a GPU, on the double of it. Every other test runs on the double too, see conftest.py."""

import importlib
import json
import math
import sys
import types
from pathlib import Path

import cupy_double
import numpy
import pytest
from conftest import install_double, small_batch, small_config
from cupy_double import counts

import minixfmr
from minixfmr import backend as backend_for_a_while
from minixfmr import training
from minixfmr.backend import to_device, to_floats, to_numpy, xp


@pytest.fixture
def double(monkeypatch):
    """The double as the backend in use."""
    install_double(monkeypatch)
    with minixfmr.backend("cupy"):
        counts.clear()
        yield cupy_double


def on_each(function):
    """(what the function returns on NumPy, what on the double)"""
    with pytest.MonkeyPatch.context() as patch:
        install_double(patch)
        with minixfmr.backend("cupy"):
            second = function()
    return function(), second


# --- what crosses between the two memories


def trainer_on(kind=minixfmr.EncoderDecoder, **changes):
    config = small_config(**{"dtype": "float32"} | changes)
    model = kind(config)
    sequences = numpy.random.default_rng(1).integers(3, 13, (12, 5)).tolist()
    data = minixfmr.TranslationData(sequences, sequences, config, max_tokens=24, seed=0)
    return minixfmr.Trainer(model, minixfmr.AdamW(model.parameters()), training.constant(1e-2), data, workers=1, seed=3)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_step_of_the_trainer_moves_ids_there_and_two_numbers_back(double, dropout, accumulate):
    trainer = trainer_on(dropout=dropout, attention_dropout=dropout)
    trainer.accumulate = accumulate
    run = trainer.run(epochs=3)
    next(run)
    counts.clear()
    next(run)
    assert [dtype.kind for dtype, _ in counts.uploads] == [
        "b",
        "i",
        "i",
        "i",
    ] * accumulate  # mask, ids, targets, labels
    assert {math.prod(shape) for _, shape in counts.uploads} == {24}
    assert counts.downloads == [(numpy.dtype(float), (2,))]  # the loss and the gradient's norm


def test_the_loss_stays_there_until_someone_asks(double):
    config = small_config()
    model, criterion, batch = minixfmr.EncoderDecoder(config), minixfmr.CrossEntropy(), small_batch(config)
    labels = batch.pop("labels")
    optimizer = minixfmr.AdamW(model.parameters())
    counts.clear()
    optimizer.zero_grad()
    logits, saved = model.forward(**batch)
    loss, saved_loss = criterion.forward(logits, labels)
    model.backward(criterion.backward(saved_loss), saved)
    optimizer.step()
    assert len(counts.uploads) == 4
    assert counts.downloads == []
    assert 1 < float(loss) < 5
    assert len(counts.downloads) == 1


@pytest.mark.parametrize(
    ("kind", "changes", "inputs"),
    [
        (
            minixfmr.EncoderOnly,
            {"type_vocab_size": 2, "positions": "learned", "embedding_norm": True},
            ["token_type_ids"],
        ),
        (minixfmr.EncoderOnly, {"positions": "learned", "positions_from_ids": True, "max_position_embeddings": 20}, []),
        (
            minixfmr.EncoderOnly,
            {
                "relative_positions": "disentangled",
                "relative_buckets": 4,
                "relative_max_distance": 4,
                "attention_scale": 0.3,
            },
            [],
        ),
        (minixfmr.EncoderOnly, {"head": "sequence_classification", "pooling": "mean"}, []),
        (minixfmr.DecoderOnly, {"positions": "none", "relative_positions": "rotary", "norm": "rms"}, []),
        (minixfmr.DecoderOnly, {"sliding_window": 2}, ["position_ids"]),
    ],
)
def test_no_architecture_waits_for_the_gpu(double, kind, changes, inputs):
    config = small_config(**changes)
    model, batch = kind(config), small_batch(config)
    options = dict.fromkeys(inputs, batch["input_ids"] * 0 + 1)
    counts.clear()
    logits, saved = model.forward(batch["input_ids"], attention_mask=batch["attention_mask"], **options)
    model.backward(logits, saved)
    assert counts.downloads == []
    assert all(dtype.kind in "ib" and shape == (3, 5) for dtype, shape in counts.uploads)


def test_a_token_of_generation_waits_once(double):
    model = minixfmr.EncoderDecoder(small_config(max_position_embeddings=30))
    ids = small_batch(model.config)["input_ids"]

    def waits(n):
        counts.clear()
        minixfmr.generate(model, ids, max_new_tokens=n, eos_token_id=[])
        return len(counts.downloads)

    assert waits(9) - waits(8) == 1


def test_launches_of_a_step_do_not_depend_on_the_number_of_parameters_to_update(double):
    """One flat buffer: AdamW, the norm and zeroing are as many launches for two blocks as for one."""

    def launches(layers):
        model = minixfmr.EncoderDecoder(small_config(num_encoder_layers=layers))
        optimizer = minixfmr.AdamW(model.parameters())
        counts.clear()
        optimizer.zero_grad()
        minixfmr.clip_grad_norm([optimizer.flat], 1.0)
        optimizer.step()
        return counts.launches

    assert launches(1) == launches(3) < 25


# --- the same results


def test_weights_and_data_order_are_equal_for_a_seed():
    def start():
        trainer = trainer_on()
        return trainer.model.state_dict(), [trainer.data.order(epoch) for epoch in range(3)]

    (weights, order), (other_weights, other_order) = on_each(start)
    assert order == other_order
    for name, array in weights.items():
        numpy.testing.assert_array_equal(array, other_weights[name])


def test_a_hundred_steps_have_the_same_losses():
    losses, others = on_each(lambda: [result.loss for result in trainer_on(dtype="float64").run(epochs=34)])
    assert len(losses) > 100
    numpy.testing.assert_allclose(losses, others, rtol=1e-9)


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"do_sample": True, "seed": 4, "top_k": 5, "top_p": 0.9}])
@pytest.mark.parametrize("rules", [{}, {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "min_length": 4}])
def test_the_same_ids_are_written(options, rules):
    def write():
        model = minixfmr.EncoderDecoder(small_config(), seed=2)
        batch = small_batch(model.config)
        options_of_both = options | ({} if options.get("do_sample") else rules)
        return minixfmr.generate(model, batch["input_ids"], max_new_tokens=8, **options_of_both)

    numpy.testing.assert_array_equal(*on_each(write))


@pytest.mark.parametrize("first", ["numpy", "double"])
def test_checkpoints_go_across_bit_for_bit(first, tmp_path):
    """Written on one backend, read on the other, written there again: the same bytes."""
    kept = []

    def pass_on():
        trainer = trainer_on(dropout=0.2)
        if kept:
            minixfmr.load_training(trainer, tmp_path / "0.safetensors")
            model = minixfmr.load(tmp_path / "0")
        else:
            next(trainer.run(epochs=1))
            model = trainer.model
        minixfmr.save_training(trainer, tmp_path / f"{len(kept)}.safetensors")
        minixfmr.save(model, tmp_path / str(len(kept)))
        kept.append(True)
        next(trainer.run(epochs=1))  # and training goes on

    with pytest.MonkeyPatch.context() as patch:
        install_double(patch)
        for name in ("numpy", "cupy") if first == "numpy" else ("cupy", "numpy"):
            with minixfmr.backend(name):
                pass_on()
    for file in ("{}.safetensors", "{}/model.safetensors", "{}/config.json"):
        first_bytes, second = ((tmp_path / file.format(i)).read_bytes() for i in (0, 1))
        assert first_bytes == second


def test_published_folders_open_and_are_written(double, tmp_path):
    config = dict(model_type="gpt2", vocab_size=20, n_embd=8, n_head=2, n_layer=1, n_positions=16, n_inner=None)
    model = minixfmr.pretrained.build(config)
    minixfmr.save_pretrained(model, tmp_path)
    again = minixfmr.load_pretrained(tmp_path)
    ids = numpy.array([[3, 4, 5]])
    assert bool((again(ids) == model(ids)).all())


def test_the_tutorial_runs(double, tmp_path, monkeypatch, capsys):
    translate = pytest.importorskip("translate", reason="needs minixfmr[tutorials]")
    for extra in ("num2words", "sacrebleu", "matplotlib"):
        pytest.importorskip(extra, reason="needs minixfmr[tutorials]")
    monkeypatch.chdir(tmp_path)
    lines = [f"{a} {b}\t{b} {a}" for a in "red green blue old".split() for b in "house dog cat sun moon tree".split()]
    Path("pairs.tsv").write_text("\n".join(lines * 2), encoding="utf-8")
    small = "--d-model 16 --num-heads 2 --d-ff 24 --layers 1 --vocab-size 60 --warmup 5 --batch-tokens 150 --epochs 2"
    with minixfmr.backend("numpy"):  # main chooses, and this puts back
        assert translate.main(["--pairs", "pairs.tsv", "--backend", "cupy", *small.split()]) == 0
        assert minixfmr.backend_name() == "cupy_double"
        assert translate.main(["--model", "runs/numbers", "--translate", "red dog", "-v", "--backend", "cupy"]) == 0
    assert json.loads(Path("runs/numbers/run.json").read_text())["settings"]["threads"] == 1
    assert "instead: " in capsys.readouterr().out
    with minixfmr.backend("numpy"):
        assert translate.main(["--model", "runs/numbers", "--translate", "red dog"]) == 0


# --- the switch


def test_a_backend_for_a_while(monkeypatch):
    install_double(monkeypatch)
    with minixfmr.backend("cupy"):
        assert minixfmr.backend_name() == "cupy_double"
        x = xp.ones(2)
        with pytest.raises(ZeroDivisionError), backend_for_a_while("numpy"):
            assert xp.exp is numpy.exp
            assert to_device(x).tolist() == [1, 1]  # out of the other's memory
            _ = 1 / 0
        assert xp.exp is cupy_double.exp
    assert minixfmr.backend_name() == "numpy"
    with pytest.raises(minixfmr.BackendError, match="unknown backend 'jax'"), minixfmr.backend("jax"):
        pass


def test_numbers_come_back_in_one_trip(double):
    numbers = xp.ones(3).sum(), xp.full((), 2, "float32")
    counts.clear()
    assert to_floats(*numbers) == [3.0, 2.0]
    assert len(counts.downloads) == 1


class TestArraysOfAnotherBackend:
    def test_inputs(self, double):
        x = numpy.ones((2, 3, 4), "float32")
        layers = minixfmr.layers
        for layer in (
            layers.Linear(4, 3),
            layers.LayerNorm(4),
            layers.RMSNorm(4),
            layers.LearnedPositions(5, 4),
            layers.SinusoidalPositions(5, 4),
            layers.MultiHeadAttention(4, 2),
            layers.FeedForward(4, 5),
        ):
            message = (
                "^Linear: x is a numpy.ndarray, the backend in use is cupy_double: convert it with minixfmr.to_device"
            )
            with pytest.raises(TypeError, match=message):
                layer(x)
            assert isinstance(layer(to_device(x)), double.ndarray)
        with pytest.raises(TypeError, match="^the data of this Parameter is a numpy.ndarray"):
            minixfmr.Parameter(x)
        with pytest.raises(TypeError, match="^logits is a numpy.ndarray"):
            minixfmr.CrossEntropy().forward(x, numpy.ones((2, 3), int))

    def test_device_arrays_on_numpy(self, double):
        x = xp.ones((2, 3))
        with minixfmr.backend("numpy"):
            with pytest.raises(TypeError, match="x is a cupy_double.ndarray, the backend in use is numpy"):
                minixfmr.layers.Linear(3, 2)(x)
            assert minixfmr.layers.Linear(3, 2)(to_device(x, "float32")).shape == (2, 2)

    def test_a_model_that_was_made_before(self, double):
        with minixfmr.backend("numpy"):
            model = minixfmr.DecoderOnly(small_config())
        with pytest.raises(TypeError, match="table of this Embedding is a numpy.ndarray.* build or load that after"):
            model(numpy.ones((1, 2), int))

    def test_ids_and_masks_may_lie_anywhere(self, double):
        model, batch = minixfmr.DecoderOnly(small_config()), small_batch(small_config())
        ids, mask = batch["input_ids"], batch["attention_mask"]
        expected = to_numpy(model(ids, attention_mask=mask))
        for move in (to_device, to_numpy):
            for window in (None, numpy.tri(5, dtype=bool), xp.tri(5, dtype=bool)):
                numpy.testing.assert_array_equal(
                    to_numpy(model(move(ids), attention_mask=move(mask), mask=window)), expected
                )
        labels = to_device(batch["labels"])
        loss, _ = minixfmr.CrossEntropy().forward(model(batch["decoder_input_ids"]), labels)
        assert float(loss) > 0


def test_running_out_of_memory_says_what_to_make_smaller(double, monkeypatch):
    def full(*_, **__):
        raise double.cuda.memory.OutOfMemoryError("Out of memory allocating 512 bytes")

    trainer = trainer_on()
    monkeypatch.setattr(double, "exp", full)
    minixfmr.use_backend("cupy")
    expected = r"out of memory \(Out of memory allocating 512 bytes\): make the batches smaller"
    with pytest.raises(minixfmr.OutOfMemoryError, match=expected) as info:
        next(trainer.run(epochs=1))
    assert isinstance(info.value, minixfmr.BackendError)
    assert isinstance(info.value, MemoryError)
    with pytest.raises(minixfmr.OutOfMemoryError, match="make the batches smaller"):
        minixfmr.evaluate(trainer.model, trainer.data)
    with pytest.raises(minixfmr.OutOfMemoryError, match="generate for fewer sequences"):
        minixfmr.generate(trainer.model, numpy.ones((1, 3), int), max_new_tokens=2)


class TestWithoutUse:
    """Everything that can be missing, each in one sentence with what to do."""

    def fails(self, match):
        with pytest.raises(minixfmr.BackendError, match=match) as info:
            minixfmr.use_backend("cupy")
        assert "\n" not in str(info.value)
        assert str(info.value).endswith('or stay with use_backend("numpy")')
        assert minixfmr.backend_name() == "numpy"

    def double_without(self, monkeypatch, **changes):
        runtime = types.SimpleNamespace(**vars(cupy_double.cuda.runtime) | changes)
        fake = types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime), ones=cupy_double.ones)
        monkeypatch.setitem(sys.modules, "cupy", fake)
        return fake

    def test_cupy(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "cupy", None)  # what an import finds where it is not installed
        self.fails(r"needs CuPy, which is not installed: pip install .minixfmr\[cuda12\]")

    def test_its_libraries(self, monkeypatch):
        def broken(name):
            raise ImportError("\n====\nlibcublas.so.12: cannot open shared object file\n====")

        monkeypatch.setattr(importlib, "import_module", broken)
        self.fails(r"does not import \(libcublas.so.12: cannot open .*pip uninstall it, then pip install")

    @pytest.mark.parametrize("driver", [12090, 13000])
    def test_a_gpu(self, monkeypatch, driver):
        def none():
            raise cupy_double.CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")

        for count, reason in ((lambda: 0, "none is visible"), (none, "cudaErrorNoDevice: no .* detected")):
            self.double_without(monkeypatch, getDeviceCount=count, driverGetVersion=lambda: driver)
            self.fails(rf"finds no CUDA GPU \({reason}\): check nvidia-smi")

    @pytest.mark.parametrize(
        ("driver", "found"), [(0, "there is no NVIDIA driver"), (11040, "the driver supports CUDA 11.4")]
    )
    def test_a_driver(self, monkeypatch, driver, found):
        def too_old():
            raise cupy_double.CUDARuntimeError("cudaErrorInsufficientDriver: ...")

        self.double_without(monkeypatch, getDeviceCount=too_old, driverGetVersion=lambda: driver)
        self.fails(rf"cudaErrorInsufficientDriver.*this CuPy needs CUDA 12.9, {found}; update the driver")

    def test_what_kernels_are_compiled_with(self, monkeypatch):
        def no_compiler(*_):
            raise RuntimeError("CuPy failed to load libnvrtc.so.12")

        self.double_without(monkeypatch).ones = no_compiler
        self.fails(r"cannot compute on this GPU \(CuPy failed to load libnvrtc.so.12\): its CUDA libraries are missing")
