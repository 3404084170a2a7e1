"""LLaMA and Mistral."""

from ..checkpoint import CheckpointError
from ..models import DecoderOnly
from .bert import ACTIVATIONS, num_labels
from .folder import is_tied

KINDS = ("llama", "mistral")
AS_THEY_ARE = ()
IGNORED = (
    r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq",
    r"lm_head\.weight",
)  # tables of old files, tied copies


def architectures(kind):
    """{architecture: (class, head)}"""
    name = kind.capitalize()
    return {
        f"{name}ForCausalLM": (DecoderOnly, "causal_lm"),
        f"{name}ForSequenceClassification": (DecoderOnly, "sequence_classification"),
        f"{name}ForTokenClassification": (DecoderOnly, "token_classification"),
        f"{name}Model": (DecoderOnly, "none"),
    }


def fields(hf, head, stored=None):
    """The Config of a Hugging Face config. Raises CheckpointError for biases of one half only."""
    rope = hf.get("rope_parameters") or hf.get("rope_scaling") or {}
    attention_bias, mlp_bias = hf.get("attention_bias", False), hf.get("mlp_bias", False)
    if rope.get("partial_rotary_factor", 1) != 1:
        raise CheckpointError(f"partial_rotary_factor = {rope['partial_rotary_factor']} is not supported, only 1")
    tied = hf.get("tie_word_embeddings", False)
    eos, activation = hf.get("eos_token_id", 2), hf.get("hidden_act", "silu")
    return {
        "head": head,
        "pooling": "last",
        "num_labels": num_labels(hf),
        "vocab_size": hf["vocab_size"],
        "d_model": hf["hidden_size"],
        "num_heads": hf["num_attention_heads"],
        "num_key_value_heads": hf.get("num_key_value_heads"),
        "head_dim": hf.get("head_dim"),
        "d_ff": hf["intermediate_size"],
        "num_decoder_layers": hf["num_hidden_layers"],
        "max_position_embeddings": hf.get("max_position_embeddings", 2048),
        "positions": "none",
        "relative_positions": "rotary",
        "rope_theta": float(rope.get("rope_theta") or hf.get("rope_theta") or 10000.0),
        "rope_scaling": {key: value for key, value in rope.items() if key != "rope_theta"} or None,
        "sliding_window": hf.get("sliding_window"),
        "norm_order": "pre",
        "norm": "rms",
        "layer_norm_eps": hf.get("rms_norm_eps", 1e-6),
        "gated_feed_forward": True,
        "activation": ACTIVATIONS.get(activation, activation),
        "attention_bias": attention_bias,
        "feed_forward_bias": mlp_bias,
        "scale_embeddings": False,
        "tie_word_embeddings": is_tied(tied, stored, "lm_head.weight", "model.embed_tokens.weight"),
        "padding_gradient": hf.get("pad_token_id") is None,
        "dropout": 0.0,
        "attention_dropout": hf.get("attention_dropout", 0.0),
        "pad_token_id": hf.get("pad_token_id") or 0,
        "decoder_start_token_id": 0,
        "eos_token_id": eos[0] if isinstance(eos, list) else eos,
    }


def names(hf, config):
    """{our name: their name}"""
    root = "" if config.head == "none" else "model."
    ours, layer = "decoder.blocks.{i}.", f"{root}layers.{{i}}."
    attention = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj"}
    feed_forward = {"gate": "gate_proj", "hidden": "up_proj", "output": "down_proj"}
    return {
        "embedding.tokens": f"{root}embed_tokens",
        "decoder.norm": f"{root}norm",
        "head.output": "lm_head" if config.head in ("auto", "causal_lm") else "score",
        f"{ours}self_attention.norm": f"{layer}input_layernorm",
        f"{ours}feed_forward.norm": f"{layer}post_attention_layernorm",
        **{f"{ours}self_attention.layer.{a}": f"{layer}self_attn.{b}" for a, b in attention.items()},
        **{f"{ours}feed_forward.layer.{a}": f"{layer}mlp.{b}" for a, b in feed_forward.items()},
    }
