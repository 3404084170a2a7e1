"""What the pairs of encoder and decoder have in common."""

from typing import Any

from .family import num_labels
from .keys import Values

SHARED, SOURCE = "*.shared.weight", "*.encoder.embed_tokens.weight"
TARGET, OUTPUT = "*.decoder.embed_tokens.weight", "lm_head.weight"
TABLES = {
    "source.tokens.weight": SOURCE,
    "embedding.tokens.weight": SOURCE,  # of an encoder by itself
    "target.tokens.weight": TARGET,
    "seq2seq_lm.output.weight": OUTPUT,
    "sequence_classification.dense": "classification_head.dense",
    "sequence_classification.output": "classification_head.out_proj",
}
UNUSED = r"\*\.shared\.weight"  # where each has a table of its own


def ties(*names: str) -> list[tuple[str, str]]:
    """These tensors, tied to the shared one; where the file lacks that one, the first of them that it has serves."""
    return [(name, SHARED) for name in names]


def pair_fields(c: Values) -> dict[str, Any]:
    """The fields of Config."""
    shared = not c.separate & {SOURCE, TARGET}
    return {
        "head_activation": "tanh",
        "num_labels": num_labels(c),
        "pooling": "last",
        "tie_word_embeddings": not c.separate & {OUTPUT, TARGET},
        "share_encoder_decoder_embeddings": shared,
        "decoder_vocab_size": None if shared else c.vocab_size,
    }
