"""Several attentions side by side."""

import functools

import numpy

from ...layers import MultiHeadAttention
from ..exercise import Mistake, Pair
from .materials import DH, B, D, H, T, matrix, normal, own_mask, run
from .plain import (
    SOFTMAX_STEPS,
    attend_gradients,
    branches,
    flattened,
    forwards,
    gradients_of,
    heads,
    interleaved,
    product,
    reshaped,
    scales,
)

PARTS = ("query", "key", "value", "output")


def _run(dy, x, w_q, w_k, w_v, w_o, num_heads, mask):
    weights = {f"{part}.weight": w for part, w in zip(PARTS, (w_q, w_k, w_v, w_o), strict=True)}
    return run(MultiHeadAttention(x.shape[-1], num_heads, dtype="float64"), weights, (x, None, mask), dy)


def gradients(dy, *arguments):
    dx, weights = _run(dy, *arguments)
    return {"x": dx} | dict(zip(("w_q", "w_k", "w_v", "w_o"), weights.values(), strict=True))


def cases(rng):
    arguments = (normal(rng, B, T, D), *(matrix(rng, D, D) for _ in range(4)), H)
    return {" without a mask": (*arguments, None), " with a look-ahead mask": (*arguments, own_mask())}


def _y(change=None, **wrong):
    """A forward mistake; change: the four matrices → others."""

    def y(x, w_q, w_k, w_v, w_o, num_heads, mask):
        matrices = (w_q, w_k, w_v, w_o)
        return heads(x, change(*matrices) if change else matrices, num_heads, mask, **wrong)

    return y


HEADS = "the heads are {} wrongly: {}"
FORWARD = (
    *(Mistake(cause, text, _y(**wrong)) for cause, text, wrong in forwards(DH)),
    Mistake("√d for √dh", "the scores are divided by √d: by √dh, dh = d / H", _y(scale=D**-0.5)),
    Mistake(
        "heads split wrongly",
        HEADS.format("split", "a reshape moves no axes; reshape to (B, T, H, dh), then exchange axes 1 and 2"),
        _y(split=reshaped),
    ),
    Mistake(
        "heads split wrongly",
        HEADS.format(
            "split and merged", "a reshape moves no axes; reshape to (B, T, H, dh), then exchange axes 1 and 2"
        ),
        _y(split=reshaped, merge=flattened),
    ),
    Mistake(
        "heads split wrongly",
        HEADS.format("split", "head i has the columns i·dh ... (i+1)·dh - 1, not every H-th"),
        _y(split=interleaved),
    ),
    Mistake(
        "heads merged wrongly",
        HEADS.format("merged", "exchange axes 1 and 2 before the reshape to (B, T, d)"),
        _y(merge=flattened),
    ),
    Mistake("W_O forgotten", "the product with W_O is missing", _y(lambda q, k, v, o: (q, k, v, numpy.eye(len(o))))),
    Mistake("W_O transposed", "W_O is transposed", _y(lambda q, k, v, o: (q, k, v, o.T))),
    Mistake("matrices transposed", "W_Q, W_K and W_V are transposed", _y(lambda q, k, v, o: (q.T, k.T, v.T, o))),
    Mistake("queries and keys exchanged", "queries and keys are exchanged", _y(lambda q, k, v, o: (k, q, v, o))),
    Mistake("keys and values exchanged", "keys and values are exchanged", _y(lambda q, k, v, o: (q, v, k, o))),
    Mistake("W_Q for W_K", "the keys come from W_Q: from W_K", _y(lambda q, k, v, o: (q, q, v, o))),
    Mistake("W_K for W_V", "the values come from W_K: from W_V", _y(lambda q, k, v, o: (q, k, k, o))),
    Mistake("W_K for W_Q", "the queries come from W_K: from W_Q", _y(lambda q, k, v, o: (k, k, v, o))),
)


def back(change=lambda found: found, **wrong):
    """A backward mistake: in the heads (see branches), or a change of the gradients."""

    def gradients(dy, x, w_q, w_k, w_v, w_o, num_heads, mask):
        matrices = (w_q, w_k, w_v, w_o)
        return change(gradients_of(x, matrices, branches(dy, x, matrices, num_heads, mask, **wrong)))

    return gradients


def _ways(keep):
    """dx with some of its three branches alone; keep: the branches → those that are added."""

    def gradients(dy, x, w_q, w_k, w_v, w_o, num_heads, mask):
        dq, dk, dv = branches(dy, x, (w_q, w_k, w_v, w_o), num_heads, mask)
        return {"x": keep(dq @ w_q.T, dk @ w_k.T, dv @ w_v.T)}

    return gradients


def _transposed_w_o(dy, x, *rest):
    return back(w_o=rest[3])(dy, x, *rest)


def in_the_heads(back):
    """The mistakes of attention, made inside the heads."""
    for cause, text, ds in SOFTMAX_STEPS:
        yield Mistake(cause, text, back(back=functools.partial(attend_gradients, ds=ds)), "the step from dW to dS")
    for cause, text, pair in scales(DH, ((("√d for √dh"), "dq and dk are divided by √d: by √dh", (D**-0.5,) * 2),)):
        yield Mistake(cause, text, back(back=functools.partial(attend_gradients, scale=pair)), "dq and dk")
    for flat in ("q", "k", "v", "qk", "qkv"):
        text = f"the heads of d{' and d'.join(flat)} are merged wrongly: exchange axes 1 and 2 before the reshape"
        yield Mistake("heads merged wrongly", text, back(flat=flat), "where heads are merged")
    for split in (reshaped, interleaved):
        text = "dy is split into heads in another way than q, k and v"
        yield Mistake("heads split wrongly", text, back(split=split), "where dy is split into heads")


WAYS = "x is used three times, for queries, keys and values, and what comes back from each adds up; {} missing"
BACKWARD = (
    *in_the_heads(back),
    Mistake("value branch forgotten", WAYS.format("dV W_Vᵀ is"), _ways(lambda q, k, v: q + k), "dx"),
    Mistake("key branch forgotten", WAYS.format("dK W_Kᵀ is"), _ways(lambda q, k, v: q + v), "dx"),
    Mistake("query branch forgotten", WAYS.format("dQ W_Qᵀ is"), _ways(lambda q, k, v: k + v), "dx"),
    Mistake("two branches forgotten", WAYS.format("keys and values are"), _ways(lambda q, k, v: q), "dx"),
    Mistake("two branches forgotten", WAYS.format("queries and keys are"), _ways(lambda q, k, v: v), "dx"),
    Mistake("two branches forgotten", WAYS.format("queries and values are"), _ways(lambda q, k, v: k), "dx"),
    Mistake(
        "W_O transposed", "W_O is not transposed: what goes back into the heads is dy W_Oᵀ", _transposed_w_o, "dy W_Oᵀ"
    ),
    Mistake(
        "W_O gets dy's product with x",
        "dw_o takes x: the merged heads stood before W_O",
        lambda dy, x, *rest: {"w_o": product(x, dy)},
        "dw_o",
    ),
)


TUTORIAL = 1
EXERCISE = Pair(
    "multi_head_attention",
    "x w_q w_k w_v w_o num_heads mask",
    points=(4, 6),
    right=lambda *arguments: _run(None, *arguments),
    gradients=gradients,
    cases=cases,
    mistakes=(FORWARD, BACKWARD),
)
