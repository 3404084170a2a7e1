"""BART, mBART, PEGASUS, M2M100 (NLLB) and Marian: the original Transformer's nearest descendants."""

from ..models import EncoderDecoder
from .family import BODY, Family, activation, num_labels, token_fields
from .keys import COMMON, free, must, must_all, read, to, tokens

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
    "activation_function": read("gelu"),
    "dropout": to("dropout", 0.1),
    "attention_dropout": to("attention_dropout", 0.0),
    "activation_dropout": to("activation_dropout", 0.0),
    "scale_embedding": to("scale_embeddings", False),
}
M2M100 = {
    "vocab_size": to("vocab_size", 128112),
    "activation_function": read("relu"),
    "attention_dropout": to("attention_dropout", 0.1),
    "scale_embedding": to("scale_embeddings", True),
}
MARIAN = {
    "vocab_size": to("vocab_size", 58101),
    "decoder_vocab_size": read(None),
    "share_encoder_decoder_embeddings": read(True),
}
SHARED, SOURCE = f"{BODY}shared.weight", f"{BODY}encoder.embed_tokens.weight"
TARGET, OUTPUT = f"{BODY}decoder.embed_tokens.weight", "lm_head.weight"


def ties(c):
    """The two tables and the output matrix."""
    if c.kind == "marian" and not c.share_encoder_decoder_embeddings:
        return [(OUTPUT, TARGET)]
    return [(OUTPUT, SHARED), (SOURCE, SHARED), (TARGET, SHARED)]


def tables(c):
    """The names of the source's table, the target's and the output matrix, as far as they are tensors of their own."""
    if c.kind == "marian" and not c.share_encoder_decoder_embeddings:
        return SOURCE, TARGET, c.own(OUTPUT, TARGET)
    return tuple(c.own(name, SHARED) for name in (SOURCE, TARGET, OUTPUT))


def fields(c, head):
    """The fields of Config that are not one key each."""
    kind, (source, target, output) = c.kind, tables(c)
    shared = source == target
    pre_norm = kind in ("mbart", "pegasus", "m2m_100")
    layouts = {"pegasus": "sinusoidal_stored", "m2m_100": "sinusoidal_t2t", "marian": "sinusoidal_stored"}
    return token_fields(c, counted=kind == "m2m_100") | {
        "head_activation": "tanh",
        "num_labels": num_labels(c),
        "pooling": "last",
        "tie_word_embeddings": output == target,
        "decoder_vocab_size": None if shared else (c.decoder_vocab_size if kind == "marian" else None) or c.vocab_size,
        "share_encoder_decoder_embeddings": shared,
        "positions": layouts.get(kind, "learned"),
        "position_offset": 2 if kind in ("bart", "mbart", "m2m_100") else 0,
        "embedding_norm": kind in ("bart", "mbart"),
        "norm_order": "pre" if pre_norm else "post",
        "activation": activation(c, "activation_function"),
        "logits_bias": kind != "m2m_100",
    }


def names(c, config):
    """{our name: their name}"""
    source, target, output = tables(c)
    rules: dict = {
        "source.tokens.weight": source,
        "target.tokens.weight": target,
        "head.dense": "classification_head.dense",
        "head.output.weight": output if config.head == "seq2seq_lm" else "classification_head.out_proj.weight",
        "head.output.bias": "classification_head.out_proj.bias",
        "head.bias": ("final_logits_bias", ("row", 0)),
    }
    attention = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}
    for inputs, side in (("source", "encoder"), ("target", "decoder")):
        rules[f"{inputs}.positions.weight"] = f"{BODY}{side}.embed_positions.weight"
        rules[f"{inputs}.positions.table"] = f"{BODY}{side}.embed_positions.weight"
        rules[f"{inputs}.norm"] = f"{BODY}{side}.layernorm_embedding"
        rules[f"{side}.norm"] = f"{BODY}{side}.layer_norm"
        ours, layer = f"{side}.blocks.{{i}}.", f"{BODY}{side}.layers.{{i}}."
        for name, theirs in (("self_attention", "self_attn"), ("cross_attention", "encoder_attn")):
            rules[f"{ours}{name}.norm"] = f"{layer}{theirs}_layer_norm"
            rules |= {f"{ours}{name}.layer.{a}": f"{layer}{theirs}.{b}" for a, b in attention.items()}
        rules[f"{ours}feed_forward.norm"] = f"{layer}final_layer_norm"
        rules[f"{ours}feed_forward.layer.hidden"] = f"{layer}fc1"
        rules[f"{ours}feed_forward.layer.output"] = f"{layer}fc2"
    return rules


def family(kind, name, keys, suffix="ForConditionalGeneration"):
    """One of the five."""
    heads = {f"{name}{suffix}": (EncoderDecoder, "seq2seq_lm"), f"{name}Model": (EncoderDecoder, "none")}
    if kind in ("bart", "mbart"):
        heads[f"{name}ForSequenceClassification"] = (EncoderDecoder, "sequence_classification")
    outside = r"(lm_head|classification_head|qa_outputs)\.|final_logits_bias"
    unused = rf"({outside}).*|{SHARED}".replace("*.", r"\*\.").replace(r"\.).\*\.", r"\.).*")
    table = r"(model\.)?(encoder|decoder)\.embed_positions\.weight"
    leftovers = (table,) if kind == "m2m_100" else ()
    return Family(kind, heads, KEYS | keys, fields, names, "model.", ties, outside, unused, leftovers)


FAMILIES = [
    family("bart", "Bart", tokens(1, 0, 2, 2)),
    family("mbart", "MBart", tokens(1, 0, 2)),
    family("pegasus", "Pegasus", tokens(0, None, 1, 0)),
    family("m2m_100", "M2M100", M2M100 | tokens(1, 0, 2, 2)),
    family("marian", "Marian", MARIAN | tokens(58100, None, 0, 58100), "MTModel"),
]
