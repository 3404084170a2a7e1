"""CuPy on a GPU against NumPy. Every other test runs there too, see conftest.py."""

import gc
import math

import numpy
import pytest
from conftest import small_batch, small_config

import minixfmr
from minixfmr import training
from minixfmr.backend import xp

pytestmark = pytest.mark.gpu


def trainer_on(name, dtype="float64", dropout=0.0):
    """A Trainer of a model on a backend, which stays in use."""
    minixfmr.use_backend(name)
    config = minixfmr.Config(
        vocab_size=100,
        d_model=64,
        num_heads=4,
        d_ff=128,
        num_encoder_layers=2,
        num_decoder_layers=2,
        max_position_embeddings=32,
        dropout=dropout,
        dtype=dtype,
    )
    sequences = [r.tolist() for r in numpy.random.default_rng(1).integers(3, 100, (320, 12))]
    model = minixfmr.EncoderDecoder(config)
    data = minixfmr.TranslationData(sequences, [s[::-1] for s in sequences], config, max_tokens=16 * 13, seed=0)
    return minixfmr.Trainer(model, minixfmr.AdamW(model.parameters()), training.noam(64, 50), data, seed=3)


@pytest.fixture(autouse=True)
def numpy_afterwards():
    yield
    minixfmr.use_backend("numpy")


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-8), ("float32", 2e-3)])
def test_a_hundred_steps_have_the_losses_of_numpy(dtype, tolerance):
    losses = [[r.loss for r in trainer_on(name, dtype).run(epochs=5)] for name in ("numpy", "cupy")]
    assert len(losses[0]) == 100
    numpy.testing.assert_allclose(*losses, rtol=tolerance)


def test_training_with_dropout_learns_and_repeats_with_the_seed():
    first, again = ([r.loss for r in trainer_on("cupy", "float32", 0.1).run(epochs=4)] for _ in range(2))
    assert first[-1] < 0.9 * first[0]
    numpy.testing.assert_allclose(first, again, rtol=1e-3)  # gradients are added up in no fixed order


@pytest.mark.parametrize("names", [("numpy", "cupy"), ("cupy", "numpy")])
def test_checkpoints_go_across_bit_for_bit(names, tmp_path):
    writer = trainer_on(names[0], "float32")
    next(writer.run(epochs=1))
    minixfmr.save_training(writer, tmp_path / "0.safetensors")
    minixfmr.save(writer.model, tmp_path / "0")
    reader = trainer_on(names[1], "float32")
    minixfmr.load_training(reader, tmp_path / "0.safetensors")
    minixfmr.save_training(reader, tmp_path / "1.safetensors")
    minixfmr.save(minixfmr.load(tmp_path / "0"), tmp_path / "1")
    for file in ("{}.safetensors", "{}/model.safetensors"):
        first, second = ((tmp_path / file.format(i)).read_bytes() for i in (0, 1))
        assert first == second
    next(reader.run(epochs=1))  # and training goes on


def test_memory_is_returned_after_a_run():
    import cupy

    pool = cupy.get_default_memory_pool()

    def used_after_training():
        for result in trainer_on("cupy", "float32", 0.1).run(epochs=1):
            assert math.isfinite(result.loss)
        gc.collect()
        return pool.used_bytes()

    first = used_after_training()
    assert used_after_training() == first  # nothing of a run outlives it
    pool.free_all_blocks()
    assert pool.total_bytes() <= first + 64 * 2**20


def test_the_same_ids_are_written():
    written = []
    for name in ("numpy", "cupy"):
        minixfmr.use_backend(name)
        model = minixfmr.EncoderDecoder(small_config())
        batch = small_batch(model.config)
        assert isinstance(model(batch["input_ids"], batch["decoder_input_ids"]), xp.ndarray)
        written.append(minixfmr.generate(model, batch["input_ids"], max_new_tokens=6, num_beams=3))
    numpy.testing.assert_array_equal(*written)
