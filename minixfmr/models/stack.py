"""Stacks of blocks: the encoder and the decoder."""

from ..backend import random_generator, xp
from ..layers import KeyValueCache
from ..module import Module
from .blocks import ConvolutionBlock, DecoderBlock, EncoderBlock
from .masks import sliding_window_mask
from .parts import make_norm, make_relative_positions


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
