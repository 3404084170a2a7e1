"""Phi-3: LLaMA with query, key and value in one matrix, gate and hidden in another, and two sets of frequencies."""

from .keys import must, read, to, tokens, with_defaults
from .llama import KEYS as LLAMA
from .llama import NAMES, family
from .llama import fields as llama_fields

KEYS = {
    **with_defaults(
        LLAMA,
        vocab_size=32064,
        hidden_size=3072,
        intermediate_size=8192,
        max_position_embeddings=4096,
        original_max_position_embeddings=4096,
        rms_norm_eps=1e-5,
    ),
    **tokens(32000, 1, 32000),
    "resid_pdrop": to("dropout", 0.0),
    "sliding_window": read(None),
    "attention_bias": must(False),
    "mlp_bias": must(False),
}


def fields(c, head):
    """The fields of Config that are not one key each. Past the original length all is read anew, once, with the other
    frequencies, as transformers has it."""
    usual = llama_fields(c, head, partial=True, kinds={"su": "longrope", "yarn": "longrope"})
    scaling = usual["rope_scaling"] or {}
    if "long_frequencies" in scaling:
        usual["rope_scaling"] = scaling | {"reread": scaling["length"]}
    return usual | {"dropout": c.resid_pdrop}


def names(config):
    """{our name: their name}: query, key and value in one matrix, one below the other; so gate and hidden"""
    ours, layer = "decoder.blocks.{i}.", "*.layers.{i}."
    dh = config.head_dim or config.d_model // config.num_heads
    shared = (config.num_key_value_heads or config.num_heads) * dh
    widths, halves = (config.num_heads * dh, shared, shared), (config.d_ff, config.d_ff)
    rules: dict = {}
    for k, part in enumerate(("query", "key", "value")):
        rules[f"{ours}self_attention.layer.{part}"] = (f"{layer}self_attn.qkv_proj", ("rows", k, widths))
    for k, part in enumerate(("gate", "hidden")):
        rules[f"{ours}feed_forward.layer.{part}"] = (f"{layer}mlp.gate_up_proj", ("rows", k, halves))
    return rules


FAMILIES = [family("phi3", "Phi3", KEYS, fields, NAMES, names)]
