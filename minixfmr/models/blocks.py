"""Blocks: sublayers in residual branches."""

from ..backend import random_generator
from ..layers import Activation, Convolution
from ..module import Module
from .parts import make_attention, make_feed_forward, make_norm
from .residual import PostNorm, PreNorm


def _residual(layer, config):
    order = PreNorm if config.norm_order == "pre" else PostNorm
    return order(layer, make_norm(config), config.dropout)


class EncoderBlock(Module):
    """Self-attention, then a feed-forward layer. Under a look-ahead mask it is the block of a decoder-only model."""

    def __init__(self, config, rng=0, positions=None):
        rng = random_generator(rng)
        self.self_attention = _residual(make_attention(config, rng, positions), config)
        self.feed_forward = _residual(make_feed_forward(config, rng), config)

    def forward(self, x, mask=None, rng=None, cache=None):
        """x: (B, T, d) → (B, T, d)    mask: broadcastable to (B, H, T, T)    cache: a KeyValueCache when generating"""
        a, saved_self = self.self_attention.forward(x, mask=mask, rng=rng, cache=cache)
        y, saved_ff = self.feed_forward.forward(a, rng=rng)
        return y, (saved_self, saved_ff)

    def backward(self, dy, saved):
        saved_self, saved_ff = saved
        da = self.feed_forward.backward(dy, saved_ff)
        return self.self_attention.backward(da, saved_self)

    def attention_weights(self, saved):
        """The self-attention weights (B, H, T, T) out of what forward saved."""
        return self.self_attention.attention_weights(saved[0])


class ConvolutionBlock(EncoderBlock):
    """An encoder block that also looks at each token's neighbours:   y = norm(block(x) + activation(conv(x))), zero at
    padding. The first block of DeBERTa v2 xlarge, whose last real token does read a neighbour that is padding."""

    def __init__(self, config, rng=0, positions=None):
        rng = random_generator(rng)
        super().__init__(config, rng, positions)
        self.convolution = Convolution(config.d_model, config.d_model, config.convolution, rng=rng, dtype=config.dtype)
        self.activation = Activation(config.convolution_activation)
        self.norm = make_norm(config)

    def forward(self, x, mask=None, rng=None, cache=None):
        """x: (B, T, d) → (B, T, d)    mask: None or a padding_mask, (B, 1, 1, T)"""
        b, saved_block = super().forward(x, mask, rng, cache)
        c, saved_convolution = self.convolution.forward(x)
        real = 1 if mask is None else mask[:, 0, 0, :, None]  # (B, T, 1)
        a, saved_activation = self.activation.forward(c * real)
        y, saved_norm = self.norm.forward(b + a)
        return y * real, (saved_block, saved_convolution, saved_activation, saved_norm, real)

    def backward(self, dy, saved):
        saved_block, saved_convolution, saved_activation, saved_norm, real = saved
        db = self.norm.backward(dy * real, saved_norm)
        dc = self.activation.backward(db, saved_activation) * real
        return self.convolution.backward(dc, saved_convolution) + super().backward(db, saved_block)

    def attention_weights(self, saved):
        return super().attention_weights(saved[0])


class DecoderBlock(Module):
    """Self-attention over the target so far, cross-attention to the encoder's output, a feed-forward layer."""

    def __init__(self, config, rng=0, positions=None):
        rng = random_generator(rng)
        self.self_attention = _residual(make_attention(config, rng, positions), config)
        self.cross_attention = _residual(make_attention(config, rng), config)
        self.feed_forward = _residual(make_feed_forward(config, rng), config)

    def forward(self, x, memory, mask=None, memory_mask=None, rng=None, cache=(None, None)):
        """x: (B, T, d)    memory, the encoder's output: (B, S, d)    →    (B, T, d)

        mask: broadcastable to (B, H, T, T); memory_mask: to (B, H, T, S)
        cache: a pair of KeyValueCaches, for self- and cross-attention, when generating
        """
        self_cache, cross_cache = cache
        a, saved_self = self.self_attention.forward(x, mask=mask, rng=rng, cache=self_cache)
        c, saved_cross = self.cross_attention.forward(a, memory, mask=memory_mask, rng=rng, cache=cross_cache)
        y, saved_ff = self.feed_forward.forward(c, rng=rng)
        return y, (saved_self, saved_cross, saved_ff)

    def backward(self, dy, saved):
        """(dx, dmemory)"""
        saved_self, saved_cross, saved_ff = saved
        dc = self.feed_forward.backward(dy, saved_ff)
        da, dmemory = self.cross_attention.backward(dc, saved_cross)
        return self.self_attention.backward(da, saved_self), dmemory

    def attention_weights(self, saved):
        """The self-attention (B, H, T, T) and cross-attention (B, H, T, S) weights out of what forward saved."""
        saved_self, saved_cross, _ = saved
        return self.self_attention.attention_weights(saved_self), self.cross_attention.attention_weights(saved_cross)
