"""Blocks: sublayers in residual branches."""

from typing import Any

from ..backend import Array, random_generator
from ..module import Module
from .config import Config
from .variants.parts import make_attention, make_feed_forward, make_residual


class EncoderBlock(Module):
    """Self-attention, then a feed-forward layer. Under a look-ahead mask it is the block of a decoder-only model."""

    def __init__(self, config: Config, rng: Any = 0, positions: Any = None) -> None:
        rng = random_generator(rng)
        self.self_attention = make_residual(make_attention(config, rng, positions), config)
        self.feed_forward = make_residual(make_feed_forward(config, rng), config)

    def forward(self, x: Array, mask: Array | None = None, rng: Any = None, cache: Any = None) -> tuple[Array, tuple]:
        """x: (B, T, d) → (B, T, d)    mask: broadcastable to (B, H, T, T)    cache: a KeyValueCache when generating"""
        a, saved_self = self.self_attention.forward(x, mask=mask, rng=rng, cache=cache)
        y, saved_ff = self.feed_forward.forward(a, rng=rng)
        return y, (saved_self, saved_ff)

    def backward(self, dy: Array, saved: tuple) -> Array:
        saved_self, saved_ff = saved
        da = self.feed_forward.backward(dy, saved_ff)
        return self.self_attention.backward(da, saved_self)

    def attention_weights(self, saved: tuple) -> Array:
        """The self-attention weights (B, H, T, T) out of what forward saved."""
        saved_self, _ = saved
        return self.self_attention.attention_weights(saved_self)


class DecoderBlock(Module):
    """Self-attention over the target so far, cross-attention to the encoder's output, a feed-forward layer."""

    def __init__(self, config: Config, rng: Any = 0, positions: Any = None) -> None:
        rng = random_generator(rng)
        self.self_attention = make_residual(make_attention(config, rng, positions), config)
        self.cross_attention = make_residual(make_attention(config, rng), config)
        self.feed_forward = make_residual(make_feed_forward(config, rng), config)

    def forward(
        self,
        x: Array,
        memory: Array,
        mask: Array | None = None,
        memory_mask: Array | None = None,
        rng: Any = None,
        cache: Any = (None, None),
    ) -> tuple[Array, tuple]:
        """x: (B, T, d)    memory, the encoder's output: (B, S, d)    →    (B, T, d)

        mask: broadcastable to (B, H, T, T); memory_mask: to (B, H, T, S)
        cache: a pair of KeyValueCaches, for self- and cross-attention, when generating
        """
        self_cache, cross_cache = cache
        a, saved_self = self.self_attention.forward(x, mask=mask, rng=rng, cache=self_cache)
        c, saved_cross = self.cross_attention.forward(a, memory, mask=memory_mask, rng=rng, cache=cross_cache)
        y, saved_ff = self.feed_forward.forward(c, rng=rng)
        return y, (saved_self, saved_cross, saved_ff)

    def backward(self, dy: Array, saved: tuple) -> tuple[Array, Array]:
        """(dx, dmemory)"""
        saved_self, saved_cross, saved_ff = saved
        dc = self.feed_forward.backward(dy, saved_ff)
        da, dmemory = self.cross_attention.backward(dc, saved_cross)
        return self.self_attention.backward(da, saved_self), dmemory

    def attention_weights(self, saved: tuple) -> tuple[Array, Array]:
        """The self-attention (B, H, T, T) and cross-attention (B, H, T, S) weights out of what forward saved."""
        saved_self, saved_cross, _ = saved
        return self.self_attention.attention_weights(saved_self), self.cross_attention.attention_weights(saved_cross)
