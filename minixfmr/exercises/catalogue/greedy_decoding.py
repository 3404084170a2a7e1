"""Write, token by token.

Judged by the ids for scores with many ties, with each way to come to an end.
"""

import numpy

from ..compare import NotRight, as_numbers
from ..exercise import Check, Exercise
from ..session import what
from .materials import V

NAMES = ["next_logits", "start_id", "eos_id", "max_new_tokens"]


def check(session, explain=None):
    scores = session.rng.integers(0, 4, (9, V)) / 1.0  # few values, so that many are equal

    def next_logits(ids):
        return scores[int(len(ids) + ids[-1]) % 9].copy()

    def right(start, eos, limit):
        ids = [start]
        while len(ids) <= limit and (len(ids) == 1 or ids[-1] != eos):
            ids.append(int(next_logits(ids).argmax()))
        return ids

    endless = right(1, -1, 12)
    cases = {
        ", the limit comes first": (1, -1, 12),
        ", the end token comes first": (1, endless[3], 12),
        ", the end token comes at once": (1, endless[1], 12),
        ", start and end have the same id": (endless[4], endless[4], 6),
        ", max_new_tokens is 0": (1, -1, 0),
    }
    for remark, arguments in cases.items():
        asked = lambda given: next_logits(_checked_ids(given))  # noqa: E731
        ids = session.call("greedy_decode", (next_logits, *arguments), NAMES, asked)
        if not isinstance(ids, list):
            raise NotRight(f"greedy_decode returned {what(ids)}, expected a list of ints", where="the ids")
        expected = right(*arguments)
        if not all(isinstance(i, int | numpy.ndarray) for i in ids) or [_number(i) for i in ids] != expected:
            cause, why = _reason([_number(i) for i in ids], expected, arguments)
            said = f"the ids are {_shown(ids)}{remark}, expected {expected}{why}"
            raise NotRight(said, cause=cause, where="the ids")


def _reason(ids, right, arguments):
    """(cause, what to say of it) of ids that are not right."""
    start, eos, _ = arguments
    if ids == right[1:]:
        return "start id left out", ": the start id is missing"
    if ids == right[:-1] and right[-1] == eos:
        return "end token left out", ": the end token is missing, it stays in the result"
    if ids == right[:-1]:
        return "one token too few", ": one too few, max_new_tokens counts what was written, without the start"
    if ids == [start] and start == eos:
        return "stops at the start", ": the start has the id of the end token here, and must not stop the loop"
    if ids[: len(right)] == right and right[-1] == eos:
        return "does not stop at the end token", ": it goes on after the end token"
    if ids[: len(right)] == right:
        return "one token too many", ": too many, max_new_tokens counts what was written"
    if len(ids) == len(right) and ids[:1] == right[:1]:
        return "another token is chosen", ": the token with the largest logit comes next, the lowest id among equals"
    return "", ""


def _number(i):
    """The integer that it is, or None."""
    if isinstance(i, numpy.ndarray):
        return int(i) if i.ndim == 0 and i.dtype.kind in "iu" else None
    return i if type(i) is int else None


def _shown(ids):
    return str([_number(i) if isinstance(i, int | numpy.ndarray) else what(i) for i in ids[:20]])


def _checked_ids(given):
    """What next_logits was given; raises NotRight unless it is ids (T,)."""
    if not isinstance(given, tuple) or len(given) != 1:
        raise NotRight("next_logits takes one argument, the ids so far")
    ids = as_numbers("the argument of next_logits", given[0])
    if ids.ndim != 1 or not len(ids) or ids.dtype.kind not in "iu":
        if ids.shape == (0,):
            text = "next_logits was given no ids: the start id comes first"
            raise NotRight(text, cause="start id left out", where="the ids")
        raise NotRight(f"next_logits was given {ids.dtype} of shape {ids.shape}, expected integers (T,)")
    return ids


TUTORIAL = 4
EXERCISE = Exercise(("greedy_decode",), (Check("ids", 5, check),))
