"""M2M100 and NLLB: BART with the norms first, and tensor2tensor's sinusoids, counted from padding."""

from ..models import EncoderDecoder
from .bart import KEYS as BART
from .bart import family
from .bart import fields as bart_fields
from .family import heads, token_fields
from .keys import tokens, with_defaults

KEYS = {
    **with_defaults(BART, vocab_size=128112, activation_function="relu", attention_dropout=0.1, scale_embedding=True),
    **tokens(1, 0, 2, 2),
}


def fields(c, head):
    """The fields of Config that are not one key each."""
    return bart_fields(c, head) | {
        **token_fields(c, counted=True),
        "positions": "sinusoidal_t2t",
        "embedding_norm": False,
        "norm_order": "pre",
        "logits_bias": False,
    }


HEADS = heads(EncoderDecoder, "M2M100", "seq2seq_lm")
TABLE = (r"(model\.)?(encoder|decoder)\.embed_positions\.weight",)  # computed, and stored by old versions
FAMILIES = [family("m2m_100", HEADS, KEYS, fields, leftovers=TABLE)]
