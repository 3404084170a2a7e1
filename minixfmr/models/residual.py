"""Residual branches: a sublayer with its norm, in one of two orders.

A sublayer may save or hand on its own arrays, so nothing here writes into one: y = x + f is a new array.
"""

from typing import Any

from ..backend import Array
from ..layers import Dropout
from ..module import Module


class Residual(Module):
    """A sublayer f with its norm, in one of the two orders below.

    forward(x, ..., rng) passes whatever follows x on to f. backward returns dx, or (dx, dmemory) where f is
    cross-attention.

    Derived in tutorials/11_every_gradient_derived, chapter 13.
    """

    def __init__(self, layer: Any, norm: Module, dropout: float) -> None:
        self.layer = layer
        self.norm = norm
        self.dropout = Dropout(dropout)

    def attention_weights(self, saved: tuple) -> Array:
        """The attention weights of the sublayer out of what forward saved."""
        saved_layer, *_ = saved
        return self.layer.attention_weights(saved_layer)


class PostNorm(Residual):
    """y = norm(x + dropout(f(x))), the order of the paper (Vaswani et al. 2017, section 3.1)."""

    def forward(self, x: Array, *inputs: Any, rng: Any = None, **options: Any) -> tuple[Array, tuple]:
        f, saved_layer = self.layer.forward(x, *inputs, rng=rng, **options)
        r, saved_dropout = self.dropout.forward(f, rng)
        y, saved_norm = self.norm.forward(x + r)
        return y, (saved_layer, saved_dropout, saved_norm)

    def backward(self, dy: Array, saved: tuple) -> Any:
        saved_layer, saved_dropout, saved_norm = saved
        dr = self.norm.backward(dy, saved_norm)  # of the sum, so of x as well
        df = self.dropout.backward(dr, saved_dropout)
        dx, *dmemory = as_tuple(self.layer.backward(df, saved_layer))
        return with_memory(dx + dr, dmemory)  # x went two ways: through f and past it


class PreNorm(Residual):
    """y = x + dropout(f(norm(x))): nothing stands in the way from y back to x, so deep stacks train without a long
    warm-up (Xiong et al. 2020). A stack of these ends in a norm of its own."""

    def forward(self, x: Array, *inputs: Any, rng: Any = None, **options: Any) -> tuple[Array, tuple]:
        n, saved_norm = self.norm.forward(x)
        f, saved_layer = self.layer.forward(n, *inputs, rng=rng, **options)
        r, saved_dropout = self.dropout.forward(f, rng)
        return x + r, (saved_layer, saved_dropout, saved_norm)

    def backward(self, dy: Array, saved: tuple) -> Any:
        saved_layer, saved_dropout, saved_norm = saved
        df = self.dropout.backward(dy, saved_dropout)
        dn, *dmemory = as_tuple(self.layer.backward(df, saved_layer))
        dx = self.norm.backward(dn, saved_norm)
        return with_memory(dx + dy, dmemory)  # x went two ways: through f and past it


def as_tuple(gradients):
    """What a backward returned, as a tuple also where it is one array."""
    return gradients if isinstance(gradients, tuple) else (gradients,)


def with_memory(dx, dmemory):
    """dx alone, or (dx, dmemory)."""
    return (dx, *dmemory) if dmemory else dx
