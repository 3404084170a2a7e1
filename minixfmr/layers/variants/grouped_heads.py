"""The attention of the Transformer's descendants, as one more layer over the plain one."""

from typing import Any

from ...backend import random_generator, xp
from ...checks.values import check_heads
from ..linear import Linear
from ..multi_head import MultiHeadAttention
from .either import attend, attend_backward, attend_weights


def repeat_heads(x, times):
    """Let each key/value head serve several query heads in a row:   y[:, h] = x[:, h // times].

    x: (B, Hk, T, dh)    →    y: (B, Hk·times, T, dh)
    """
    return x if times == 1 else xp.repeat(x, times, axis=1)


def repeat_heads_backward(dy, times):
    """dx = the sum over the query heads that shared a key/value head:  (B, Hk·times, T, dh) → (B, Hk, T, dh).
    Derived in tutorials/11_every_gradient_derived, chapter 1."""
    B, H, T, dh = dy.shape
    return dy if times == 1 else dy.reshape(B, H // times, times, T, dh).sum(axis=2)


class VariantAttention(MultiHeadAttention):
    """Multi-head attention with any of: heads of their own width, grouped queries (Ainslie et al. 2023), no biases,
    another scale, a norm on each head's queries and keys, rotary positions, and a term added to the scores by relative
    position.

    num_key_value_heads: Hk, a divisor of H. rotary: a Rotary. score_bias: a RelativeBias or DisentangledBias.
    """

    def __init__(
        self,
        d_model,
        num_heads,
        *,
        head_dim=None,
        num_key_value_heads=None,
        bias=True,
        key_bias=True,
        output_bias=None,
        scale=None,
        rotary=None,
        score_bias=None,
        dropout=0.0,
        rng=0,
        dtype="float32",
    ):
        check_heads(d_model, num_heads, dropout, head_dim, num_key_value_heads, scale)
        rng = random_generator(rng)
        head_dim = head_dim or d_model // num_heads
        self.num_heads, self.num_key_value_heads = num_heads, num_key_value_heads or num_heads
        inner, shared = num_heads * head_dim, self.num_key_value_heads * head_dim
        self.dropout, self.scale = dropout, scale
        self.query = Linear(d_model, inner, bias=bias, rng=rng, dtype=dtype)
        self.key = Linear(d_model, shared, bias=bias and key_bias, rng=rng, dtype=dtype)
        self.value = Linear(d_model, shared, bias=bias, rng=rng, dtype=dtype)
        output_bias = bias if output_bias is None else output_bias
        self.output = Linear(inner, d_model, bias=output_bias, rng=rng, dtype=dtype)
        self.query_norm: Any = None
        self.key_norm: Any = None  # give norms of width dh for Qwen3's
        self.rotary = rotary
        self.score_bias = score_bias

    def attend(self, q, k, v, mask, rng, cache=None):
        """q: (B, H, Tq, dh)    k, v: (B, Hk, Tk, dh)    →    (B, H, Tq, dh). A key goes into the cache as queries meet
        it, with its norm and turned; where the angles change as the text grows, by those of its time."""
        times = self.num_heads // self.num_key_value_heads
        turns = bias = saved_bias = saved_norms = None
        if self.query_norm is not None:
            q, saved_q = self.query_norm.forward(q)
            k, saved_k = self.key_norm.forward(k)
            saved_norms = saved_q, saved_k
        if self.rotary is not None:
            seen = 0 if cache is None else cache.length
            table = self.rotary.table(seen + k.shape[2], k.dtype, seen)
            q, turn_q = self.rotary.forward(q, table)
            k, turn_k = self.rotary.forward(k, table)
            turns = turn_q, turn_k
        if cache is not None:
            k, v = cache.append(k, v)
        k, v = repeat_heads(k, times), repeat_heads(v, times)  # (B, H, Tk, dh)
        if self.score_bias is not None:
            bias, saved_bias = self.score_bias.forward(q, k)
        y, saved = attend(q, k, v, mask, self.dropout, rng, bias, self.scale)
        return y, (saved, times, turns, saved_bias, saved_norms)

    def attend_backward(self, dheads, saved):
        """dheads: (B, H, Tq, dh) → dL/dq (B, H, Tq, dh), dL/dk, dL/dv (B, Hk, Tk, dh)"""
        saved, times, turns, saved_bias, saved_norms = saved
        dq, dk, dv, dbias = attend_backward(dheads, saved)
        if self.score_bias is not None:
            dq_bias, dk_bias = self.score_bias.backward(dbias, saved_bias)
            dq, dk = dq + dq_bias, dk + dk_bias
        dv, dk = repeat_heads_backward(dv, times), repeat_heads_backward(dk, times)
        if turns is not None:
            turn_q, turn_k = turns
            dq, dk = self.rotary.backward(dq, turn_q), self.rotary.backward(dk, turn_k)
        if saved_norms is not None:
            saved_q, saved_k = saved_norms
            dq, dk = self.query_norm.backward(dq, saved_q), self.key_norm.backward(dk, saved_k)
        return dq, dk, dv

    def attend_weights(self, saved):
        return attend_weights(saved[0])
