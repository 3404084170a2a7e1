"""The encoder block: self-attention, then a feed-forward layer, each with a residual path and a norm after it.

    h = norm₁(x + self_attention(x))
    y = norm₂(h + feed_forward(h))                                   (Vaswani et al. 2017, section 3.1: post-norm)

    x: (B, T, d)    →    y: (B, T, d)

The parameters come in a dictionary p:

    w_q, w_k, w_v, w_o: (d, d)    w1: (d, f)  b1: (f,)  w2: (f, d)  b2: (d,)
    norm1_weight, norm1_bias, norm2_weight, norm2_bias: (d,)         eps = 1e-5

Nothing new is to be differentiated: the backward is the forward read from bottom to top, with your own functions. What
is left to get right is where two paths part, since there two gradients meet. Import your earlier files:

    from feed_forward import feed_forward_backward, feed_forward_forward
    from layer_norm import layer_norm_backward, layer_norm_forward
    from multi_head_attention import multi_head_attention_backward, multi_head_attention_forward
"""

import numpy as np


def encoder_block_forward(x, p, num_heads, mask):
    """x: (B, T, d), p: the dictionary above → (y, saved), y: (B, T, d)

    mask: boolean, True = may attend, broadcastable to (B, H, T, T); or None
    """
    raise NotImplementedError


def encoder_block_backward(dy, saved):
    """dy: (B, T, d) → dx: (B, T, d), dp: a dictionary with the keys of p and a gradient for each"""
    raise NotImplementedError
