"""Rotary positions: turn each query and key by an angle that grows with its position (Su et al. 2021).

The product of two turned vectors depends only on the difference of their positions.
"""

import math

from ...backend import to_device, xp
from ...module import Module


def rotary_frequencies(dh, theta=10000.0, scaling=None, length=0, max_length=0):
    """(frequencies (dh/2,), factor of the table), in float64.

        frequency_i = theta^(-2i/dh)

    scaling: how they were stretched to read longer texts than in training, as in a Hugging Face config: "rope_type" is
    default, linear, dynamic, llama3, yarn or longrope, beside its own numbers. length: of the sequence; max_length: the
    config's max_position_embeddings. Raises ValueError for an unknown type.
    """
    scaling = scaling or {}
    kind, s = scaling.get("rope_type", scaling.get("type", "default")), scaling.get("factor")
    original = scaling.get("original_max_position_embeddings") or max_length
    if kind == "dynamic":  # the base grows with the text
        theta *= (s * max(length, max_length) / max_length - (s - 1)) ** (dh / (dh - 2))
    i = xp.arange(dh // 2)
    frequency = theta ** (-2.0 * i / dh)
    if kind in ("default", "dynamic"):
        return frequency, 1.0
    if kind == "linear":
        return frequency / s, 1.0
    if kind == "llama3":  # slow waves are stretched, fast ones are not, those between a little
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        turns = original * frequency / (2 * math.pi)  # within the original length
        keep = xp.clip((turns - low) / (high - low), 0, 1)
        return frequency * (keep + (1 - keep) / s), 1.0
    if kind == "yarn":  # likewise, by a ramp over the index (Peng et al. 2023)
        s = s or max_length / original

        def index_of(turns):
            return dh * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))

        low, high = index_of(scaling.get("beta_fast") or 32), index_of(scaling.get("beta_slow") or 1)
        if scaling.get("truncate", True):
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, dh - 1)
        stretch = xp.clip((i - low) / (high - low if high != low else 0.001), 0, 1)
        return frequency * (1 - stretch + stretch / s), _yarn_factor(scaling, s)
    if kind == "longrope":  # a factor for each wave, found by search (Ding et al. 2024)
        factors = scaling["long_factor" if length > original else "short_factor"]
        s = s or max_length / original
        factor = scaling.get("attention_factor")
        if factor is None:
            factor = 1.0 if s <= 1 else math.sqrt(1 + math.log(s) / math.log(original))
        return frequency / to_device(factors, "float64"), factor
    raise ValueError(f"rope_type must be default, linear, dynamic, llama3, yarn or longrope, got {kind!r}")


def _yarn_factor(scaling, s):
    def grown(m):
        return 0.1 * m * math.log(s) + 1 if s > 1 else 1.0

    if scaling.get("attention_factor") is not None:
        return scaling["attention_factor"]
    m, m_all = scaling.get("mscale"), scaling.get("mscale_all_dim")
    return grown(m) / grown(m_all) if m and m_all else grown(1)


def rotate(x, cos, sin):
    """Turn each pair (xᵢ, xᵢ₊dₕ/₂) by its angle.

        y₁ = x₁ cos - x₂ sin,   y₂ = x₂ cos + x₁ sin

    x: (B, H, T, dh)    cos, sin: (T, dh/2)    →    y: (B, H, T, dh)
    The pairs are halves, as in LLaMA's published form, not neighbours as in the paper. The backward pass
    turns by the opposite angle: rotate(dy, cos, -sin).

    Derived in tutorials/11_every_gradient_derived, chapter 11.
    """
    half = x.shape[-1] // 2
    x1, x2 = x[..., :half], x[..., half:]
    return xp.concatenate([x1 * cos - x2 * sin, x2 * cos + x1 * sin], axis=-1)


class Rotary(Module):
    """Turns the vectors of positions 0, 1, ..., or later ones; nothing to learn."""

    def __init__(self, dh, theta=10000.0, scaling=None, max_length=0):
        self.options = (dh, theta, scaling)
        self.max_length = max_length
        rotary_frequencies(dh, theta, scaling, 0, max_length or 1)  # so that an unknown type is refused at once

    def table(self, length, dtype):
        """cos and sin, (length, dh/2), of the positions 0, 1, ..."""
        frequency, factor = rotary_frequencies(*self.options, length=length, max_length=self.max_length or length)
        angle = xp.arange(length)[:, None] * frequency
        return (xp.cos(angle) * factor).astype(dtype), (xp.sin(angle) * factor).astype(dtype)

    def forward(self, x, table=None):
        """x: (B, H, T, dh) → (B, H, T, dh). table: of as many positions or more, of which x are the last"""
        cos, sin = (rows[-x.shape[2] :] for rows in table or self.table(x.shape[2], x.dtype))
        return rotate(x, cos, sin), (cos, sin)

    def backward(self, dy, saved):
        cos, sin = saved
        return rotate(dy, cos, -sin)
