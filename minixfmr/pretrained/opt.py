"""OPT: GPT-2's order with ReLU, and positions counted from the mask."""

from .family import BODY, Family, activation
from .gpt2 import DECODER, OUTPUTS, decoder_fields, heads
from .keys import free, must, read, to, tokens

KEYS = {
    **DECODER,
    **tokens(1, 2, 2),
    **free("layerdrop activation_dropout"),
    "vocab_size": to("vocab_size", 50272),
    "hidden_size": to("d_model", 768),
    "num_hidden_layers": to("num_decoder_layers", 12),
    "num_attention_heads": to("num_heads", 12),
    "ffn_dim": to("d_ff", 3072),
    "max_position_embeddings": to("max_position_embeddings", 2048),
    "word_embed_proj_dim": read(None),
    "do_layer_norm_before": read(True),
    "_remove_final_layer_norm": read(False),
    "activation_function": read("relu"),
    "dropout": to("dropout", 0.1),
    "attention_dropout": to("attention_dropout", 0.0),
    "enable_bias": must(True),
    "layer_norm_elementwise_affine": must(True),
}


def ties(c):
    """The output matrix."""
    return [("lm_head.weight", f"{BODY}decoder.embed_tokens.weight")]


def fields(c, head):
    """The fields of Config that are not one key each."""
    if c.word_embed_proj_dim not in (None, c.hidden_size):
        raise c.refuse("word_embed_proj_dim", f"cannot be obeyed here, only hidden_size = {c.hidden_size}")
    before = c.do_layer_norm_before
    return decoder_fields(c, padded=True) | {
        "positions": "learned",
        "position_offset": 2,
        "positions_from_mask": True,
        "norm_order": "pre" if before else "post",
        "final_norm": before and not c._remove_final_layer_norm,
        "activation": activation(c, "activation_function"),
    }


def names(c, config):
    """{our name: their name}"""
    root = f"{BODY}decoder."
    ours, layer = "decoder.blocks.{i}.", f"{root}layers.{{i}}."
    attention = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}
    return {
        "embedding.tokens": f"{root}embed_tokens",
        "embedding.positions": f"{root}embed_positions",
        "decoder.norm": f"{root}final_layer_norm",
        "head.output": OUTPUTS.get(config.head, "lm_head"),
        f"{ours}self_attention.norm": f"{layer}self_attn_layer_norm",
        **{f"{ours}self_attention.layer.{a}": f"{layer}self_attn.{b}" for a, b in attention.items()},
        f"{ours}feed_forward.norm": f"{layer}final_layer_norm",
        f"{ours}feed_forward.layer.hidden": f"{layer}fc1",
        f"{ours}feed_forward.layer.output": f"{layer}fc2",
    }


OUTSIDE = r"(lm_head|score|qa_outputs)\."
HEADS = {name: entry for name, entry in heads("OPT").items() if entry[1] != "token_classification"}
FAMILIES = [
    Family("opt", HEADS, KEYS, fields, names, "model.", ties, OUTSIDE, OUTSIDE + ".*"),
]
