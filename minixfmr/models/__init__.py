"""The architectures."""

from .blocks import ConvolutionBlock, Decoder, DecoderBlock, Encoder, EncoderBlock, PostNorm, PreNorm
from .config import Config, ConfigError
from .decoder_only import DecoderOnly, PromptState
from .encoder_decoder import DecodingState, EncoderDecoder
from .encoder_only import EncoderOnly
from .heads import LanguageModelHead, MaskedLMHead, SequenceClassifier, TokenClassifier, pool
from .inputs import InputEmbedding
from .masks import causal_mask, padding_mask, prefix_mask, sliding_window_mask
