"""ALBERT: one block for all layers, over narrow embeddings."""

from .bert import KEYS as BERT
from .encoders import EMBEDDINGS, POOLER, TABLE, encoder_fields, encoder_heads
from .family import Family
from .keys import free, must, to, tokens, with_defaults
from .layouts import block

KEYS = {
    **with_defaults(
        BERT,
        vocab_size=30000,
        hidden_size=4096,
        num_attention_heads=64,
        intermediate_size=16384,
        hidden_act="gelu_new",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    ),
    **tokens(0, 2, 3),
    **free("classifier_dropout_prob net_structure_type num_memory_blocks gap_size down_scale_factor"),
    "embedding_size": to("embedding_size", 128),
    "num_hidden_groups": must(1),
    "inner_group_num": must(1),
}
NAMES = {
    **EMBEDDINGS,
    "embedding.projection": "*.encoder.embedding_hidden_mapping_in",
    **block(
        "encoder.blocks.{i}.",
        "*.encoder.albert_layer_groups.0.albert_layers.0.",
        self_attention=("attention.LayerNorm", *(f"attention.{name}" for name in ("query", "key", "value", "dense"))),
        feed_forward=("full_layer_layer_norm", "ffn", "ffn_output"),
    ),
    "masked_lm.dense": "predictions.dense",
    "masked_lm.norm": "predictions.LayerNorm",
    "masked_lm.output": "predictions.decoder",
    "masked_lm.bias": "predictions.decoder.bias",
    "sequence_classification.dense": "*.pooler",
    "sequence_classification.output": "classifier",
    "token_classification.output": "classifier",
}
TIES = [("predictions.decoder.weight", f"{TABLE}.weight"), ("predictions.decoder.bias", "predictions.bias")]
FAMILIES = [
    Family(
        "albert",
        encoder_heads("Albert"),
        KEYS,
        lambda c, head: encoder_fields(c, head) | {"shared_blocks": True},
        NAMES,
        "albert.",
        ties=lambda c: TIES,
        others="sop_classifier",
        unused=POOLER,
        aliases={"AlbertForPreTraining": "AlbertForMaskedLM"},
    )
]
