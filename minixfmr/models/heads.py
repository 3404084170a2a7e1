"""Heads: what a stack's vectors are used for."""

from ..backend import batch_sum, random_generator, to_device, xp
from ..layers import Activation, Linear, OutputProjection
from ..module import Buffer, Module, Parameter
from .parts import make_norm


class MaskedLMHead(Module):
    """Which token stood here?   z = norm(activation(x W + b)) Eᵀ + c, with E the token table (Devlin et al. 2019)."""

    def __init__(self, config, table, rng=0):
        self.dense = Linear(config.d_model, config.d_model, rng=rng, dtype=config.dtype)
        self.activation = Activation(config.head_activation)
        self.norm = make_norm(config)
        self.output = OutputProjection(table)
        self.bias = Parameter(xp.zeros(len(table.data), config.dtype))

    def forward(self, x, attention_mask=None):
        """x: (B, T, d) → logits (B, T, V)"""
        h, saved_dense = self.dense.forward(x)
        h, saved_activation = self.activation.forward(h)
        h, saved_norm = self.norm.forward(h)
        logits, saved_output = self.output.forward(h)
        logits += self.bias.data
        return logits, (saved_dense, saved_activation, saved_norm, saved_output)

    def backward(self, dlogits, saved):
        saved_dense, saved_activation, saved_norm, saved_output = saved
        self.bias.grad += batch_sum(dlogits)
        dh = self.output.backward(dlogits, saved_output)
        dh = self.norm.backward(dh, saved_norm)
        dh = self.activation.backward(dh, saved_activation)
        return self.dense.backward(dh, saved_dense)


def pool(x, attention_mask=None, pooling="first"):
    """One vector a sequence: that of its first token, of its last real one, or the mean over all real ones.

    s = Σₜ x[t] · weight[t]

    x: (B, T, d)    attention_mask: (B, T) or None    →    s: (B, d)
    """
    B, T, _ = x.shape
    real = xp.ones((B, T), bool) if attention_mask is None else to_device(attention_mask) != 0
    if pooling == "mean":
        weights = real / xp.maximum(real.sum(axis=1, keepdims=True), 1)  # (B, T)
    else:
        t = xp.arange(T)
        chosen = 0 if pooling == "first" else (t * real).max(axis=1, keepdims=True)  # (B, 1)
        weights = (t == chosen) * xp.ones((B, 1))  # (B, T)
    weights = weights.astype(x.dtype)[:, :, None]
    return (x * weights).sum(axis=1), weights


def pool_backward(ds, weights):
    """dx = ds · weight:  (B, d) → (B, T, d)."""
    return ds[:, None, :] * weights


class PooledClassifier(Module):
    """What kind of sequence is this?   z = pool(x) W, the head of decoder-only models."""

    def __init__(self, config, rng=0):
        self.pooling = config.pooling
        self.output = Linear(config.d_model, config.num_labels, bias=False, rng=rng, dtype=config.dtype)

    def forward(self, x, attention_mask=None):
        """x: (B, T, d) → logits (B, num_labels)"""
        s, saved_pool = pool(x, attention_mask, self.pooling)  # (B, d)
        logits, saved_output = self.output.forward(s)
        return logits, (saved_pool, saved_output)

    def backward(self, dlogits, saved):
        saved_pool, saved_output = saved
        return pool_backward(self.output.backward(dlogits, saved_output), saved_pool)  # (B, T, d)


class SequenceClassifier(Module):
    """What kind of sequence is this?   z = activation(pool(x) W + b) W₂ + c, the head of encoders."""

    def __init__(self, config, rng=0):
        rng = random_generator(rng)
        self.pooling = config.pooling
        self.dense = Linear(config.d_model, config.d_model, rng=rng, dtype=config.dtype)
        self.activation = Activation(config.head_activation)
        self.output = Linear(config.d_model, config.num_labels, rng=rng, dtype=config.dtype)

    def forward(self, x, attention_mask=None):
        """x: (B, T, d) → logits (B, num_labels)"""
        s, saved_pool = pool(x, attention_mask, self.pooling)  # (B, d)
        h, saved_dense = self.dense.forward(s)
        h, saved_activation = self.activation.forward(h)
        logits, saved_output = self.output.forward(h)
        return logits, (saved_pool, saved_dense, saved_activation, saved_output)

    def backward(self, dlogits, saved):
        saved_pool, saved_dense, saved_activation, saved_output = saved
        dh = self.output.backward(dlogits, saved_output)
        dh = self.activation.backward(dh, saved_activation)
        ds = self.dense.backward(dh, saved_dense)  # (B, d)
        return pool_backward(ds, saved_pool)  # (B, T, d)


class TokenClassifier(Module):
    """What kind of token is each?   z = x W + b."""

    def __init__(self, config, rng=0):
        self.output = Linear(config.d_model, config.num_labels, rng=rng, dtype=config.dtype)

    def forward(self, x, attention_mask=None):
        """x: (B, T, d) → logits (B, T, num_labels)"""
        return self.output.forward(x)

    def backward(self, dlogits, saved):
        return self.output.backward(dlogits, saved)


class LanguageModelHead(Module):
    """Which token comes next?   z = x Eᵀ; some published systems scale x or add a constant."""

    def __init__(self, config, table):
        self.output = OutputProjection(table)
        self.scale = config.d_model**-0.5 if config.scale_output else 1.0
        self.bias = Buffer(xp.zeros(len(table.data), config.dtype)) if config.logits_bias else None

    def forward(self, x, attention_mask=None):
        """x: (..., d) → logits (..., V)"""
        logits, saved = self.output.forward(x if self.scale == 1 else x * self.scale)
        return (logits if self.bias is None else logits + self.bias.data), saved

    def backward(self, dlogits, saved):
        dx = self.output.backward(dlogits, saved)
        return dx if self.scale == 1 else dx * self.scale
