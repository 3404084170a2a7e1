"""Calls of the public interface: each door draws arguments, and knows what must come of them."""

from . import checking, layers, learning, loop, models, objectives, writing

ROOMS = (models, writing, learning, objectives, loop, checking, layers)


def case(rng):
    """A call at one of the doors."""
    doors = ROOMS[rng.integers(len(ROOMS))].DOORS
    return doors[rng.integers(len(doors))](rng)
