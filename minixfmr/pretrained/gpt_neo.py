"""GPT-Neo: GPT-2 with unscaled scores, and windows in every other block."""

from .decoders import DECODER, decoder_fields, decoder_heads
from .family import Family, act
from .gpt2 import NAMES as GPT2
from .keys import read, to, tokens, usual
from .layouts import block

KEYS = {
    **DECODER,
    **tokens(None, 50256, 50256),
    **usual(vocab_size=50257, hidden_size=2048, max_position_embeddings=2048, attention_dropout=0.0),
    "num_layers": to("num_decoder_layers", 24, "num_hidden_layers"),
    "num_heads": to("num_heads", 16, "num_attention_heads"),
    "intermediate_size": read(None, decides="d_ff"),
    "attention_types": read([[["global", "local"], 12]]),
    "attention_layers": read(None),
    "window_size": read(256, decides="sliding_window"),
    "activation_function": act("gelu_new"),
    "resid_dropout": to("dropout", 0.0),
    "layer_norm_epsilon": to("layer_norm_eps", 1e-5),
}
ATTENTION = ("ln_1", *(f"attn.attention.{name}_proj" for name in ("q", "k", "v", "out")))
NAMES = GPT2 | block("decoder.blocks.{i}.", "*.h.{i}.", self_attention=ATTENTION)
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
        orders = "all global, all local, or global and local in turn"
        raise c.refuse("attention_types", f"must name {layers} layers, {orders}")
    if c.attention_layers not in (None, kinds):
        raise c.refuse("attention_layers", "is not what attention_types says: keep one of the two")
    return decoder_fields(c) | {
        "d_ff": 4 * c.hidden_size if c.intermediate_size is None else c.intermediate_size,
        "positions": "learned",
        "attention_scale": 1.0,
        "attention_bias": False,
        "output_bias": True,
        "sliding_window": c.window_size if every[0] else None,
        "window_every": every[0] or 1,
    }


MASKS = (r"(transformer\.)?h\.\d+\.attn\.attention\.(masked_)?bias",)  # of old files
FAMILIES = [Family("gpt_neo", decoder_heads("GPTNeo"), KEYS, fields, NAMES, "transformer.", leftovers=MASKS)]
