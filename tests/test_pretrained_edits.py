"""Folders as people have them: one key more, one missing, one renamed, one tensor elsewhere. What comes out is what
transformers computes, or a refusal or a warning that names what was edited."""

import json
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; make test-parity installs it")
pytest.importorskip("transformers", reason="transformers is not installed; make test-parity installs it")

import hugging_face as hugging
import safetensors.torch
from hugging_face import CASES, as_torch

import minixfmr

pytestmark = pytest.mark.parity
EQUAL = ""  # else a word of the refusal


def both(pattern, replacement):
    """The tensors once more, under names changed so."""
    return lambda t: t | {k.replace(pattern, replacement): v.clone() for k, v in t.items() if pattern in k}


def renamed(*pairs):
    def change(tensors):
        for old, new in pairs:
            tensors = {k.replace(old, new): v for k, v in tensors.items()}
        return tensors

    return change


def added(**shapes):
    """More tensors of ones: dots in their names are written as __."""
    return lambda t: t | {name.replace("__", "."): torch.ones(shape) for name, shape in shapes.items()}


def without(*parts):
    return lambda t: {k: v for k, v in t.items() if not any(part in k for part in parts)}


# (case, what is taken out of config.json, what is put in, what becomes of the tensors, what is expected)
KEYS = [
    ("gpt2", [], {"scale_attn_weights": False}, None, "scale_attn_weights"),
    ("gpt2", [], {"scale_attn_by_inverse_layer_idx": True}, None, "scale_attn_by_inverse_layer_idx"),
    ("gpt2", [], {"reorder_and_upcast_attn": True}, None, EQUAL),
    ("gpt2", [], {"activation_function": "swish"}, None, EQUAL),
    ("gpt2", [], {"activation_function": "quick_gelu"}, None, "activation_function"),
    ("gpt2", ["n_head"], {"num_attention_heads": 4}, None, EQUAL),
    ("gpt2", [], {"n_ctx": 20}, None, EQUAL),
    ("bert", [], {"hidden_act": "gelu_python"}, None, EQUAL),
    ("bert", [], {"hidden_act": "mish"}, None, "hidden_act = 'mish' is none of the activations that are known: relu"),
    ("bert", ["layer_norm_eps"], {}, None, EQUAL),
    ("bert", [], {"position_embedding_type": "relative_key"}, None, "position_embedding_type"),
    ("bert", [], {"add_cross_attention": True, "is_decoder": True}, None, "add_cross_attention|is_decoder"),
    ("bert", [], {"num_hidden_layers": 1}, None, "unexpected"),
    ("bert", [], {"num_hidden_layers": 3}, None, "missing"),
    ("roberta", [], {"pad_token_id": 0}, None, EQUAL),
    ("roberta", [], {"pad_token_id": None}, None, "pad_token_id"),
    ("xlm-roberta", ["pad_token_id", "bos_token_id", "eos_token_id"], {}, None, EQUAL),
    ("camembert", ["type_vocab_size"], {}, None, "type"),
    ("distilbert", [], {"sinusoidal_pos_embds": True, "tie_weights_": True}, None, EQUAL),
    ("distilbert", [], {"activation": "relu"}, None, EQUAL),
    ("deberta", [], {"pos_att_type": ["p2c", "c2p"]}, None, EQUAL),
    ("deberta", [], {"pos_att_type": "c2p"}, None, "unexpected"),
    ("deberta", [], {"position_buckets": 4, "share_att_key": True}, None, EQUAL),  # which version 1 does not read
    ("deberta-v2", [], {"attention_head_size": 8, "embedding_size": 24}, None, EQUAL),
    ("deberta-v2", [], {"attention_head_size": 12}, None, "attention_head_size"),
    ("deberta-v3", ["share_att_key"], {}, None, "missing"),
    ("deberta-v2", ["norm_rel_ebd"], {}, None, EQUAL),
    ("electra", ["embedding_size"], {}, None, "shape|size"),
    ("electra", [], {"hidden_act": "relu"}, None, EQUAL),
    ("albert", [], {"num_hidden_groups": 2}, None, "num_hidden_groups"),
    ("albert", [], {"inner_group_num": 2}, None, "inner_group_num"),
    ("albert", [], {"num_memory_blocks": 0, "net_structure_type": 0, "gap_size": 0}, None, EQUAL),
    ("mpnet", [], {"relative_attention_num_buckets": 16}, None, "relative_attention_num_buckets"),
    ("t5", ["num_decoder_layers"], {}, None, "missing"),
    ("t5", [], {"feed_forward_proj": "gated-silu"}, None, EQUAL),
    ("t5", ["is_gated_act"], {"feed_forward_proj": "gated-silu"}, None, "missing"),
    ("t5", [], {"feed_forward_proj": "silu"}, None, EQUAL),
    ("t5 v1.1", [], {"feed_forward_proj": "gated-relu"}, None, EQUAL),
    ("t5", ["relative_attention_max_distance"], {}, None, EQUAL),
    ("t5", [], {"num_hidden_layers": 7}, None, "num_hidden_layers"),
    ("umt5", ["d_kv"], {}, None, "shape|size"),
    ("umt5", [], {"tie_word_embeddings": True}, None, EQUAL),
    ("bart", [], {"normalize_before": False, "extra_pos_embeddings": 2, "add_bias_logits": False}, None, EQUAL),
    ("bart", [], {"num_hidden_layers": 2}, None, EQUAL),
    ("bart", [], {"num_hidden_layers": 3}, None, "num_hidden_layers"),
    ("bart", ["scale_embedding"], {}, None, EQUAL),
    ("pegasus", [], {"normalize_before": True, "static_position_embeddings": True}, None, EQUAL),
    ("pegasus", ["scale_embedding"], {}, None, EQUAL),
    ("mbart", [], {"scale_embedding": True, "activation_function": "relu"}, None, EQUAL),
    ("m2m100", [], {"scale_embedding": False}, None, EQUAL),
    ("m2m100", [], {"max_position_embeddings": 11}, None, EQUAL),
    ("marian", ["decoder_vocab_size", "share_encoder_decoder_embeddings"], {}, None, EQUAL),
    ("marian", [], {"static_position_embeddings": True, "num_hidden_layers": 2}, None, EQUAL),
    ("opt", [], {"activation_function": "gelu"}, None, EQUAL),
    ("opt", [], {"word_embed_proj_dim": 12}, None, "word_embed_proj_dim"),
    ("opt", ["word_embed_proj_dim"], {}, None, EQUAL),
    (
        "opt",
        [],
        {"_remove_final_layer_norm": True},
        without("final_layer_norm.weight", "final_layer_norm.bias"),
        "missing",
    ),
    ("opt", [], {"enable_bias": False}, None, "enable_bias"),
    ("gpt-neo", [], {"window_size": 2}, None, EQUAL),
    ("gpt-neo", ["attention_layers"], {}, None, EQUAL),
    ("gpt-neo", ["attention_types"], {}, None, "attention_types"),
    ("gpt-neo", [], {"attention_types": [[["local"], 3]], "attention_layers": ["local"] * 3}, None, EQUAL),
    ("gpt-neox", ["rope_parameters"], {"rotary_pct": 0.5, "rotary_emb_base": 50.0}, None, EQUAL),
    ("gpt-neox", ["rope_parameters"], {"rotary_pct": 1.0, "rotary_emb_base": 777}, None, EQUAL),
    ("gpt-neox", ["rope_parameters", "use_parallel_residual"], {}, None, EQUAL),
    ("gpt-neox", [], {"hidden_act": "gelu_fast"}, None, EQUAL),
    ("gpt-neox", [], {"attention_bias": False}, None, "unexpected"),
    ("qwen2", [], {"use_sliding_window": False, "layer_types": None}, None, EQUAL),
    ("qwen2", ["layer_types", "max_window_layers"], {}, None, EQUAL),
    ("qwen2", [], {"layer_types": ["sliding_attention"] * 2}, None, EQUAL),
    ("qwen2", [], {"layer_types": ["sliding_attention", "full_attention"]}, None, "layer_types"),
    ("qwen3", [], {"layer_types": ["sliding_attention"] * 2}, None, "layer_types"),
    ("qwen2", [], {"sliding_window": None, "layer_types": None}, None, EQUAL),
    ("qwen3", [], {"attention_bias": True}, None, "missing"),
    ("qwen3", ["head_dim"], {}, None, "shape|size"),
    ("qwen3", ["rope_parameters"], {"rope_theta": 90, "rope_scaling": None}, None, EQUAL),
    ("gemma", [], {"hidden_activation": "gelu_pytorch_tanh"}, None, EQUAL),
    ("gemma", [], {"hidden_act": "gelu"}, None, EQUAL),
    ("gemma", [], {"hidden_act": "gelu", "hidden_activation": None}, None, EQUAL),
    ("phi3", [], {"sliding_window": 3}, None, EQUAL),
    ("phi3", ["rope_parameters"], {"rope_theta": 700.0, "partial_rotary_factor": 0.5}, None, EQUAL),
    ("phi3", [], {"embd_pdrop": 0.1, "resid_pdrop": 0.1}, None, EQUAL),
    (
        "gpt-neox",
        [],
        {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 70.0, "factor": 2.0, "partial_rotary_factor": 0.45}},
        None,
        "partial_rotary_factor",
    ),
    ("gpt-neox", ["rope_parameters"], {"rotary_pct": 0.01}, None, "rotary_pct"),
    ("mistral", [], {"sliding_window": None}, None, EQUAL),
    ("mistral", ["head_dim"], {}, None, "head_dim"),
    ("llama", [], {"pretraining_tp": 2}, None, EQUAL),
    ("llama", ["num_key_value_heads"], {}, None, "shape|size"),
    ("llama", ["rope_parameters"], {"rope_scaling": {"type": "linear", "factor": 2.0}}, None, EQUAL),
    (
        "llama",
        ["rope_parameters"],
        {"rope_theta": 700, "rope_scaling": {"rope_type": "linear", "factor": 4}},
        None,
        EQUAL,
    ),
    ("llama", ["rms_norm_eps"], {}, None, EQUAL),
    ("llama", [], {"tie_word_embeddings": False}, None, "lm_head"),
    ("llama biases", [], {"attention_bias": False}, None, "unexpected"),
    ("llama", [], {"torch_dtype": "bfloat16"}, None, EQUAL),
]


def own(new, of):
    """A tensor like another, and yet not the same."""
    return lambda t: t | {new: t[of] + 0.1}


TENSORS = [
    ("t5", own("decoder.embed_tokens.weight", "shared.weight"), EQUAL),
    ("t5", own("encoder.embed_tokens.weight", "shared.weight"), EQUAL),
    (
        "umt5",
        own("decoder.block.2.layer.0.layer_norm.weight", "decoder.block.1.layer.0.layer_norm.weight"),
        "unexpected",
    ),
    ("bart", own("model.decoder.embed_tokens.weight", "model.shared.weight"), EQUAL),
    (
        "pegasus",
        lambda t: renamed(("model.shared.", "model.encoder.embed_tokens."))(
            own("model.decoder.embed_tokens.weight", "model.shared.weight")(t)
        ),
        EQUAL,
    ),
    ("llama", renamed(("model.", "module.model.")), "missing"),
    ("llama", renamed(("model.", "_orig_mod.model.")), "missing"),
    ("llama", added(model__layers__0__self_attn__rotary_emb__inv_freq=(3,)), EQUAL),
    ("gpt2", added(transformer__h__0__attn__masked_bias=(), transformer__h__1__attn__bias=(1, 1, 40, 40)), EQUAL),
    ("gpt-neo", added(transformer__h__0__attn__attention__bias=(1, 1, 40, 40)), EQUAL),
    (
        "gpt-neox",
        added(
            gpt_neox__layers__0__attention__rotary_emb__inv_freq=(4,),
            gpt_neox__layers__1__attention__bias=(1, 1, 9, 9),
            gpt_neox__layers__1__attention__masked_bias=(),
        ),
        EQUAL,
    ),
    ("gpt-neox", both("embed_out.weight", "lm_head.weight"), EQUAL),
    ("opt", renamed(("model.decoder.", "decoder.")), EQUAL),
    ("opt", added(model__decoder__version=(1,)), EQUAL),
    ("opt", both("model.decoder.embed_tokens.weight", "lm_head.weight"), EQUAL),
    ("t5", added(decoder__block__0__layer__1__EncDecAttention__relative_attention_bias__weight=(10, 3)), EQUAL),
    ("t5", both("shared.weight", "encoder.embed_tokens.weight"), EQUAL),
    ("t5", renamed(("shared.weight", "decoder.embed_tokens.weight")), EQUAL),
    ("umt5", without("encoder.block.2.layer.0.SelfAttention.relative_attention_bias"), "missing"),
    ("bert", added(bert__pooler__dense__weight=(24, 24), bert__pooler__dense__bias=(24,)), EQUAL),
    ("bert", added(bert__embeddings__position_ids=(1, 30)), EQUAL),
    ("roberta", both("lm_head.bias", "lm_head.decoder.bias"), EQUAL),
    ("roberta", renamed(("lm_head.bias", "lm_head.decoder.bias")), EQUAL),
    ("camembert", renamed(("roberta.", "camembert.")), "missing"),
    ("distilbert", both("distilbert.embeddings.word_embeddings.weight", "vocab_projector.weight"), EQUAL),
    ("distilbert", renamed(("distilbert.embeddings.word_embeddings.weight", "vocab_projector.weight")), EQUAL),
    ("electra", added(discriminator_predictions__dense__bias=(24,)), EQUAL),
    ("electra", both("electra.embeddings.word_embeddings.weight", "generator_lm_head.weight"), EQUAL),
    ("albert", added(sop_classifier__classifier__weight=(2, 24), sop_classifier__classifier__bias=(2,)), EQUAL),
    ("albert", renamed(("predictions.bias", "predictions.decoder.bias")), EQUAL),
    ("mpnet", added(mpnet__embeddings__position_ids=(1, 30), mpnet__pooler__dense__bias=(24,)), EQUAL),
    ("marian", without("final_logits_bias"), EQUAL),
    ("marian", without("embed_positions"), EQUAL),
    ("mbart", renamed(("model.shared.weight", "model.encoder.embed_tokens.weight")), EQUAL),
    ("mbart", renamed(("model.shared.weight", "lm_head.weight")), EQUAL),
    ("m2m100", added(model__encoder__embed_positions__weights=(32, 24)), EQUAL),
    ("pegasus", both("model.shared.weight", "lm_head.weight"), EQUAL),
    ("qwen2", lambda t: t | {"lm_head.weight": t["lm_head.weight"].bfloat16().float()}, EQUAL),
    ("gemma", both("model.embed_tokens.weight", "lm_head.weight"), EQUAL),
    ("phi3", lambda t: {k: v.half() for k, v in t.items()}, EQUAL),
    ("deberta-v3", added(deberta__embeddings__position_embeddings__weight=(30, 24)), EQUAL),
]
EDITS = [(case, drop, put, change, said) for case, drop, put, change, said in KEYS]
EDITS += [(case, [], {}, change, said) for case, change, said in TENSORS]


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    made = {}

    def original(case):
        if case not in made:
            made[case] = tmp_path_factory.mktemp("edits") / "original"
            hugging.make(case, made[case])
        return made[case]

    return original


def edited(original, folder, drop, put, change):
    """The folder with a config.json and tensors changed."""
    config = json.loads((original / "config.json").read_text())
    config = {key: value for key, value in config.items() if key not in drop} | put
    (folder / "config.json").write_text(json.dumps(config))
    if change is None:
        (folder / "model.safetensors").symlink_to(original / "model.safetensors")
    else:
        tensors = change(safetensors.torch.load_file(original / "model.safetensors"))
        safetensors.torch.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("case", "drop", "put", "change", "said"),
    EDITS,
    ids=[f"{i}-{e[0]}-{','.join([*e[1], *e[2]])}" for i, e in enumerate(EDITS)],
)
def test_an_edited_folder(originals, tmp_path, case, drop, put, change, said):
    folder, kind = edited(originals(case), tmp_path, drop, put, change), CASES[case][0]
    batch, _ = hugging.inputs(kind.from_pretrained(originals(case)), lengths=(7, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if said != EQUAL:
            with pytest.raises(minixfmr.CheckpointError, match=said):
                minixfmr.load_pretrained(folder)
            return
        ours = minixfmr.load_pretrained(folder)(**batch)
    peer, report = kind.from_pretrained(folder, attn_implementation="eager", output_loading_info=True)
    assert not report["missing_keys"]
    with torch.no_grad():
        theirs = peer.float().eval()(**as_torch(batch)).logits.numpy()
    real = slice(None) if peer.config.is_encoder_decoder else batch["attention_mask"] == 1
    np.testing.assert_allclose(ours[real], theirs[real], atol=2e-4 * np.abs(theirs).max())


LIKELY = (30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)  # as end tokens they come up
SETTINGS = [  # (case, what its generation_config.json says, arguments of generate)
    ("opt", {}, {}),
    ("opt", {"repetition_penalty": 1.4}, {}),
    ("opt", {"no_repeat_ngram_size": 2}, {"num_beams": 3}),
    ("opt", {"eos_token_id": [*LIKELY]}, {"num_beams": 2}),
    ("gpt-neo", {"pad_token_id": 3}, {"num_beams": 3}),
    ("gpt-neo", {"eos_token_id": [*LIKELY], "pad_token_id": 3}, {}),
    ("gpt-neox", {"min_new_tokens": 5, "eos_token_id": [*LIKELY], "pad_token_id": 3}, {}),
    ("gpt-neox", {"pad_token_id": 3, "length_penalty": 0.3, "early_stopping": True}, {"num_beams": 4}),
    ("qwen2", {"repetition_penalty": 1.1, "suppress_tokens": [*range(10, 30)]}, {}),
    ("qwen2", {"num_beams": 2, "num_return_sequences": 2}, {}),
    ("qwen3", {"eos_token_id": [2, *LIKELY], "temperature": 0.6, "top_k": 20, "top_p": 0.9}, {}),
    ("qwen3", {"sequence_bias": [[[20], 5.0], [[30, 31], -3.0]]}, {"num_beams": 2}),
    ("gemma", {"bad_words_ids": [[20], [21, 22]]}, {"num_beams": 3, "early_stopping": "never"}),
    ("gemma", {"max_length": 11}, {"max_new_tokens": None}),
    ("phi3", {"eos_token_id": [*LIKELY], "renormalize_logits": True}, {"num_beams": 3}),
    ("phi3", {"use_cache": False}, {}),
    ("mistral", {"begin_suppress_tokens": [*range(5, 60)]}, {}),
    ("mbart", {"forced_bos_token_id": 40}, {}),
    ("mbart", {"decoder_start_token_id": 31, "forced_eos_token_id": 2, "num_beams": 3}, {}),
    ("mbart", {"forced_bos_token_id": None}, {"forced_bos_token_id": 50}),
    ("umt5", {"encoder_repetition_penalty": 1.5}, {}),
    ("umt5", {"min_length": 6, "eos_token_id": [*LIKELY], "length_penalty": 2.0}, {"num_beams": 3}),
    ("pegasus", {"encoder_no_repeat_ngram_size": 1, "num_beams": 2}, {}),
    ("m2m100", {"num_beams": 5, "max_length": 9}, {"max_new_tokens": None}),
    ("t5 v1.1", {"no_repeat_ngram_size": 1, "num_beams": 2}, {"length_penalty": 0.0}),
]


@pytest.mark.parametrize(("case", "says", "given"), SETTINGS, ids=[f"{i}-{s[0]}" for i, s in enumerate(SETTINGS)])
def test_edited_settings_of_generation(originals, tmp_path, case, says, given):
    folder, kind = edited(originals(case), tmp_path, [], {}, None), CASES[case][0]
    stored = json.loads((originals(case) / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(stored | says))
    peer = kind.from_pretrained(folder, attn_implementation="eager").eval()
    side = "right" if peer.config.is_encoder_decoder else "left"
    batch, _ = hugging.inputs(peer, seed=5, side=side, lengths=(6, 4, 7, 3))
    batch = {name: batch[name] for name in ("input_ids", "attention_mask")}
    given = {"max_new_tokens": 8} | given
    given = {name: value for name, value in given.items() if value is not None}
    theirs = peer.generate(**as_torch(batch), **given).numpy()
    np.testing.assert_array_equal(minixfmr.generate(minixfmr.load_pretrained(folder), **batch, **given), theirs)
