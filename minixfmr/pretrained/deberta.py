"""DeBERTa, versions 1 to 3."""

from ..checkpoint import CheckpointError
from ..models import EncoderOnly
from .bert import ACTIVATIONS, bert_block, bert_heads, block_names, embedding_names, num_labels

KINDS = ("deberta", "deberta-v2")
AS_THEY_ARE = ()
IGNORED = (r"cls\.predictions\.decoder\.\w+", r"mask_predictions\..*", r"pooler\.dense\.\w+")


def architectures(kind):
    """{architecture: (class, head)}"""
    name = {"deberta": "Deberta", "deberta-v2": "DebertaV2"}[kind]
    return {
        f"{name}ForMaskedLM": (EncoderOnly, "masked_lm"),
        f"{name}ForSequenceClassification": (EncoderOnly, "sequence_classification"),
        f"{name}ForTokenClassification": (EncoderOnly, "token_classification"),
        f"{name}Model": (EncoderOnly, "none"),
    }


def fields(hf, head, stored=None):
    """The Config of a Hugging Face config. Raises CheckpointError for options that no published model uses."""
    v1, d = hf["model_type"] == "deberta", hf["hidden_size"]
    standard = {"talking_head": False, "embedding_size": d, "conv_groups": 1}
    standard["attention_head_size"] = d // hf["num_attention_heads"]
    for option, value in standard.items():
        if hf.get(option, value) not in (value, None):
            raise CheckpointError(f"DeBERTa's option {option} = {hf[option]} is not supported, only {value}")
    terms = hf.get("pos_att_type") or []
    terms = terms.split("|") if isinstance(terms, str) else terms
    relative = hf.get("relative_attention", False)
    furthest = hf.get("max_relative_positions", -1)
    furthest = furthest if furthest >= 1 else hf["max_position_embeddings"]
    activation = ACTIVATIONS.get(hf.get("hidden_act", "gelu"), hf.get("hidden_act", "gelu"))
    convolution = ACTIVATIONS.get(hf.get("conv_act", "tanh"), hf.get("conv_act", "tanh"))
    pooler = hf.get("pooler_hidden_act", "gelu")
    return {
        "head": head,
        "vocab_size": hf["vocab_size"],
        "d_model": d,
        "num_heads": hf["num_attention_heads"],
        "d_ff": hf["intermediate_size"],
        "num_encoder_layers": hf["num_hidden_layers"],
        "max_position_embeddings": hf["max_position_embeddings"],
        "positions": "learned" if hf.get("position_biased_input", True) else "none",
        "type_vocab_size": hf.get("type_vocab_size", 0),
        "embedding_norm": True,
        "embedding_padding": False,
        "scale_embeddings": False,
        "padding_gradient": False,
        "relative_positions": "disentangled" if relative else "none",
        "disentangled_terms": "|".join(terms),
        "relative_buckets": 0 if v1 else max(hf.get("position_buckets", -1), 0),
        "relative_max_distance": furthest,
        "relative_norm": "layer_norm" in hf.get("norm_rel_ebd", "none"),
        "shared_position_projections": hf.get("share_att_key", False),
        "key_bias": not v1,
        "attention_scale": (d // hf["num_attention_heads"] * (1 + len(terms))) ** -0.5,
        "convolution": hf.get("conv_kernel_size", 0),
        "convolution_activation": convolution,
        "activation": activation,
        "head_activation": ACTIVATIONS.get(pooler, pooler) if head == "sequence_classification" else activation,
        "num_labels": num_labels(hf),
        "layer_norm_eps": hf.get("layer_norm_eps", 1e-7),
        "dropout": hf.get("hidden_dropout_prob", 0.1),
        "attention_dropout": hf.get("attention_probs_dropout_prob", 0.1),
        "pad_token_id": hf.get("pad_token_id") or 0,
        "decoder_start_token_id": 0,
        "eos_token_id": None,
    }


def names(hf, config):
    """{our name: their name}"""
    root = "" if config.head == "none" else "deberta."
    projections, rest = bert_block(f"{root}encoder.layer.{{i}}.")
    attention = f"{root}encoder.layer.{{i}}.attention.self."
    ours = "encoder.blocks.{i}.self_attention.layer."
    if hf["model_type"] == "deberta":  # query, key and value lie in one matrix, by head; the key has no bias
        extra: dict = {
            f"{ours}{part}.weight": (attention + "in_proj.weight", ("heads", k))
            for k, part in enumerate(("query", "key", "value"))
        }
        extra |= {f"{ours}query.bias": attention + "q_bias", f"{ours}value.bias": attention + "v_bias"}
        to_key, to_query = "pos_proj", "pos_q_proj"
    else:
        projections |= {part: f"{attention}{part}_proj" for part in ("query", "key", "value")}
        extra, to_key, to_query = {}, "pos_key_proj", "pos_query_proj"
    heads = bert_heads(config.head, "pooler.dense")
    if not hf.get("legacy", True) and config.head == "masked_lm":
        lm_head = "lm_predictions.lm_head."
        heads = {f"head.{a}": lm_head + b for a, b in (("dense", "dense"), ("norm", "LayerNorm"), ("bias", "bias"))}
    return (
        embedding_names(root)
        | block_names(projections, rest)
        | extra
        | heads
        | {
            "encoder.relative_positions": f"{root}encoder.rel_embeddings",
            "encoder.relative_positions.norm": f"{root}encoder.LayerNorm",
            "encoder.blocks.{i}.convolution": f"{root}encoder.conv.conv",
            "encoder.blocks.{i}.norm": f"{root}encoder.conv.LayerNorm",
            f"{ours}score_bias.to_key": attention + to_key,
            f"{ours}score_bias.to_query": attention + to_query,
        }
    )
