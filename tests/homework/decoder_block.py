"""Decoder block, post-norm: self-attention, cross-attention, feed-forward."""

from cross_attention import cross_attention_backward, cross_attention_forward
from feed_forward import feed_forward_backward, feed_forward_forward
from layer_norm import layer_norm_backward, layer_norm_forward
from multi_head_attention import multi_head_attention_backward, multi_head_attention_forward


def decoder_block_forward(x, memory, p, num_heads, mask, memory_mask):
    own_weights = p["w_q"], p["w_k"], p["w_v"], p["w_o"]
    attended, self_cache = multi_head_attention_forward(x, *own_weights, num_heads, mask)
    h1, norm1_cache = layer_norm_forward(x + attended, p["norm1_weight"], p["norm1_bias"])

    cross_weights = p["cross_w_q"], p["cross_w_k"], p["cross_w_v"], p["cross_w_o"]
    crossed, cross_cache = cross_attention_forward(h1, memory, *cross_weights, num_heads, memory_mask)
    h2, norm2_cache = layer_norm_forward(h1 + crossed, p["norm2_weight"], p["norm2_bias"])

    fed, feed_cache = feed_forward_forward(h2, p["w1"], p["b1"], p["w2"], p["b2"])
    y, norm3_cache = layer_norm_forward(h2 + fed, p["norm3_weight"], p["norm3_bias"])
    cache = (self_cache, norm1_cache, cross_cache, norm2_cache, feed_cache, norm3_cache)
    return y, cache


def decoder_block_backward(dout, cache):
    self_cache, norm1_cache, cross_cache, norm2_cache, feed_cache, norm3_cache = cache
    dp = {}

    dsum3, dp["norm3_weight"], dp["norm3_bias"] = layer_norm_backward(dout, norm3_cache)
    dfed, dp["w1"], dp["b1"], dp["w2"], dp["b2"] = feed_forward_backward(dsum3, feed_cache)
    dh2 = dsum3 + dfed

    dsum2, dp["norm2_weight"], dp["norm2_bias"] = layer_norm_backward(dh2, norm2_cache)
    dcrossed, dmemory, *dcross = cross_attention_backward(dsum2, cross_cache)
    dp["cross_w_q"], dp["cross_w_k"], dp["cross_w_v"], dp["cross_w_o"] = dcross
    dh1 = dsum2 + dcrossed

    dsum1, dp["norm1_weight"], dp["norm1_bias"] = layer_norm_backward(dh1, norm1_cache)
    dattended, *down = multi_head_attention_backward(dsum1, self_cache)
    dp["w_q"], dp["w_k"], dp["w_v"], dp["w_o"] = down
    dx = dsum1 + dattended
    return dx, dmemory, dp
