"""Blocks: sublayers in residual branches; and stacks of blocks, the encoder and the decoder."""

from ..backend import random_generator, xp
from ..layers import Activation, Convolution, Dropout, KeyValueCache
from ..module import Module
from .masks import sliding_window_mask
from .parts import make_attention, make_feed_forward, make_norm, make_relative_positions


class Residual(Module):
    """A sublayer f with its norm, in one of the two orders below.

    forward(x, ..., rng) passes whatever follows x on to f. backward returns dx, or (dx, dmemory) where f is
    cross-attention.

    Derived in tutorials/11_every_gradient_derived, chapter 13.
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
        f += x
        y, saved_norm = self.norm.forward(f)
        return y, (saved_layer, saved_dropout, saved_norm)

    def backward(self, dy, saved):
        saved_layer, saved_dropout, saved_norm = saved
        dsum = self.norm.backward(dy, saved_norm)
        df = self.dropout.backward(dsum, saved_dropout)
        dx, *dmemory = _as_tuple(self.layer.backward(df, saved_layer))
        dx += dsum  # x went two ways: through f and past it
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
        f += x
        return f, (saved_norm, saved_layer, saved_dropout)

    def backward(self, dy, saved):
        saved_norm, saved_layer, saved_dropout = saved
        df = self.dropout.backward(dy, saved_dropout)
        dn, *dmemory = _as_tuple(self.layer.backward(df, saved_layer))
        dx = self.norm.backward(dn, saved_norm)
        dx += dy  # x went two ways: through f and past it
        return (dx, *dmemory) if dmemory else dx

    def attention_weights(self, saved):
        return self.layer.attention_weights(saved[1])


def _as_tuple(gradients):
    return gradients if isinstance(gradients, tuple) else (gradients,)


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


class _Stack(Module):
    """Blocks one after the other, and the final norm that pre-norm blocks need."""

    def __init__(self, kinds, config, rng, bidirectional):
        """kinds: the class of each block. bidirectional: whether relative positions are of both signs"""
        rng = random_generator(rng)
        self.relative_positions = make_relative_positions(config, rng, bidirectional)
        self.blocks = [kind(config, rng, self.relative_positions) for kind in kinds]
        self.norm = make_norm(config) if config.has_final_norm else None
        banded = [(i + 1) % config.window_every == 0 for i in range(len(kinds))]
        self.windows = [config.sliding_window if b else None for b in banded]  # of each block; None: no window

    def _masks(self, mask, Tq, Tk):
        """The mask of each block: the one given, narrowed to the block's window."""
        for window in self.windows:
            if window is None or Tk <= window:
                yield mask
            else:
                band = sliding_window_mask(Tq, Tk, window)
                yield band if mask is None else mask & band

    def _final_norm(self, x):
        return (x, None) if self.norm is None else self.norm.forward(x)

    def _final_norm_backward(self, dy, saved):
        return dy if self.norm is None else self.norm.backward(dy, saved)


class Encoder(_Stack):
    """EncoderBlocks: those of an encoder or, with a look-ahead mask, of a decoder-only model."""

    def __init__(self, config, rng=0, num_blocks=None, bidirectional=True):
        num_blocks = config.num_encoder_layers if num_blocks is None else num_blocks
        kinds = [EncoderBlock] * num_blocks
        if config.convolution:
            kinds[:1] = [ConvolutionBlock]
        super().__init__(kinds, config, rng, bidirectional)

    def forward(self, x, mask=None, rng=None, caches=None, save=True):
        """x: (B, T, d) → (B, T, d)    mask: broadcastable to (B, H, T, T)

        caches: one KeyValueCache a block when generating, see new_caches. save: False where no backward follows
        """
        seen = caches[0].length if caches else 0
        caches = caches or [None] * len(self.blocks)
        masks = self._masks(mask, x.shape[1], seen + x.shape[1])
        saved_blocks = []
        for block, block_mask, cache in zip(self.blocks, masks, caches, strict=True):
            x, saved = block.forward(x, block_mask, rng, cache)
            if save:
                saved_blocks.append(saved)
            del saved  # in evaluation the next block may have its memory
        y, saved_norm = self._final_norm(x)
        return y, (saved_blocks, saved_norm)

    def backward(self, dy, saved):
        saved_blocks, saved_norm = saved
        dx = self._final_norm_backward(dy, saved_norm)
        for block, saved_block in zip(reversed(self.blocks), reversed(saved_blocks), strict=True):
            dx = block.backward(dx, saved_block)
        return dx

    def new_caches(self):
        """Empty caches for generating, one for each block."""
        return [KeyValueCache() for _ in self.blocks]

    def attention_weights(self, saved):
        """A list of (B, H, T, T), one a block, out of what forward saved."""
        return [block.attention_weights(s) for block, s in zip(self.blocks, saved[0], strict=True)]


class Decoder(_Stack):
    """num_decoder_layers DecoderBlocks, all of which look at the same memory."""

    def __init__(self, config, rng=0):
        kinds = [DecoderBlock] * config.num_decoder_layers
        super().__init__(kinds, config.for_decoder(), rng, bidirectional=False)

    def forward(self, x, memory, mask=None, memory_mask=None, rng=None, caches=None, save=True):
        """x: (B, T, d)    memory: (B, S, d)    →    (B, T, d)

        mask: broadcastable to (B, H, T, T); memory_mask: to (B, H, T, S); caches: one pair a block, see new_caches
        save: False where no backward follows
        """
        seen = caches[0][0].length if caches else 0
        caches = caches or [(None, None)] * len(self.blocks)
        masks = self._masks(mask, x.shape[1], seen + x.shape[1])
        saved_blocks = []
        for block, block_mask, cache in zip(self.blocks, masks, caches, strict=True):
            x, saved = block.forward(x, memory, block_mask, memory_mask, rng, cache)
            if save:
                saved_blocks.append(saved)
            del saved  # in evaluation the next block may have its memory
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
