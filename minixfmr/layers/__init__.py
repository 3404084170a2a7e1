"""The layers of a Transformer, each a pair of pure functions with the class that holds its parameters below."""

from .activations import (
    ACTIVATIONS,
    Activation,
    gelu,
    gelu_backward,
    gelu_tanh,
    gelu_tanh_backward,
    relu,
    relu_backward,
)
from .attention import KeyValueCache, MultiHeadAttention, attention, attention_backward, merge_heads, split_heads
from .dropout import Dropout, dropout, dropout_backward
from .embedding import Embedding, check_ids, embedding, embedding_backward
from .feedforward import FeedForward
from .linear import Linear, OutputProjection, linear, linear_backward, output_logits, output_logits_backward
from .normalization import LayerNorm, layer_norm, layer_norm_backward
from .positions import (
    LearnedPositions,
    SinusoidalPositions,
    add_positions,
    add_positions_backward,
    sinusoidal_table,
)

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Dropout",
    "Embedding",
    "FeedForward",
    "KeyValueCache",
    "LayerNorm",
    "LearnedPositions",
    "Linear",
    "MultiHeadAttention",
    "OutputProjection",
    "SinusoidalPositions",
    "add_positions",
    "add_positions_backward",
    "attention",
    "attention_backward",
    "check_ids",
    "dropout",
    "dropout_backward",
    "embedding",
    "embedding_backward",
    "gelu",
    "gelu_backward",
    "gelu_tanh",
    "gelu_tanh_backward",
    "layer_norm",
    "layer_norm_backward",
    "linear",
    "linear_backward",
    "merge_heads",
    "output_logits",
    "output_logits_backward",
    "relu",
    "relu_backward",
    "sinusoidal_table",
    "split_heads",
]
