"""The loop of generation: read, score, choose, append."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy

from ..backend import Array, to_numpy
from .settings import Settings
from .variants.rules import apply_rules


def likeliest(scores: Array) -> numpy.ndarray:
    """Greedy choice:  scores (B, V) → tokens (B,)."""
    return to_numpy(scores.argmax(axis=-1))


def write(model: Any, ids: Any, state: Any, settings: Settings, choose: Callable = likeliest) -> Iterator[tuple]:
    """Write until every sequence has ended; yield (ids (B, T) so far, scores (B, V) of the last token) for each token.

    ids, state: of model.start. choose: scores (B, V) → tokens (B,), a NumPy array
    """
    ids = to_numpy(ids)  # (B, T)
    finished = numpy.zeros(len(ids), bool)
    while not finished.all() and ids.shape[1] < settings.max_length:
        logits = read(model, ids, state, settings)  # (B, V)
        scores = apply_rules(logits, ids, settings)
        token = choose(scores)  # (B,)
        token[finished] = settings.pad
        ids = numpy.concatenate([ids, token[:, None]], axis=1)  # (B, T + 1)
        finished |= [t in settings.eos for t in token.tolist()]
        yield ids, scores


def read(model, ids, state, settings):
    """Let the model read the ids that it has not read yet: the logits (B, V) of the token that follows."""
    if not settings.use_cache or state.length <= settings.reread < ids.shape[1]:
        state.forget()
    return model.step(ids[:, state.length :], state)
