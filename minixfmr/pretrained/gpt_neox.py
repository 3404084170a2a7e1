"""GPT-NeoX and Pythia: attention and feed-forward side by side, rotary positions on a part of each head."""

from .family import BODY, Family, activation
from .gpt2 import DECODER, OUTPUTS, decoder_fields, heads
from .keys import read, to, tokens
from .rope import ROPE_KEYS, rope_fields

KEYS = {
    **DECODER,
    **tokens(None, 0, 2),
    **{name: key for name, key in ROPE_KEYS.items() if name not in ("rope_theta", "partial_rotary_factor")},
    "rotary_emb_base": read(10000.0),
    "rotary_pct": read(0.25),
    "vocab_size": to("vocab_size", 50432),
    "hidden_size": to("d_model", 6144),
    "num_hidden_layers": to("num_decoder_layers", 44),
    "num_attention_heads": to("num_heads", 64),
    "intermediate_size": to("d_ff", 24576),
    "hidden_act": read("gelu"),
    "max_position_embeddings": to("max_position_embeddings", 2048),
    "layer_norm_eps": to("layer_norm_eps", 1e-5),
    "hidden_dropout": to("dropout", 0.0),
    "attention_dropout": to("attention_dropout", 0.0),
    "attention_bias": to("attention_bias", True),
    "use_parallel_residual": to("parallel_residual", True),
    "tie_word_embeddings": read(False),
}


def ties(c):
    """The output matrix."""
    return [("embed_out.weight", f"{BODY}embed_in.weight")]


def fields(c, head):
    """The fields of Config that are not one key each."""
    dh = c.hidden_size // max(c.num_attention_heads, 1)
    return (
        decoder_fields(c)
        | rope_fields(c, dh, partial=True, keys=("rotary_emb_base", "rotary_pct"))
        | {
            "positions": "none",
            "relative_positions": "rotary",
            "tie_word_embeddings": "embed_out.weight" not in c.separate,
            "activation": activation(c, "hidden_act"),
        }
    )


def names(c, config):
    """{our name: their name}"""
    ours, layer = "decoder.blocks.{i}.", f"{BODY}layers.{{i}}."
    fused = {}  # query, key and value lie in one matrix, by head
    for kind in ("weight", "bias"):
        for k, part in enumerate(("query", "key", "value")):
            place = f"{layer}attention.query_key_value.{kind}"
            fused[f"{ours}self_attention.layer.{part}.{kind}"] = (place, ("heads", k))
    return fused | {
        "embedding.tokens": f"{BODY}embed_in",
        "decoder.norm": f"{BODY}final_layer_norm",
        "head.output": OUTPUTS.get(config.head, "") if config.head != "causal_lm" else "embed_out",
        f"{ours}self_attention.norm": f"{layer}input_layernorm",
        f"{ours}self_attention.layer.output": f"{layer}attention.dense",
        f"{ours}feed_forward.norm": f"{layer}post_attention_layernorm",
        f"{ours}feed_forward.layer.hidden": f"{layer}mlp.dense_h_to_4h",
        f"{ours}feed_forward.layer.output": f"{layer}mlp.dense_4h_to_h",
    }


OUTSIDE = r"(lm_head|embed_out|score|classifier|qa_outputs)\."
FAMILIES = [
    Family(
        "gpt_neox",
        heads("GPTNeoX"),
        KEYS,
        fields,
        names,
        "gpt_neox.",
        ties,
        OUTSIDE,
        OUTSIDE + ".*",
        leftovers=(r"(gpt_neox\.)?layers\.\d+\.attention\.(masked_)?bias",),
        old_names=((r"^lm_head\.", "embed_out."),),
    )
]
