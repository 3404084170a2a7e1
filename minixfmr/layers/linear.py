"""Linear maps: y = x W + b, and the logits of an output layer that shares its matrix with the embedding."""

from typing import Any

from ..backend import Array, batch_sum, nonzero_rows, product, random_generator, to_device, xp
from ..checks.values import check_widths
from ..checks.vectors import check_bias, check_upstream, check_vectors
from ..module import Buffer, Module, Parameter


def linear(x, weight, bias=None):
    """Multiply each vector by a matrix and add a bias.

        y = x W + b

    x: (..., n)    weight: (n, m)    bias: (m,) or None    →    y: (..., m)
    """
    rows = x.reshape(-1, x.shape[-1])  # (N, n)  one large product instead of many small ones
    y = product(rows, weight)  # (N, m)
    if bias is not None:
        y += bias  # in place: nobody else has y yet
    return y.reshape(*x.shape[:-1], -1), (rows, weight)  # rows: for dweight;  weight: for dx


def linear_backward(dy, saved):
    """dL/dx, dL/dweight, dL/dbias for linear. W and b served every row, so their gradients sum over rows.

    dx = dy Wᵀ,   dW = xᵀ dy,   db = Σ dy

    Derived in tutorials/11_every_gradient_derived, chapter 2.
    """
    rows, weight = saved
    drows = dy.reshape(-1, dy.shape[-1])  # (N, m)
    dx = (drows @ weight.T).reshape(*dy.shape[:-1], -1)  # (..., n)
    return dx, rows.T @ drows, batch_sum(drows)


class Linear(Module):
    """y = x W + b with W of shape (d_in, d_out), so that the code reads like the paper.

    Initial W: uniform with variance 2 / (d_in + d_out) (Glorot & Bengio 2010, eq. 16); initial b: 0.
    """

    def __init__(self, d_in: int, d_out: int, *, bias: bool = True, rng: Any = 0, dtype: str = "float32") -> None:
        check_widths(d_in=d_in, d_out=d_out)
        limit = (6 / (d_in + d_out)) ** 0.5
        values = random_generator(rng).uniform(-limit, limit, (d_in, d_out))
        self.weight = Parameter(to_device(values, dtype))
        self.bias = Parameter(xp.zeros(d_out, dtype=dtype)) if bias else None

    def forward(self, x: Array) -> tuple[Array, tuple]:
        """x: (..., d_in) → y: (..., d_out). Raises ValueError if the last axis is not d_in."""
        weight, bias = self.weight.data, self.bias
        check_vectors("Linear: x", x, len(weight), "d_in")
        return linear(x, weight, None if bias is None else bias.data)

    def backward(self, dy: Array, saved: tuple) -> Array:
        dx, dweight, dbias = linear_backward(dy, saved)
        self.weight.accumulate(dweight)
        if self.bias is not None:
            self.bias.accumulate(dbias)
        return dx


def output_logits(x, table, bias=None):
    """Score every token of the vocabulary by its inner product with the final vector.

        z = x Eᵀ + b

    x: (..., d)    table E: (V, d), one row per token    bias: (V,) or None    →    z: (..., V)
    """
    rows = x.reshape(-1, x.shape[-1])  # (N, d)
    z = product(rows, table.T)  # (N, V)
    if bias is not None:
        z += bias
    return z.reshape(*x.shape[:-1], -1), (rows, table)  # rows: for dtable;  table: for dx


def output_logits_backward(dz, saved):
    """dL/dx, dL/dtable, dL/dbias for output_logits:   dx = dz E,   dE = dzᵀ x,   db = Σ dz.

    Where most labels do not count, as in masked language modelling, most rows of dz are 0 and left out.

    Derived in tutorials/11_every_gradient_derived, chapter 14.
    """
    rows, table = saved
    dlogits = dz.reshape(-1, dz.shape[-1])  # (N, V)
    used = nonzero_rows(dlogits)
    if used is None:
        dx, dtable = dlogits @ table, dlogits.T @ rows
    else:
        dx, dlogits = xp.zeros_like(rows), dlogits[used]
        dx[used], dtable = dlogits @ table, dlogits.T @ rows[used]
    return dx.reshape(*dz.shape[:-1], -1), dtable, batch_sum(dlogits)


class OutputProjection(Module):
    """Logits over the vocabulary. Give it an embedding's Parameter to tie the two
    (Press & Wolf 2017; Vaswani et al. 2017, section 3.4), or a new one of shape (V, d).

    bias: a Parameter or Buffer of shape (V,), which the paper does not have, or None
    """

    def __init__(self, table: Parameter, bias: Parameter | Buffer | None = None) -> None:
        check_bias(bias, len(table.data))
        self.weight = table
        self.bias = bias

    def forward(self, x: Array) -> tuple[Array, tuple]:
        """x: (..., d) → logits: (..., V)"""
        check_vectors("OutputProjection: x", x, self.weight.shape[1])
        return output_logits(x, self.weight.data, None if self.bias is None else self.bias.data)

    def backward(self, dlogits: Array, saved: tuple) -> Array:
        check_upstream("dlogits", dlogits, *saved)
        dx, dtable, dbias = output_logits_backward(dlogits, saved)
        self.weight.accumulate(dtable)
        if isinstance(self.bias, Parameter):
            self.bias.accumulate(dbias)
        return dx
