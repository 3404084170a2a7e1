"""The architectures."""

# fmt: off
from ..checks.fields import ConfigError
from .blocks import DecoderBlock, EncoderBlock
from .config import Config
from .decoder_only import DecoderOnly
from .decoding import DecodingState, PromptState
from .encoder_decoder import EncoderDecoder
from .encoder_only import EncoderOnly
from .heads import LanguageModelHead
from .inputs import InputEmbedding
from .masks import causal_mask, padding_mask
from .model import Model
from .residual import PostNorm, PreNorm
from .stack import DecoderStack, Stack
from .variants.blocks import ConvolutionBlock
from .variants.heads import MaskedLMHead, SequenceClassifier, TokenClassifier, pool
from .variants.masks import prefix_mask, sliding_window_mask

__all__ = [
    "Config", "ConfigError", "ConvolutionBlock", "DecoderBlock", "DecoderOnly", "DecoderStack", "DecodingState",
    "EncoderBlock", "EncoderDecoder", "EncoderOnly", "InputEmbedding", "LanguageModelHead", "MaskedLMHead",
    "Model", "PostNorm", "PreNorm", "PromptState", "SequenceClassifier", "Stack", "TokenClassifier",
    "causal_mask", "padding_mask", "pool", "prefix_mask", "sliding_window_mask",
]
