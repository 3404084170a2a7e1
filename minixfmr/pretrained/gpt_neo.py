"""GPT-Neo: GPT-2 with unscaled scores, and windows in every other block."""

from .family import BODY, Family, activation
from .gpt2 import DECODER, OUTPUTS, decoder_fields, heads, ties
from .keys import read, to, tokens

KEYS = {
    **DECODER,
    **tokens(None, 50256, 50256),
    "vocab_size": to("vocab_size", 50257),
    "max_position_embeddings": to("max_position_embeddings", 2048),
    "hidden_size": to("d_model", 2048),
    "num_layers": to("num_decoder_layers", 24, "num_hidden_layers"),
    "num_heads": to("num_heads", 16, "num_attention_heads"),
    "intermediate_size": read(None),
    "attention_types": read([[["global", "local"], 12]]),
    "attention_layers": read(None),
    "window_size": read(256, decides="sliding_window"),
    "activation_function": read("gelu_new"),
    "resid_dropout": to("dropout", 0.0),
    "attention_dropout": to("attention_dropout", 0.0),
    "layer_norm_epsilon": to("layer_norm_eps", 1e-5),
}
EVERY = {("global",): 0, ("local",): 1, ("global", "local"): 2}  # in which blocks there is a window


def fields(c, head):
    """The fields of Config that are not one key each. Raises CheckpointError for other orders of windows."""
    try:
        kinds = [kind for pattern, times in c.attention_types for kind in pattern * times]
    except (TypeError, ValueError):
        kinds = []
    layers = c.num_layers
    every = [n for pattern, n in EVERY.items() if kinds == (list(pattern) * layers)[:layers]]
    if not every or layers < 1:
        raise c.refuse(
            "attention_types", f"must name {layers} layers, all global, all local, or global and local in turn"
        )
    if c.attention_layers not in (None, kinds):
        raise c.refuse("attention_layers", "is not what attention_types says: keep one of the two")
    return decoder_fields(c) | {
        "d_ff": 4 * c.hidden_size if c.intermediate_size is None else c.intermediate_size,
        "positions": "learned",
        "activation": activation(c, "activation_function"),
        "attention_scale": 1.0,
        "attention_bias": False,
        "output_bias": True,
        "sliding_window": c.window_size if every[0] else None,
        "window_every": every[0] or 1,
    }


def names(c, config):
    """{our name: their name}"""
    ours, layer = "decoder.blocks.{i}.", f"{BODY}h.{{i}}."
    attention = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}
    return {
        "embedding.tokens": f"{BODY}wte",
        "embedding.positions": f"{BODY}wpe",
        "decoder.norm": f"{BODY}ln_f",
        "head.output": OUTPUTS.get(config.head, "lm_head"),
        f"{ours}self_attention.norm": f"{layer}ln_1",
        **{f"{ours}self_attention.layer.{a}": f"{layer}attn.attention.{b}" for a, b in attention.items()},
        f"{ours}feed_forward.norm": f"{layer}ln_2",
        f"{ours}feed_forward.layer.hidden": f"{layer}mlp.c_fc",
        f"{ours}feed_forward.layer.output": f"{layer}mlp.c_proj",
    }


OUTSIDE = r"(lm_head|score|classifier|qa_outputs)\."
MASKS = (r"(transformer\.)?h\.\d+\.attn\.attention\.(masked_)?bias",)
FAMILIES = [
    Family("gpt_neo", heads("GPTNeo"), KEYS, fields, names, "transformer.", ties, OUTSIDE, OUTSIDE + ".*", MASKS)
]
