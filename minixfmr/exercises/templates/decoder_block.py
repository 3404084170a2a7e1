"""The decoder block: self-attention, cross-attention to the encoder's output, then a feed-forward layer.

    h₁ = norm₁(x + self_attention(x))
    h₂ = norm₂(h₁ + cross_attention(h₁, memory))
    y  = norm₃(h₂ + feed_forward(h₂))                                (Vaswani et al. 2017, section 3.1: post-norm)

    x: (B, T, d)    memory: (B, S, d)    →    y: (B, T, d)

The parameters come in a dictionary p:

    w_q, w_k, w_v, w_o: (d, d) of the self-attention    cross_w_q, cross_w_k, cross_w_v, cross_w_o: (d, d)
    w1: (d, f)  b1: (f,)  w2: (f, d)  b2: (d,)
    norm1_weight, norm1_bias, norm2_weight, norm2_bias, norm3_weight, norm3_bias: (d,)    eps = 1e-5

Two masks: one for the self-attention (look-ahead, and the padding of the target) and one for the memory. Each
residual path is a fork, and so is h₁ itself. Import your earlier files:

    from cross_attention import cross_attention_backward, cross_attention_forward
    from feed_forward import feed_forward_backward, feed_forward_forward
    from layer_norm import layer_norm_backward, layer_norm_forward
    from multi_head_attention import multi_head_attention_backward, multi_head_attention_forward
"""

import numpy as np


def decoder_block_forward(x, memory, p, num_heads, mask, memory_mask):
    """x: (B, T, d), memory: (B, S, d), p: the dictionary above → (y, saved), y: (B, T, d)

    mask: boolean, True = may attend, broadcastable to (B, H, T, T); or None
    memory_mask: (B, S) boolean, True = a real token; or None
    """
    raise NotImplementedError


def decoder_block_backward(dy, saved):
    """dy: (B, T, d) → dx: (B, T, d), dmemory: (B, S, d), dp: a dictionary with the keys of p"""
    raise NotImplementedError
