"""Stacks of blocks: of an encoder or a decoder-only model, and of a decoder that looks at a memory."""

from typing import Any

from ..backend import Array, random_generator, xp
from ..layers import KeyValueCache
from ..module import Module
from .blocks import DecoderBlock
from .config import Config
from .variants.blocks import block_kinds
from .variants.masks import block_windows, window_masks
from .variants.parts import make_norm, make_relative_positions


class BaseStack(Module):
    """What both kinds of stack have: blocks, and the final norm that pre-norm blocks need."""

    def __init__(self, kinds: list[Any], config: Config, rng: Any, bidirectional: bool) -> None:
        """kinds: the class of each block. bidirectional: whether relative positions are of both signs"""
        rng = random_generator(rng)
        self.relative_positions = make_relative_positions(config, rng, bidirectional)
        self.blocks: list[Any] = [kind(config, rng, self.relative_positions) for kind in kinds]
        if config.shared_blocks:
            self.blocks = self.blocks[:1] * len(kinds)
        self.norm = make_norm(config) if config.has_final_norm else None
        self.windows = block_windows(config, len(kinds))


class Stack(BaseStack):
    """EncoderBlocks: those of an encoder or, under a look-ahead mask, of a decoder-only model."""

    def __init__(self, config: Config, num_blocks: int, rng: Any = 0, bidirectional: bool = True) -> None:
        super().__init__(block_kinds(config, num_blocks), config, rng, bidirectional)

    def forward(
        self, x: Array, mask: Array | None = None, rng: Any = None, caches: list | None = None, save: bool = True
    ) -> tuple[Array, tuple]:
        """x: (B, T, d) → (B, T, d)    mask: broadcastable to (B, H, T, T)

        caches: one KeyValueCache per block when generating, see new_caches. save: False where no backward follows
        """
        caches = caches or [None] * len(self.blocks)
        seen = caches[0].length if caches and caches[0] else 0
        masks = window_masks(self.windows, mask, x.shape[1], seen + x.shape[1])
        saved_blocks = []
        for block, block_mask, cache in zip(self.blocks, masks, caches, strict=True):
            x, saved_block = block.forward(x, block_mask, rng, cache)
            saved_blocks.append(saved_block if save else None)
            del saved_block  # where nothing is saved, free it before the next block runs
        y, saved_norm = (x, None) if self.norm is None else self.norm.forward(x)
        return y, (saved_blocks, saved_norm)

    def backward(self, dy: Array, saved: tuple) -> Array:
        saved_blocks, saved_norm = saved
        dx = dy if self.norm is None else self.norm.backward(dy, saved_norm)
        for block, saved_block in zip(reversed(self.blocks), reversed(saved_blocks), strict=True):
            dx = block.backward(dx, saved_block)
        return dx

    def new_caches(self) -> list[KeyValueCache]:
        """Empty caches for generating, one for each block."""
        return [KeyValueCache() for _ in self.blocks]

    def attention_weights(self, saved: tuple) -> list[Array]:
        """One (B, H, T, T) per block, out of what forward saved."""
        saved_blocks, _ = saved
        return [block.attention_weights(s) for block, s in zip(self.blocks, saved_blocks, strict=True)]


class DecoderStack(BaseStack):
    """num_decoder_layers DecoderBlocks, all of which look at the same memory."""

    def __init__(self, config: Config, rng: Any = 0) -> None:
        super().__init__([DecoderBlock] * config.num_decoder_layers, config.for_decoder(), rng, bidirectional=False)

    def forward(
        self,
        x: Array,
        memory: Array,
        mask: Array | None = None,
        memory_mask: Array | None = None,
        rng: Any = None,
        caches: list | None = None,
        save: bool = True,
    ) -> tuple[Array, tuple]:
        """x: (B, T, d)    memory: (B, S, d)    →    (B, T, d)

        mask: broadcastable to (B, H, T, T); memory_mask: to (B, H, T, S); caches: one pair per block, see new_caches
        save: False where no backward follows
        """
        seen = caches[0][0].length if caches else 0
        caches = caches or [(None, None)] * len(self.blocks)
        masks = window_masks(self.windows, mask, x.shape[1], seen + x.shape[1])
        saved_blocks = []
        for block, block_mask, cache in zip(self.blocks, masks, caches, strict=True):
            x, saved_block = block.forward(x, memory, block_mask, memory_mask, rng, cache)
            saved_blocks.append(saved_block if save else None)
            del saved_block  # where nothing is saved, free it before the next block runs
        y, saved_norm = (x, None) if self.norm is None else self.norm.forward(x)
        return y, (saved_blocks, saved_norm, memory.shape)

    def backward(self, dy: Array, saved: tuple) -> tuple[Array, Array]:
        """(dx, dmemory); every block read the memory, so dmemory is a sum over the blocks."""
        saved_blocks, saved_norm, memory_shape = saved
        dx = dy if self.norm is None else self.norm.backward(dy, saved_norm)
        dmemory = xp.zeros(memory_shape, dtype=dy.dtype)
        for block, saved_block in zip(reversed(self.blocks), reversed(saved_blocks), strict=True):
            dx, dmemory_block = block.backward(dx, saved_block)
            dmemory += dmemory_block
        return dx, dmemory

    def new_caches(self) -> list[tuple[KeyValueCache, KeyValueCache]]:
        """Empty caches for generating, a (self-attention, cross-attention) pair for each block."""
        return [(KeyValueCache(), KeyValueCache()) for _ in self.blocks]

    def attention_weights(self, saved: tuple) -> tuple[list[Array], list[Array]]:
        """Two lists, one item per block: self-attention (B, H, T, T) and cross-attention (B, H, T, S) weights."""
        pairs = [block.attention_weights(s) for block, s in zip(self.blocks, saved[0], strict=True)]
        return [own for own, _ in pairs], [cross for _, cross in pairs]
