"""Multi-head attention: several attentions side by side, each in a subspace of its own."""

from typing import Any

from ..backend import Array, random_generator
from ..checks.values import check_heads
from ..checks.vectors import check_memory
from ..module import Module
from .cache import KeyValueCache
from .linear import Linear
from .variants.either import attend, attend_backward, attend_weights


def split_heads(x, num_heads):
    """(B, T, H·dh) → (B, H, T, dh), a view: BLAS takes it as it is."""
    return x.reshape(*x.shape[:2], num_heads, -1).swapaxes(1, 2)


def merge_heads(x):
    """(B, H, T, dh) → (B, T, H·dh), the inverse of split_heads, and so its backward.
    Derived in tutorials/11_every_gradient_derived, chapter 10."""
    return x.swapaxes(1, 2).reshape(x.shape[0], x.shape[2], -1)


class MultiHeadAttention(Module):
    """Several attentions side by side, each in a subspace of width dh = d_model / H.

        MultiHead(x, m) = concat(head₁ ... head_H) Wᵒ,   headᵢ = attention(x Wᵢ^Q, m Wᵢ^K, m Wᵢ^V)

    (Vaswani et al. 2017, section 3.2.2.) The matrices of all heads lie side by side in one. Self-attention: m is x.
    The four linear maps have biases, which the paper does not write but most published systems have.
    """

    def __init__(
        self, d_model: int, num_heads: int, *, dropout: float = 0.0, rng: Any = 0, dtype: str = "float32"
    ) -> None:
        check_heads(d_model, num_heads, dropout)
        rng = random_generator(rng)
        self.num_heads = self.num_key_value_heads = num_heads
        self.dropout = dropout
        self.query = Linear(d_model, d_model, rng=rng, dtype=dtype)
        self.key = Linear(d_model, d_model, rng=rng, dtype=dtype)
        self.value = Linear(d_model, d_model, rng=rng, dtype=dtype)
        self.output = Linear(d_model, d_model, rng=rng, dtype=dtype)

    def forward(
        self,
        x: Array,
        memory: Array | None = None,
        mask: Array | None = None,
        rng: Any = None,
        cache: KeyValueCache | None = None,
    ) -> tuple[Array, tuple]:
        """x: (B, Tq, d)    memory: (B, Tk, d) for cross-attention, None for self-attention    →    (B, Tq, d)

        mask: boolean, True = may attend, broadcastable to (B, H, Tq, Tk). rng: for dropout, None in evaluation.
        cache: when generating, where there is no backward: self-attention adds x to it, cross-attention fills it once.
        """
        check_memory(x, memory)
        q, saved_query = self.query.forward(x)  # (B, Tq, d)
        k, v, saved_key, saved_value = self._keys_and_values(x, memory, cache)  # (B, Hk, Tk, dh)
        q = split_heads(q, self.num_heads)  # (B, H, Tq, dh)
        heads, saved_heads = self.attend(q, k, v, mask, rng, cache)  # (B, H, Tq, dh)
        y, saved_output = self.output.forward(merge_heads(heads))  # (B, Tq, d)
        return y, (saved_query, saved_key, saved_value, saved_heads, saved_output, memory is None)

    def backward(self, dy: Array, saved: tuple) -> Any:
        """dx for self-attention, (dx, dmemory) for cross-attention."""
        saved_query, saved_key, saved_value, saved_heads, saved_output, is_self = saved
        dheads = split_heads(self.output.backward(dy, saved_output), self.num_heads)  # (B, H, Tq, dh)
        dq, dk, dv = self.attend_backward(dheads, saved_heads)
        dmemory = self.value.backward(merge_heads(dv), saved_value)  # (B, Tk, d)
        dmemory = dmemory + self.key.backward(merge_heads(dk), saved_key)
        dx = self.query.backward(merge_heads(dq), saved_query)  # (B, Tq, d)
        return dx + dmemory if is_self else (dx, dmemory)

    def attend(self, q: Array, k: Array, v: Array, mask: Array | None, rng: Any, cache: Any = None) -> tuple:
        """What happens inside the heads; descendants do more here. k, v: those not yet in the cache"""
        if cache is not None:
            k, v = cache.append(k, v)
        return attend(q, k, v, mask, self.dropout, rng)

    def attend_backward(self, dheads: Array, saved: tuple) -> tuple[Array, Array, Array]:
        """dL/dq, dL/dk, dL/dv for attend."""
        return attend_backward(dheads, saved)[:3]

    def attend_weights(self, saved: tuple) -> Array:
        """The softmax weights (B, H, Tq, Tk) out of what attend saved."""
        return attend_weights(saved)

    def attention_weights(self, saved: tuple) -> Array:
        """The softmax weights (B, H, Tq, Tk), before dropout, out of what forward saved."""
        return self.attend_weights(saved[3])

    def _keys_and_values(self, x, memory, cache):
        """k, v: (B, Hk, Tk, dh), those not yet in the cache, and what the two linear maps saved."""
        if cache is not None and memory is not None and cache.length:  # the memory never changes, so all are there
            return cache.keys[:, :, :0], cache.values[:, :, :0], None, None
        source = x if memory is None else memory
        k, saved_key = self.key.forward(source)  # (B, Tk, d)
        v, saved_value = self.value.forward(source)
        k, v = split_heads(k, self.num_key_value_heads), split_heads(v, self.num_key_value_heads)
        return k, v, saved_key, saved_value
