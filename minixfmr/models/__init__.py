"""The architectures."""

from .blocks import Decoder, DecoderBlock, Encoder, EncoderBlock, PostNorm, PreNorm
from .config import Config, ConfigError
from .encoder_decoder import DecodingState, EncoderDecoder
from .inputs import InputEmbedding
from .masks import causal_mask, padding_mask

__all__ = [
    "Config",
    "ConfigError",
    "Decoder",
    "DecoderBlock",
    "DecodingState",
    "Encoder",
    "EncoderBlock",
    "EncoderDecoder",
    "InputEmbedding",
    "PostNorm",
    "PreNorm",
    "causal_mask",
    "padding_mask",
]
