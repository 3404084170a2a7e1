"""x W + b."""

from ...layers import linear, linear_backward
from ..exercise import Mistake, Pair
from .materials import DH, B, F, T, matrix, normal


def gradients(dy, *arguments):
    return dict(zip(("x", "weight", "bias"), linear_backward(dy, linear(*arguments)[1]), strict=True))


def _weights(rng):
    return matrix(rng, DH, F), normal(rng, F)


SUM = "it has to be summed over all rows: W and b serve each of them, and their gradients add up"

TUTORIAL = 2
EXERCISE = Pair(
    "linear",
    "x weight bias",
    points=(2, 3),
    right=lambda x, weight, bias: linear(x, weight, bias)[0],
    gradients=gradients,
    mistakes=(
        (
            Mistake("bias forgotten", "the bias is missing", lambda x, w, b: x @ w),
            Mistake("bias subtracted", "the bias is subtracted: it is added", lambda x, w, b: x @ w - b),
        ),
        (
            Mistake(
                "x and dy exchanged",
                "it is transposed: dW = xᵀ dy, over all rows",
                lambda dy, x, w, b: {"weight": dy.reshape(-1, dy.shape[-1]).T @ x.reshape(-1, x.shape[-1])},
            ),
            Mistake("not summed", SUM, lambda dy, x, w, b: {"bias": dy}),
            Mistake("not summed", SUM, lambda dy, x, w, b: {"bias": dy.sum(0)}),
            Mistake("not summed", SUM, lambda dy, x, w, b: {"bias": dy.sum(1)}),
            Mistake("not summed", SUM, lambda dy, x, w, b: {"weight": x.swapaxes(-1, -2) @ dy}),
            Mistake(
                "only the last sequence",
                "the gradient of the last sequence alone: those of all sequences add up (+=)",
                lambda dy, x, w, b: {"weight": x[-1].T @ dy[-1], "bias": dy[-1].sum(0)},
            ),
        ),
    ),
    cases=lambda rng: {"": (normal(rng, B, T, DH), *_weights(rng))},
    extra=lambda rng: {" with x of shape (d_in,)": (normal(rng, DH), *_weights(rng))},
)
