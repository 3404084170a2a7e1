"""Files that are damaged, odd or in the way: refused in one sentence that names them, and nothing is changed."""

import errno
import json
import os
import struct
import warnings

import numpy as np
import pytest
import safetensors.numpy
from conftest import small_config
from test_training import new_trainer

import minixfmr
from minixfmr import checkpoint, pretrained
from minixfmr.checkpoint import CheckpointError, parse_json, write_files

pytestmark = pytest.mark.on_numpy("reads and writes files")


def new_model(seed=0, **changes):
    return minixfmr.DecoderOnly(small_config(dtype="float32", **changes), seed=seed)


# each writes an undamaged file → (its path, what reads it and returns the arrays)


def write_model(path):
    minixfmr.save(new_model(), path)
    return path / "model.safetensors", lambda: minixfmr.load(path).state_dict()


def write_weights(path):
    checkpoint.save_weights(new_model(), path / "weights")
    other = new_model(1)
    return path / "weights", lambda: checkpoint.load_weights(other, path / "weights") or other.state_dict()


def write_training(path):
    minixfmr.save_training(new_trainer(), path / "training")
    other = new_trainer()
    return path / "training", lambda: minixfmr.load_training(other, path / "training") or other.state_dict()


def write_published(path):
    sizes = dict(vocab_size=11, n_embd=8, n_layer=2, n_head=2, n_positions=16, bos_token_id=3, eos_token_id=3)
    minixfmr.save_pretrained(pretrained.build({"model_type": "gpt2"} | sizes), path)
    return path / "model.safetensors", lambda: minixfmr.load_pretrained(path).state_dict()


WRITERS = [write_model, write_weights, write_training, write_published]


def take_apart(path):
    """(header, body) of a safetensors file."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), bytearray(data[8 + length :])


def put_together(path, header, body):
    text = header if isinstance(header, str) else json.dumps(header)
    path.write_bytes(struct.pack("<Q", len(text)) + text.encode() + bytes(body))


@pytest.mark.parametrize("write", WRITERS)
def test_the_same_values_give_the_same_bytes(write, tmp_path):
    written = set()
    for n in range(8):
        (tmp_path / str(n)).mkdir()
        path, _ = write(tmp_path / str(n))
        written.add(path.read_bytes())
    assert len(written) == 1
    safetensors.numpy.load(written.pop())


@pytest.mark.parametrize("write", WRITERS)
def test_a_flipped_bit_anywhere_is_noticed(write, tmp_path, rng):
    path, load = write(tmp_path)
    whole, data = load(), path.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    for place in [*rng.integers(8, start, 20), *rng.integers(start, len(data), 20), start, len(data) - 1]:
        changed = bytearray(data)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        try:
            np.testing.assert_equal(load(), whole)  # a header has bytes that say nothing
            assert place < start
        except CheckpointError as error:
            assert path.name in str(error)


@pytest.mark.parametrize("write", WRITERS)
def test_swapped_tensors_are_noticed(write, tmp_path):
    path, load = write(tmp_path)
    header, body = take_apart(path)
    by_shape: dict = {}
    for name in header:
        if name != "__metadata__" and len(header[name]["shape"]) == 2:
            by_shape.setdefault(str(header[name]["shape"]), []).append(name)
    a, b = next(names for names in by_shape.values() if len(names) > 1)[:2]
    header[a], header[b] = header[b], header[a]
    put_together(path, header, body)
    with pytest.raises(CheckpointError, match=r"is damaged: the numbers of \S+ are not those that were written"):
        load()


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_from_before_there_were_checksums_is_read_in_silence(write, tmp_path):
    path, load = write(tmp_path)
    header, body = take_apart(path)
    del header["__metadata__"]["checksums"]
    header["__metadata__"] = header["__metadata__"] or None  # which the library takes for none
    put_together(path, header, body)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_unless_asked_for(tmp_path, value):
    model, other = new_model(), new_model(1)
    next(iter(model.parameters())).data[0, 0] = value
    minixfmr.save(model, tmp_path)
    with pytest.raises(CheckpointError, match=r"tokens.weight has 1 values that are NaN or infinite.*finite=False"):
        minixfmr.load(tmp_path)
    before = other.state_dict()
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        checkpoint.load_weights(other, tmp_path / "model.safetensors")
    assert all((before[name] == array).all() for name, array in other.state_dict().items())
    checkpoint.load_weights(other, tmp_path / "model.safetensors", finite=False)
    loaded = minixfmr.load(tmp_path, finite=False)
    np.testing.assert_equal([loaded.state_dict(), other.state_dict()], [model.state_dict()] * 2)
    trainer = new_trainer()
    trainer.optimizer.m[5] = value
    minixfmr.save_training(trainer, tmp_path / "training")
    with pytest.raises(CheckpointError, match=r"optimizer.m has 1 values that are NaN or infinite"):
        minixfmr.load_training(new_trainer(), tmp_path / "training")
    minixfmr.load_training(new_trainer(), tmp_path / "training", finite=False)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
@pytest.mark.parametrize("write", WRITERS)
def test_only_files_are_read(write, tmp_path):
    path, load = write(tmp_path)
    for make in (os.mkfifo, os.mkdir, lambda p: os.symlink("/dev/zero", p), lambda p: os.symlink(p.name, p)):
        path.unlink()
        make(path)
        with pytest.raises(CheckpointError, match=path.name):
            load()
        path.rmdir() if path.is_dir() else path.unlink()
        path.touch()


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("length", [0, 1, 2**32, 2**60, 2**64 - 1])
def test_what_the_header_claims_is_not_believed(write, length, tmp_path):
    path, load = write(tmp_path)
    path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])
    with pytest.raises(CheckpointError, match="is not a whole safetensors file"):
        load()


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    "change",
    [
        {"shape": [0, 2**62], "data_offsets": [0, 0]},
        {"shape": [2**40, 2**40]},
        {"shape": [-1]},
        {"dtype": "I32"},
        {"dtype": "F8_E4M3"},
        {"data_offsets": [0, 2**60]},
    ],
)
def test_what_a_tensor_claims_is_not_believed(write, change, tmp_path):
    path, load = write(tmp_path)
    header, body = take_apart(path)
    for name, sealed in ((n, s) for n in list(header)[1:3] for s in (True, False)):
        changed = {n: item for n, item in header.items() if sealed or n != "__metadata__"}
        put_together(path, changed | {name: header[name] | change}, body)
        with pytest.raises(CheckpointError):
            load()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 99 + "1" + "}" * 99, "nested more than 64 times"),
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ('{"a": 1, "a": true}', "'a' is there twice"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ('{"a": 1e999}', "1e999 is too large"),
        ("9" * 5000, "5000 digits"),
        ('"\\ud800"', "surrogates not allowed"),
        (b"\xff", "invalid start byte"),
        (b"\xef\xbb\xbf{}", "BOM"),
        ("{,}", "Expecting property name"),
        ("", "Expecting value"),
    ],
)
def test_json_is_read_strictly(text, message):
    with pytest.raises(ValueError, match=message):
        parse_json(text)


def test_json_that_is_no_more_than_odd_is_read():
    assert parse_json(b' {"a": [1, 1.5, -0.0, null, "\\ud83d\\ude00"], "b": {}, "b": {}}\n') == {
        "a": [1, 1.5, 0.0, None, "😀"],
        "b": {},
    }
    assert parse_json("[NaN, Infinity]", constants=True)[1] == float("inf")


def test_a_config_of_ours_is_compared_to_the_letter(tmp_path):
    minixfmr.save(new_model(), tmp_path)
    path = tmp_path / "config.json"
    text = path.read_text()
    for old, new in (('"attention_bias": true', '"attention_bias": 1'), ('"dropout": 0.0', '"dropout": 0')):
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(CheckpointError, match=r"config.json"):
            minixfmr.load(tmp_path)
    for description in ([], {"format": 2}, {"config": []}, {"format": 1, "architecture": [], "config": {}}, {"x": 1}):
        path.write_text(json.dumps(description))
        with pytest.raises(CheckpointError, match=r"config.json"):
            minixfmr.load(tmp_path)


@pytest.mark.parametrize(
    "change", [{"num_decoder_layers": 5000}, {"vocab_size": 10**9}, {"d_ff": 10**9}, {"d_model": 10**8}]
)
def test_a_digit_too_many_takes_no_memory(change, tmp_path):
    write_model(tmp_path)
    header, body = take_apart(tmp_path / "model.safetensors")
    put_together(tmp_path / "model.safetensors", {n: item for n, item in header.items() if n != "__metadata__"}, body)
    description = json.loads((tmp_path / "config.json").read_text())
    description["config"] |= change
    (tmp_path / "config.json").write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match=r"config.json: (its sizes ask for|it asks for [\d,]+ layers)"):
        minixfmr.load(tmp_path)


def test_the_same_of_a_published_one(tmp_path):
    write_published(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for change in ({"n_layer": 10**7}, {"vocab_size": 10**9}, {"n_positions": 10**9}, {"n_head": 0}):
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(CheckpointError, match=r"config.json: "):
            minixfmr.load_pretrained(tmp_path)


def test_a_training_state_that_does_not_fit_changes_nothing(tmp_path):
    trainer = new_trainer()
    state = trainer.state_dict()
    for change in (
        {"progress": {"step": 1, "epoch": 0, "position": 10**6}},
        {"progress": {"step": -1, "epoch": 0, "position": 0}},
        {"progress": {"step": 1.5, "epoch": 0, "position": 0}},
        {"progress": {"step": 1}},
        {"progress": None},
        {"settings": []},
        {"model": None},
        {"optimizer": state["optimizer"] | {"t": "3"}},
        {"optimizer": state["optimizer"] | {"v": -state["optimizer"]["v"] - 1}},
        {"optimizer": state["optimizer"] | {"m": state["optimizer"]["m"].astype(int)}},
        {"optimizer": {"m": state["optimizer"]["m"]}},
    ):
        wrong = {"model": {name: array + 1 for name, array in state["model"].items()}}
        with pytest.raises((ValueError, TypeError), match=r"must|has"):
            trainer.load_state_dict(state | wrong | change)
        np.testing.assert_equal(trainer.state_dict(), state)
    with pytest.raises(ValueError, match="accept must be a list of .*learning rate"):
        trainer.load_state_dict(state, accept=["learning rate"])


@pytest.mark.parametrize("path", [None, 3, b"a\0b", "a\0b", [], {"a": 1}])
def test_what_is_no_path_is_named(path):
    for use in (minixfmr.load, lambda p: minixfmr.save(new_model(), p), minixfmr.load_pretrained):
        with pytest.raises(CheckpointError, match="must be a text or a pathlib.Path, got"):
            use(path)


def test_what_load_could_not_build_again_is_not_saved(tmp_path):
    class Mine(minixfmr.DecoderOnly):
        pass

    for module in (Mine(small_config()), new_model().head):
        with pytest.raises(CheckpointError, match=f"not {type(module).__name__}: minixfmr.checkpoint.save_weights"):
            minixfmr.save(module, tmp_path / "new")
    with pytest.raises(CheckpointError, match=r"the notes must be values of JSON .*Trainer"):
        minixfmr.save_training(new_trainer(), tmp_path / "training", {"a": [new_trainer()]})
    assert not list(tmp_path.iterdir())


class TestWriting:
    """The old file unharmed, no temporary left, one sentence."""

    @pytest.mark.parametrize("full", [1, 2])
    def test_a_disk_that_fills_up_leaves_both_files_of_a_model(self, full, tmp_path, monkeypatch):
        old, load = write_model(tmp_path)
        before = load()
        calls = []

        def fsync(descriptor):
            calls.append(descriptor)
            if len(calls) == full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(CheckpointError, match="No space left on device; the file that was there is unchanged"):
            minixfmr.save(new_model(1, d_ff=20), tmp_path)
        np.testing.assert_equal(load(), before)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", old.name]

    @pytest.mark.parametrize(
        ("make", "reason"),
        [
            (os.mkdir, "it is a folder"),
            (getattr(os, "mkfifo", os.mkdir), "it is a (pipe or a device|folder)"),
            (lambda p: (p.write_text("old"), p.chmod(0o444)), "it is read-only"),
        ],
    )
    def test_what_must_not_be_replaced_is_not(self, make, reason, tmp_path):
        path = tmp_path / "config.json"
        make(path)
        before = path.stat()
        for write in (
            lambda: checkpoint.save_weights(new_model(), path),
            lambda: minixfmr.save_training(new_trainer(), path),
            lambda: minixfmr.save(new_model(), tmp_path),
            lambda: write_published(tmp_path),
        ):
            with pytest.raises(CheckpointError, match=f"cannot write .*config.json: {reason}"):
                write()
            assert [p.name for p in tmp_path.iterdir()] == ["config.json"]
            assert os.path.samestat(before, path.stat())

    def test_the_longest_name_that_a_file_can_have(self, tmp_path):
        path = tmp_path / ("x" * 255)
        write_files({path: b"new"})
        assert path.read_bytes() == b"new"
        with pytest.raises(CheckpointError, match="cannot write"):
            write_files({tmp_path / ("x" * 256): b"new"})


def test_a_message_is_no_longer_than_can_be_read(tmp_path):
    write_published(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"n_embd": "x" * 10**6}))
    with pytest.raises(CheckpointError, match="n_embd must be an integer") as caught:
        minixfmr.load_pretrained(tmp_path)
    assert len(str(caught.value)) < 5000


def test_a_shard_of_a_name_that_no_file_can_have(tmp_path):
    path, _ = write_published(tmp_path)
    names = list(safetensors.numpy.load(path.read_bytes()))
    path.unlink()
    index = {"weight_map": dict.fromkeys(names, "a\x00b")}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="there is no file"):
        minixfmr.load_pretrained(tmp_path)


def test_a_config_that_is_no_dictionary():
    for values in ([], None, 3, "vocab_size", {1: 2, "x": 3}):
        with pytest.raises(minixfmr.ConfigError, match="must be a dictionary|unknown config field 1, x"):
            minixfmr.Config.from_dict(values)


@pytest.mark.parametrize(
    "change",
    [
        {"pooling_mode": 3},
        {"pooling_mode": [["mean"]]},
        {"pooling_mode": {"mean": 1}},
        {"pooling_mode_mean_tokens": "false"},
        {"pooling_mode_mean_tokens": 1},
        {"pooling_mode_mean_tokens": False},
    ],
)
def test_a_pooling_that_cannot_be_meant(change, tmp_path):
    sizes = dict(vocab_size=11, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12)
    model = pretrained.build({"model_type": "bert", "architectures": ["BertModel"]} | sizes)
    minixfmr.save_pretrained(model, tmp_path)
    modules = [{"type": "models.Transformer", "path": ""}, {"type": "models.Pooling", "path": "pooling"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "pooling").mkdir()
    (tmp_path / "pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True} | change))
    with pytest.raises(CheckpointError, match=r"pooling/config.json: (pooling|each pooling_mode)"):
        minixfmr.load_sentence_encoder(tmp_path)


@pytest.mark.parametrize(
    "change",  # both were found by coverage-guided fuzzing
    [{"num_attention_heads": 100}, {"num_attention_heads": 0}, {"conv_kernel_size": 4}, {"head_dim": 10**12}],
)
@pytest.mark.parametrize("kind", ["deberta-v2", "llama"])
def test_sizes_that_do_not_go_together(kind, change, tmp_path):
    sizes = dict(vocab_size=11, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12)
    sizes |= dict(relative_attention=True, pos_att_type="c2p|p2c") if kind == "deberta-v2" else {}
    minixfmr.save_pretrained(pretrained.build({"model_type": kind} | sizes), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with warnings.catch_warnings(record=True):  # for each names the other's key
        warnings.simplefilter("always")
        if set(change) <= set(pretrained.FAMILIES[kind].keys):
            with pytest.raises(CheckpointError, match=r"config.json: "):
                minixfmr.load_pretrained(tmp_path)
        else:
            minixfmr.load_pretrained(tmp_path)
