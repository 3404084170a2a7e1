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
from .attention import (
    KeyValueCache,
    MultiHeadAttention,
    attention,
    attention_backward,
    merge_heads,
    split_heads,
)
from .attention_variants import (
    VariantAttention,
    repeat_heads,
    repeat_heads_backward,
)
from .convolution import (
    Convolution,
    convolution,
    convolution_backward,
)
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
from .feedforward import (
    FeedForward,
    GatedFeedForward,
)
from .linear import (
    Linear,
    OutputProjection,
    linear,
    linear_backward,
    output_logits,
    output_logits_backward,
)
from .long_attention import (
    long_attention,
    long_attention_backward,
)
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
from .relative import (
    DisentangledBias,
    RelativeBias,
    relative_buckets,
)
from .rotary import (
    Rotary,
    rotary_frequencies,
    rotate,
)
