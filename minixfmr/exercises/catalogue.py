"""The exercises: right results in float64, out of the package's own layers, and the cases to compare them on.

Gains are off 1 and biases off 0, tokens repeat, sequences are padded and look-ahead masks hide what comes later.
"""

import copy
from typing import Any

from .. import AdamW, CrossEntropy, Parameter
from ..backend import random_generator, xp
from ..layers import MultiHeadAttention, attention, embedding, gelu_tanh, layer_norm, linear, relu
from ..models.masks import causal_mask, padding_mask
from .checks import DropoutPair, Exercise, NotRight, Pair, as_numbers, check_unchanged, compare, kind_of, returned

B, T, S, H, DH, F, V = 2, 5, 7, 3, 6, 13, 11  # all different, so that no mistake hides behind equal sizes
D = H * DH
EPS = 1e-5

# --- right results: the same arguments as the student's forward → y


def softmax(x):
    e = xp.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def cross_entropy(logits, labels, ignore_index, label_smoothing):
    return xp.asarray(CrossEntropy(ignore_index, label_smoothing).forward(logits, labels)[0])


def attend(x, matrices, num_heads, mask, memory=None):
    """Attention of the package with these four matrices and no biases; to x itself if memory is None."""
    layer = MultiHeadAttention(x.shape[-1], num_heads, dtype="float64")
    for part, matrix in zip((layer.query, layer.key, layer.value, layer.output), matrices, strict=True):
        part.weight.data = matrix
    return layer(x, memory, mask)


def cross_attend(x, memory, matrices, num_heads, memory_mask):
    mask = None if memory_mask is None else padding_mask(memory_mask)
    return attend(x, matrices, num_heads, mask, memory)


def multi_head_attention(x, w_q, w_k, w_v, w_o, num_heads, mask):
    return attend(x, (w_q, w_k, w_v, w_o), num_heads, mask)


def cross_attention(x, memory, w_q, w_k, w_v, w_o, num_heads, memory_mask):
    return cross_attend(x, memory, (w_q, w_k, w_v, w_o), num_heads, memory_mask)


def feed_forward(x, w1, b1, w2, b2):
    return linear(relu(linear(x, w1, b1)[0])[0], w2, b2)[0]


def encoder_block(x, p, num_heads, mask):
    h = _norm(x + attend(x, _matrices(p), num_heads, mask), p, 1)
    return _norm(h + feed_forward(h, p["w1"], p["b1"], p["w2"], p["b2"]), p, 2)


def decoder_block(x, memory, p, num_heads, mask, memory_mask):
    h = _norm(x + attend(x, _matrices(p), num_heads, mask), p, 1)
    h = _norm(h + cross_attend(h, memory, _matrices(p, "cross_"), num_heads, memory_mask), p, 2)
    return _norm(h + feed_forward(h, p["w1"], p["b1"], p["w2"], p["b2"]), p, 3)


def _norm(x, p, i):
    return layer_norm(x, p[f"norm{i}_weight"], p[f"norm{i}_bias"], EPS)[0]


def _matrices(p, prefix=""):
    return [p[prefix + name] for name in ("w_q", "w_k", "w_v", "w_o")]


# --- the cases: a remark for the messages, and the arguments


def normal(rng, *shape):
    return rng.standard_normal(shape)


def matrix(rng, n, m):
    return rng.standard_normal((n, m)) / n**0.5


def _own_mask():
    """Look-ahead, and padding at the end of the second sequence: (B, 1, T, T)"""
    return causal_mask(T) & padding_mask(xp.arange(T) < xp.asarray([[T], [T - 1]]))


def _memory_mask():
    return xp.arange(S) < xp.asarray([[S - 2], [S]])  # (B, S)


def _labels(rng):
    labels = rng.integers(1, V, (B, T))
    ignored = labels.copy()
    ignored[0, 4] = ignored[1, 3] = ignored[1, 4] = -100
    return labels, ignored


def _cross_entropy_cases(rng):
    labels, ignored = _labels(rng)
    logits = normal(rng, B, T, V)
    return {
        "": (logits, labels, -100, 0.0),
        " with ignored labels": (logits, ignored, -100, 0.0),
        " with label smoothing and ignored labels": (logits, ignored, -100, 0.1),
    }


def _cross_entropy_extra(rng):
    labels, _ = _labels(rng)
    return {
        " with large logits": (500 * normal(rng, B, T, V), labels, -100, 0.0),
        " with ignore_index 0": (normal(rng, B, T, V), labels * (labels > 3), 0, 0.1),
        " without any label that counts": (normal(rng, B, T, V), labels * 0 - 100, -100, 0.0),
    }


def _attention_cases(rng):
    q, k, v = normal(rng, B, H, T, DH), normal(rng, B, H, S, DH), normal(rng, B, H, S, DH)
    mask = causal_mask(T, S) & padding_mask(_memory_mask())
    return {" without a mask": (q, k, v, None), " with a mask": (q, k, v, mask)}


def _self_attention_cases(rng):
    arguments = (normal(rng, B, T, D), *(matrix(rng, D, D) for _ in range(4)), H)
    return {" without a mask": (*arguments, None), " with a look-ahead mask": (*arguments, _own_mask())}


def _cross_attention_cases(rng):
    arguments = (normal(rng, B, T, D), normal(rng, B, S, D), *(matrix(rng, D, D) for _ in range(4)), H)
    return {" without a mask": (*arguments, None), " with a memory mask": (*arguments, _memory_mask())}


def _block(rng, norms, *prefixes):
    p = {prefix + name: matrix(rng, D, D) for prefix in prefixes for name in ("w_q", "w_k", "w_v", "w_o")}
    p |= {"w1": matrix(rng, D, F), "b1": normal(rng, F), "w2": matrix(rng, F, D), "b2": normal(rng, D)}
    for i in range(1, norms + 1):
        p |= {f"norm{i}_weight": rng.uniform(0.5, 1.5, D), f"norm{i}_bias": normal(rng, D)}
    return p


def _decoder_cases(rng):
    x, memory, p = normal(rng, B, T, D), normal(rng, B, S, D), _block(rng, 3, "", "cross_")
    return {"": (x, memory, p, H, _own_mask(), _memory_mask())}


# --- checks of their own


class AttentionPair(Pair):
    """Attention, and the look-ahead mask with its forward."""

    def forward(self, student):
        super().forward(student)
        mask = student.function("look_ahead_mask", T)(T)
        compare("look_ahead_mask(5)", mask, causal_mask(T)[0, 0])


def check_adamw(student):
    """Five steps of the student's AdamW beside the package's, with two sets of options."""
    others: dict[str, Any] = dict(lr=0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.3)
    for remark, options in (("", {}), (" (other options than the defaults)", others)):
        rng = random_generator(2)
        right = Parameter(normal(rng, 3, 4))
        optimizer = AdamW([right], **options)
        state = (right.data.copy(), xp.zeros((3, 4)), xp.zeros((3, 4)))
        for step in range(1, 6):
            right.grad[...] = grad = normal(rng, 3, 4)
            optimizer.step()
            parameter, m, v = state
            given = (parameter, grad, m, v, step)
            before = copy.deepcopy(given)
            function = student.function("adamw_step", *given)
            state = returned(student, function, function(*given, **options), "a tuple (parameter, m, v)", 3)
            check_unchanged("adamw_step", ("parameter", "grad", "m", "v", "step"), before, given)
            expected = (optimizer.m.reshape(3, 4), optimizer.v.reshape(3, 4), right.data)
            for name, got, value in zip(("m", "v", "parameter"), (*state[1:], state[0]), expected, strict=True):
                compare(name, got, value, f" after step {step}{remark}")


def check_greedy_decoding(student):
    """The student's ids for scores with many ties, with each way to come to an end."""
    scores = random_generator(3).integers(0, 4, (9, V)) / 1.0  # few values, so that many are equal

    def next_logits(ids):
        ids = as_numbers("the argument of next_logits", ids)
        if ids.ndim != 1 or not len(ids) or ids.dtype.kind not in "iu":
            raise NotRight(f"next_logits was given {ids.dtype} of shape {ids.shape}, expected integers (T,)")
        return scores[int(len(ids) + ids[-1]) % 9].copy()

    def right(start, eos, limit):
        ids = [start]
        while len(ids) <= limit and (len(ids) == 1 or ids[-1] != eos):
            ids.append(int(next_logits(xp.asarray(ids)).argmax()))
        return ids

    endless = right(1, -1, 12)
    cases = {
        ", the limit comes first": (1, -1, 12),
        ", the end token comes first": (1, endless[3], 12),
        ", the end token comes at once": (1, endless[1], 12),
        ", start and end have the same id": (endless[4], endless[4], 6),
        ", max_new_tokens is 0": (1, -1, 0),
    }
    for remark, (start, eos, limit) in cases.items():
        function = student.function("greedy_decode", next_logits, start, eos, limit)
        ids = function(next_logits, start, eos, limit)
        if not isinstance(ids, list):
            raise NotRight(f"{student.place(function)}greedy_decode returned {kind_of(ids)}, expected a list of ints")
        if ids != right(start, eos, limit):
            raise NotRight(f"the ids are {ids}{remark}, expected {right(start, eos, limit)}")


# --- the exercises, in the order of the tutorial


def _pair(name, right, cases, points, extra=lambda rng: {}, kind=Pair):
    pair = kind(name, right, cases, extra)
    return Exercise((f"{name}_forward", f"{name}_backward"), (pair.forward, pair.backward), points)


EXERCISES: dict[str, Exercise] = {
    "softmax": _pair(
        "softmax",
        softmax,
        lambda rng: {"": (normal(rng, B, H, T, S),)},
        (2, 3),
        lambda rng: {" with large scores": (500 * normal(rng, T, S),)},
    ),
    "cross_entropy": _pair("cross_entropy", cross_entropy, _cross_entropy_cases, (3, 5), _cross_entropy_extra),
    "linear": _pair(
        "linear",
        lambda x, weight, bias: linear(x, weight, bias)[0],
        lambda rng: {"": (normal(rng, B, T, DH), matrix(rng, DH, F), normal(rng, F))},
        (2, 3),
        lambda rng: {" with x of shape (d_in,)": (normal(rng, DH), matrix(rng, DH, F), normal(rng, F))},
    ),
    "embedding": _pair(
        "embedding",
        lambda ids, table: embedding(ids, table)[0],
        lambda rng: {"": (xp.asarray([[3, 1, 4, 1, 5], [9, 3, 6, 3, 0]]), normal(rng, V, DH))},
        (1, 4),
    ),
    "layer_norm": _pair(
        "layer_norm",
        lambda x, weight, bias, eps: layer_norm(x, weight, bias, eps)[0],
        lambda rng: {"": (normal(rng, B, T, D), rng.uniform(0.5, 1.5, D), normal(rng, D), EPS)},
        (3, 6),
        lambda rng: {" with a large eps": (normal(rng, T, D), rng.uniform(0.5, 1.5, D), normal(rng, D), 0.5)},
    ),
    "gelu": _pair("gelu", lambda x: gelu_tanh(x)[0], lambda rng: {"": (2 * normal(rng, B, T, DH),)}, (2, 3)),
    "dropout": _pair(
        "dropout",
        lambda x, p, rng: x,
        lambda rng: {
            "": (normal(rng, B, T, DH), 0.3, random_generator(5)),
            " in evaluation": (normal(rng, B, T, DH), 0.3, None),
        },
        (2, 3),
        kind=DropoutPair,
    ),
    "attention": _pair(
        "attention", lambda q, k, v, mask: attention(q, k, v, mask)[0], _attention_cases, (4, 6), kind=AttentionPair
    ),
    "multi_head_attention": _pair("multi_head_attention", multi_head_attention, _self_attention_cases, (4, 6)),
    "cross_attention": _pair("cross_attention", cross_attention, _cross_attention_cases, (3, 5)),
    "feed_forward": _pair(
        "feed_forward",
        feed_forward,
        lambda rng: {"": (normal(rng, B, T, D), matrix(rng, D, F), normal(rng, F), matrix(rng, F, D), normal(rng, D))},
        (2, 4),
    ),
    "encoder_block": _pair(
        "encoder_block",
        encoder_block,
        lambda rng: {"": (normal(rng, B, T, D), _block(rng, 2, ""), H, _own_mask())},
        (3, 4),
    ),
    "decoder_block": _pair("decoder_block", decoder_block, _decoder_cases, (3, 4)),
    "adamw": Exercise(("adamw_step",), (check_adamw,), (5,)),
    "greedy_decoding": Exercise(("greedy_decode",), (check_greedy_decoding,), (5,)),
}
