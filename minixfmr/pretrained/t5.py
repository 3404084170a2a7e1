"""T5 and T5 v1.1 (FLAN); mt5.py says how mT5 and umT5 differ."""

from ..models import EncoderDecoder, EncoderOnly
from .family import Family, activation, heads, token_fields
from .keys import COMMON, free, must_all, read, to, tokens
from .layouts import block
from .pairs import OUTPUT, SOURCE, TABLES, TARGET, UNUSED, pair_fields, ties

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
TIES = ties(SOURCE, TARGET, OUTPUT)  # whatever the configuration says, unless the file has tensors of their own
TABLE = "layer.0.SelfAttention.relative_attention_bias"
NAMES = {
    **TABLES,
    "encoder.norm": "*.encoder.final_layer_norm",
    "decoder.norm": "*.decoder.final_layer_norm",
    "encoder.relative_positions": f"*.encoder.block.0.{TABLE}",
    "decoder.relative_positions": f"*.decoder.block.0.{TABLE}",
    "token_classification.output": "classifier",
}


def fields(c, head):
    """The fields of Config that are not one key each."""
    gate, _, name = c.feed_forward_proj.rpartition("-")
    if gate not in ("", "gated"):
        raise c.refuse("feed_forward_proj", "must be an activation, or gated- and an activation")
    name = "gelu_new" if gate and name == "gelu" else name  # v1.1's is the other one
    act = "dense_act_fn" if "dense_act_fn" in c.given else "feed_forward_proj"  # there, null is a value
    c = c.with_value("feed_forward_proj", name)
    scaled = c.scale_decoder_outputs if "scale_decoder_outputs" in c.given else c.tie_word_embeddings
    return token_fields(c, padded=False) | {
        **pair_fields(c),
        "num_decoder_layers": c.num_layers if c.num_decoder_layers is None else c.num_decoder_layers,
        "max_position_embeddings": 1 << 20,  # there is no table that could end
        "positions": "none",
        "relative_positions": "buckets",
        "norm_order": "pre",
        "norm": "rms",
        "gated_feed_forward": bool(c.is_gated_act if "is_gated_act" in c.given else gate),
        "activation": activation(c, act),
        "attention_bias": False,
        "feed_forward_bias": False,
        "attention_scale": 1.0,
        "scale_embeddings": False,
        "scale_output": bool(scaled),
        "attention_dropout": c.dropout_rate,
        "activation_dropout": c.dropout_rate,
    }


def sublayer(n, name, parts):
    """Their names of the n-th of a block."""
    return f"{n}.layer_norm", *(f"{n}.{name}.{part}" for part in parts)


def block_names(config):
    """{our name: their name} of the blocks"""
    dense = ("wi_0", "wi_1", "wo") if config.gated_feed_forward else ("wi", "wo")
    first = sublayer(0, "SelfAttention", "qkvo")
    return block(
        "encoder.blocks.{i}.",
        "*.encoder.block.{i}.layer.",
        self_attention=first,
        feed_forward=sublayer(1, "DenseReluDense", dense),
    ) | block(
        "decoder.blocks.{i}.",
        "*.decoder.block.{i}.layer.",
        self_attention=first,
        cross_attention=sublayer(1, "EncDecAttention", "qkvo"),
        feed_forward=sublayer(2, "DenseReluDense", dense),
    )


def family(kind, name, keys, fields=fields, names=NAMES):
    """One of the three."""
    pairs = heads(EncoderDecoder, name, "seq2seq_lm", "sequence_classification")
    encoders = {"ForTokenClassification": "token_classification", "EncoderModel": "none"}
    return Family(
        kind,
        pairs | {name + ending: (EncoderOnly, head) for ending, head in encoders.items()},
        keys,
        fields,
        names,
        "transformer.",
        ties=lambda c: TIES,
        unused=UNUSED,
        more_names=block_names,
        leftovers=(r"(transformer\.)?decoder\..*\.EncDecAttention\.relative_attention_bias\.weight",),  # never used
        always_tied=True,
        aliases={f"{name}WithLMHeadModel": f"{name}ForConditionalGeneration"},
        prefixed=("sequence_classification", "token_classification"),
    )


FAMILIES = [family("t5", "T5", KEYS)]
