"""The gated feed-forward layer: one half decides how much of the other passes."""

from typing import Any

from ...backend import Array, random_generator
from ...module import Module
from ..activations import Activation
from ..dropout import Dropout
from ..linear import Linear


class GatedFeedForward(Module):
    """FFN(x) = (activation(x Wᵍ) ⊙ x W₁) W₂   (Shazeer 2020, eq. 6)"""

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        *,
        activation: str = "silu",
        bias: bool = False,
        dropout: float = 0.0,
        rng: Any = 0,
        dtype: str = "float32",
    ) -> None:
        rng = random_generator(rng)
        self.gate = Linear(d_model, d_ff, bias=bias, rng=rng, dtype=dtype)
        self.hidden = Linear(d_model, d_ff, bias=bias, rng=rng, dtype=dtype)
        self.activation = Activation(activation)
        self.dropout = Dropout(dropout)
        self.output = Linear(d_ff, d_model, bias=bias, rng=rng, dtype=dtype)

    def forward(self, x: Array, rng: Any = None) -> tuple[Array, tuple]:
        """x: (..., d_model) → (..., d_model). rng: for dropout; None in evaluation."""
        z, saved_gate = self.gate.forward(x)  # (..., d_ff)
        g, saved_activation = self.activation.forward(z)
        h, saved_hidden = self.hidden.forward(x)  # (..., d_ff)
        r, saved_dropout = self.dropout.forward(g * h, rng)
        y, saved_output = self.output.forward(r)  # (..., d_model)
        return y, (saved_gate, saved_activation, saved_hidden, g, h, saved_dropout, saved_output)

    def backward(self, dy: Array, saved: tuple) -> Array:
        saved_gate, saved_activation, saved_hidden, g, h, saved_dropout, saved_output = saved
        dr = self.output.backward(dy, saved_output)  # (..., d_ff)
        dgh = self.dropout.backward(dr, saved_dropout)
        dx = self.hidden.backward(dgh * g, saved_hidden)  # (..., d_model)
        dz = self.activation.backward(dgh * h, saved_activation)
        return dx + self.gate.backward(dz, saved_gate)
