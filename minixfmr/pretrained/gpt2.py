"""GPT-2."""

from ..models import DecoderOnly
from .decoders import DECODER, OUTPUTS, decoder_fields
from .family import Family, act, heads
from .keys import free, must, read, to, tokens
from .layouts import block, fused

KEYS = {
    **DECODER,
    **tokens(None, 50256, 50256),
    **free("n_ctx reorder_and_upcast_attn predict_special_tokens"),
    "vocab_size": to("vocab_size", 50257),
    "n_positions": to("max_position_embeddings", 1024, "max_position_embeddings"),
    "n_embd": to("d_model", 768, "hidden_size"),
    "n_layer": to("num_decoder_layers", 12, "num_hidden_layers"),
    "n_head": to("num_heads", 12, "num_attention_heads"),
    "n_inner": read(None, decides="d_ff"),
    "activation_function": act("gelu_new"),
    "resid_pdrop": to("dropout", 0.1),
    "attn_pdrop": to("attention_dropout", 0.1),
    "layer_norm_epsilon": to("layer_norm_eps", 1e-5),
    "scale_attn_weights": must(True),
    "scale_attn_by_inverse_layer_idx": must(False),
}
NAMES = {
    "embedding.tokens": "*.wte",
    "embedding.positions": "*.wpe",
    "decoder.norm": "*.ln_f",
    **block(
        "decoder.blocks.{i}.",
        "*.h.{i}.",
        self_attention=("ln_1", *fused("attn.c_attn", "columns"), "attn.c_proj"),
        feed_forward=("ln_2", "mlp.c_fc", "mlp.c_proj"),
    ),
    **OUTPUTS,
}


def fields(c, head):
    """The fields of Config that are not one key each."""
    d_ff = 4 * c.n_embd if c.n_inner is None else c.n_inner
    return decoder_fields(c) | {"d_ff": d_ff, "positions": "learned"}


OTHERS = heads(DecoderOnly, "GPT2", "sequence_classification", "token_classification")
FAMILIES = [
    Family(
        "gpt2",
        {"GPT2LMHeadModel": (DecoderOnly, "causal_lm")} | OTHERS,
        KEYS,
        fields,
        NAMES,
        "transformer.",
        others="multiple_choice_head",
        leftovers=(r"(transformer\.)?h\.\d+\.attn\.(masked_)?bias",),  # masks of old files
        as_they_are=("decoder.",),  # the matrices of its blocks are (in, out), as ours
        aliases={"GPT2DoubleHeadsModel": "GPT2LMHeadModel"},
    )
]
