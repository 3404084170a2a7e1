"""DeBERTa, version 1; deberta_v2.py says how versions 2 and 3 differ."""

from .bert import BODY, HEADS, TIES
from .encoders import ENCODER, SIZES, encoder_fields, encoder_heads
from .family import Family, activation
from .keys import free, like, must_all, read, to, tokens, with_defaults

KEYS = {
    **ENCODER,
    **with_defaults(SIZES, layer_norm_eps=1e-7),
    **tokens(0, None, None),
    **free("pooler_dropout cls_dropout max_rel_pos_"),
    **must_all(False, "talking_head"),
    "vocab_size": to("vocab_size", 50265),
    "type_vocab_size": to("type_vocab_size", 0),
    "relative_attention": read(False),
    "max_relative_positions": read(-1, decides="relative_max_distance"),
    "position_biased_input": read(True),
    "pos_att_type": read(None, decides="disentangled_terms"),
    "pooler_hidden_act": read("gelu"),
    "pooler_hidden_size": like("hidden_size"),
    "embedding_size": like("hidden_size"),
    "legacy": read(True),
}
USUAL = {
    **BODY,
    "encoder.relative_positions": "*.encoder.rel_embeddings",
    **HEADS,
    "sequence_classification.dense": "pooler.dense",
}
ATTENTION = "encoder.blocks.{i}.self_attention.layer."
SELF = "*.encoder.layer.{i}.attention.self."
NAMES = {
    **USUAL,
    **{f"{ATTENTION}{part}": (f"{SELF}in_proj", ("heads", k)) for k, part in enumerate(("query", "key", "value"))},
    f"{ATTENTION}query.bias": f"{SELF}q_bias",  # the key has none
    f"{ATTENTION}value.bias": f"{SELF}v_bias",
    f"{ATTENTION}score_bias.to_key": f"{SELF}pos_proj",
    f"{ATTENTION}score_bias.to_query": f"{SELF}pos_q_proj",
}


def words(text):
    """ "P2C | c2p" → ["p2c", "c2p"]"""
    return [word.strip() for word in text.lower().split("|")]


def fields(c, head):
    """The fields of Config that are not one key each. Raises CheckpointError for options of no published model."""
    d = c.hidden_size
    terms = c.pos_att_type or []
    terms = words(terms) if isinstance(terms, str) else terms
    known = isinstance(terms, list) and set(terms) <= {"c2p", "p2c"} and len(set(terms)) == len(terms)
    if not known or (c.relative_attention and not terms):
        raise c.refuse("pos_att_type", "must name c2p, p2c or both, as c2p|p2c")
    usual = encoder_fields(c, head)
    if head == "sequence_classification":
        usual["head_activation"] = activation(c, "pooler_hidden_act")
    return usual | {
        "positions": "learned" if c.position_biased_input else "none",
        "embedding_padding": False,
        "relative_positions": "disentangled" if c.relative_attention else "none",
        "disentangled_terms": "|".join(terms),
        "relative_buckets": 0,
        "relative_max_distance": c.max_relative_positions
        if c.max_relative_positions >= 1
        else c.max_position_embeddings,
        "key_bias": False,
        "attention_scale": (d // c.num_attention_heads * (1 + len(terms))) ** -0.5,
        "tie_word_embeddings": not c.legacy or TIES[0][0] not in c.separate,
    }


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


def family(kind, name, keys, fields=fields, names=NAMES):
    """One of the two."""
    return Family(
        kind,
        encoder_heads(name),
        keys,
        fields,
        names,
        "deberta.",
        ties=lambda c: TIES,
        others="lm_predictions mask_predictions",
        unused=r"\*\.embeddings\.position_embeddings\.weight|\*\.encoder\.LayerNorm\.\w+",
        old_names=MODERN,
        spelling=spelling,
    )


FAMILIES = [family("deberta", "Deberta", KEYS)]
