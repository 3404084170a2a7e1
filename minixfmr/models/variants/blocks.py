"""The blocks that descendants changed."""

from typing import Any

from ...backend import Array, random_generator
from ...layers import Activation, Convolution
from ..blocks import EncoderBlock
from ..config import Config
from .parts import make_norm


class ConvolutionBlock(EncoderBlock):
    """An encoder block that also looks at each token's neighbours:   y = norm(block(x) + activation(conv(x))), zero at
    padding. The first block of DeBERTa v2 xlarge, whose last real token does read a neighbour that is padding."""

    def __init__(self, config: Config, rng: Any = 0, positions: Any = None) -> None:
        rng = random_generator(rng)
        super().__init__(config, rng, positions)
        self.convolution = Convolution(config.d_model, config.d_model, config.convolution, rng=rng, dtype=config.dtype)
        self.activation = Activation(config.convolution_activation)
        self.norm = make_norm(config)

    def forward(self, x: Array, mask: Array | None = None, rng: Any = None, cache: Any = None) -> tuple[Array, tuple]:
        """x: (B, T, d) → (B, T, d)    mask: None or a padding_mask, (B, 1, 1, T)"""
        b, saved_block = super().forward(x, mask, rng, cache)
        c, saved_convolution = self.convolution.forward(x)
        real = 1 if mask is None else mask[:, 0, 0, :, None]  # (B, T, 1)
        a, saved_activation = self.activation.forward(c * real)
        y, saved_norm = self.norm.forward(b + a)
        return y * real, (saved_block, saved_convolution, saved_activation, saved_norm, real)

    def backward(self, dy: Array, saved: tuple) -> Array:
        saved_block, saved_convolution, saved_activation, saved_norm, real = saved
        db = self.norm.backward(dy * real, saved_norm)
        dc = self.activation.backward(db, saved_activation) * real
        return self.convolution.backward(dc, saved_convolution) + super().backward(db, saved_block)

    def attention_weights(self, saved: tuple) -> Array:
        saved_block, *_ = saved
        return super().attention_weights(saved_block)


class ParallelBlock(EncoderBlock):
    """Attention and feed-forward side by side:   y = x + attention(norm(x)) + feed_forward(norm'(x)), as in GPT-NeoX
    (Wang & Komatsuzaki 2021). Its two branches are those of an EncoderBlock in pre-norm order."""

    def forward(self, x: Array, mask: Array | None = None, rng: Any = None, cache: Any = None) -> tuple[Array, tuple]:
        """x: (B, T, d) → (B, T, d)    mask: broadcastable to (B, H, T, T)    cache: a KeyValueCache when generating"""
        a, saved_self = self.self_attention.forward(x, mask=mask, rng=rng, cache=cache)  # x + attention
        f, saved_ff = self.feed_forward.forward(x, rng=rng)  # x + feed-forward
        return a + f - x, (saved_self, saved_ff)

    def backward(self, dy: Array, saved: tuple) -> Array:
        saved_self, saved_ff = saved
        return self.self_attention.backward(dy, saved_self) + self.feed_forward.backward(dy, saved_ff) - dy


def block_kinds(config: Config, num_blocks: int) -> list[Any]:
    """The class of each block of a Stack: EncoderBlock, unless the config asks for another."""
    kinds: list[Any] = [ParallelBlock if config.parallel_residual else EncoderBlock] * num_blocks
    if config.convolution:
        kinds[:1] = [ConvolutionBlock]
    return kinds
