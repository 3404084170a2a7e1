"""Marian: BART with the paper's sinusoids, which lie in the file, and, for some pairs, two vocabularies."""

from ..models import EncoderDecoder
from .bart import KEYS as BART
from .bart import TIES, family
from .bart import fields as bart_fields
from .family import heads
from .keys import read, tokens, with_defaults
from .pairs import OUTPUT, TARGET

KEYS = {
    **with_defaults(BART, vocab_size=58101),
    **tokens(58100, None, 0, 58100),
    "decoder_vocab_size": read(None),
    "share_encoder_decoder_embeddings": read(True),
}
ARCHITECTURES = {"MarianMTModel": (EncoderDecoder, "seq2seq_lm")} | heads(EncoderDecoder, "Marian")


def ties(c):
    """The two tables and the output matrix, or, with two vocabularies, the output matrix alone."""
    return TIES if c.share_encoder_decoder_embeddings else [(OUTPUT, TARGET)]


def fields(c, head):
    """The fields of Config that are not one key each."""
    usual = bart_fields(c, head) | {"positions": "sinusoidal_stored", "position_offset": 0, "embedding_norm": False}
    if c.share_encoder_decoder_embeddings and usual["share_encoder_decoder_embeddings"]:
        return usual
    tied = {"tie_word_embeddings": OUTPUT not in c.separate} if not c.share_encoder_decoder_embeddings else {}
    vocabulary = c.decoder_vocab_size or c.vocab_size
    return usual | tied | {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": vocabulary}


FAMILIES = [family("marian", ARCHITECTURES, KEYS, fields, ties)]
