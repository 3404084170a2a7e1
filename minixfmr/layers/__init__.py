"""The layers of a Transformer, each a pair of pure functions with the class that holds its parameters below."""

from .activations import ACTIVATIONS, Activation, gelu, gelu_backward, gelu_tanh, gelu_tanh_backward, relu
from .activations import relu_backward
from .attention import KeyValueCache, MultiHeadAttention, attention, attention_backward
from .attention import merge_heads, split_heads
from .dropout import Dropout, dropout, dropout_backward
from .embedding import Embedding, check_ids, embedding, embedding_backward
from .feedforward import FeedForward
from .linear import Linear, OutputProjection, linear, linear_backward, output_logits, output_logits_backward
from .normalization import LayerNorm, layer_norm, layer_norm_backward
from .positions import LearnedPositions, SinusoidalPositions, sinusoidal_table

__all__ = [name for name in dir() if not name.startswith("_")]
