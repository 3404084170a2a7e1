"""Encoder block, post-norm: self-attention and feed-forward, each with a residual path and a norm."""

from feed_forward import feed_forward_backward, feed_forward_forward
from layer_norm import layer_norm_backward, layer_norm_forward
from multi_head_attention import multi_head_attention_backward, multi_head_attention_forward


def encoder_block_forward(x, p, num_heads, mask):
    attended, attention_cache = multi_head_attention_forward(x, p["w_q"], p["w_k"], p["w_v"], p["w_o"], num_heads, mask)
    h, norm1_cache = layer_norm_forward(x + attended, p["norm1_weight"], p["norm1_bias"])
    fed, feed_cache = feed_forward_forward(h, p["w1"], p["b1"], p["w2"], p["b2"])
    y, norm2_cache = layer_norm_forward(h + fed, p["norm2_weight"], p["norm2_bias"])
    cache = (attention_cache, norm1_cache, feed_cache, norm2_cache)
    return y, cache


def encoder_block_backward(dout, cache):
    attention_cache, norm1_cache, feed_cache, norm2_cache = cache
    dp = {}

    dsum2, dp["norm2_weight"], dp["norm2_bias"] = layer_norm_backward(dout, norm2_cache)
    dfed, dp["w1"], dp["b1"], dp["w2"], dp["b2"] = feed_forward_backward(dsum2, feed_cache)
    dh = dsum2 + dfed

    dsum1, dp["norm1_weight"], dp["norm1_bias"] = layer_norm_backward(dh, norm1_cache)
    dattended, dp["w_q"], dp["w_k"], dp["w_v"], dp["w_o"] = multi_head_attention_backward(dsum1, attention_cache)
    dx = dsum1 + dattended
    return dx, dp
