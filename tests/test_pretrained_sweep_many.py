"""The sweep at length: many values for each key, keys that act on one another, and each setting of generation for each
system in three ways of writing. What comes out equals transformers, or is refused, or a warning names it."""

import json
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; make test-parity installs it")
pytest.importorskip("transformers", reason="transformers is not installed; make test-parity installs it")

import hugging_face as hugging
import sweeping
from hugging_face import CASES, as_torch

import minixfmr

pytestmark = pytest.mark.slow  # not parity: its tests take a quarter of an hour
USUAL: dict = {}
for case, (_, config_class, _, _) in CASES.items():
    USUAL.setdefault(config_class.model_type, case)
WRITING = [
    case for case in USUAL.values() if CASES[case][0].__name__.endswith(("LM", "Generation", "LMHeadModel", "MTModel"))
]
WRITING = [case for case in WRITING if not CASES[case][0].__name__.endswith("MaskedLM")]


@pytest.mark.parametrize("case", USUAL.values())
@pytest.mark.parametrize("changes", [sweeping.one_by_one, sweeping.two_by_two])
def test_configurations(tmp_path, case, changes):
    judge = sweeping.Judge(case, tmp_path)
    wrong = []
    for names, changed in changes(judge.config, judge.kind.config_class):
        fault = judge.fault(names, changed)
        if fault:
            wrong.append(({name: changed.get(name, sweeping.ABSENT) for name in names}, fault))
    assert wrong == []


ENDS, MANY = [2, 30, 31, 32, 33, 34, 35, 36], list(range(5, 50))
SETTINGS: dict = {
    "max_length": [12, 3, 1, 0, -1, "12", True, 40],
    "max_new_tokens": [3, 1, 0, -1, 3.0, True],
    "min_length": [9, 0, -1, True, 30],
    "min_new_tokens": [7, 0, -1, True, 30],
    "early_stopping": [True, False, "never", "true", 0, 1],
    "do_sample": ["true", 1, 0],
    "num_beams": [3, 1, 0, -1, 2.0, True, "2", 50],
    "use_cache": [False, 0, None, "false"],
    "temperature": [0.5, 0, -1, 2, "1", 1e-5],
    "top_k": [3, 0, -1, 1000, 2.5, True],
    "top_p": [0.5, 0.0, 1.0, 1.5, 1],
    "repetition_penalty": [1.8, 0.5, 1, 0, -1.0, "1.2", True],
    "encoder_repetition_penalty": [1.8, 0.6, 1, 0, -1.0],
    "length_penalty": [2.0, 0.0, -1.0, 0.5, 2, "1", True],
    "no_repeat_ngram_size": [1, 2, 3, 0, -1, 2.0, True, 50],
    "encoder_no_repeat_ngram_size": [1, 2, 0, -1, 2.0, 50],
    "bad_words_ids": [[[20], [30, 31]], [20], [[]], [[-1]], [[83]], [[2]], "a", [[t] for t in range(5, 80)]],
    "renormalize_logits": [True, False, 1, "true"],
    "forced_bos_token_id": [40, 0, -1, 83, [40], None, 2, "4", True],
    "forced_eos_token_id": [41, 2, 0, -1, 83, [41], None, True],
    "suppress_tokens": [MANY, [], [-1], [83], 7, [2], ENDS, list(range(83))],
    "begin_suppress_tokens": [MANY, [], [-1], [83], 7, ENDS],
    "sequence_bias": [[[[20], 9.0], [[30, 31], -9.0]], [[[83], 1.0]], {"20": 1.0}, [[[20], 9.0], [[20], -9.0]]],
    "guidance_scale": [2.0, 1.0, None],
    "num_return_sequences": [2, 1, 0, -1, 4, True],
    "pad_token_id": [60, 0, -1, 83, None, [60], 2, 30, "0", True],
    "bos_token_id": [61, 0, -1, 83, None, [61], True],
    "eos_token_id": [ENDS, 30, [30], -1, 83, [30, 83], [-1, 30], None, "2", True, [[30]], 0, [2, 30, 30]],
    "decoder_start_token_id": [62, 0, -1, 83, None, [62], 62.0, True],
    "prefill_chunk_size": [2],
    "surprise": [3],
}
TOGETHER: list = [
    {"num_beams": 3, "do_sample": True},
    {"min_length": 9, "max_length": 7},
    {"eos_token_id": 30, "pad_token_id": 30},
    {"eos_token_id": None, "pad_token_id": None},
    {"eos_token_id": ENDS, "pad_token_id": 0},
    {"forced_bos_token_id": 40, "begin_suppress_tokens": [40, *MANY]},
    {"forced_eos_token_id": 41, "max_length": 9},
    {"bos_token_id": 61, "decoder_start_token_id": None},
    {"num_beams": 4, "num_return_sequences": 4, "eos_token_id": ENDS},
    {"num_beams": 3, "early_stopping": True, "length_penalty": -1.0, "eos_token_id": ENDS},
    {"num_beams": 3, "early_stopping": "never", "length_penalty": 0.5, "eos_token_id": ENDS},
    {"num_beams": 3, "early_stopping": "never", "length_penalty": -0.5, "eos_token_id": ENDS},
    {"num_beams": 3, "renormalize_logits": True, "repetition_penalty": 1.7},
    {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2, "encoder_repetition_penalty": 1.4},
    {"sequence_bias": [[[20], 5.0]], "bad_words_ids": [[20]]},
    {"num_beams": 3, "pad_token_id": 83, "eos_token_id": ENDS},
    {"min_length": 12, "eos_token_id": ENDS, "num_beams": 3},
    {"use_cache": False, "num_beams": 3},
]
WAYS = {"greedy": {}, "beams": {"num_beams": 3}, "draws of the first": {"do_sample": True, "top_k": 1}}


def fault(folder, kind, batch, changed, given):
    """What is wrong with the ids that come of these settings, or nothing."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            ours = minixfmr.generate(minixfmr.load_pretrained(folder), **batch, **given, seed=0)
        except ValueError as error:
            return "" if any(name in str(error) for name in changed) else f"names none of them: {error}"
        except Exception as error:
            return f"raw {type(error).__name__}: {error}"
    if any(name in str(w.message) for w in heard for name in changed):
        return ""
    try:
        theirs = kind.from_pretrained(folder, attn_implementation="eager").eval().generate(**as_torch(batch), **given)
    except Exception:
        return ""
    return "" if np.array_equal(ours, theirs.numpy()) else "other ids"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", WRITING)
def test_settings_of_generation(tmp_path, case, way):
    hugging.make(case, tmp_path)
    path, kind = tmp_path / "generation_config.json", CASES[case][0]
    usual, peer = json.loads(path.read_text()), kind.from_pretrained(tmp_path)
    side = "right" if peer.config.is_encoder_decoder else "left"
    batch, _ = hugging.inputs(peer, seed=3, side=side, lengths=(6, 4, 5, 3))
    batch = {name: batch[name] for name in ("input_ids", "attention_mask")}
    wrong = []
    for changed in [{name: value} for name, options in SETTINGS.items() for value in options] + TOGETHER:
        path.write_text(json.dumps(usual | changed))
        given = WAYS[way] | ({} if any(name.startswith("max_") for name in changed) else {"max_new_tokens": 8})
        found = fault(tmp_path, kind, batch, changed, given)
        if found:
            wrong.append((changed, found))
    assert wrong == []
