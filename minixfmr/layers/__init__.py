"""The layers of a Transformer, each a pair of pure functions with the class that holds its parameters below."""

# fmt: off
from .activations import ACTIVATIONS, Activation, relu, relu_backward
from .attention import attention, attention_backward
from .cache import KeyValueCache
from .dropout import Dropout, dropout, dropout_backward
from .embedding import Embedding, embedding, embedding_backward
from .feedforward import FeedForward
from .linear import Linear, OutputProjection, linear, linear_backward, output_logits, output_logits_backward
from .multi_head import MultiHeadAttention, merge_heads, split_heads
from .normalization import LayerNorm, layer_norm, layer_norm_backward
from .positions import LearnedPositions, SinusoidalPositions, add_positions, add_positions_backward, sinusoidal_table
from .softmax import log_softmax, softmax, softmax_backward
from .variants.activations import (
    gelu, gelu_backward, gelu_tanh, gelu_tanh_backward, silu, silu_backward, tanh, tanh_backward,
)
from .variants.convolution import Convolution, convolution, convolution_backward
from .variants.gated import GatedFeedForward
from .variants.grouped_heads import VariantAttention, repeat_heads, repeat_heads_backward
from .variants.long_attention import long_attention, long_attention_backward
from .variants.positions import NoPositions, VariantWaves, halves_table
from .variants.relative import DisentangledBias, RelativeBias, relative_buckets
from .variants.rms_norm import OffsetRMSNorm, RMSNorm, rms_norm, rms_norm_backward
from .variants.rotary import Rotary, rotary_frequencies, rotate

__all__ = [
    "ACTIVATIONS", "Activation", "Convolution", "DisentangledBias", "Dropout", "Embedding", "FeedForward",
    "GatedFeedForward", "KeyValueCache", "LayerNorm", "LearnedPositions", "Linear", "MultiHeadAttention",
    "OffsetRMSNorm", "OutputProjection", "RMSNorm", "RelativeBias", "Rotary", "SinusoidalPositions", "VariantAttention",
    "VariantWaves", "add_positions", "add_positions_backward", "attention", "attention_backward",
    "convolution", "convolution_backward", "dropout", "dropout_backward", "embedding", "embedding_backward", "gelu",
    "gelu_backward", "gelu_tanh", "gelu_tanh_backward", "halves_table", "layer_norm", "layer_norm_backward", "linear",
    "linear_backward", "log_softmax", "long_attention", "long_attention_backward", "merge_heads",
    "output_logits", "output_logits_backward", "relative_buckets", "relu", "relu_backward", "repeat_heads",
    "repeat_heads_backward", "rms_norm", "rms_norm_backward", "rotary_frequencies", "rotate", "silu",
    "silu_backward", "sinusoidal_table", "softmax", "softmax_backward", "split_heads", "tanh", "tanh_backward",
]
