"""Residual branches: a sublayer with its norm, in one of two orders."""

from ..layers import Dropout
from ..module import Module


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
