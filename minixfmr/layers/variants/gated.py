"""The gated feed-forward layer: one half decides how much of the other passes."""

from ...backend import random_generator
from ...module import Module
from ..activations import Activation
from ..dropout import Dropout
from ..linear import Linear


class GatedFeedForward(Module):
    """FFN(x) = (activation(x Wᵍ) · x W₁) W₂   (Shazeer 2020, eq. 6): one half decides how much of the other passes."""

    def __init__(self, d_model, d_ff, *, activation="silu", bias=False, dropout=0.0, rng=0, dtype="float32"):
        rng = random_generator(rng)
        self.gate = Linear(d_model, d_ff, bias=bias, rng=rng, dtype=dtype)
        self.hidden = Linear(d_model, d_ff, bias=bias, rng=rng, dtype=dtype)
        self.activation = Activation(activation)
        self.dropout = Dropout(dropout)
        self.output = Linear(d_ff, d_model, bias=bias, rng=rng, dtype=dtype)

    def forward(self, x, rng=None):
        """x: (..., d_model) → (..., d_model). rng: for dropout; None in evaluation."""
        z, saved_gate = self.gate.forward(x)  # (..., d_ff)
        g, saved_activation = self.activation.forward(z)
        h, saved_hidden = self.hidden.forward(x)  # (..., d_ff)
        a, saved_dropout = self.dropout.forward(g * h, rng)
        y, saved_output = self.output.forward(a)  # (..., d_model)
        return y, (saved_gate, saved_activation, saved_hidden, g, h, saved_dropout, saved_output)

    def backward(self, dy, saved):
        saved_gate, saved_activation, saved_hidden, g, h, saved_dropout, saved_output = saved
        da = self.output.backward(dy, saved_output)  # (..., d_ff)
        da = self.dropout.backward(da, saved_dropout)
        dx = self.hidden.backward(da * g, saved_hidden)  # (..., d_model)
        dz = self.activation.backward(da * h, saved_activation)
        dx += self.gate.backward(dz, saved_gate)
        return dx
