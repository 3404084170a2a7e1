"""Cross-attention: the decoder looks at what the encoder read.

    Q = x W_Q,   K = memory W_K,   V = memory W_V
    headᵢ = attention(Qᵢ, Kᵢ, Vᵢ),   y = concat(head₀ ... head_H₋₁) W_O     (Vaswani et al. 2017, section 3.2.3)

    x: (B, T, d) the decoder's vectors    memory: (B, S, d) the encoder's output    →    y: (B, T, d)

Who asks and who answers is easily mixed up. If the values came from the decoder, every position would see those after
it, and the gradients would still be right. T and S differ here, which catches some of that.

The sources of a batch have different lengths and are padded: memory_mask says which of their tokens are real, and no
query may attend to the others. You may import your own attention:

    from attention import attention_backward, attention_forward
"""

import numpy as np


def cross_attention_forward(x, memory, w_q, w_k, w_v, w_o, num_heads, memory_mask):
    """x: (B, T, d), memory: (B, S, d), weights: (d, d), num_heads: H → (y, saved), y: (B, T, d)

    memory_mask: (B, S) boolean, True = a real token; or None
    """
    raise NotImplementedError


def cross_attention_backward(dy, saved):
    """dy: (B, T, d) → dx: (B, T, d), dmemory: (B, S, d), dw_q, dw_k, dw_v, dw_o: (d, d)"""
    raise NotImplementedError
