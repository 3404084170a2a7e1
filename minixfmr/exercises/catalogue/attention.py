"""Scaled dot-product attention, and its look-ahead mask."""

from ...layers import attention, attention_backward
from ...models import causal_mask, padding_mask
from ..compare import compare
from ..exercise import Pair
from .materials import DH, B, H, S, T, memory_mask, normal


class _Attention(Pair):
    def forward(self, session, explain=None):
        super().forward(session)
        mask = session.call("look_ahead_mask", (T,), ["length"])
        compare(f"look_ahead_mask({T})", mask, causal_mask(T)[0, 0])


def gradients(dy, *arguments):
    return dict(zip("qkv", attention_backward(dy, attention(*arguments)[1])[:3], strict=True))


def cases(rng):
    q, k, v = normal(rng, B, H, T, DH), normal(rng, B, H, S, DH), normal(rng, B, H, S, DH)
    mask = causal_mask(T, S) & padding_mask(memory_mask())
    return {" without a mask": (q, k, v, None), " with a mask": (q, k, v, mask)}


EXERCISE = _Attention(
    "attention",
    "q k v mask",
    title="queries gather values, under a mask",
    points=(4, 6),
    tutorial=1,
    right=lambda *arguments: attention(*arguments)[0],
    gradients=gradients,
    cases=cases,
)
