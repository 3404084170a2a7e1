"""BART and mBART; pegasus.py, m2m_100.py and marian.py say how their relatives differ."""

from ..models import EncoderDecoder
from .family import Family, act, heads, token_fields
from .keys import COMMON, free, must, must_all, to, tokens
from .layouts import block
from .pairs import OUTPUT, SOURCE, TABLES, TARGET, UNUSED, pair_fields, ties

KEYS = {
    **COMMON,
    **free("encoder_layerdrop decoder_layerdrop classifier_dropout classif_dropout gradient_checkpointing"),
    **free("extra_pos_embeddings normalize_embedding static_position_embeddings add_bias_logits max_window_layers"),
    **must_all(True, "is_causal is_encoder_decoder"),
    **must_all(None, "sliding_window layer_types"),
    "is_decoder": must(False),
    "vocab_size": to("vocab_size", 50265),
    "d_model": to("d_model", 1024, "hidden_size"),
    "encoder_layers": to("num_encoder_layers", 12, "num_hidden_layers"),
    "decoder_layers": to("num_decoder_layers", 12),
    "encoder_attention_heads": to("num_heads", 16, "num_attention_heads"),
    "decoder_attention_heads": to("decoder_num_heads", 16),
    "encoder_ffn_dim": to("d_ff", 4096),
    "decoder_ffn_dim": to("decoder_d_ff", 4096),
    "max_position_embeddings": to("max_position_embeddings", 1024),
    "activation_function": act("gelu"),
    "dropout": to("dropout", 0.1),
    "attention_dropout": to("attention_dropout", 0.0),
    "activation_dropout": to("activation_dropout", 0.0),
    "scale_embedding": to("scale_embeddings", False),
}


def attention(name):
    """Their names in a block."""
    return f"{name}_layer_norm", *(f"{name}.{part}_proj" for part in ("q", "k", "v", "out"))


BLOCK = {"self_attention": attention("self_attn"), "feed_forward": ("final_layer_norm", "fc1", "fc2")}
NAMES = {
    **TABLES,
    "source.positions.weight": "*.encoder.embed_positions.weight",
    "source.positions.table": "*.encoder.embed_positions.weight",  # one that is not trained
    "source.norm": "*.encoder.layernorm_embedding",
    "encoder.norm": "*.encoder.layer_norm",
    **block("encoder.blocks.{i}.", "*.encoder.layers.{i}.", **BLOCK),
    "target.positions.weight": "*.decoder.embed_positions.weight",
    "target.positions.table": "*.decoder.embed_positions.weight",
    "target.norm": "*.decoder.layernorm_embedding",
    "decoder.norm": "*.decoder.layer_norm",
    **block("decoder.blocks.{i}.", "*.decoder.layers.{i}.", **BLOCK, cross_attention=attention("encoder_attn")),
    "seq2seq_lm.bias": ("final_logits_bias", ("row", 0)),
}


def fields(c, head):
    """The fields of Config that are not one key each."""
    return token_fields(c) | {
        **pair_fields(c),
        "positions": "learned",
        "position_offset": 2,
        "embedding_norm": True,
        "norm_order": "post",
        "logits_bias": True,
    }


def mbart_fields(c, head):
    """The fields of Config that are not one key each."""
    return fields(c, head) | {"norm_order": "pre"}


TIES = ties(OUTPUT, TARGET, SOURCE)


def family(kind, architectures, keys, fields=fields, ties=lambda c: TIES, **own):
    """One of the five."""
    return Family(kind, architectures, KEYS | keys, fields, NAMES, "model.", ties, unused=UNUSED, **own)


BART, MBART = (heads(EncoderDecoder, name, "seq2seq_lm", "sequence_classification") for name in ("Bart", "MBart"))
FAMILIES = [
    family("bart", BART, tokens(1, 0, 2, 2)),
    family("mbart", MBART, tokens(1, 0, 2), mbart_fields),
]
