"""Cross-attention: the decoder looks at the encoder's output."""

from ...layers import MultiHeadAttention
from ...models import padding_mask
from ..exercise import Pair
from .materials import B, D, H, S, T, matrix, memory_mask, normal, run
from .multi_head_attention import PARTS


def _run(x, memory, w_q, w_k, w_v, w_o, num_heads, memory_mask, dy=None):
    weights = {f"{part}.weight": w for part, w in zip(PARTS, (w_q, w_k, w_v, w_o), strict=True)}
    mask = None if memory_mask is None else padding_mask(memory_mask)
    return run(MultiHeadAttention(x.shape[-1], num_heads, dtype="float64"), weights, (x, memory, mask), dy)


def gradients(dy, *arguments):
    (dx, dmemory), weights = _run(*arguments, dy=dy)
    weights = dict(zip(("w_q", "w_k", "w_v", "w_o"), weights.values(), strict=True))
    return {"x": dx, "memory": dmemory} | weights


def cases(rng):
    arguments = (normal(rng, B, T, D), normal(rng, B, S, D), *(matrix(rng, D, D) for _ in range(4)), H)
    return {" without a mask": (*arguments, None), " with a memory mask": (*arguments, memory_mask())}


EXERCISE = Pair(
    "cross_attention",
    "x memory w_q w_k w_v w_o num_heads memory_mask",
    title="the decoder looks at the encoder's output",
    points=(3, 5),
    tutorial=5,
    right=_run,
    gradients=gradients,
    cases=cases,
)
