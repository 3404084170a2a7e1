"""PEGASUS: BART with the norms first, and the paper's sinusoids, which lie in the file."""

from ..models import EncoderDecoder
from .bart import family
from .bart import fields as bart_fields
from .family import heads
from .keys import tokens


def fields(c, head):
    """The fields of Config that are not one key each."""
    return bart_fields(c, head) | {
        "positions": "sinusoidal_stored",
        "position_offset": 0,
        "embedding_norm": False,
        "norm_order": "pre",
    }


FAMILIES = [family("pegasus", heads(EncoderDecoder, "Pegasus", "seq2seq_lm"), tokens(0, None, 1, 0), fields)]
