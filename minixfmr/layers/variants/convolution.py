"""A convolution over time, which one published system has beside its first block (DeBERTa v2 xlarge)."""

from ...backend import batch_sum, random_generator, to_device, xp
from ...checks.values import check_widths
from ...checks.vectors import check_vectors
from ...module import Module, Parameter


def convolution(x, weight, bias):
    """Each vector sees its neighbours, K in all, zeros beyond the ends.

        y[t] = Σⱼ x[t + j - ⌊K/2⌋] Wⱼ + b

    x: (B, T, n)    weight: (K, n, m), K odd    bias: (m,)    →    y: (B, T, m)
    """
    K, T = len(weight), x.shape[1]
    padded = xp.pad(x, ((0, 0), (K // 2, K // 2), (0, 0)))  # (B, T + K - 1, n)
    y = sum(padded[:, j : j + T] @ weight[j] for j in range(K)) + bias
    return y, (padded, weight)


def convolution_backward(dy, saved):
    """dL/dx, dL/dweight, dL/dbias for convolution.

        dx[t + j - ⌊K/2⌋] += dy[t] Wⱼᵀ,   dWⱼ = Σₜ x[t + j - ⌊K/2⌋]ᵀ dy[t],   db = Σ dy

    Derived in tutorials/11_every_gradient_derived, chapter 2."""
    padded, weight = saved
    K, T = len(weight), dy.shape[1]
    dpadded, dweight = xp.zeros_like(padded), xp.empty_like(weight)
    rows = dy.reshape(-1, dy.shape[-1])  # (B·T, m)
    for j in range(K):
        dpadded[:, j : j + T] += dy @ weight[j].T
        dweight[j] = padded[:, j : j + T].reshape(len(rows), -1).T @ rows
    return dpadded[:, K // 2 : K // 2 + T], dweight, batch_sum(dy)


class Convolution(Module):
    """A convolution over time of odd width K that keeps the length."""

    def __init__(self, d_in, d_out, width, *, rng=0, dtype="float32"):
        check_widths(d_in=d_in, d_out=d_out, odd_width=width)
        limit = (6 / (width * (d_in + d_out))) ** 0.5
        values = random_generator(rng).uniform(-limit, limit, (width, d_in, d_out))
        self.weight = Parameter(to_device(values, dtype))
        self.bias = Parameter(xp.zeros(d_out, dtype=dtype))

    def forward(self, x):
        """x: (B, T, d_in) → (B, T, d_out)"""
        check_vectors("Convolution: x", x, self.weight.shape[1], axes=3)
        return convolution(x, self.weight.data, self.bias.data)

    def backward(self, dy, saved):
        dx, dweight, dbias = convolution_backward(dy, saved)
        self.weight.accumulate(dweight)
        self.bias.accumulate(dbias)
        return dx
