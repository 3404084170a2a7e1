"""OPT: GPT-2's order with ReLU, and positions counted from the mask."""

from ..models import DecoderOnly
from .decoders import DECODER, OUTPUTS, decoder_fields
from .family import Family, act, heads
from .keys import free, like, must_all, read, to, tokens, usual
from .layouts import block

KEYS = {
    **DECODER,
    **tokens(1, 2, 2),
    **free("layerdrop activation_dropout"),
    **usual(vocab_size=50272, hidden_size=768, num_attention_heads=12, max_position_embeddings=2048),
    **usual(attention_dropout=0.0),
    "num_hidden_layers": to("num_decoder_layers", 12),
    "ffn_dim": to("d_ff", 3072),
    "word_embed_proj_dim": like("hidden_size"),
    "do_layer_norm_before": read(True),
    "_remove_final_layer_norm": read(False),
    "activation_function": act("relu"),
    "dropout": to("dropout", 0.1),
    **must_all(True, "enable_bias layer_norm_elementwise_affine"),
}
NAMES = {
    "embedding.tokens": "*.decoder.embed_tokens",
    "embedding.positions": "*.decoder.embed_positions",
    "decoder.norm": "*.decoder.final_layer_norm",
    **block(
        "decoder.blocks.{i}.",
        "*.decoder.layers.{i}.",
        self_attention=("self_attn_layer_norm", *(f"self_attn.{name}_proj" for name in ("q", "k", "v", "out"))),
        feed_forward=("final_layer_norm", "fc1", "fc2"),
    ),
    **OUTPUTS,
}


def fields(c, head):
    """The fields of Config that are not one key each."""
    before = c.do_layer_norm_before
    return decoder_fields(c, padded=True) | {
        "positions": "learned",
        "position_offset": 2,
        "positions_from_mask": True,
        "norm_order": "pre" if before else "post",
        "final_norm": before and not c._remove_final_layer_norm,
    }


HEADS = heads(DecoderOnly, "OPT", "causal_lm", "sequence_classification")
FAMILIES = [Family("opt", HEADS, KEYS, fields, NAMES, "model.")]
