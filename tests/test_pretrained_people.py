"""Folders as people have them: downloaded, cached, resized, halved, saved again, and with the keys of their time."""

import json
import os
import shutil
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; make test-parity installs it")
pytest.importorskip("transformers", reason="transformers is not installed; make test-parity installs it")

import hugging_face as hugging
import safetensors.torch
from hugging_face import CASES, V, as_torch

import minixfmr

pytestmark = pytest.mark.parity
GENERATION = "generation_config.json"


@pytest.fixture
def make(tmp_path):
    """case → a folder of its own."""

    def made(case, name="folder"):
        hugging.make(case, tmp_path / name)
        return tmp_path / name

    return made


def edit(folder, file="config.json", drop=(), **changes):
    old = json.loads((folder / file).read_text()) if (folder / file).exists() else {}
    (folder / file).write_text(json.dumps({k: v for k, v in old.items() if k not in drop} | changes))


def rewrite(folder, change):
    tensors = change(safetensors.torch.load_file(folder / "model.safetensors"))
    safetensors.torch.save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def opened(folder):
    """(our model, what warnings say)"""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        model = minixfmr.load_pretrained(folder)
    return model, " ".join(str(w.message) for w in heard)


def theirs(folder, case):
    peer, report = CASES[case][0].from_pretrained(
        folder, attn_implementation="eager", output_loading_info=True, dtype=torch.float32
    )
    assert not report["missing_keys"]
    return peer.eval()


def same(folder, case, warns=""):
    """The logits are those of transformers."""
    peer, (model, heard) = theirs(folder, case), opened(folder)
    batch, _ = hugging.inputs(peer, lengths=(7, 4))
    with torch.no_grad():
        want = peer(**as_torch(batch)).logits.numpy()
    real = slice(None) if peer.config.is_encoder_decoder else batch["attention_mask"] == 1
    np.testing.assert_allclose(model(**batch)[real], want[real], atol=2e-5 * np.abs(want).max())
    assert warns in heard


def same_ids(folder, case, **given):
    """generate writes the same ids."""
    peer, (model, _) = theirs(folder, case), opened(folder)
    side = "right" if peer.config.is_encoder_decoder else "left"
    batch, _ = hugging.inputs(peer, seed=5, side=side, lengths=(6, 4, 3))
    batch = {name: batch[name] for name in ("input_ids", "attention_mask")}
    want = peer.generate(**as_torch(batch), **given).numpy()
    np.testing.assert_array_equal(minixfmr.generate(model, **batch, **given), want)


def cached(folder, root):
    """The folder as the cache of the hub has it: links to files that are called otherwise."""
    (root / "blobs").mkdir(parents=True)
    snapshot = root / "snapshots" / "f00"
    snapshot.mkdir(parents=True)
    for i, path in enumerate(sorted(folder.iterdir())):
        shutil.copy(path, root / "blobs" / str(i))
        (snapshot / path.name).symlink_to(f"../../blobs/{i}")
    return snapshot


@pytest.mark.parametrize("shards", [False, True])
def test_the_cache_of_the_hub(make, tmp_path, shards):
    folder = make("llama")
    if shards:
        peer = theirs(folder, "llama")
        (folder / "model.safetensors").unlink()
        peer.save_pretrained(folder, max_shard_size="20KB")
    snapshot = cached(folder, tmp_path / "models--a--b")
    same(snapshot, "llama")
    minixfmr.save_pretrained(opened(snapshot)[0], snapshot)
    same(snapshot, "llama")


def test_a_folder_that_may_not_be_written(make):
    folder = make("gpt2")
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    same(folder, "gpt2")
    folder.chmod(0o755)


def test_adapters_are_refused(make):
    folder = make("llama")
    edit(folder, "adapter_config.json", peft_type="LORA")
    for _ in range(2):
        with pytest.raises(minixfmr.CheckpointError, match="adapter_config.json: adapters are not supported: merge"):
            minixfmr.load_pretrained(folder)
        (folder / "model.safetensors").unlink(missing_ok=True)


@pytest.mark.parametrize(
    "other", ["pytorch_model.bin", "model.fp16.safetensors", "model.gguf", "model-00001-of-00001.x"]
)
def test_weights_of_another_name(make, other):
    folder = make("gpt2")
    (folder / "model.safetensors").rename(folder / other)
    with pytest.raises(minixfmr.CheckpointError, match="no file .*model.safetensors: the weights must be stored as"):
        minixfmr.load_pretrained(folder)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_pointer_in_place_of_a_file(make, file):
    folder = make("gpt2")
    (folder / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n")
    with pytest.raises(minixfmr.CheckpointError, match=file):
        minixfmr.load_pretrained(folder)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bits(make, tmp_path, dtype):
    folder = make("llama")
    edit(folder, dtype=dtype)
    assert f"dtype = '{dtype}' is not obeyed" in opened(folder)[1]
    theirs(folder, "llama").to(getattr(torch, dtype)).save_pretrained(tmp_path / "half")
    same(tmp_path / "half", "llama")
    assert "not obeyed" not in opened(tmp_path / "half")[1]


@pytest.mark.parametrize("case", ["llama", "bart", "bert"])
def test_a_resized_vocabulary(make, tmp_path, case):
    peer = theirs(make(case), case)
    peer.resize_token_embeddings(V, pad_to_multiple_of=64)
    peer.save_pretrained(tmp_path / "resized")
    for file in ("added_tokens.json", "tokenizer_config.json", "special_tokens_map.json"):
        (tmp_path / "resized" / file).write_text("{}")
    same(tmp_path / "resized", case)


@pytest.mark.parametrize(
    ("case", "key", "value", "tensor"),
    [
        ("llama", "vocab_size", 88, "model.embed_tokens.weight: shape"),
        ("gpt2", "n_inner", 30, "transformer.h.0.mlp.c_fc.weight: shape"),
        ("bert", "num_hidden_layers", 1, "num_hidden_layers = 1"),
        ("opt", "do_layer_norm_before", False, "do_layer_norm_before = False"),
    ],
)
def test_sizes_that_do_not_fit_are_told_by_key_and_tensor(make, case, key, value, tensor):
    folder = make(case)
    edit(folder, **{key: value})
    with pytest.raises(minixfmr.CheckpointError) as caught:
        minixfmr.load_pretrained(folder)
    assert tensor in str(caught.value)
    assert f"{key} = {value}" in str(caught.value)


@pytest.mark.parametrize(
    ("case", "change"),
    [
        ("bert", {"hidden_dropout_prob": 1.5}),
        ("gpt2", {"layer_norm_epsilon": -1.0}),
        ("llama", {"rms_norm_eps": 2.0}),
        ("t5", {"num_layers": -1}),
        ("gpt-neo", {"window_size": 0}),
        ("deberta", {"pos_att_type": []}),
        ("deberta-v2", {"max_relative_positions": 2}),
        ("mpnet", {"num_attention_heads": 5}),
        ("gpt-neox", {"rope_parameters": []}),
        ("llama", {"partial_rotary_factor": 0.5, "rope_parameters": {"rope_type": "linear", "factor": 2.0}}),
    ],
)
def test_refusals_name_the_key_of_the_file(make, case, change):
    folder = make(case)
    edit(folder, **change)
    with pytest.raises(minixfmr.CheckpointError, match=f"config.json: .*{next(iter(change))}"):
        minixfmr.load_pretrained(folder)


LONGROPE = {"type": "longrope", "short_factor": [1.0] * 3, "long_factor": [1.0, 2.0, 3.0]}
OF_THEIR_TIME = [  # (case, keys that are not there, keys that are)
    ("llama", ["rope_parameters"], {"torch_dtype": "float32", "max_sequence_length": 2048, "pretraining_tp": 1}),
    ("llama", ["rope_parameters"], {"rope_theta": 5e5, "rope_scaling": None, "partial_rotary_factor": 0.5}),
    ("mistral", ["rope_parameters", "layer_types"], {"rope_theta": 1e6, "sliding_window": 4096}),
    ("qwen2", ["rope_parameters", "layer_types"], {"rope_theta": 1e6, "use_sliding_window": False}),
    ("qwen2", [], {"layer_types": ["sliding_attention"] * 2, "max_window_layers": 28}),
    ("qwen2", [], {"layer_types": ["full_attention"] * 2, "max_window_layers": 0}),
    ("qwen3", ["rope_parameters", "layer_types"], {"rope_scaling": {"type": "yarn", "factor": 4.0}, "rope_theta": 90}),
    ("gemma", ["rope_parameters"], {"hidden_act": "gelu", "hidden_activation": None}),
    ("phi3", ["rope_parameters"], {"rope_scaling": LONGROPE, "original_max_position_embeddings": 5, "auto_map": {}}),
    ("gpt-neox", ["rope_parameters"], {"rotary_pct": 0.25, "rotary_emb_base": 70, "rope_theta": 9.0}),
    ("gpt-neox", ["rope_parameters"], {"rope_scaling": {"type": "linear", "factor": 2.0}}),
    ("gpt-neox", ["rope_parameters"], {"partial_rotary_factor": 0.5}),
    ("deberta-v2", [], {"norm_rel_ebd": "Layer_Norm", "pos_att_type": "p2c | c2p"}),
    ("t5", ["scale_decoder_outputs"], {"tie_word_embeddings": False, "n_positions": 512}),
    ("t5", [], {"scale_decoder_outputs": None}),
    ("umt5", [], {"scale_decoder_outputs": None}),
    ("mbart", [], {"add_final_layer_norm": True, "normalize_before": True, "extra_pos_embeddings": 2}),
    ("m2m100", [], {"max_length": 200, "num_hidden_layers": 2, "output_past": True}),
    ("bert", [], {"gradient_checkpointing": False, "position_embedding_type": "absolute", "unsloth_fixed": True}),
]


@pytest.mark.parametrize(("case", "drop", "put"), OF_THEIR_TIME, ids=[str(i) for i in range(len(OF_THEIR_TIME))])
def test_configurations_of_their_time(make, tmp_path, case, drop, put):
    folder = make(case)
    edit(folder, drop=drop, **put)
    same(folder, case)
    minixfmr.save_pretrained(opened(folder)[0], tmp_path / "again")
    same(tmp_path / "again", case)


@pytest.mark.parametrize("case", ["llama", "gpt2", "bart", "t5", "marian", "opt", "pegasus"])
def test_without_a_file_for_generation(make, case):
    folder = make(case)
    (folder / GENERATION).unlink()
    same_ids(folder, case, max_new_tokens=6)
    edit(folder, num_beams=3, length_penalty=2.0, no_repeat_ngram_size=2, repetition_penalty=1.2, max_length=11)
    same_ids(folder, case)


def test_a_body_of_a_pair_is_no_encoder(make):
    folder = make("t5")
    edit(folder, architectures=["T5EncoderModel"], is_encoder_decoder=False)
    assert isinstance(opened(folder)[0], minixfmr.EncoderOnly)
    edit(folder, architectures=["T5Model"])
    with pytest.raises(minixfmr.CheckpointError, match="is_encoder_decoder = False cannot be obeyed in a T5Model"):
        minixfmr.load_pretrained(folder)


def test_what_does_not_fit_is_told_in_few_words(make):
    folder = make("bert")
    edit(folder, num_hidden_layers=9)
    with pytest.raises(minixfmr.CheckpointError, match=r"(?s)num_hidden_layers = 9.*missing: .* and 100 more"):
        minixfmr.load_pretrained(folder)


def test_a_padding_id_of_minus_one(make):
    folder = make("llama")
    edit(folder, pad_token_id=-1)
    (folder / GENERATION).unlink()
    model, heard = opened(folder)
    assert "pad_token_id = -1 is no token" in heard
    assert "pad_token_id" not in model.generation


@pytest.mark.parametrize("head", ["sequence_classification", "token_classification"])
@pytest.mark.parametrize("case", ["bert", "roberta", "deberta-v2", "albert", "gpt2", "llama"])
def test_saved_with_another_head(make, tmp_path, case, head):
    folder = make(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = minixfmr.load_pretrained(folder, head=head)
    minixfmr.save_pretrained(model, tmp_path / "new")
    again, heard = opened(tmp_path / "new")
    assert "start anew" not in heard
    assert os.listdir(folder)  # the first is as it was
    ids = np.arange(5, 12)[None]
    np.testing.assert_array_equal(again(ids), model(ids))
    same(folder, case)


@pytest.mark.parametrize("case", ["gpt2", "bart", "t5"])
def test_rules_that_leave_no_choice_or_too_much(make, case):
    model = opened(make(case))[0]
    for rules in ({"suppress_tokens": list(range(V))}, {"forced_eos_token_id": [41, 42], "num_beams": 2}):
        with pytest.raises(ValueError, match=next(iter(rules))):
            minixfmr.generate(model, [[5, 6, 7]], max_new_tokens=3, **rules)
    twice = minixfmr.generate(model, [[5, 6, 7]], max_new_tokens=3, sequence_bias=[[[20], 99.0], [[20], -99.0]])
    once = minixfmr.generate(model, [[5, 6, 7]], max_new_tokens=3, sequence_bias=[[[20], -99.0]])
    np.testing.assert_array_equal(twice, once)
