"""Watching a model write: each token with its probability, and what else it might have been."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy

from ...backend import random_generator, to_numpy
from ...checks.values import count
from ...layers import softmax
from ..beam_search import best
from ..generate import begin
from ..greedy import likeliest, write
from ..sampling import sampler, sampling_probabilities


@dataclass
class Step:
    """One step of generation, for each sequence of the batch."""

    ids: Any  # (B,) the tokens chosen
    probabilities: Any  # (B,) of these tokens
    alternatives: list  # for each sequence a list of (token, probability), likeliest first


def generate_steps(
    model: Any,
    input_ids: Any,
    *,
    attention_mask: Any = None,
    top: int = 5,
    seed: int | None = None,
    **settings: Any,
) -> Iterator[Step]:
    """Look over the model's shoulder: yield a Step for each token, with its probability and the `top` likeliest
    alternatives. The other arguments are those of generate, without beams."""
    top = count("top", top)
    given = {"num_beams": 1} | settings
    count("num_beams", given["num_beams"], 1, 1, " in generate_steps")
    start, state, decided = begin(model, input_ids, attention_mask, given)
    rng = random_generator(seed)
    shape = {name: decided.search[name] for name in ("temperature", "top_k", "top_p")}
    sampled = decided.search["do_sample"]
    choose = sampler(**shape, seed=rng) if sampled else likeliest
    for ids, scores in write(model, start, state, decided, choose):
        p = sampling_probabilities(scores, **shape) if sampled else softmax(scores)  # (B, V)
        chosen = to_numpy(p)[numpy.arange(len(ids)), ids[:, -1]]
        yield Step(ids[:, -1], chosen, best(p, min(top, p.shape[-1])))
