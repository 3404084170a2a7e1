"""DeBERTa, versions 2 and 3: logarithmic distances, a norm on their table, and a convolution beside the first block."""

from .deberta import ATTENTION, SELF, USUAL, family, words
from .deberta import KEYS as DEBERTA
from .deberta import fields as deberta_fields
from .family import act
from .keys import must, read, to, with_defaults

KEYS = with_defaults(
    {name: row for name, row in DEBERTA.items() if name != "talking_head"},
    vocab_size=128100,
    hidden_size=1536,
    num_hidden_layers=24,
    num_attention_heads=24,
    intermediate_size=6144,
) | {
    "attention_head_size": read(None),
    "position_buckets": read(-1),
    "norm_rel_ebd": read("none"),
    "share_att_key": to("shared_position_projections", False),
    "conv_kernel_size": to("convolution", 0),
    "conv_act": act("tanh", "convolution_activation"),
    "conv_groups": must(1),
}
NAMES = {
    **USUAL,
    **{f"{ATTENTION}{part}": f"{SELF}{part}_proj" for part in ("query", "key", "value")},
    f"{ATTENTION}score_bias.to_key": f"{SELF}pos_key_proj",
    f"{ATTENTION}score_bias.to_query": f"{SELF}pos_query_proj",
    "encoder.relative_positions.norm": "*.encoder.LayerNorm",
    "encoder.blocks.{i}.convolution": "*.encoder.conv.conv",
    "encoder.blocks.{i}.norm": "*.encoder.conv.LayerNorm",
}


def fields(c, head):
    """The fields of Config that are not one key each."""
    dh = c.hidden_size // max(c.num_attention_heads, 1)
    if c.attention_head_size not in (None, dh):
        raise c.refuse("attention_head_size", f"cannot be obeyed here, only hidden_size / num_attention_heads = {dh}")
    return deberta_fields(c, head) | {
        "relative_buckets": max(c.position_buckets, 0),
        "relative_norm": c.relative_attention and "layer_norm" in words(c.norm_rel_ebd),
        "key_bias": True,
    }


FAMILIES = [family("deberta-v2", "DebertaV2", KEYS, fields, NAMES)]
