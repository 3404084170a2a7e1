"""Random numbers that repeat: generators are copied and seeded around each call."""

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy

from .places import Place, objects_in

KINDS = numpy.random.Generator, numpy.random.RandomState, random.Random


def generators_of(roots: list[Place]) -> list[tuple[Place, Any]]:
    """(place, generator) of the random generators that are reachable: each call is to draw the same numbers."""
    return [(place, place.get()) for place in objects_in(roots, KINDS)]


@contextmanager
def seeded(seed: int, generators: list[tuple[Place, Any]], later: int = 0) -> Iterator[None]:
    """The global generators seeded, the student's own copied, and unseeded new ones seeded; all put back after.

    later: so many numbers have been drawn from the student's own already, as before a backward"""
    kept, kept_numpy, make = random.getstate(), numpy.random.get_state(), numpy.random.default_rng
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    numpy.random.default_rng = lambda given=None: make(seed if given is None else given)  # type: ignore
    for place, generator in generators:
        drawn_from = copy.deepcopy(generator)
        for _ in range(later):
            drawn_from.random()
        place.set(drawn_from)
    try:
        yield
    finally:
        numpy.random.default_rng = make  # type: ignore
        numpy.random.set_state(kept_numpy)
        random.setstate(kept)
        for place, generator in generators:
            place.set(generator)


def draws(seed: int, call: Any) -> bool:
    """Does this call draw from a global generator?"""
    kept, kept_numpy = random.getstate(), numpy.random.get_state()
    try:
        random.seed(seed)
        numpy.random.seed(seed)
        before = random.getstate(), numpy.random.get_state()[1:3]
        call()
        after = random.getstate(), numpy.random.get_state()[1:3]
        return before[0] != after[0] or not numpy.array_equal(before[1][0], after[1][0]) or before[1][1] != after[1][1]
    finally:
        random.setstate(kept)
        numpy.random.set_state(kept_numpy)
