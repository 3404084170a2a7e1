"""Attention with switches, for the mistakes that are made in it."""

import numpy

from ...layers import attention, attention_backward, merge_heads, softmax, split_heads


def attend(q, k, v, mask, *, scale=None, over=-1, top=False, hide="scores"):
    """Attention in which the scale, the axis of the softmax or the mask may be another.

    over: the axis of the softmax, None for the whole array; top: with the maximum of the last axis
    hide: where the mask acts: "nowhere", "inverted", "inverted to -∞", "multiplied" (scores times mask), "added" (to
    the scores), "after" (weights times mask)
    """
    scores = q @ k.swapaxes(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        mask = numpy.broadcast_to(mask, scores.shape)
        low = numpy.finfo(float).min
        change = {
            "scores": lambda: numpy.where(mask, scores, low),
            "inverted": lambda: numpy.where(mask, low, scores),
            "inverted to -∞": lambda: numpy.where(mask, -numpy.inf, scores),
            "multiplied": lambda: scores * mask,
            "added": lambda: scores + mask,
        }
        scores = change.get(hide, lambda: scores)()
    e = numpy.exp(scores - scores.max(-1 if top else over, keepdims=True))
    w = e / e.sum(over, keepdims=True)
    if hide == "after" and mask is not None:
        w = w * mask
    return w @ v


def weights(q, k, mask):
    """(B, H, Tq, Tk), the right ones."""
    scores = q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5
    return softmax(scores if mask is None else numpy.where(mask, scores, numpy.finfo(float).min))


def attend_gradients(dy, q, k, v, mask, ds=None, scale=None):
    """dq, dk, dv with another step through the softmax, ds(w, dw), or another scale for (dq, dk)."""
    w, dw = weights(q, k, mask), dy @ v.swapaxes(-1, -2)
    s = (w * (dw - (dw * w).sum(-1, keepdims=True))) if ds is None else ds(w, dw)
    sq, sk = scale or (q.shape[-1] ** -0.5,) * 2
    return s @ k * sq, s.swapaxes(-1, -2) @ q * sk, w.swapaxes(-1, -2) @ dy


def heads(x, matrices, num_heads, mask, memory=None, *, split=split_heads, merge=merge_heads, **wrong):
    """Multi-head attention of attend with these switches; split, merge: other ways to cut and join heads."""
    w_q, w_k, w_v, w_o = matrices
    source = x if memory is None else memory
    q, k, v = (split(a @ w, num_heads) for a, w in ((x, w_q), (source, w_k), (source, w_v)))
    return merge(attend(q, k, v, mask, **wrong)) @ w_o


def branches(dy, x, matrices, num_heads, mask, memory=None, **wrong):
    """dQ, dK, dV of the merged heads (B, T, d).

    wrong: back, in place of attention's gradients; w_o, of W_Oᵀ; split, of the way back into the heads; flat, which of
    "qkv" are merged by a reshape alone
    """
    w_q, w_k, w_v, right_o = matrices
    source = x if memory is None else memory
    q, k, v = (split_heads(a @ w, num_heads) for a, w in ((x, w_q), (source, w_k), (source, w_v)))
    dheads = wrong.get("split", split_heads)(dy @ wrong.get("w_o", right_o.T), num_heads)
    found = wrong.get("back", _attention_backward)(dheads, q, k, v, mask)
    flat = wrong.get("flat", "")
    return tuple(flattened(a) if name in flat else merge_heads(a) for name, a in zip("qkv", found, strict=True))


def _attention_backward(dy, *arguments):
    return attention_backward(dy, attention(*arguments)[1])[:3]


def gradients_of(x, matrices, branches, memory=None):
    """The gradients of inputs and matrices (all but W_O) for these branches, (dQ, dK, dV)."""
    dq, dk, dv = branches
    w_q, w_k, w_v, _ = matrices
    source = x if memory is None else memory
    down = {"w_q": product(x, dq), "w_k": product(source, dk), "w_v": product(source, dv)}
    to_x, to_source = dq @ w_q.T, dk @ w_k.T + dv @ w_v.T
    return ({"x": to_x + to_source} if memory is None else {"x": to_x, "memory": to_source}) | down


def product(x, dy):
    """xᵀ dy over all rows."""
    return x.reshape(-1, x.shape[-1]).T @ dy.reshape(-1, dy.shape[-1])


# --- ways to cut and join heads that are wrong


def reshaped(x, num_heads):
    """A reshape alone."""
    return x.reshape(len(x), num_heads, x.shape[1], -1)


def interleaved(x, num_heads):
    """Head i has every H-th column."""
    return x.reshape(*x.shape[:2], -1, num_heads).transpose(0, 3, 1, 2)


def flattened(x):
    """A reshape alone, back."""
    return x.reshape(len(x), x.shape[2], -1)


# --- the steps through the softmax that are wrong, with what to say of them

SOFTMAX_STEPS = (
    (
        "row term forgotten",
        "the row term of the softmax is missing: dS = W · (dW - Σ (dW · W)), the sum over the keys",
        lambda w, dw: w * dw,
    ),
    (
        "Jacobian's diagonal only",
        "only the diagonal W (1 - W) of the softmax is used: a query's weights depend on all its scores, so "
        "dS = W · (dW - Σ (dW · W))",
        lambda w, dw: dw * w * (1 - w),
    ),
    ("softmax skipped", "the softmax is skipped: dS = W · (dW - Σ (dW · W)), not dW", lambda w, dw: dw),
    (
        "factor W forgotten",
        "the factor W is missing: dS = W · (dW - Σ (dW · W))",
        lambda w, dw: dw - (dw * w).sum(-1, keepdims=True),
    ),
    (
        "sum over the wrong axis",
        "Σ (dW · W) goes over the queries: it is the sum over the keys, the last axis",
        lambda w, dw: w * (dw - (dw * w).sum(-2, keepdims=True)),
    ),
    (
        "mean instead of sum",
        "the row term is a mean: it is the sum of dW · W over the keys",
        lambda w, dw: w * (dw - (dw * w).mean(-1, keepdims=True)),
    ),
)


def scales(d_head, more=()):
    """(cause, text, (scale of dq, scale of dk)): √dh forgotten in both or one, or taken twice."""
    s = d_head**-0.5
    forgotten = "1/√dh is missing in {}: the scores were divided by √dh, and so are dq and dk"
    return (
        ("√dh forgotten", forgotten.format("dq and dk"), (1.0, 1.0)),
        ("√dh forgotten", forgotten.format("dq"), (1.0, s)),
        ("√dh forgotten", forgotten.format("dk"), (s, 1.0)),
        ("√dh twice", "1/√dh stands twice in dq and dk: the scores were divided by it once", (s * s, s * s)),
        ("√dh twice", "1/√dh stands twice in dq: the scores were divided by it once", (s * s, s)),
        ("√dh twice", "1/√dh stands twice in dk: the scores were divided by it once", (s, s * s)),
        ("√dh for 1/√dh", "dq and dk are multiplied by √dh: they are divided by it", (1 / s, 1 / s)),
        *more,
    )


# --- the forwards that are wrong: (cause, text, switches)


def forwards(d_head, more=()):
    hidden = "masked keys still count: "
    return (
        ("√dh forgotten", "the scores are not divided by √dh", {"scale": 1.0}),
        ("dh for √dh", "the scores are divided by dh: by √dh, its root", {"scale": 1 / d_head}),
        ("√dh for 1/√dh", "the scores are multiplied by √dh: they are divided by it", {"scale": d_head**0.5}),
        *(
            (f"softmax over the {word}", f"the softmax goes over the {text}", {"over": axis, "top": top})
            for top in (False, True)
            for axis, word, text in (
                (-2, "wrong axis", "queries: over the keys, the last axis"),
                (1, "wrong axis", "heads: over the keys, the last axis"),
                (0, "wrong axis", "batch: over the keys, the last axis"),
                (None, "whole array", "whole array: each query has its own"),
            )
        ),
        ("mask not used", hidden + "the mask is not used", {"hide": "nowhere"}),
        (
            "mask after the softmax",
            "the mask acts after the softmax, so the weights that are left do not sum to 1: put -∞ into the scores",
            {"hide": "after"},
        ),
        (
            "masked scores are 0",
            hidden + "their scores are 0, and exp(0) = 1 is a weight like others; a masked score is -∞",
            {"hide": "multiplied"},
        ),
        ("mask added", hidden + "the mask is added to the scores as 1 and 0; a masked score is -∞", {"hide": "added"}),
        *(
            ("mask upside down", "the mask is taken upside down, inverted: True = may attend", {"hide": hide})
            for hide in ("inverted", "inverted to -∞")
        ),
        *more,
    )
