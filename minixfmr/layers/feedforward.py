"""The position-wise feed-forward layer: each vector goes by itself through a wide hidden layer."""

from typing import Any

from ..backend import Array, random_generator
from ..module import Module
from .activations import Activation
from .dropout import Dropout
from .linear import Linear


class FeedForward(Module):
    """FFN(x) = activation(x W₁ + b₁) W₂ + b₂   (Vaswani et al. 2017, eq. 2, with ReLU)

    dropout: after the activation; 0 in the paper.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        *,
        activation: str = "relu",
        bias: bool = True,
        dropout: float = 0.0,
        rng: Any = 0,
        dtype: str = "float32",
    ) -> None:
        rng = random_generator(rng)
        self.hidden = Linear(d_model, d_ff, bias=bias, rng=rng, dtype=dtype)
        self.activation = Activation(activation)
        self.dropout = Dropout(dropout)
        self.output = Linear(d_ff, d_model, bias=bias, rng=rng, dtype=dtype)

    def forward(self, x: Array, rng: Any = None) -> tuple[Array, tuple]:
        """x: (..., d_model) → (..., d_model). rng: for dropout; None in evaluation."""
        h, saved_hidden = self.hidden.forward(x)  # (..., d_ff)
        a, saved_activation = self.activation.forward(h)
        r, saved_dropout = self.dropout.forward(a, rng)
        y, saved_output = self.output.forward(r)  # (..., d_model)
        return y, (saved_hidden, saved_activation, saved_dropout, saved_output)

    def backward(self, dy: Array, saved: tuple) -> Array:
        saved_hidden, saved_activation, saved_dropout, saved_output = saved
        dr = self.output.backward(dy, saved_output)  # (..., d_ff)
        da = self.dropout.backward(dr, saved_dropout)
        dh = self.activation.backward(da, saved_activation)
        return self.hidden.backward(dh, saved_hidden)  # (..., d_model)
