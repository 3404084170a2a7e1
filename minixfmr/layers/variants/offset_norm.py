"""RMSNorm whose gain is stored minus 1, so that weight decay pulls it towards 1 (Gemma)."""

from ...backend import xp
from ...checks.vectors import check_vectors
from ..normalization import RMSNorm, rms_norm, rms_norm_backward


class OffsetRMSNorm(RMSNorm):
    """Root-mean-square normalization with gain 1 + weight, weight initially 0."""

    def __init__(self, d, *, eps=1e-6, dtype="float32"):
        super().__init__(d, eps=eps, dtype=dtype)
        self.weight.data = xp.zeros(d, dtype=dtype)

    def forward(self, x):
        """x: (..., d) → (..., d)"""
        check_vectors("OffsetRMSNorm: x", x, len(self.weight.data))
        return rms_norm(x, 1 + self.weight.data, self.eps)

    def backward(self, dy, saved):
        dx, dweight = rms_norm_backward(dy, saved)
        self.weight.accumulate(dweight)
        return dx
