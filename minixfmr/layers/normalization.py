"""Normalization: keep each vector at a scale that the next layer can rely on."""

from ..backend import Array, batch_sum, by_rows, row_mean, row_mean_dot, xp
from ..checks.values import check_eps
from ..checks.vectors import check_vectors
from ..module import Module, Parameter


@by_rows
def layer_norm(x, weight, bias, eps):
    """Shift each vector to mean 0, scale it to variance 1, then apply a learned gain and bias
    (Ba et al. 2016, eq. 4).

        c = x - mean(x),   r = 1 / √(mean(c ⊙ c) + eps),   n = c r,   y = n ⊙ weight + bias

    x: (..., d)    weight, bias: (d,)    →    y: (..., d)
    """
    c = x - row_mean(x)  # (..., d)
    r = (row_mean_dot(c, c) + eps) ** -0.5  # (..., 1)
    n = c * r
    y = n * weight + bias
    return y, (n, r, weight)  # n: for dweight and dx;  r, weight: for dx


@by_rows
def layer_norm_backward(dy, saved):
    """dL/dx, dL/dweight, dL/dbias for layer_norm.

    The mean and r depend on every x of the row: the second term is what comes back through the mean, the third
    through r.

        dn = dy ⊙ weight,   dx = r (dn - mean(dn) - n mean(dn ⊙ n)),   dweight = Σ dy ⊙ n,   dbias = Σ dy

    Derived in tutorials/11_every_gradient_derived, chapter 6.
    """
    n, r, weight = saved
    dn = dy * weight
    dx = r * (dn - row_mean(dn) - n * row_mean_dot(dn, n))
    return dx, batch_sum(dy * n), batch_sum(dy)


class LayerNorm(Module):
    """Layer normalization over the last axis with gain (initially 1) and bias (initially 0)."""

    def __init__(self, d: int, *, eps: float = 1e-5, dtype: str = "float32") -> None:
        self.eps = check_eps(d, eps)
        self.weight = Parameter(xp.ones(d, dtype=dtype))
        self.bias = Parameter(xp.zeros(d, dtype=dtype))

    def forward(self, x: Array) -> tuple[Array, tuple]:
        """x: (..., d) → (..., d)"""
        check_vectors("LayerNorm: x", x, len(self.weight.data))
        return layer_norm(x, self.weight.data, self.bias.data, self.eps)

    def backward(self, dy: Array, saved: tuple) -> Array:
        dx, dweight, dbias = layer_norm_backward(dy, saved)
        self.weight.accumulate(dweight)
        self.bias.accumulate(dbias)
        return dx
