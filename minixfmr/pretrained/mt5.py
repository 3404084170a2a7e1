"""mT5: T5 v1.1 with an output that is not scaled; and umT5, with a table of relative positions in every block."""

from .keys import tokens, with_defaults
from .t5 import KEYS as T5
from .t5 import NAMES, TABLE, family
from .t5 import fields as t5_fields

KEYS = {
    **with_defaults(T5, vocab_size=250112, d_ff=1024, num_layers=8, num_heads=6, feed_forward_proj="gated-gelu"),
    **tokens(0, None, 1, 0),
}
TABLES = {
    f"{side}.blocks.{{i}}.self_attention.layer.score_bias": f"*.{side}.block.{{i}}.{TABLE}"
    for side in ("encoder", "decoder")
}


def fields(c, head):
    """The fields of Config that are not one key each."""
    return t5_fields(c, head) | {"scale_output": False}


def umt5_fields(c, head):
    """The fields of Config that are not one key each."""
    return t5_fields(c, head) | {"relative_per_block": True}


FAMILIES = [family("mt5", "MT5", KEYS, fields), family("umt5", "UMT5", KEYS, umt5_fields, NAMES | TABLES)]
