"""BERT."""

from .encoders import EMBEDDINGS, ENCODER, POOLER, SIZES, TABLE, encoder_fields, encoder_heads
from .family import Family
from .keys import must, to, tokens
from .layouts import block

KEYS = {
    **ENCODER,
    **SIZES,
    **tokens(0, None, None),
    "vocab_size": to("vocab_size", 30522),
    "type_vocab_size": to("type_vocab_size", 2),
    "position_embedding_type": must("absolute"),
}
BODY = EMBEDDINGS | block(
    "encoder.blocks.{i}.",
    "*.encoder.layer.{i}.",
    self_attention=(
        "attention.output.LayerNorm",
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
    ),
    feed_forward=("output.LayerNorm", "intermediate.dense", "output.dense"),
)
HEADS = {
    "masked_lm.dense": "cls.predictions.transform.dense",
    "masked_lm.norm": "cls.predictions.transform.LayerNorm",
    "masked_lm.output": "cls.predictions.decoder",
    "masked_lm.bias": "cls.predictions.decoder.bias",
    "sequence_classification.dense": "*.pooler.dense",
    "sequence_classification.output": "classifier",
    "token_classification.output": "classifier",
}
TIES = [
    ("cls.predictions.decoder.weight", f"{TABLE}.weight"),
    ("cls.predictions.decoder.bias", "cls.predictions.bias"),
]
FAMILIES = [
    Family(
        "bert",
        encoder_heads("Bert"),
        KEYS,
        encoder_fields,
        BODY | HEADS,
        "bert.",
        ties=lambda c: TIES,
        unused=POOLER,
        aliases={"BertForPreTraining": "BertForMaskedLM"},
    )
]
