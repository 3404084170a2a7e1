"""Rotary positions: turn each query and key by an angle that grows with its position (Su et al. 2021).

The product of two turned vectors depends only on the difference of their positions.
"""

from ...backend import to_device, xp
from ...checks.values import check_widths, number
from ...module import Module


def rotary_frequencies(width, theta=10000.0, scaling=None, length=0, dtype="float64"):
    """(frequencies (width/2,), factor of the table).

        frequency_i = theta^(-2i/width)

    scaling: how they were stretched to read longer texts than in training: {"frequencies": a list, "factor": of the
    table}, perhaps with {"long_frequencies": for texts longer than "length"}; or {"growth": s, "length": n}, where the
    base grows with the text. length: of the sequence. "reread": the length beyond which generation reads the text anew
    """
    scaling = scaling or {}
    if "growth" in scaling:
        s, longest = scaling["growth"], scaling["length"]
        theta *= (s * max(length, longest) / longest - (s - 1)) ** (width / (width - 2))
    if "frequencies" not in scaling:
        return 1 / theta ** (xp.arange(0, width, 2, dtype=dtype) / width), 1.0
    beyond = "long_frequencies" in scaling and length > scaling["length"]
    return to_device(scaling["long_frequencies" if beyond else "frequencies"], dtype), scaling["factor"]


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
    """Turns the vectors of positions 0, 1, ..., or later ones; nothing to learn.

    dh: width of the vectors; scaling: see rotary_frequencies. With fewer frequencies than dh/2 only the first entries
    of each vector turn, as in GPT-NeoX.
    """

    def __init__(self, dh, theta=10000.0, scaling=None):
        check_widths(dh=dh)
        theta = number("theta", theta, "(0, 1e30]")
        width = 2 * len(scaling["frequencies"]) if scaling and "frequencies" in scaling else dh
        self.options = ((scaling or {}).get("width", width), theta, scaling)
        self.width = self.options[0]

    def table(self, length, dtype, start=0):
        """cos and sin, (length - start, width/2), of the positions start, start + 1, ..., in a text of this length"""
        frequency, factor = rotary_frequencies(*self.options, length=length, dtype=dtype)
        # in the model's precision, as those who trained it had it: far from the start that is another angle
        angle = xp.arange(start, length, dtype=dtype)[:, None] * frequency
        return xp.cos(angle) * factor, xp.sin(angle) * factor

    def forward(self, x, table=None):
        """x: (B, H, T, dh) → (B, H, T, dh). table: of as many positions or more, of which x are the last"""
        cos, sin = (rows[-x.shape[2] :] for rows in table or self.table(x.shape[2], x.dtype))
        return self._turned(x, cos, sin), (cos, sin)

    def backward(self, dy, saved):
        cos, sin = saved
        return self._turned(dy, cos, -sin)

    def _turned(self, x, cos, sin):
        if self.width == x.shape[-1]:
            return rotate(x, cos, sin)
        turned = rotate(x[..., : self.width], cos, sin)
        return xp.concatenate([turned, x[..., self.width :]], axis=-1)
