"""GPT-NeoX and Pythia: attention and feed-forward side by side, rotary positions on a part of each head."""

from .decoders import DECODER, OUTPUTS, decoder_fields, decoder_heads
from .family import Family, act
from .keys import read, to, tokens, usual
from .layouts import block, fused
from .rope import ROPE_KEYS, rope_fields

KEYS = {
    **DECODER,
    **tokens(None, 0, 2),
    **{name: key for name, key in ROPE_KEYS.items() if name not in ("rope_theta", "partial_rotary_factor")},
    "rotary_emb_base": read(10000.0),
    "rotary_pct": read(0.25),
    **usual(vocab_size=50432, hidden_size=6144, num_attention_heads=64, intermediate_size=24576),
    **usual(max_position_embeddings=2048, attention_dropout=0.0, layer_norm_eps=1e-5),
    "num_hidden_layers": to("num_decoder_layers", 44),
    "hidden_act": act("gelu"),
    "hidden_dropout": to("dropout", 0.0),
    "attention_bias": to("attention_bias", True),
    "use_parallel_residual": to("parallel_residual", True),
    "tie_word_embeddings": read(False),
}
NAMES = {
    "embedding.tokens": "*.embed_in",
    "decoder.norm": "*.final_layer_norm",
    **block(
        "decoder.blocks.{i}.",
        "*.layers.{i}.",
        self_attention=("input_layernorm", *fused("attention.query_key_value", "heads"), "attention.dense"),
        feed_forward=("post_attention_layernorm", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
    ),
    **OUTPUTS,
    "causal_lm.output": "embed_out",
}


def fields(c, head):
    """The fields of Config that are not one key each."""
    dh = c.hidden_size // max(c.num_attention_heads, 1)
    rope = rope_fields(c, dh, partial=True, keys=("rotary_emb_base", "rotary_pct"))
    return decoder_fields(c) | rope | {"positions": "none", "relative_positions": "rotary"}


FAMILIES = [
    Family(
        "gpt_neox",
        decoder_heads("GPTNeoX"),
        KEYS,
        fields,
        NAMES,
        "gpt_neox.",
        leftovers=(r"(gpt_neox\.)?layers\.\d+\.attention\.(masked_)?bias",),
        old_names=((r"^lm_head\.", "embed_out."),),
    )
]
