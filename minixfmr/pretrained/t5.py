"""T5, T5 v1.1 (FLAN) and mT5."""

from ..models import EncoderDecoder, EncoderOnly
from .bert import ACTIVATIONS, num_labels
from .folder import is_tied

KINDS = ("t5", "mt5")
AS_THEY_ARE = ()
IGNORED = (
    r"lm_head\.weight",  # tied copies
    r"(transformer\.)?(encoder|decoder)\.embed_tokens\.weight",
    r"(transformer\.)?decoder\..*\.EncDecAttention\.relative_attention_bias\.weight",  # in old files, never used
)


def architectures(kind):
    """{architecture: (class, head)}"""
    name = {"t5": "T5", "mt5": "MT5"}[kind]
    return {
        f"{name}ForConditionalGeneration": (EncoderDecoder, "seq2seq_lm"),
        f"{name}ForSequenceClassification": (EncoderDecoder, "sequence_classification"),
        f"{name}ForTokenClassification": (EncoderOnly, "token_classification"),
        f"{name}Model": (EncoderDecoder, "none"),
        f"{name}EncoderModel": (EncoderOnly, "none"),
    }


def fields(hf, head, stored=None):
    """The Config of a Hugging Face config."""
    kind = hf.get("feed_forward_proj", "relu" if hf["model_type"] == "t5" else "gated-gelu")
    gated = kind.startswith("gated-")
    activation = "gelu_tanh" if kind == "gated-gelu" else ACTIVATIONS.get(kind.split("-")[-1], kind.split("-")[-1])
    tied = hf.get("tie_word_embeddings", True)
    scaled = hf.get("scale_decoder_outputs", tied) and hf["model_type"] == "t5"
    return {
        "vocab_size": hf["vocab_size"],
        "d_model": hf["d_model"],
        "head_dim": hf["d_kv"],
        "num_heads": hf["num_heads"],
        "d_ff": hf["d_ff"],
        "num_encoder_layers": hf["num_layers"],
        "num_decoder_layers": hf.get("num_decoder_layers") or hf["num_layers"],
        "max_position_embeddings": 1 << 20,  # there is no table that could end
        "positions": "none",
        "relative_positions": "buckets",
        "relative_buckets": hf.get("relative_attention_num_buckets", 32),
        "relative_max_distance": hf.get("relative_attention_max_distance", 128),
        "norm_order": "pre",
        "norm": "rms",
        "layer_norm_eps": hf.get("layer_norm_epsilon", 1e-6),
        "gated_feed_forward": gated,
        "activation": activation,
        "attention_bias": False,
        "feed_forward_bias": False,
        "attention_scale": 1.0,
        "scale_embeddings": False,
        "head": head,
        "head_activation": "tanh",
        "num_labels": num_labels(hf),
        "pooling": "last",
        "tie_word_embeddings": is_tied(True, stored, "lm_head.weight", "shared.weight"),  # whatever its file says
        "scale_output": scaled,
        "dropout": hf.get("dropout_rate", 0.1),
        "attention_dropout": hf.get("dropout_rate", 0.1),
        "activation_dropout": hf.get("dropout_rate", 0.1),
        "pad_token_id": hf.get("pad_token_id", 0),
        "decoder_start_token_id": hf.get("decoder_start_token_id") or 0,
        "eos_token_id": hf.get("eos_token_id", 1),
    }


def names(hf, config):
    """{our name: their name}"""
    classifier = config.head in ("sequence_classification", "token_classification")
    root = "transformer." if classifier else ""
    outputs = {"seq2seq_lm": "lm_head", "sequence_classification": "classification_head.out_proj"}
    rules = {
        "source.tokens": f"{root}shared",
        "embedding.tokens": f"{root}shared",
        "head.dense": "classification_head.dense",
        "head.output": outputs.get(config.head, "classifier"),
    }
    letters = {"query": "q", "key": "k", "value": "v", "output": "o"}
    hidden = {"gate": "wi_0", "hidden": "wi_1"} if config.gated_feed_forward else {"hidden": "wi"}
    sides = {"encoder": ("SelfAttention",), "decoder": ("SelfAttention", "EncDecAttention")}
    for side, attentions in sides.items():
        rules[f"{side}.norm"] = f"{root}{side}.final_layer_norm"
        first = f"{root}{side}.block.0.layer.0.SelfAttention"
        rules[f"{side}.relative_positions"] = f"{first}.relative_attention_bias"
        ours, block = f"{side}.blocks.{{i}}.", f"{root}{side}.block.{{i}}.layer."
        for n, (attention, name) in enumerate(zip(attentions, ("self_attention", "cross_attention"), strict=False)):
            rules[f"{ours}{name}.norm"] = f"{block}{n}.layer_norm"
            rules |= {f"{ours}{name}.layer.{a}": f"{block}{n}.{attention}.{b}" for a, b in letters.items()}
        n = len(attentions)
        rules[f"{ours}feed_forward.norm"] = f"{block}{n}.layer_norm"
        dense = {**hidden, "output": "wo"}
        rules |= {f"{ours}feed_forward.layer.{a}": f"{block}{n}.DenseReluDense.{b}" for a, b in dense.items()}
    return rules
