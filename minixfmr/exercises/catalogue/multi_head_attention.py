"""Multi-head self-attention."""

from ...layers import MultiHeadAttention
from ..exercise import Pair
from .materials import B, D, H, T, matrix, normal, own_mask, run

PARTS = ("query", "key", "value", "output")


def _run(x, w_q, w_k, w_v, w_o, num_heads, mask, dy=None):
    weights = {f"{part}.weight": w for part, w in zip(PARTS, (w_q, w_k, w_v, w_o), strict=True)}
    return run(MultiHeadAttention(x.shape[-1], num_heads, dtype="float64"), weights, (x, None, mask), dy)


def gradients(dy, *arguments):
    dx, weights = _run(*arguments, dy=dy)
    return {"x": dx} | dict(zip(("w_q", "w_k", "w_v", "w_o"), weights.values(), strict=True))


def cases(rng):
    arguments = (normal(rng, B, T, D), *(matrix(rng, D, D) for _ in range(4)), H)
    return {" without a mask": (*arguments, None), " with a look-ahead mask": (*arguments, own_mask())}


EXERCISE = Pair(
    "multi_head_attention",
    "x w_q w_k w_v w_o num_heads mask",
    title="several attentions side by side",
    points=(4, 6),
    tutorial=1,
    right=_run,
    gradients=gradients,
    cases=cases,
)
