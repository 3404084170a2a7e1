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
    silu,
    silu_backward,
    tanh,
    tanh_backward,
)
from .attention import attention, attention_backward
from .cache import KeyValueCache
from .dropout import (
    Dropout,
    dropout,
    dropout_backward,
)
from .embedding import (
    Embedding,
    check_ids,
    embedding,
    embedding_backward,
)
from .feedforward import FeedForward
from .linear import (
    Linear,
    OutputProjection,
    linear,
    linear_backward,
    output_logits,
    output_logits_backward,
)
from .multi_head import MultiHeadAttention, merge_heads, split_heads
from .normalization import (
    LayerNorm,
    RMSNorm,
    layer_norm,
    layer_norm_backward,
    rms_norm,
    rms_norm_backward,
)
from .positions import (
    LearnedPositions,
    SinusoidalPositions,
    add_positions,
    add_positions_backward,
    sinusoidal_table,
)
from .softmax import log_softmax, softmax
from .variants.convolution import (
    Convolution,
    convolution,
    convolution_backward,
)
from .variants.gated import GatedFeedForward
from .variants.grouped_heads import (
    VariantAttention,
    repeat_heads,
    repeat_heads_backward,
)
from .variants.long_attention import (
    long_attention,
    long_attention_backward,
)
from .variants.relative import (
    DisentangledBias,
    RelativeBias,
    relative_buckets,
)
from .variants.rotary import (
    Rotary,
    rotary_frequencies,
    rotate,
)
