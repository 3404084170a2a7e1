"""Multi-head self-attention: several attentions side by side, each in a subspace of its own.

    Q = x W_Q,   K = x W_K,   V = x W_V
    headᵢ = attention(Qᵢ, Kᵢ, Vᵢ)        Qᵢ: columns i·dh ... (i+1)·dh - 1 of Q, dh = d / H
    y = concat(head₀ ... head_H₋₁) W_O                               (Vaswani et al. 2017, section 3.2.2)

    x: (B, T, d)    W_Q, W_K, W_V, W_O: (d, d), no biases    →    y: (B, T, d)

Splitting takes (B, T, d) to (B, H, T, dh). A reshape alone gives that shape too, and mixes up positions and heads:
reshape to (B, T, H, dh) first, then swap two axes. Undo it in the opposite order. No gradient check notices when
forward and backward are wrong in the same way; the comparison with the right result does.

x is used three times. You may import your own attention:

    from attention import attention_backward, attention_forward
"""

import numpy as np


def multi_head_attention_forward(x, w_q, w_k, w_v, w_o, num_heads, mask):
    """x: (B, T, d), weights: (d, d), num_heads: H → (y, saved), y: (B, T, d)

    mask: boolean, True = may attend, broadcastable to (B, H, T, T); or None
    """
    raise NotImplementedError


def multi_head_attention_backward(dy, saved):
    """dy: (B, T, d) → dx: (B, T, d), dw_q, dw_k, dw_v, dw_o: (d, d)"""
    raise NotImplementedError
