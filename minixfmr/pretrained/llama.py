"""LLaMA; mistral.py, qwen.py, gemma.py and phi3.py say how its descendants differ."""

from .decoders import DECODER, OUTPUTS, decoder_fields, decoder_heads
from .family import Family, act
from .keys import read, to, tokens, usual
from .layouts import block
from .rope import ROPE_KEYS, rope_fields

KEYS = {
    **DECODER,
    **tokens(None, 1, 2),
    **ROPE_KEYS,
    **usual(vocab_size=32000, hidden_size=4096, num_attention_heads=32, intermediate_size=11008),
    **usual(max_position_embeddings=2048, attention_dropout=0.0, rms_norm_eps=1e-6),
    "num_hidden_layers": to("num_decoder_layers", 32),
    "num_key_value_heads": to("num_key_value_heads", None),
    "head_dim": to("head_dim", None),
    "hidden_act": act("silu"),
    "attention_bias": to("attention_bias", False),
    "mlp_bias": to("feed_forward_bias", False),
    "tie_word_embeddings": read(False),
}
NAMES = {
    "embedding.tokens": "*.embed_tokens",
    "decoder.norm": "*.norm",
    **block(
        "decoder.blocks.{i}.",
        "*.layers.{i}.",
        self_attention=("input_layernorm", *(f"self_attn.{letter}_proj" for letter in "qkvo")),
        feed_forward=("post_attention_layernorm", *(f"mlp.{name}_proj" for name in ("gate", "up", "down"))),
    ),
    **OUTPUTS,
    "token_classification.output": "score",
}


def fields(c, head, **rope):
    """The fields of Config that are not one key each. rope: how rotary positions are not the usual, see rope_fields"""
    dh = c.head_dim or c.hidden_size // max(c.num_attention_heads, 1)
    return decoder_fields(c, padded=True) | {
        "positions": "none",
        "relative_positions": "rotary",
        **rope_fields(c, dh, **rope),
        "norm": "rms",
        "gated_feed_forward": True,
        "attention_bias": bool(c.attention_bias),
        "feed_forward_bias": bool(c.mlp_bias),
        "dropout": 0.0,
        "sliding_window": c.sliding_window,
    }


def family(kind, name, keys, fields=fields, names=NAMES, more_names=lambda config: {}, **aliases):
    """A system that differs from LLaMA as told."""
    heads = decoder_heads(name)
    aliases[f"{name}LMHeadModel"] = f"{name}ForCausalLM"
    return Family(kind, heads, keys, fields, names, "model.", more_names=more_names, aliases=aliases)


FAMILIES = [family("llama", "Llama", KEYS, LLaMAForCausalLM="LlamaForCausalLM")]
