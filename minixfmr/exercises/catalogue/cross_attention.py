"""The decoder looks at the encoder's output."""

import numpy

from ...layers import MultiHeadAttention
from ...models import padding_mask
from ..exercise import Mistake, Pair
from .materials import DH, B, D, H, S, T, matrix, memory_mask, normal, run
from .multi_head_attention import PARTS, in_the_heads
from .plain import branches, flattened, forwards, gradients_of, heads, interleaved, product, reshaped


def _run(dy, x, memory, *rest):
    *matrices, num_heads, memory_mask = rest
    weights = {f"{part}.weight": w for part, w in zip(PARTS, matrices, strict=True)}
    mask = None if memory_mask is None else padding_mask(memory_mask)
    return run(MultiHeadAttention(x.shape[-1], num_heads, dtype="float64"), weights, (x, memory, mask), dy)


def gradients(dy, *arguments):
    (dx, dmemory), weights = _run(dy, *arguments)
    weights = dict(zip(("w_q", "w_k", "w_v", "w_o"), weights.values(), strict=True))
    return {"x": dx, "memory": dmemory} | weights


def cases(rng):
    arguments = (normal(rng, B, T, D), normal(rng, B, S, D), *(matrix(rng, D, D) for _ in range(4)), H)
    return {" without a mask": (*arguments, None), " with a memory mask": (*arguments, memory_mask())}


def _with_mask(rest):
    """The matrices, H, and the mask in the place of memory_mask."""
    *others, memory_mask = rest
    return [*others, None if memory_mask is None else padding_mask(memory_mask)]


def _y(change=None, **wrong):
    """A forward mistake; change: the four matrices → others."""

    def y(x, memory, *rest):
        *matrices, num_heads, mask = _with_mask(rest)
        return heads(x, change(*matrices) if change else matrices, num_heads, mask, memory, **wrong)

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
    Mistake("keys and values exchanged", "keys and values are exchanged", _y(lambda q, k, v, o: (q, v, k, o))),
    Mistake("W_Q for W_K", "the keys come from W_Q: from W_K", _y(lambda q, k, v, o: (q, q, v, o))),
    Mistake("W_K for W_V", "the values come from W_K: from W_V", _y(lambda q, k, v, o: (q, k, k, o))),
    Mistake(
        "memory not used",
        "keys and values come from x: they come from memory",
        lambda x, memory, *rest: heads(x, rest[:4], rest[4], None),
    ),
)


def back(change=lambda found: found, **wrong):
    """A backward mistake: in the heads (see branches), or a change of the gradients."""

    def gradients(dy, x, memory, *rest):
        *matrices, num_heads, mask = _with_mask(rest)
        return change(gradients_of(x, matrices, branches(dy, x, matrices, num_heads, mask, memory, **wrong), memory))

    return gradients


def _ways(keep):
    """dmemory with one of its branches alone."""

    def gradients(dy, x, memory, *rest):
        *matrices, num_heads, mask = _with_mask(rest)
        _, w_k, w_v, _ = matrices
        _, dk, dv = branches(dy, x, matrices, num_heads, mask, memory)
        return {"memory": keep(dk @ w_k.T, dv @ w_v.T)}

    return gradients


def _through(change):
    """dmemory through other matrices than W_K and W_V."""

    def gradients(dy, x, memory, *rest):
        *matrices, num_heads, mask = _with_mask(rest)
        _, w_k, w_v, _ = matrices
        _, dk, dv = branches(dy, x, matrices, num_heads, mask, memory)
        of_k, of_v = change(w_k, w_v)
        return {"memory": dk @ of_k.T + dv @ of_v.T}

    return gradients


def _transposed_w_o(dy, x, memory, *rest):
    return back(w_o=rest[3])(dy, x, memory, *rest)


WAYS = "memory is used twice, for keys and values, and what comes back from each adds up; {} is missing"
BACKWARD = (
    *in_the_heads(back),
    Mistake("value branch forgotten", WAYS.format("dV W_Vᵀ, of the values,"), _ways(lambda k, v: k), "dmemory"),
    Mistake("key branch forgotten", WAYS.format("dK W_Kᵀ, of the keys,"), _ways(lambda k, v: v), "dmemory"),
    Mistake("W_K for W_V", "dV goes back through W_K: through W_V", _through(lambda k, v: (k, k)), "dmemory"),
    Mistake("W_V for W_K", "dK goes back through W_V: through W_K", _through(lambda k, v: (v, v)), "dmemory"),
    Mistake(
        "W_K and W_V exchanged", "dK goes back through W_V, dV through W_K", _through(lambda k, v: (v, k)), "dmemory"
    ),
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


TUTORIAL = 5
EXERCISE = Pair(
    "cross_attention",
    "x memory w_q w_k w_v w_o num_heads memory_mask",
    points=(3, 5),
    right=lambda *arguments: _run(None, *arguments),
    gradients=gradients,
    cases=cases,
    mistakes=(FORWARD, BACKWARD),
)
