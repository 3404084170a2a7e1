"""The heads of published descendants: masked language modelling, classification, or none."""

from typing import Any

from ...backend import Array, random_generator, to_device, xp
from ...checks.arrays import attention_mask as check_real
from ...checks.arrays import check_ends
from ...checks.values import choice
from ...layers import Activation, Linear, OutputProjection
from ...module import Module, Parameter
from ..config import Config
from .parts import make_norm


class MaskedLMHead(Module):
    """Which token stood here?   z = norm(activation(x W + b)) Eᵀ + c, with E the token table (Devlin et al. 2019)."""

    def __init__(self, config: Config, table: Parameter, rng: Any = 0) -> None:
        V, d = table.shape
        self.dense = Linear(config.d_model, d, rng=rng, dtype=config.dtype)
        self.activation = Activation(config.head_activation)
        self.norm = make_norm(config, d)
        if not config.tie_word_embeddings:
            table = Parameter(to_device(random_generator(rng).normal(0, d**-0.5, (V, d)), config.dtype))
        self.bias = Parameter(xp.zeros(len(table.data), dtype=config.dtype))
        self.output = OutputProjection(table, self.bias)

    def forward(self, x: Array, ids: Any = None, attention_mask: Any = None) -> tuple[Array, tuple]:
        """x: (B, T, d) → logits (B, T, V)"""
        h, saved_dense = self.dense.forward(x)
        a, saved_activation = self.activation.forward(h)
        n, saved_norm = self.norm.forward(a)
        logits, saved_output = self.output.forward(n)
        return logits, (saved_dense, saved_activation, saved_norm, saved_output)

    def backward(self, dlogits: Array, saved: tuple) -> Array:
        saved_dense, saved_activation, saved_norm, saved_output = saved
        dn = self.output.backward(dlogits, saved_output)
        da = self.norm.backward(dn, saved_norm)
        dh = self.activation.backward(da, saved_activation)
        return self.dense.backward(dh, saved_dense)


def pool(x, attention_mask=None, pooling="first"):
    """One vector per sequence: that of its first token, of its last real one, or the mean over all real ones.

        s = Σₜ x[t] · weight[t]

    x: (B, T, d)    attention_mask: (B, T) or None    →    s: (B, d)
    """
    choice("pooling", pooling, ("first", "last", "last_by_id", "mean"))
    B, T, _ = x.shape
    real = xp.ones((B, T), dtype=bool) if attention_mask is None else to_device(check_real(attention_mask, (B, T)))
    if pooling == "mean":
        weights = real / xp.maximum(real.sum(axis=1, keepdims=True), 1)  # (B, T)
    else:
        t = xp.arange(T)
        chosen = 0 if pooling == "first" else (t * real).max(axis=1, keepdims=True)  # (B, 1)
        weights = (t == chosen) * xp.ones((B, 1))  # (B, T)
    weights = weights.astype(x.dtype)[:, :, None]
    return (x * weights).sum(axis=1), weights


def pool_backward(ds, weights):
    """dx[t] = ds · weight[t]:  (B, d) → (B, T, d)."""
    return ds[:, None, :] * weights


class SequenceClassifier(Module):
    """What kind of sequence is this?   z = activation(pool(x) W + b) W₂ + c, the head of encoders."""

    def __init__(self, config: Config, table: Parameter, rng: Any = 0) -> None:
        rng = random_generator(rng)
        self.pooling = config.pooling
        self.dense = Linear(config.d_model, config.d_model, rng=rng, dtype=config.dtype)
        self.activation = Activation(config.head_activation)
        self.output = Linear(config.d_model, config.num_labels, rng=rng, dtype=config.dtype)

    def forward(self, x: Array, ids: Any = None, attention_mask: Any = None) -> tuple[Array, tuple]:
        """x: (B, T, d) → logits (B, num_labels)"""
        s, saved_pool = pool(x, attention_mask, self.pooling)  # (B, d)
        h, saved_dense = self.dense.forward(s)
        a, saved_activation = self.activation.forward(h)
        logits, saved_output = self.output.forward(a)
        return logits, (saved_pool, saved_dense, saved_activation, saved_output)

    def backward(self, dlogits: Array, saved: tuple) -> Array:
        saved_pool, saved_dense, saved_activation, saved_output = saved
        da = self.output.backward(dlogits, saved_output)
        dh = self.activation.backward(da, saved_activation)
        ds = self.dense.backward(dh, saved_dense)  # (B, d)
        return pool_backward(ds, saved_pool)  # (B, T, d)


class EndClassifier(SequenceClassifier):
    """The same at the end token of the source, for an encoder-decoder whose decoder reads the source once more, shifted
    right (Lewis et al. 2020, fig. 3a)."""

    def __init__(self, config: Config, table: Parameter, rng: Any = 0) -> None:
        super().__init__(config, table, rng)
        self.end = config.eos_token_id

    def forward(self, x: Array, ids: Any = None, attention_mask: Any = None) -> tuple[Array, tuple]:
        """x: (B, T, d)    ids: (B, T) → logits (B, num_labels)"""
        check_ends(ids, self.end)
        return super().forward(x, ids, ids == self.end)


class PooledClassifier(Module):
    """What kind of sequence is this?   z = pool(x) W, the head of decoder-only models."""

    def __init__(self, config: Config, table: Parameter, rng: Any = 0) -> None:
        self.pooling, self.pad = config.pooling, config.pad_token_id
        self.output = Linear(config.d_model, config.num_labels, bias=False, rng=rng, dtype=config.dtype)

    def forward(self, x: Array, ids: Any = None, attention_mask: Any = None) -> tuple[Array, tuple]:
        """x: (B, T, d) → logits (B, num_labels)"""
        real = ids != self.pad if self.pooling == "last_by_id" else attention_mask
        s, saved_pool = pool(x, real, self.pooling)  # (B, d)
        logits, saved_output = self.output.forward(s)
        return logits, (saved_pool, saved_output)

    def backward(self, dlogits: Array, saved: tuple) -> Array:
        saved_pool, saved_output = saved
        return pool_backward(self.output.backward(dlogits, saved_output), saved_pool)  # (B, T, d)


class TokenClassifier(Module):
    """What kind of token is each?   z = x W + b."""

    def __init__(self, config: Config, table: Parameter, rng: Any = 0) -> None:
        self.output = Linear(config.d_model, config.num_labels, rng=rng, dtype=config.dtype)

    def forward(self, x: Array, ids: Any = None, attention_mask: Any = None) -> tuple[Array, tuple]:
        """x: (B, T, d) → logits (B, T, num_labels)"""
        return self.output.forward(x)

    def backward(self, dlogits: Array, saved: tuple) -> Array:
        return self.output.backward(dlogits, saved)


class ReplacedTokenHead(Module):
    """Has this token been put in place of another?   z = activation(x W + b) w + c (Clark et al. 2020)."""

    def __init__(self, config: Config, table: Parameter, rng: Any = 0) -> None:
        rng = random_generator(rng)
        self.dense = Linear(config.d_model, config.d_model, rng=rng, dtype=config.dtype)
        self.activation = Activation(config.head_activation)
        self.output = Linear(config.d_model, 1, rng=rng, dtype=config.dtype)

    def forward(self, x: Array, ids: Any = None, attention_mask: Any = None) -> tuple[Array, tuple]:
        """x: (B, T, d) → logits (B, T)"""
        h, saved_dense = self.dense.forward(x)
        a, saved_activation = self.activation.forward(h)
        z, saved_output = self.output.forward(a)  # (B, T, 1)
        return z[..., 0], (saved_dense, saved_activation, saved_output)

    def backward(self, dlogits: Array, saved: tuple) -> Array:
        saved_dense, saved_activation, saved_output = saved
        da = self.output.backward(dlogits[..., None], saved_output)
        return self.dense.backward(self.activation.backward(da, saved_activation), saved_dense)


class Vectors(Module):
    """The vectors themselves: the head "none"."""

    def __init__(self, config: Config, table: Parameter, rng: Any = 0) -> None:
        pass

    def forward(self, x: Array, ids: Any = None, attention_mask: Any = None) -> tuple[Array, None]:
        """x: (B, T, d) → x"""
        return x, None

    def backward(self, dy: Array, saved: None) -> Array:
        return dy
