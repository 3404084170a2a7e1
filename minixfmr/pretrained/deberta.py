"""DeBERTa, versions 1 to 3."""

from .bert import (
    BIAS,
    ENCODER,
    FIRST,
    MATRIX,
    SIZES,
    bert_block,
    block_names,
    embedding_names,
    encoder_fields,
    heads,
    ties,
)
from .family import BODY, Family, activation
from .keys import free, must, must_all, read, to, tokens

KEYS = {
    **ENCODER,
    **SIZES,
    **tokens(0, None, None),
    **free("pooler_dropout cls_dropout max_rel_pos_"),
    **must_all(None, "embedding_size attention_head_size"),
    **must_all(False, "talking_head"),
    "vocab_size": to("vocab_size", 50265),
    "type_vocab_size": to("type_vocab_size", 0),
    "layer_norm_eps": to("layer_norm_eps", 1e-7),
    "relative_attention": read(False),
    "max_relative_positions": read(-1, decides="relative_max_distance"),
    "position_biased_input": read(True),
    "pos_att_type": read(None, decides="disentangled_terms"),
    "pooler_hidden_act": read("gelu"),
    "pooler_hidden_size": read(None),
    "legacy": read(True),
    "position_buckets": read(-1),
    "norm_rel_ebd": read("none"),
    "share_att_key": to("shared_position_projections", False),
    "conv_kernel_size": to("convolution", 0),
    "conv_act": read("tanh"),
    "conv_groups": must(1),
}
V2 = {
    "vocab_size": to("vocab_size", 128100),
    "hidden_size": to("d_model", 1536),
    "num_hidden_layers": to("num_encoder_layers", 24),
    "num_attention_heads": to("num_heads", 24),
    "intermediate_size": to("d_ff", 6144),
}


def words(text):
    """ "P2C | c2p" → ["p2c", "c2p"]"""
    return [word.strip() for word in text.lower().split("|")]


def fields(c, head):
    """The fields of Config that are not one key each. Raises CheckpointError for options of no published model."""
    v1, d = c.kind == "deberta", c.hidden_size
    if c.pooler_hidden_size not in (None, d):
        raise c.refuse("pooler_hidden_size", f"cannot be obeyed here, only hidden_size = {d}")
    terms = c.pos_att_type or []
    terms = words(terms) if isinstance(terms, str) else terms
    known = isinstance(terms, list) and set(terms) <= {"c2p", "p2c"} and len(set(terms)) == len(terms)
    if not known or (c.relative_attention and not terms):
        raise c.refuse("pos_att_type", "must name c2p, p2c or both, as c2p|p2c")
    furthest = c.max_relative_positions if c.max_relative_positions >= 1 else c.max_position_embeddings
    is_classifier = head == "sequence_classification"
    return encoder_fields(c) | {
        "positions": "learned" if c.position_biased_input else "none",
        "embedding_padding": False,
        "relative_positions": "disentangled" if c.relative_attention else "none",
        "disentangled_terms": "|".join(terms),
        "relative_buckets": 0 if v1 else max(c.position_buckets, 0),
        "relative_max_distance": furthest,
        "relative_norm": not v1 and c.relative_attention and "layer_norm" in words(c.norm_rel_ebd),
        "key_bias": not v1,
        "attention_scale": (d // c.num_attention_heads * (1 + len(terms))) ** -0.5,
        "convolution_activation": activation(c, "conv_act"),
        "head_activation": activation(c, "pooler_hidden_act" if is_classifier else "hidden_act"),
        "tie_word_embeddings": not c.legacy or MATRIX not in c.separate,
    }


def names(c, config):
    """{our name: their name}"""
    projections, rest = bert_block()
    attention = f"{BODY}encoder.layer.{{i}}.attention.self."
    ours = "encoder.blocks.{i}.self_attention.layer."
    if c.kind == "deberta":  # query, key and value lie in one matrix, by head; the key has no bias
        extra: dict = {
            f"{ours}{part}.weight": (attention + "in_proj.weight", ("heads", k))
            for k, part in enumerate(("query", "key", "value"))
        }
        extra |= {f"{ours}query.bias": attention + "q_bias", f"{ours}value.bias": attention + "v_bias"}
        to_key, to_query = "pos_proj", "pos_q_proj"
    else:
        projections |= {part: f"{attention}{part}_proj" for part in ("query", "key", "value")}
        extra, to_key, to_query = {}, "pos_key_proj", "pos_query_proj"
    lm = config.head == "masked_lm"
    return (
        embedding_names()
        | block_names(projections, rest)
        | extra
        | {
            "head.dense": "cls.predictions.transform.dense" if lm else "pooler.dense",
            "head.norm": "cls.predictions.transform.LayerNorm",
            "head.bias": c.own(BIAS, FIRST),
            "head.output.weight": MATRIX if lm else "classifier.weight",
            "head.output.bias": "classifier.bias",
            "encoder.relative_positions": f"{BODY}encoder.rel_embeddings",
            "encoder.relative_positions.norm": f"{BODY}encoder.LayerNorm",
            "encoder.blocks.{i}.convolution": f"{BODY}encoder.conv.conv",
            "encoder.blocks.{i}.norm": f"{BODY}encoder.conv.LayerNorm",
            f"{ours}score_bias.to_key": attention + to_key,
            f"{ours}score_bias.to_query": attention + to_query,
        }
    )


MODERN = (  # the head of version 3 as Microsoft and transformers' legacy = false have it
    (r"^lm_predictions\.lm_head\.bias$", "cls.predictions.bias"),
    (r"^lm_predictions\.lm_head\.", "cls.predictions.transform."),
)


def spelling(published):
    """MODERN the other way round, where it is the file's way."""
    if published.get("legacy", True):
        return ()
    head = "lm_predictions.lm_head."
    return (r"^cls\.predictions\.transform\.", head), (r"^cls\.predictions\.", head)


OUTSIDE = r"(cls|lm_predictions|mask_predictions|pooler|classifier|qa_outputs)\."
UNUSED = OUTSIDE + r".*|\*\.embeddings\.position_embeddings\.weight|\*\.encoder\.LayerNorm\.\w+"
FAMILIES = [
    Family(
        kind,
        heads(name),
        KEYS | keys,
        fields,
        names,
        "deberta.",
        ties,
        OUTSIDE,
        UNUSED,
        old_names=MODERN,
        spelling=spelling,
    )
    for kind, name, keys in (("deberta", "Deberta", {}), ("deberta-v2", "DebertaV2", V2))
]
