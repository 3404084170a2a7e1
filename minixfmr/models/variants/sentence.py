"""One vector per sentence (Reimers & Gurevych 2019)."""

from typing import Any

from ...backend import Array, xp
from ...checks.values import choice, flag
from ...module import Module
from ..encoder_only import EncoderOnly
from .heads import pool, pool_backward


def unit(x):
    """Scale each vector to length 1:   r = 1 / max(|x|, 10⁻¹²),   y = x r.   x: (B, d) → (B, d)"""
    r = 1 / xp.maximum(xp.sqrt((x * x).sum(axis=-1, keepdims=True)), 1e-12)  # (B, 1)
    y = x * r
    return y, (y, r)


def unit_backward(dy, saved):
    """dx = r (dy - y (y · dy)): along the vector nothing changes."""
    y, r = saved
    return r * (dy - y * (y * dy).sum(axis=-1, keepdims=True))


class SentenceEncoder(Module):
    """The vectors of an encoder, pooled, and scaled to length 1 where normalized.

    model: an EncoderOnly with head "none". pooling: "mean", "first" or "last"
    """

    def __init__(self, model: EncoderOnly, pooling: str = "mean", normalized: bool = True) -> None:
        choice("pooling", pooling, ("first", "last", "mean"))
        if not isinstance(model, EncoderOnly) or model.config.head != "none":
            raise TypeError('a SentenceEncoder needs an EncoderOnly with head "none"')
        self.model, self.pooling, self.normalized = model, pooling, flag("normalized", normalized)

    def forward(
        self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None, rng: Any = None
    ) -> tuple[Array, tuple]:
        """input_ids: (B, T) integers; attention_mask: (B, T), 1 where there is a real token → (B, d)"""
        x, saved_model = self.model.forward(input_ids, attention_mask, token_type_ids, rng)  # (B, T, d)
        s, saved_pool = pool(x, attention_mask, self.pooling)  # (B, d)
        y, saved_unit = unit(s) if self.normalized else (s, None)
        return y, (saved_model, saved_pool, saved_unit)

    def backward(self, dy: Array, saved: tuple) -> None:
        """dy: (B, d). Adds to every parameter's gradient; returns None."""
        saved_model, saved_pool, saved_unit = saved
        ds = unit_backward(dy, saved_unit) if self.normalized else dy
        self.model.backward(pool_backward(ds, saved_pool), saved_model)
