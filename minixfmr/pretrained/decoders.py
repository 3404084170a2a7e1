"""What the decoders have in common."""

from typing import Any

from ..models import DecoderOnly
from .family import heads, num_labels, token_fields
from .keys import COMMON, Values, free, must_all

DECODER = {  # what may be in the folder of any
    **COMMON,
    **free("classifier_dropout embd_pdrop embed_dropout is_decoder pretraining_tp rope_interleaved"),
    **must_all(True, "is_causal"),
    **must_all(None, "sliding_window layer_types attention_chunk_size"),
}
OUTPUTS = {
    "causal_lm.output": "lm_head",
    "sequence_classification.output": "score",
    "token_classification.output": "classifier",
}


def decoder_heads(name: str) -> dict[str, tuple[Any, str]]:
    """{architecture: (class of model, head)}"""
    return heads(DecoderOnly, name, "causal_lm", "sequence_classification", "token_classification")


def decoder_fields(c: Values, padded: bool = False) -> dict[str, Any]:
    """The fields of Config. A classifier looks at the last token that is not padding by its id. padded: see
    token_fields"""
    return token_fields(c, padded) | {
        "pooling": "last" if c.pad_token_id is None else "last_by_id",
        "num_labels": num_labels(c),
        "norm_order": "pre",
        "scale_embeddings": False,
    }
