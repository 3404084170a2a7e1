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


IDLE = 3  # calls without a draw after which none is expected


class Randomness:
    """The global generators, seeded for each call and put back at the end; and the student's own, copied."""

    def __init__(self, roots: list[Place]):
        self.generators = generators_of(roots)
        self.kept = random.getstate(), numpy.random.get_state()
        self.idle = 0  # calls in a row that drew nothing
        self.states: dict[int, tuple[Any, Any]] = {}  # by seed: to set a state is cheaper than to seed

    @contextmanager
    def seeded(self, seed: int, later: int = 0) -> Iterator[None]:
        """Equal seeds draw equal numbers, unseeded new generators as well.

        later: so many numbers have been drawn from the student's own already, as before a backward
        """
        make = numpy.random.default_rng
        if self.idle >= IDLE and not self.generators:  # who never drew needs no seed
            yield
            return
        if seed not in self.states:
            random.seed(seed)
            numpy.random.seed(seed % 2**32)
            self.states[seed] = random.getstate(), numpy.random.get_state()
        random.setstate(self.states[seed][0])
        numpy.random.set_state(self.states[seed][1])
        self.made = False

        def default_rng(given=None):
            self.made = True
            return make(seed if given is None else given)

        numpy.random.default_rng = default_rng
        before = copy.deepcopy([generator for _, generator in self.generators])
        for place, generator in self.generators:
            drawn_from = copy.deepcopy(generator)
            for _ in range(later):
                drawn_from.random()
            _put(place, generator, drawn_from)
        try:
            yield
        finally:
            drew = self.made or random.getstate() != self.states[seed][0] or _differ(self.states[seed][1])
            self.idle = 0 if drew else self.idle + 1
            numpy.random.default_rng = make  # type: ignore
            for (place, generator), kept in zip(self.generators, before, strict=True):
                _put(place, generator, kept if isinstance(place.owner, tuple) else generator)

    def put_back(self) -> None:
        random.setstate(self.kept[0])
        numpy.random.set_state(self.kept[1])


def _put(place, generator, other):
    """Another generator in place of this one; in a tuple, where nothing can be put, this one in the other's state."""
    if not isinstance(place.owner, tuple):
        place.set(other)
    elif isinstance(generator, random.Random):
        generator.setstate(other.getstate())
    elif isinstance(generator, numpy.random.RandomState):
        generator.set_state(other.get_state())
    else:
        generator.bit_generator.state = other.bit_generator.state


def _differ(state):
    now: Any = numpy.random.get_state()
    return now[2:] != state[2:] or not numpy.array_equal(now[1], state[1])
