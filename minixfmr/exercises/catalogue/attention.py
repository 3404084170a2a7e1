"""Queries gather values, under a mask."""

import numpy

from ...layers import attention, attention_backward
from ...models import causal_mask, padding_mask
from ..compare import NotRight, compare
from ..exercise import Mistake, Pair
from ..reasons import reason_of_result
from .materials import DH, B, H, S, T, memory_mask, normal
from .plain import SOFTMAX_STEPS, attend, attend_gradients, forwards, scales

MASKS = (
    Mistake(
        "look-ahead mask upside down",
        "it is upside down: row t, the query, is True at 0 ... t",
        lambda n: numpy.triu(numpy.ones((n, n), bool)),
    ),
    Mistake(
        "look-ahead mask upside down",
        "it is True where the query may not attend: True = may",
        lambda n: numpy.triu(numpy.ones((n, n), bool), 1),
    ),
    Mistake(
        "look-ahead mask without the diagonal",
        "the diagonal is missing: a position may attend to itself",
        lambda n: numpy.tril(numpy.ones((n, n), bool), -1),
    ),
    Mistake("look-ahead mask hides nothing", "it hides nothing", lambda n: numpy.ones((n, n), bool)),
)


class _Attention(Pair):
    def forward(self, session, explain=None):
        super().forward(session)
        mask = session.call("look_ahead_mask", (T,), ["length"])
        right = causal_mask(T)[0, 0]
        try:
            compare(f"look_ahead_mask({T})", mask, right)
        except NotRight as error:
            found = reason_of_result(MASKS, mask, right, (T,))
            if found:
                text = f"look_ahead_mask: {found.text}"
                raise NotRight(text, cause=found.cause, where="look_ahead_mask") from None
            raise error from None


def gradients(dy, *arguments):
    return dict(zip("qkv", attention_backward(dy, attention(*arguments)[1])[:3], strict=True))


def cases(rng):
    q, k, v = normal(rng, B, H, T, DH), normal(rng, B, H, S, DH), normal(rng, B, H, S, DH)
    mask = causal_mask(T, S) & padding_mask(memory_mask())
    return {" without a mask": (q, k, v, None), " with a mask": (q, k, v, mask)}


def _back(**wrong):
    return lambda dy, *arguments: dict(zip("qkv", attend_gradients(dy, *arguments, **wrong), strict=True))


def _right(dy, *arguments):
    return attention_backward(dy, attention(*arguments)[1])[:3]


BACKWARD = (
    *(Mistake(cause, text, _back(ds=ds), "the step from dW to dS") for cause, text, ds in SOFTMAX_STEPS),
    *(Mistake(cause, text, _back(scale=pair), "dq and dk") for cause, text, pair in scales(DH)),
    Mistake(
        "√dh in dv",
        "dv is divided by √dh: the scale belongs to the scores, and v is not among them",
        lambda dy, *a: {"v": _right(dy, *a)[2] * DH**-0.5},
    ),
    Mistake(
        "scores in place of weights",
        "dv takes the scores: the weights W belong there, dV = Wᵀ dy",
        lambda dy, q, k, v, mask: {"v": (q @ k.swapaxes(-1, -2) * DH**-0.5).swapaxes(-1, -2) @ dy},
    ),
)


TUTORIAL = 1
EXERCISE = _Attention(
    "attention",
    "q k v mask",
    points=(4, 6),
    right=lambda *arguments: attention(*arguments)[0],
    gradients=gradients,
    cases=cases,
    mistakes=(
        tuple(
            Mistake(cause, text, lambda q, k, v, mask, wrong=wrong: attend(q, k, v, mask, **wrong))
            for cause, text, wrong in forwards(DH)
        ),
        BACKWARD,
    ),
)
