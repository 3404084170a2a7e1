"""What the sweeps over published configurations share: which values a key may be given, and a judge of what comes."""

import itertools
import json
import warnings

import hugging_face as hugging
import numpy as np
import torch
from hugging_face import CASES, as_torch

import minixfmr
from minixfmr.pretrained import FAMILIES
from minixfmr.pretrained.keys import COMMON

DERIVED = {"transformers_version", "dtype", "architectures", "model_type", "_output_attentions", "_post_init_done"}
ABSENT, KEEP = "absent", "as it is"
ANY = [None, True, False, 0, 1, -1, 2, 3, 7, 0.5, 2.0, 1e30, -1.5, 10**12, "true", "relu", "", [], [1], {}, {"a": 1}]
ACTIVATIONS = [
    "gelu",
    "gelu_new",
    "gelu_fast",
    "gelu_python",
    "gelu_pytorch_tanh",
    "gelu_accurate",
    "quick_gelu",
    "silu",
]
ACTIVATIONS += ["swish", "tanh", "mish", "sigmoid", "relu2", "GELU", "gated-gelu", "gated-silu", "gated-relu"]


def values(value):
    """Other values for a key, of every type, and what is near this one."""
    near = []
    if isinstance(value, int | float) and not isinstance(value, bool):
        near = [value + 1, value - 1, float(value), str(value), [value], 2 * value, value + 0.5]
    if isinstance(value, str):
        near = ACTIVATIONS
    if isinstance(value, list):
        near = [value[:-1], value + value[-1:], value[::-1]]
    if isinstance(value, dict):
        near = [{a: b for a, b in value.items() if a != name} for name in value]
    found = [value]
    for other in ANY + near:
        if not any(type(other) is type(f) and other == f for f in found):
            found.append(other)
    return found[1:]


def one_by_one(config, kind):
    """((key,), config.json) for each key, taken away and given each value."""
    names = {*config, *(n for n in vars(kind()) if not n.endswith("_internal"))} - DERIVED
    names |= {*kind.attribute_map, *FAMILIES[kind.model_type].keys, "rope_theta", "rope_scaling", "layer_types"}
    names -= {"model_type", *(name for name, row in COMMON.items() if row.free)}
    for name in sorted(names):
        yield (name,), {key: v for key, v in config.items() if key != name}
        for other in values(config.get(name, getattr(kind(), name, None))):
            yield (name,), config | {name: other}


LINEAR, DYNAMIC = {"type": "linear", "factor": 2.0}, {"rope_type": "dynamic", "factor": 4, "type": "linear"}
LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 3.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "mscale": 0.7, "mscale_all_dim": 0.5, "truncate": False}
LONG = {"rope_type": "longrope", "short_factor": [1.0, 1.5, 2.0], "long_factor": [2.0, 3.0, 4.0]}
PARTIAL = {"rope_type": "default", "rope_theta": 30.0, "partial_rotary_factor": 0.67}
NESTED = {"full_attention": {"rope_type": "linear", "factor": 2.0}, "sliding_attention": None}
FULL, SLIDING = "full_attention", "sliding_attention"
TOKENS = {
    "pad_token_id": [KEEP, ABSENT, None, 0, 5, -1, 83, [0]],
    "eos_token_id": [KEEP, ABSENT, None, 7, [7, 8], -1, 100],
    "bos_token_id": [KEEP, None, 6, 100, -1, [6]],
    "decoder_start_token_id": [KEEP, ABSENT, None, 9, 100, -1, [9]],
}
SHAPE = {
    "tie_word_embeddings": [KEEP, ABSENT, True, False, None],
    "architectures": [KEEP, ABSENT, None, []],
    "is_decoder": [KEEP, ABSENT, True, False],
    "is_encoder_decoder": [KEEP, ABSENT, True, False],
    "add_cross_attention": [ABSENT, True, False],
}
ROPE = {
    "rope_theta": [ABSENT, 50.0, 90, None],
    "rope_scaling": [ABSENT, None, {}, LINEAR, DYNAMIC, LLAMA3, YARN, LONG, {"factor": 2.0}, {"type": "mrope"}],
    "rope_parameters": [ABSENT, KEEP, None, {}, {"rope_theta": 30.0}, LINEAR, LLAMA3, PARTIAL, NESTED],
    "partial_rotary_factor": [ABSENT, 0.67, 1.0, 0.34],
    "original_max_position_embeddings": [ABSENT, 6],
    "max_position_embeddings": [KEEP, 6],
}
HEADS = {
    "num_attention_heads": [KEEP, 1, 2, 7, 8],
    "num_key_value_heads": [KEEP, ABSENT, None, 0, 1, 2, 4],
    "head_dim": [KEEP, ABSENT, None, 0, 3, 7, 12],
    "hidden_size": [KEEP, 24, 28],
}
WINDOW = {
    "sliding_window": [KEEP, ABSENT, None, 0, 1, 3, 100, -1],
    "use_sliding_window": [ABSENT, True, False, None],
    "max_window_layers": [ABSENT, 0, 1, 2, 28, -1, None],
    "layer_types": [ABSENT, None, [FULL] * 2, [SLIDING] * 2, [SLIDING, FULL], [FULL, SLIDING], [FULL], ["other"] * 2],
}
FEED_FORWARD = {
    "feed_forward_proj": [KEEP, ABSENT, "relu", "gated-gelu", "gated-silu", "gelu", "gated-x-y", "gelu_new"],
    "is_gated_act": [KEEP, ABSENT, True, False, None],
    "dense_act_fn": [KEEP, ABSENT, "relu", "gelu_new", "gelu", None],
    "tie_word_embeddings": [KEEP, ABSENT, False, None],
    "scale_decoder_outputs": [KEEP, ABSENT, True, False, None],
}
DISENTANGLED = {
    "pos_att_type": [KEEP, ABSENT, "c2p", ["c2p", "p2c"], "p2c | c2p", "C2P|P2C", "none"],
    "relative_attention": [KEEP, ABSENT, False],
    "share_att_key": [KEEP, ABSENT, True],
    "position_buckets": [KEEP, ABSENT, -1, 0, 1, 4, 256],
    "norm_rel_ebd": [KEEP, ABSENT, "none", "LAYER_NORM", "layer_norm|x"],
    "max_relative_positions": [ABSENT, -1, 0, 2, 5, 512],
}
NEOX = {
    "rotary_pct": [ABSENT, 0.25, 0.5, 1.0],
    "rotary_emb_base": [ABSENT, 70, 50.0],
    "rope_theta": [ABSENT, 60.0],
    "partial_rotary_factor": [ABSENT, 0.5],
    "rope_parameters": [KEEP, ABSENT, {}, {"rope_theta": 30.0} | LINEAR, {"partial_rotary_factor": 0.25}],
    "rope_scaling": [ABSENT, LINEAR],
}
TOGETHER = {  # the keys that act on one another, beside those of all
    **{key: [ROPE, HEADS, WINDOW] for key in ("llama", "mistral", "qwen2", "qwen3", "gemma", "phi3")},
    **{key: [FEED_FORWARD] for key in ("t5", "mt5", "umt5")},
    **{key: [DISENTANGLED] for key in ("deberta", "deberta-v2")},
    "gpt_neox": [NEOX],
}


def two_by_two(config, kind):
    """(keys, config.json) for pairs of keys that act on one another, and some of all of a group."""
    rng = np.random.default_rng(0)
    for group in [TOKENS, SHAPE, *TOGETHER.get(kind.model_type, [])]:
        pairs = [
            dict(zip(names, chosen, strict=True))
            for names in itertools.combinations(group, 2)
            for chosen in itertools.product(*(group[name] for name in names))
        ]
        for _ in range(100):
            pairs.append({name: options[rng.integers(len(options))] for name, options in group.items()})
        for pair in pairs:
            put = {name: value for name, value in pair.items() if not isinstance(value, str) or value != KEEP}
            changed = config | put
            yield tuple(pair), {n: v for n, v in changed.items() if not (isinstance(v, str) and v == ABSENT)}


class Judge:
    """Of the configurations that may stand beside the weights of one case."""

    def __init__(self, case, folder):
        """folder: an empty one"""
        self.kind, self.folder = CASES[case][0], folder / "edited"
        hugging.make(case, folder / "original")
        self.folder.mkdir()
        (self.folder / "model.safetensors").symlink_to(folder / "original" / "model.safetensors")
        self.config = json.loads((folder / "original" / "config.json").read_text())
        peer = self.kind.from_pretrained(folder / "original")
        self.batch, _ = hugging.inputs(peer, lengths=(7, 4))
        self.real = slice(None) if peer.config.is_encoder_decoder else self.batch["attention_mask"] == 1

    def fault(self, names, changed):
        """What is wrong with what comes of this configuration, in which these keys were changed, or nothing."""
        (self.folder / "config.json").write_text(json.dumps(changed))
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            try:
                ours = minixfmr.load_pretrained(self.folder)(**self.batch)
            except ValueError as error:  # clear errors are of this type
                named = any(name in str(error) for name in ("config.json", *names))
                return "" if named else f"refused without a word of config.json: {error}"
            except Exception as error:
                return f"raw {type(error).__name__}: {error}"
        if any(name in str(w.message) for w in heard for name in names):
            return ""
        theirs = self.theirs()
        if theirs is None:
            return ""
        if ours.shape != theirs.shape:
            return f"shape {ours.shape}, theirs {theirs.shape}"
        close = np.allclose(ours[self.real], theirs[self.real], atol=1e-4 * np.nanmax(np.abs(theirs)), equal_nan=True)
        return "" if close else "other numbers"

    def theirs(self):
        """The logits of transformers, or None where it fails or draws weights at random."""
        try:
            peer, report = self.kind.from_pretrained(self.folder, attn_implementation="eager", output_loading_info=True)
            if report["missing_keys"]:
                return None
            with torch.no_grad():
                return peer.eval()(**as_torch(self.batch)).logits.numpy()
        except Exception:
            return None
