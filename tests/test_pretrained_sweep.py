"""Never other numbers in silence: each key of each family's configuration, and each setting of generation, is taken
away and changed in turn; what comes out equals transformers, or is refused, or a warning names it."""

import json
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; make test-parity installs it")
pytest.importorskip("transformers", reason="transformers is not installed; make test-parity installs it")

import hugging_face as hugging
import transformers as hf
from hugging_face import CASES, as_torch

import minixfmr
from minixfmr.pretrained import FAMILIES
from minixfmr.pretrained.keys import COMMON
from minixfmr.pretrained.settings import FREE

pytestmark = pytest.mark.parity
# one case of each family
USUAL = {}
for case, (_, config_class, _, _) in CASES.items():
    USUAL.setdefault(config_class.model_type, case)
DERIVED = {"transformers_version", "dtype", "architectures", "model_type", "_output_attentions", "_post_init_done"}


def test_every_family_is_swept():
    assert set(USUAL) == set(FAMILIES)


@pytest.fixture(scope="module", params=USUAL)
def folder(request, tmp_path_factory):
    """A folder with a random checkpoint of one family."""
    path = tmp_path_factory.mktemp("sweep") / request.param
    hugging.make(USUAL[request.param], path)
    return path


def test_every_key_of_the_class_is_in_the_table(folder):
    config = json.loads((folder / "config.json").read_text())
    family = FAMILIES[config["model_type"]]
    kind = hf.CONFIG_MAPPING[family.kind]
    known = {name for key, row in family.keys.items() for name in (key, *row.also)}
    meant = {name for name in vars(kind()) if not name.endswith("_internal")} - DERIVED | set(kind.attribute_map)
    assert sorted(meant - known - set(minixfmr.generation.RULES)) == []
    for name, row in family.keys.items():  # and the defaults are those of the class
        if hasattr(kind(), name) and not row.free and not row.only and name not in LENGTHS:
            assert getattr(kind(), name) in (
                row.default,
                *([] if row.default is not None else [getattr(kind(), name)]),
            ), name


LENGTHS = {"num_labels", "rope_parameters", "head_dim", "layer_types", "attention_layers", "pooler_hidden_size"}


def changes_of(config, kind):
    """(key, what config.json then says) for each key, taken away and changed."""
    names = {*config, *(n for n in vars(kind()) if not n.endswith("_internal"))} - DERIVED | {"is_causal", "rope_theta"}
    if kind.model_type not in ("bert", "gpt2", "bart"):  # what is free in all families
        names -= {name for name, row in COMMON.items() if row.free}
    for name in sorted(names):
        value = config.get(name, getattr(kind(), name, None))
        if name in config:
            yield name, {key: v for key, v in config.items() if key != name}
        others = [None]
        if isinstance(value, bool):
            others = [not value, "true"]
        elif isinstance(value, int):
            others = [value + 1, -1] if name.endswith("token_id") else [value + 1, str(value), 0]
        elif isinstance(value, float):
            others = [2 * value + 0.1, -value - 1.0, True]
        elif isinstance(value, str):
            others = ["relu", "gated-silu", ["relu"]]
        elif value is None:
            others = [2, "relu"]
        for other in others:
            yield name, config | {name: other}


def outcome(path, batch, name):
    """Our numbers, or None if they are refused or a warning names the key."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            numbers = minixfmr.load_pretrained(path)(**batch)
        except ValueError:  # clear errors are of this type
            return None
    return None if any(name in str(w.message) for w in heard) else numbers


def test_each_key_of_the_configuration(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    kind = CASES[USUAL[config["model_type"]]][0]
    peer = kind.from_pretrained(folder, attn_implementation="eager").eval()
    batch, _ = hugging.inputs(peer, lengths=(7, 4))
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    as_read, usual = kind.config_class.from_pretrained(tmp_path).to_dict(), minixfmr.load_pretrained(tmp_path)(**batch)
    wrong = []
    for name, changed in changes_of(config, kind.config_class):
        (tmp_path / "config.json").write_text(json.dumps(changed))
        ours = outcome(tmp_path, batch, name)
        if ours is None:
            continue
        try:
            if kind.config_class.from_pretrained(tmp_path).to_dict() == as_read:  # the same model again
                assert np.allclose(ours, usual, atol=1e-6), name
                continue
            other, report = kind.from_pretrained(tmp_path, attn_implementation="eager", output_loading_info=True)
            if report["missing_keys"]:  # which it draws at random
                continue
            with torch.no_grad():
                theirs = other.eval()(**as_torch(batch)).logits.numpy()
        except AssertionError:
            raise
        except Exception:
            continue
        real = slice(None) if peer.config.is_encoder_decoder else batch["attention_mask"] == 1
        if ours.shape != theirs.shape or not np.allclose(ours[real], theirs[real], atol=1e-4 * np.abs(theirs).max()):
            wrong.append((name, changed.get(name, "absent")))
    assert wrong == []


SETTINGS = {  # one value each that is not the default
    "max_length": 12,
    "max_new_tokens": 3,
    "min_length": 9,
    "min_new_tokens": 7,
    "early_stopping": True,
    "max_time": 1e-9,
    "stop_strings": ["a"],
    "do_sample": True,
    "num_beams": 3,
    "use_cache": False,
    "temperature": 0.5,
    "top_k": 3,
    "top_p": 0.5,
    "min_p": 0.3,
    "top_h": 0.5,
    "typical_p": 0.5,
    "epsilon_cutoff": 0.1,
    "eta_cutoff": 0.1,
    "repetition_penalty": 1.8,
    "encoder_repetition_penalty": 1.8,
    "length_penalty": 2.0,
    "no_repeat_ngram_size": 1,
    "bad_words_ids": [[20], [30, 31]],
    "renormalize_logits": True,
    "forced_bos_token_id": 40,
    "forced_eos_token_id": 41,
    "remove_invalid_values": True,
    "exponential_decay_length_penalty": [2, 1.5],
    "suppress_tokens": list(range(5, 50)),
    "begin_suppress_tokens": list(range(5, 50)),
    "sequence_bias": [[[20], 9.0], [[30, 31], -9.0]],
    "token_healing": True,
    "guidance_scale": 2.0,
    "watermarking_config": {"greenlist_ratio": 0.5},
    "num_return_sequences": 2,
    "pad_token_id": 60,
    "bos_token_id": 61,
    "eos_token_id": [2, 30, 31, 32, 33, 34, 35, 36],
    "encoder_no_repeat_ngram_size": 1,
    "decoder_start_token_id": 62,
    "prompt_lookup_num_tokens": 3,
    "penalty_alpha": 0.5,
    "dola_layers": "low",
    "diversity_penalty": 0.5,
    "num_beam_groups": 2,
    "constraints": [1],
    "force_words_ids": [[20]],
}


WAYS = ({}, {"num_beams": 3}, {"do_sample": True, "top_k": 1})
ALL = ("gpt2", "bart", "marian")  # of which each setting is tried; of the others one in eight, in one of three ways
WRITING = [
    *ALL,
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma",
    "phi3",
    "opt",
    "gpt-neo",
    "gpt-neox",
    "mbart",
    "pegasus",
]
WRITING += ["m2m100", "t5", "mt5", "umt5"]


@pytest.mark.parametrize("case", WRITING)
def test_each_setting_of_generation(case, tmp_path):
    hugging.make(case, tmp_path)
    path = tmp_path / "generation_config.json"
    usual, kind = json.loads(path.read_text()), CASES[case][0]
    peer = kind.from_pretrained(tmp_path, attn_implementation="eager").eval()
    assert set(vars(hf.GenerationConfig())) - set(SETTINGS) <= FREE | {"use_mtp", "prefill_chunk_size"}
    side = "right" if peer.config.is_encoder_decoder else "left"
    batch, _ = hugging.inputs(peer, seed=3, side=side, lengths=(6, 4, 5, 3))
    batch = {name: batch[name] for name in ("input_ids", "attention_mask")}
    wrong, tried = [], [(n, None) for n in usual] + list(SETTINGS.items())
    for i, (name, value) in enumerate(tried):
        turn = i + WRITING.index(case)
        if case not in ALL and turn % 8:
            continue
        changed = {n: v for n, v in usual.items() if n != name} | ({} if value is None else {name: value})
        path.write_text(json.dumps(changed))
        more: dict = {} if name.startswith("max_") else {"max_new_tokens": 8}
        more |= WAYS[turn // 8 % 3] if case not in ALL and name not in ("do_sample", "num_beams", "temperature") else {}
        more |= (
            {"num_beams": 3, "do_sample": False}
            if name in ("length_penalty", "early_stopping", "num_return_sequences")
            else {}
        )
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            try:
                ours = minixfmr.generate(minixfmr.load_pretrained(tmp_path), **batch, **more, seed=0)
            except ValueError as error:
                assert name in str(error), (name, error)
                continue
        if any(name in str(w.message) for w in heard):
            continue
        try:
            peer.generation_config = hf.GenerationConfig.from_pretrained(tmp_path)
            theirs = peer.generate(**as_torch(batch), **more).numpy()
        except Exception:
            continue
        if name != "do_sample" and not np.array_equal(ours, theirs):
            wrong.append((name, value))
    assert wrong == []
