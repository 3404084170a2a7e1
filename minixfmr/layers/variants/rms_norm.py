"""RMSNorm: LayerNorm without its mean and bias (T5, LLaMA), also with a gain stored minus 1 (Gemma)."""

from ...backend import Array, batch_sum, by_rows, row_mean_dot, xp
from ...checks.values import check_eps
from ...checks.vectors import check_vectors
from ...module import Module, Parameter


@by_rows
def rms_norm(x, weight, eps):
    """Scale each vector to root mean square 1 (Zhang & Sennrich 2019, eq. 4): LayerNorm without mean and bias.

        r = 1 / √(mean(x ⊙ x) + eps),   n = x r,   y = n ⊙ weight

    x: (..., d)    weight: (d,)    →    y: (..., d)
    """
    r = (row_mean_dot(x, x) + eps) ** -0.5  # (..., 1)
    n = x * r  # (..., d)
    y = n * weight
    return y, (n, r, weight)  # n: for dweight and dx;  r, weight: for dx


@by_rows
def rms_norm_backward(dy, saved):
    """dL/dx, dL/dweight for rms_norm. r depends on every x of its row, hence the second term.

        dn = dy ⊙ weight,   dx = r (dn - n mean(dn ⊙ n)),   dweight = Σ dy ⊙ n

    Derived in tutorials/11_every_gradient_derived, chapter 7.
    """
    n, r, weight = saved
    dn = dy * weight
    dx = r * (dn - n * row_mean_dot(dn, n))
    return dx, batch_sum(dy * n)


class RMSNorm(Module):
    """Root-mean-square normalization over the last axis with gain (initially 1)."""

    def __init__(self, d: int, *, eps: float = 1e-6, dtype: str = "float32") -> None:
        self.eps = check_eps(d, eps)
        self.weight = Parameter(xp.ones(d, dtype=dtype))

    def forward(self, x: Array) -> tuple[Array, tuple]:
        """x: (..., d) → (..., d)"""
        check_vectors("RMSNorm: x", x, len(self.weight.data))
        return rms_norm(x, self.weight.data, self.eps)

    def backward(self, dy: Array, saved: tuple) -> Array:
        dx, dweight = rms_norm_backward(dy, saved)
        self.weight.accumulate(dweight)
        return dx


class OffsetRMSNorm(RMSNorm):
    """Root-mean-square normalization with gain 1 + weight, weight initially 0, so that weight decay pulls the gain
    towards 1 (Gemma)."""

    def __init__(self, d: int, *, eps: float = 1e-6, dtype: str = "float32") -> None:
        super().__init__(d, eps=eps, dtype=dtype)
        self.weight.data = xp.zeros(d, dtype=dtype)

    def forward(self, x: Array) -> tuple[Array, tuple]:
        """x: (..., d) → (..., d)"""
        check_vectors("OffsetRMSNorm: x", x, len(self.weight.data))
        return rms_norm(x, 1 + self.weight.data, self.eps)
