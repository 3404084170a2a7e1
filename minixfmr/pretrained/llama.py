"""LLaMA; mistral.py, qwen.py, gemma.py and phi3.py say how its descendants differ."""

from .family import BODY, Family, activation
from .gpt2 import DECODER, OUTPUTS, decoder_fields, heads
from .keys import read, to, tokens
from .rope import ROPE_KEYS, rope_fields

KEYS = {
    **DECODER,
    **tokens(None, 1, 2),
    **ROPE_KEYS,
    "vocab_size": to("vocab_size", 32000),
    "hidden_size": to("d_model", 4096),
    "intermediate_size": to("d_ff", 11008),
    "num_hidden_layers": to("num_decoder_layers", 32),
    "num_attention_heads": to("num_heads", 32),
    "num_key_value_heads": to("num_key_value_heads", None),
    "head_dim": to("head_dim", None),
    "hidden_act": read("silu"),
    "max_position_embeddings": to("max_position_embeddings", 2048),
    "rms_norm_eps": to("layer_norm_eps", 1e-6),
    "attention_bias": to("attention_bias", False),
    "mlp_bias": to("feed_forward_bias", False),
    "attention_dropout": to("attention_dropout", 0.0),
    "tie_word_embeddings": read(False),
}


def ties(c):
    """The output matrix."""
    return [("lm_head.weight", f"{BODY}embed_tokens.weight")]


def width(c):
    """Of a head."""
    return c.head_dim or c.hidden_size // max(c.num_attention_heads, 1)


def fields(c, head, rope=None):
    """The fields of Config that are not one key each. rope: those of rotary positions, where they are not the usual"""
    return (
        decoder_fields(c, padded=True)
        | (rope or rope_fields(c, width(c)))
        | {
            "positions": "none",
            "relative_positions": "rotary",
            "norm": "rms",
            "gated_feed_forward": True,
            "activation": activation(c, "hidden_act"),
            "attention_bias": bool(c.attention_bias),
            "feed_forward_bias": bool(c.mlp_bias),
            "dropout": 0.0,
            "sliding_window": c.sliding_window,
        }
    )


def names(c, config):
    """{our name: their name}"""
    ours, layer = "decoder.blocks.{i}.", f"{BODY}layers.{{i}}."
    attention = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj"}
    feed_forward = {"gate": "gate_proj", "hidden": "up_proj", "output": "down_proj"}
    return {
        "embedding.tokens": f"{BODY}embed_tokens",
        "decoder.norm": f"{BODY}norm",
        "head.output": "score" if config.head == "token_classification" else OUTPUTS.get(config.head, "lm_head"),
        f"{ours}self_attention.norm": f"{layer}input_layernorm",
        f"{ours}feed_forward.norm": f"{layer}post_attention_layernorm",
        **{f"{ours}self_attention.layer.{a}": f"{layer}self_attn.{b}" for a, b in attention.items()},
        **{f"{ours}feed_forward.layer.{a}": f"{layer}mlp.{b}" for a, b in feed_forward.items()},
    }


OUTSIDE = r"(lm_head|score|qa_outputs)\."


def family(kind, name, keys, fields=fields, names=names, **aliases):
    """A system that differs from LLaMA as told."""
    usual = {f"{name}LMHeadModel": f"{name}ForCausalLM"}
    return Family(
        kind, heads(name), keys, fields, names, "model.", ties, OUTSIDE, OUTSIDE + ".*", aliases=usual | aliases
    )


FAMILIES = [family("llama", "Llama", KEYS, LLaMAForCausalLM="LlamaForCausalLM")]
