import json
import subprocess
import sys
import textwrap

import pytest
from conftest import np, small_batch, small_config
from test_training import new_trainer

import minixfmr
from minixfmr.checkpoint import write_file


@pytest.fixture
def model():
    return minixfmr.EncoderDecoder(small_config(dtype="float32"))


def test_a_model_comes_back_bit_for_bit(model, tmp_path):
    minixfmr.save(model, tmp_path / "new" / "folder")
    loaded = minixfmr.load(tmp_path / "new" / "folder")
    assert loaded.config == model.config
    for (name, a), (other, b) in zip(model.named_parameters(), loaded.named_parameters(), strict=True):
        assert name == other
        np.testing.assert_array_equal(a.data, b.data)
    batch = small_batch(model.config)
    batch.pop("labels")
    np.testing.assert_array_equal(model(**batch), loaded(**batch))
    assert {p.name for p in (tmp_path / "new" / "folder").iterdir()} == {"config.json", "model.safetensors"}


@pytest.mark.bits
def test_training_goes_on_from_a_file(tmp_path):
    straight = new_trainer()
    list(straight.run(epochs=2))
    first = new_trainer()
    for result in first.run(epochs=2):
        if result.step == 4:
            break
    minixfmr.save_training(first, tmp_path / "checkpoint.safetensors", {"seen": [1, 2]})
    second = new_trainer()
    assert minixfmr.load_training(second, tmp_path / "checkpoint.safetensors") == {"seen": [1, 2]}
    list(second.run(epochs=2))
    for a, b in zip(straight.model.parameters(), second.model.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)


class TestDamage:
    @pytest.mark.parametrize("keep", [0, 4, 100, -1])
    def test_truncated(self, model, tmp_path, keep):
        minixfmr.save(model, tmp_path)
        path = tmp_path / "model.safetensors"
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(minixfmr.CheckpointError, match=r"model.safetensors is not a whole safetensors file"):
            minixfmr.load(tmp_path)

    def test_not_safetensors(self, model, tmp_path):
        minixfmr.save(model, tmp_path)
        (tmp_path / "model.safetensors").write_text("weights, honestly")
        with pytest.raises(minixfmr.CheckpointError, match="not a whole safetensors file"):
            minixfmr.load(tmp_path)

    def test_missing(self, model, tmp_path):
        with pytest.raises(minixfmr.CheckpointError, match="there is no file .*model.safetensors"):
            minixfmr.load(tmp_path)
        minixfmr.save(model, tmp_path)
        (tmp_path / "config.json").unlink()
        with pytest.raises(minixfmr.CheckpointError, match="cannot read .*config.json"):
            minixfmr.load(tmp_path)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"config": {"vocab_size": 13, "d_model": 9}}, "d_model must be divisible by num_heads"),
            ({"config": {"vocab_size": 13, "typo": 1}}, "unknown config field typo"),
            (
                {"architecture": "Perceptron"},
                "unknown architecture 'Perceptron', known: EncoderOnly, DecoderOnly, EncoderDecoder",
            ),
            ({"config": small_config(d_ff=13).to_dict()}, "not the config that .* was saved with"),
        ],
    )
    def test_another_config(self, model, tmp_path, changes, message):
        minixfmr.save(model, tmp_path)
        path = tmp_path / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        with pytest.raises(minixfmr.CheckpointError, match=message):
            minixfmr.load(tmp_path)

    def test_weights_of_another_shape(self, model, tmp_path):
        import safetensors.numpy

        minixfmr.save(model, tmp_path)
        state = model.state_dict()
        state["encoder.blocks.0.feed_forward.layer.hidden.weight"] = np.zeros((8, 13), "float32")
        (tmp_path / "model.safetensors").write_bytes(safetensors.numpy.save(state))
        with pytest.raises(minixfmr.CheckpointError, match=r"hidden.weight: shape \(8, 13\), the model has \(8, 12\)"):
            minixfmr.load(tmp_path)

    def test_no_training_state(self, model, tmp_path):
        minixfmr.save(model, tmp_path)
        with pytest.raises(minixfmr.CheckpointError, match="holds no training state"):
            minixfmr.load_training(new_trainer(), tmp_path / "model.safetensors")
        with pytest.raises(minixfmr.CheckpointError, match="there is no file"):
            minixfmr.load_training(new_trainer(), tmp_path / "absent.safetensors")

    def test_another_trainer(self, tmp_path):
        minixfmr.save_training(new_trainer(), tmp_path / "c.safetensors")
        with pytest.raises(minixfmr.CheckpointError, match="cannot resume from .*other settings: seed is 9 but was 3"):
            minixfmr.load_training(new_trainer(seed=9), tmp_path / "c.safetensors")


def test_a_full_disk_leaves_the_old_file_whole(tmp_path):
    """A limit on file size makes the write fail half-way, as a full disk does."""
    pytest.importorskip("resource")
    path = tmp_path / "file"
    write_file(path, b"old and good")
    code = f"""
        import resource, signal
        import minixfmr
        from minixfmr.checkpoint import write_file
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_file({str(path)!r}, b"x" * 100_000)
        except minixfmr.CheckpointError as error:
            print(error)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert "cannot write" in run.stdout
    assert "the file that was there is unchanged" in run.stdout
    assert path.read_bytes() == b"old and good"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_an_unwritable_place_is_named(tmp_path, model):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(minixfmr.CheckpointError, match="cannot write .*nothing was written"):
        minixfmr.save(model, tmp_path / "file")
