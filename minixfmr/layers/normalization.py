"""Normalization: keep each vector at a scale that the next layer can rely on."""

from ..backend import batch_sum, check_array, row_mean, xp
from ..module import Module, Parameter


def layer_norm(x, weight, bias, eps):
    """Shift each vector to mean 0, scale it to variance 1, then apply a learned gain and bias
    (Ba et al. 2016, eq. 4).

        μ = mean(x),   r = 1 / sqrt(mean((x - μ)²) + eps),   n = (x - μ) · r,   y = n · weight + bias

    x: (..., d)    weight, bias: (d,)    →    y: (..., d)
    """
    n = x - row_mean(x)  # (..., d)
    r = (row_mean(n * n) + eps) ** -0.5  # (..., 1)
    n *= r
    y = n * weight
    y += bias
    return y, (n, r, weight)  # n: for dweight and dx;  r, weight: for dx


def layer_norm_backward(dy, saved):
    """dL/dx, dL/dweight, dL/dbias for layer_norm.

    μ and r depend on every x of the row: the second term is what comes back through μ, the third through r.

        dn = dy · weight,   dx = r · (dn - mean(dn) - n · mean(dn · n)),   dweight = Σ dy · n,   dbias = Σ dy

    Derived in tutorials/11_every_gradient_derived, chapter 6.
    """
    n, r, weight = saved
    dyn = dy * n
    dweight, dbias = batch_sum(dyn), batch_sum(dy)  # (d,)
    dn = dy * weight
    through_r = xp.multiply(n, row_mean(dn * n), out=dyn)
    dx = xp.subtract(dn, row_mean(dn), out=dn)
    dx -= through_r
    dx *= r
    return dx, dweight, dbias


class LayerNorm(Module):
    """Layer normalization over the last axis with gain (initially 1) and bias (initially 0)."""

    def __init__(self, d, *, eps=1e-5, dtype="float32"):
        self.weight = Parameter(xp.ones(d, dtype))
        self.bias = Parameter(xp.zeros(d, dtype))
        self.eps = eps

    def forward(self, x):
        """x: (..., d) → (..., d)"""
        check_array(x, "x")
        return layer_norm(x, self.weight.data, self.bias.data, self.eps)

    def backward(self, dy, saved):
        dx, dweight, dbias = layer_norm_backward(dy, saved)
        self.weight.grad += dweight
        self.bias.grad += dbias
        return dx


def rms_norm(x, weight, eps):
    """Scale each vector to root mean square 1 (Zhang & Sennrich 2019, eq. 4): LayerNorm without mean and bias.

        r = 1 / sqrt(mean(x²) + eps),   n = x · r,   y = n · weight

    x: (..., d)    weight: (d,)    →    y: (..., d)
    """
    r = (row_mean(x * x) + eps) ** -0.5  # (..., 1)
    n = x * r  # (..., d)
    return n * weight, (n, r, weight)  # n: for dweight and dx;  r, weight: for dx


def rms_norm_backward(dy, saved):
    """dL/dx, dL/dweight for rms_norm. r depends on every x of its row, hence the second term.

    dn = dy · weight,   dx = r · (dn - n · mean(dn · n)),   dweight = Σ dy · n

    Derived in tutorials/11_every_gradient_derived, chapter 7.
    """
    n, r, weight = saved
    dyn = dy * n
    dweight = batch_sum(dyn)  # (d,)
    dn = dy * weight
    through_r = xp.multiply(n, row_mean(dn * n), out=dyn)
    dx = xp.subtract(dn, through_r, out=dn)
    dx *= r
    return dx, dweight


class RMSNorm(Module):
    """Root-mean-square normalization over the last axis with gain (initially 1)."""

    def __init__(self, d, *, eps=1e-6, dtype="float32"):
        self.weight = Parameter(xp.ones(d, dtype))
        self.eps = eps

    def forward(self, x):
        """x: (..., d) → (..., d)"""
        check_array(x, "x")
        return rms_norm(x, self.weight.data, self.eps)

    def backward(self, dy, saved):
        dx, dweight = rms_norm_backward(dy, saved)
        self.weight.grad += dweight
        return dx
