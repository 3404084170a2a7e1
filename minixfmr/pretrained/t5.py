"""T5, T5 v1.1 (FLAN), mT5 and umT5."""

from ..models import EncoderDecoder, EncoderOnly
from .family import BODY, Family, activation, num_labels, token_fields
from .keys import COMMON, free, must_all, read, to, tokens

KEYS = {
    **COMMON,
    **free("classifier_dropout n_positions output_past max_position_embeddings is_decoder"),
    **must_all(True, "is_causal"),
    "is_encoder_decoder": read(True),
    **must_all(None, "sliding_window layer_types"),
    **tokens(0, None, 1),
    "vocab_size": to("vocab_size", 32128),
    "d_model": to("d_model", 512, "hidden_size"),
    "d_kv": to("head_dim", 64, "head_dim"),
    "d_ff": to("d_ff", 2048),
    "num_layers": to("num_encoder_layers", 6, "num_hidden_layers"),
    "num_decoder_layers": read(None),
    "num_heads": to("num_heads", 8, "num_attention_heads"),
    "relative_attention_num_buckets": to("relative_buckets", 32),
    "relative_attention_max_distance": to("relative_max_distance", 128),
    "dropout_rate": to("dropout", 0.1),
    "layer_norm_epsilon": to("layer_norm_eps", 1e-6),
    "feed_forward_proj": read("relu"),
    "is_gated_act": read(None),
    "dense_act_fn": read(None),
    "scale_decoder_outputs": read(None),
}
MT5 = {
    **tokens(0, None, 1, 0),
    "vocab_size": to("vocab_size", 250112),
    "d_ff": to("d_ff", 1024),
    "num_layers": to("num_encoder_layers", 8, "num_hidden_layers"),
    "num_heads": to("num_heads", 6, "num_attention_heads"),
    "feed_forward_proj": read("gated-gelu"),
}
SHARED, OUTPUT = f"{BODY}shared.weight", "lm_head.weight"


def ties(c):
    """The two tables and the output matrix: tied whatever the configuration says, unless the file has its own."""
    return [(OUTPUT, SHARED), *((f"{BODY}{side}.embed_tokens.weight", SHARED) for side in ("encoder", "decoder"))]


def fields(c, head):
    """The fields of Config that are not one key each."""
    if head in ("seq2seq_lm", "sequence_classification") and not c.is_encoder_decoder:
        raise c.refuse("is_encoder_decoder", "cannot be obeyed here, only true")
    gate, _, name = c.feed_forward_proj.rpartition("-")
    if gate not in ("", "gated"):
        raise c.refuse("feed_forward_proj", "must be an activation, or gated- and an activation")
    name = "gelu_new" if gate and name == "gelu" else name  # v1.1's is the other one
    act = "dense_act_fn" if "dense_act_fn" in c.given else "feed_forward_proj"  # there, null is a value
    c = c.with_value("feed_forward_proj", name)
    scaled = c.scale_decoder_outputs if "scale_decoder_outputs" in c.given else c.tie_word_embeddings
    return token_fields(c, padded=False) | {
        "num_decoder_layers": c.num_layers if c.num_decoder_layers is None else c.num_decoder_layers,
        "max_position_embeddings": 1 << 20,  # there is no table that could end
        "positions": "none",
        "relative_positions": "buckets",
        "relative_per_block": c.kind == "umt5",
        "norm_order": "pre",
        "norm": "rms",
        "gated_feed_forward": bool(c.is_gated_act if "is_gated_act" in c.given else gate),
        "activation": activation(c, act),
        "attention_bias": False,
        "feed_forward_bias": False,
        "attention_scale": 1.0,
        "scale_embeddings": False,
        "head_activation": "tanh",
        "num_labels": num_labels(c),
        "pooling": "last",
        "tie_word_embeddings": OUTPUT not in c.separate,
        "scale_output": bool(scaled) and c.kind != "mt5",
        "attention_dropout": c.dropout_rate,
        "activation_dropout": c.dropout_rate,
    }


def names(c, config):
    """{our name: their name}"""
    outputs = {"seq2seq_lm": "lm_head", "sequence_classification": "classification_head.out_proj"}
    rules = {
        "source.tokens": f"{BODY}shared",
        "embedding.tokens": f"{BODY}shared",
        "head.dense": "classification_head.dense",
        "head.output": outputs.get(config.head, "classifier"),
    }
    letters = {"query": "q", "key": "k", "value": "v", "output": "o"}
    hidden = {"gate": "wi_0", "hidden": "wi_1"} if config.gated_feed_forward else {"hidden": "wi"}
    sides = {"encoder": ("SelfAttention",), "decoder": ("SelfAttention", "EncDecAttention")}
    for side, attentions in sides.items():
        rules[f"{side}.norm"] = f"{BODY}{side}.final_layer_norm"
        ours, block = f"{side}.blocks.{{i}}.", f"{BODY}{side}.block.{{i}}.layer."
        table = f"{BODY}{side}.block.0.layer.0.SelfAttention.relative_attention_bias"
        rules[f"{side}.relative_positions"] = table
        rules[f"{ours}self_attention.layer.score_bias"] = table.replace("block.0", "block.{i}")
        for n, (attention, name) in enumerate(zip(attentions, ("self_attention", "cross_attention"), strict=False)):
            rules[f"{ours}{name}.norm"] = f"{block}{n}.layer_norm"
            rules |= {f"{ours}{name}.layer.{a}": f"{block}{n}.{attention}.{b}" for a, b in letters.items()}
        n = len(attentions)
        rules[f"{ours}feed_forward.norm"] = f"{block}{n}.layer_norm"
        dense = {**hidden, "output": "wo"}
        rules |= {f"{ours}feed_forward.layer.{a}": f"{block}{n}.DenseReluDense.{b}" for a, b in dense.items()}
    return rules


def family(kind, name, keys):
    """One of the three."""
    heads = {
        f"{name}ForConditionalGeneration": (EncoderDecoder, "seq2seq_lm"),
        f"{name}ForSequenceClassification": (EncoderDecoder, "sequence_classification"),
        f"{name}ForTokenClassification": (EncoderOnly, "token_classification"),
        f"{name}Model": (EncoderDecoder, "none"),
        f"{name}EncoderModel": (EncoderOnly, "none"),
    }
    outside = r"(lm_head|classification_head|classifier|qa_outputs)\."
    never_used = r"(transformer\.)?decoder\..*\.EncDecAttention\.relative_attention_bias\.weight"
    return Family(
        kind,
        heads,
        KEYS | keys,
        fields,
        names,
        "transformer.",
        ties,
        outside,
        outside + r".*|\*\.decoder\..*",
        (never_used,),
        always_tied=True,
        aliases={f"{name}WithLMHeadModel": f"{name}ForConditionalGeneration"},
        prefixed=("sequence_classification", "token_classification"),
    )


FAMILIES = [family("t5", "T5", {}), family("mt5", "MT5", MT5), family("umt5", "UMT5", MT5)]
