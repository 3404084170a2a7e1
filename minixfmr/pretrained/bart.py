"""BART, PEGASUS, M2M100 (NLLB) and Marian: the original Transformer's nearest descendants."""

from ..models import EncoderDecoder
from .bert import ACTIVATIONS, num_labels
from .folder import is_tied

KINDS = ("bart", "pegasus", "m2m_100", "marian")
AS_THEY_ARE = ()
IGNORED = (
    r"lm_head\.weight",  # tied copies, and tables that follow from a formula
    r"(model\.)?(encoder|decoder)\.embed_tokens\.weight",
    r"(model\.)?(encoder|decoder)\.embed_positions\.weights?",
)


def architectures(kind):
    """{architecture: (class, head)}"""
    name = {"bart": "Bart", "pegasus": "Pegasus", "m2m_100": "M2M100", "marian": "Marian"}[kind]
    suffix = "MTModel" if kind == "marian" else "ForConditionalGeneration"
    known = {f"{name}{suffix}": (EncoderDecoder, "seq2seq_lm"), f"{name}Model": (EncoderDecoder, "none")}
    if kind == "bart":
        known["BartForSequenceClassification"] = (EncoderDecoder, "sequence_classification")
    return known


def fields(hf, head, stored=None):
    """The Config of a Hugging Face config."""
    kind = hf["model_type"]
    layouts = {
        "bart": "learned",
        "pegasus": "sinusoidal_stored",
        "m2m_100": "sinusoidal_t2t",
        "marian": "sinusoidal_halves",
    }
    activation = hf.get("activation_function", "relu" if kind == "m2m_100" else "gelu")
    shared = hf.get("share_encoder_decoder_embeddings", True)
    table = "model.shared.weight" if shared else "model.decoder.embed_tokens.weight"
    return {
        "head": head,
        "head_activation": "tanh",
        "num_labels": num_labels(hf),
        "pooling": "last",
        "vocab_size": hf["vocab_size"],
        "tie_word_embeddings": is_tied(True, stored, "lm_head.weight", table),
        "decoder_vocab_size": None if shared else hf.get("decoder_vocab_size"),
        "share_encoder_decoder_embeddings": shared,
        "d_model": hf["d_model"],
        "num_heads": hf["encoder_attention_heads"],
        "decoder_num_heads": hf["decoder_attention_heads"],
        "d_ff": hf["encoder_ffn_dim"],
        "decoder_d_ff": hf["decoder_ffn_dim"],
        "num_encoder_layers": hf["encoder_layers"],
        "num_decoder_layers": hf["decoder_layers"],
        "max_position_embeddings": hf["max_position_embeddings"],
        "positions": layouts[kind],
        "position_offset": 2 if kind in ("bart", "m2m_100") else 0,
        "positions_from_ids": kind == "m2m_100",
        "embedding_norm": kind == "bart",
        "norm_order": "pre" if kind in ("pegasus", "m2m_100") else "post",
        "activation": ACTIVATIONS.get(activation, activation),
        "scale_embeddings": hf.get("scale_embedding", kind == "m2m_100"),
        "padding_gradient": False,
        "logits_bias": kind != "m2m_100",
        "dropout": hf.get("dropout", 0.1),
        "attention_dropout": hf.get("attention_dropout", 0.0),
        "activation_dropout": hf.get("activation_dropout", 0.0),
        "pad_token_id": hf["pad_token_id"],
        "decoder_start_token_id": hf["decoder_start_token_id"],
        "eos_token_id": hf["eos_token_id"],
    }


def names(hf, config):
    """{our name: their name}"""
    root = "" if config.head == "none" else "model."
    rules = {
        "source.tokens": f"{root}shared" if config.share_encoder_decoder_embeddings else f"{root}encoder.embed_tokens",
        "target.tokens": f"{root}decoder.embed_tokens",
        "head.dense": "classification_head.dense",
        "head.output": "lm_head" if config.head == "seq2seq_lm" else "classification_head.out_proj",
        "head.bias": ("final_logits_bias", ("row", 0)),
    }
    attention = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}
    for inputs, side in (("source", "encoder"), ("target", "decoder")):
        rules[f"{inputs}.positions.weight"] = f"{root}{side}.embed_positions.weight"
        rules[f"{inputs}.positions.table"] = f"{root}{side}.embed_positions.weight"
        rules[f"{inputs}.norm"] = f"{root}{side}.layernorm_embedding"
        rules[f"{side}.norm"] = f"{root}{side}.layer_norm"
        ours, layer = f"{side}.blocks.{{i}}.", f"{root}{side}.layers.{{i}}."
        for name, theirs in (("self_attention", "self_attn"), ("cross_attention", "encoder_attn")):
            rules[f"{ours}{name}.norm"] = f"{layer}{theirs}_layer_norm"
            rules |= {f"{ours}{name}.layer.{a}": f"{layer}{theirs}.{b}" for a, b in attention.items()}
        rules[f"{ours}feed_forward.norm"] = f"{layer}final_layer_norm"
        rules[f"{ours}feed_forward.layer.hidden"] = f"{layer}fc1"
        rules[f"{ours}feed_forward.layer.output"] = f"{layer}fc2"
    return rules
