"""Qwen2 and Qwen3: LLaMA with windows in the last blocks alone, and biases or norms on queries and keys."""

from .keys import must, read, tokens, with_defaults
from .llama import KEYS as LLAMA
from .llama import NAMES, family
from .llama import fields as llama_fields

KEYS = {
    **with_defaults(LLAMA, vocab_size=151936, intermediate_size=22016, max_position_embeddings=32768),
    **tokens(None, None, None),
    "mlp_bias": must(False),
    "use_sliding_window": read(False),
    "sliding_window": read(None),
    "max_window_layers": read(28),
    "layer_types": read(None),
}
NORMS = {
    f"decoder.blocks.{{i}}.self_attention.layer.{ours}_norm": f"*.layers.{{i}}.self_attn.{theirs}_norm"
    for ours, theirs in (("query", "q"), ("key", "k"))
}


def fields(c, head):
    """The fields of Config that are not one key each."""
    layers, window = c.num_hidden_layers, c.sliding_window if c.use_sliding_window else None
    first = layers if window is None else min(max(c.max_window_layers, 0), layers)
    if c.layer_types is not None:  # it wins over max_window_layers
        first = c.layer_types.index("sliding_attention") if "sliding_attention" in c.layer_types else layers
        last = layers - first
        if c.layer_types != ["full_attention"] * first + ["sliding_attention"] * last or (last and window is None):
            order = "first full_attention, then, with use_sliding_window and a sliding_window, sliding_attention"
            raise c.refuse("layer_types", f"must name {layers} layers, {order}")
    return llama_fields(c, head) | {
        "sliding_window": window if first < layers else None,
        "window_from": first if first < layers else 0,
        "attention_bias": c.kind == "qwen2" or c.attention_bias,
        "output_bias": False if c.kind == "qwen2" else None,
        "query_key_norm": c.kind == "qwen3",
    }


FAMILIES = [
    family("qwen2", "Qwen2", KEYS | {"attention_bias": must(None)}, fields),
    family("qwen3", "Qwen3", with_defaults(KEYS, head_dim=128), fields, NAMES | NORMS),
]
