"""Blocks: sublayers in residual branches; and stacks of blocks, the encoder and the decoder."""

from ..backend import random_generator, xp
from ..layers import Dropout, FeedForward, KeyValueCache, LayerNorm, MultiHeadAttention
from ..module import Module


class Residual(Module):
    """A sublayer f with its norm, in one of the two orders below.

    forward(x, ..., rng) passes whatever follows x on to f. backward returns dx, or (dx, dmemory) where f is
    cross-attention.
    """

    def __init__(self, layer, norm, dropout):
        self.layer = layer
        self.norm = norm
        self.dropout = Dropout(dropout)


class PostNorm(Residual):
    """y = norm(x + dropout(f(x))), the order of the paper (Vaswani et al. 2017, section 3.1)."""

    def forward(self, x, *inputs, rng=None, **options):
        f, saved_layer = self.layer.forward(x, *inputs, rng=rng, **options)
        f, saved_dropout = self.dropout.forward(f, rng)
        y, saved_norm = self.norm.forward(x + f)
        return y, (saved_layer, saved_dropout, saved_norm)

    def backward(self, dy, saved):
        saved_layer, saved_dropout, saved_norm = saved
        dsum = self.norm.backward(dy, saved_norm)
        df = self.dropout.backward(dsum, saved_dropout)
        dx, *dmemory = _as_tuple(self.layer.backward(df, saved_layer))
        dx = dx + dsum  # x went two ways: through f and past it
        return (dx, *dmemory) if dmemory else dx

    def attention_weights(self, saved):
        return self.layer.attention_weights(saved[0])


class PreNorm(Residual):
    """y = x + dropout(f(norm(x))): nothing stands in the way from y back to x, so deep stacks train without a long
    warm-up (Xiong et al. 2020). A stack of these ends in a norm of its own."""

    def forward(self, x, *inputs, rng=None, **options):
        n, saved_norm = self.norm.forward(x)
        f, saved_layer = self.layer.forward(n, *inputs, rng=rng, **options)
        f, saved_dropout = self.dropout.forward(f, rng)
        return x + f, (saved_norm, saved_layer, saved_dropout)

    def backward(self, dy, saved):
        saved_norm, saved_layer, saved_dropout = saved
        df = self.dropout.backward(dy, saved_dropout)
        dn, *dmemory = _as_tuple(self.layer.backward(df, saved_layer))
        dx = self.norm.backward(dn, saved_norm) + dy  # x went two ways: through f and past it
        return (dx, *dmemory) if dmemory else dx

    def attention_weights(self, saved):
        return self.layer.attention_weights(saved[1])


def _as_tuple(gradients):
    return gradients if isinstance(gradients, tuple) else (gradients,)


def _norm(config):
    return LayerNorm(config.d_model, eps=config.layer_norm_eps, dtype=config.dtype)


def _residual(layer, config):
    order = PreNorm if config.norm_order == "pre" else PostNorm
    return order(layer, _norm(config), config.dropout)


def _attention(config, rng):
    dropout = config.attention_dropout
    layer = MultiHeadAttention(config.d_model, config.num_heads, dropout=dropout, rng=rng, dtype=config.dtype)
    return _residual(layer, config)


def _feed_forward(config, rng):
    options = dict(activation=config.activation, dropout=config.activation_dropout, dtype=config.dtype)
    return _residual(FeedForward(config.d_model, config.d_ff, rng=rng, **options), config)


class EncoderBlock(Module):
    """Self-attention, then a feed-forward layer."""

    def __init__(self, config, rng=0):
        rng = random_generator(rng)
        self.self_attention = _attention(config, rng)
        self.feed_forward = _feed_forward(config, rng)

    def forward(self, x, mask=None, rng=None):
        """x: (B, T, d) → (B, T, d)    mask: broadcastable to (B, H, T, T)"""
        a, saved_self = self.self_attention.forward(x, mask=mask, rng=rng)
        y, saved_ff = self.feed_forward.forward(a, rng=rng)
        return y, (saved_self, saved_ff)

    def backward(self, dy, saved):
        saved_self, saved_ff = saved
        da = self.feed_forward.backward(dy, saved_ff)
        return self.self_attention.backward(da, saved_self)

    def attention_weights(self, saved):
        """The self-attention weights (B, H, T, T) out of what forward saved."""
        return self.self_attention.attention_weights(saved[0])


class DecoderBlock(Module):
    """Self-attention over the target so far, cross-attention to the encoder's output, a feed-forward layer."""

    def __init__(self, config, rng=0):
        rng = random_generator(rng)
        self.self_attention = _attention(config, rng)
        self.cross_attention = _attention(config, rng)
        self.feed_forward = _feed_forward(config, rng)

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


class _Stack(Module):
    """Blocks one after the other, and the final norm that pre-norm blocks need."""

    def __init__(self, make_block, num_blocks, config, rng):
        rng = random_generator(rng)
        self.blocks = [make_block(config, rng) for _ in range(num_blocks)]
        self.norm = _norm(config) if config.norm_order == "pre" else None

    def _final_norm(self, x):
        return (x, None) if self.norm is None else self.norm.forward(x)

    def _final_norm_backward(self, dy, saved):
        return dy if self.norm is None else self.norm.backward(dy, saved)


class Encoder(_Stack):
    """num_encoder_layers EncoderBlocks."""

    def __init__(self, config, rng=0):
        super().__init__(EncoderBlock, config.num_encoder_layers, config, rng)

    def forward(self, x, mask=None, rng=None):
        """x: (B, S, d) → (B, S, d)    mask: broadcastable to (B, H, S, S)"""
        saved_blocks = []
        for block in self.blocks:
            x, saved = block.forward(x, mask, rng)
            saved_blocks.append(saved)
        y, saved_norm = self._final_norm(x)
        return y, (saved_blocks, saved_norm)

    def backward(self, dy, saved):
        saved_blocks, saved_norm = saved
        dx = self._final_norm_backward(dy, saved_norm)
        for block, saved_block in zip(reversed(self.blocks), reversed(saved_blocks), strict=True):
            dx = block.backward(dx, saved_block)
        return dx

    def attention_weights(self, saved):
        """A list of (B, H, S, S), one a block, out of what forward saved."""
        return [block.attention_weights(s) for block, s in zip(self.blocks, saved[0], strict=True)]


class Decoder(_Stack):
    """num_decoder_layers DecoderBlocks, all of which look at the same memory."""

    def __init__(self, config, rng=0):
        super().__init__(DecoderBlock, config.num_decoder_layers, config, rng)

    def forward(self, x, memory, mask=None, memory_mask=None, rng=None, caches=None):
        """x: (B, T, d)    memory: (B, S, d)    →    (B, T, d)

        mask: broadcastable to (B, H, T, T); memory_mask: to (B, H, T, S); caches: one pair a block, see new_caches
        """
        caches = caches or [(None, None)] * len(self.blocks)
        saved_blocks = []
        for block, cache in zip(self.blocks, caches, strict=True):
            x, saved = block.forward(x, memory, mask, memory_mask, rng, cache)
            saved_blocks.append(saved)
        y, saved_norm = self._final_norm(x)
        return y, (saved_blocks, saved_norm, memory.shape)

    def backward(self, dy, saved):
        """(dx, dmemory); every block read the memory, so dmemory is a sum over the blocks."""
        saved_blocks, saved_norm, memory_shape = saved
        dx = self._final_norm_backward(dy, saved_norm)
        dmemory = xp.zeros(memory_shape, dy.dtype)
        for block, saved_block in zip(reversed(self.blocks), reversed(saved_blocks), strict=True):
            dx, dmemory_block = block.backward(dx, saved_block)
            dmemory += dmemory_block
        return dx, dmemory

    def new_caches(self):
        """Empty caches for generating, a (self-attention, cross-attention) pair for each block."""
        return [(KeyValueCache(), KeyValueCache()) for _ in self.blocks]

    def attention_weights(self, saved):
        """Two lists, one item a block: self-attention (B, H, T, T) and cross-attention (B, H, T, S) weights."""
        pairs = [block.attention_weights(s) for block, s in zip(self.blocks, saved[0], strict=True)]
        return [own for own, _ in pairs], [cross for _, cross in pairs]
