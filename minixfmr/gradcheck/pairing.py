"""Arrays and their gradients outside the arguments: found by name in what one backward leaves behind."""

from collections.abc import Iterable
from typing import Any

import numpy

from ..backend import to_numpy
from .names import HOLDERS, VALUES, match, plain
from .places import MISSING, Place, is_array, is_number, places_in

RETURNED = "returned"


class Pair:
    """A value and its gradient, each at its place: data and grad as of a Parameter.

    aliases: other places that hold the same array. A Python float is moved as an array of no axes.
    """

    def __init__(self, value: Place, gradient: Place | None, aliases: Iterable[Place] = ()):
        self.value, self.gradient, self.aliases = value, gradient, [value, *aliases]

    @property
    def stays(self) -> bool:
        """Does its gradient stay somewhere between two calls? Those that backward returns do not."""
        return self.gradient is not None and self.gradient.path[0] != RETURNED

    @property
    def data(self) -> Any:
        found = self.value.get()
        return numpy.asarray(found, dtype=numpy.float64) if is_number(found) else found

    @data.setter
    def data(self, new: Any) -> None:
        for place in self.aliases:
            place.set(new)

    @property
    def grad(self) -> Any:
        place = self.gradient.now() if self.gradient else None
        found: Any = place.get() if place else MISSING
        number = is_number(found) or (isinstance(found, int) and not isinstance(found, bool))
        return numpy.float64(found) if number else found if hasattr(found, "dtype") else MISSING

    @grad.setter
    def grad(self, new: Any) -> None:
        if place := self.gradient.now() if self.gradient else None:
            place.set(new)


class Stepped(Pair):
    """A value that backward itself changes by -rate × gradient."""

    def __init__(self, value: Place, aliases: Iterable[Place], rate: float):
        super().__init__(value, None, aliases)
        self.rate = rate
        self.before: Any = None  # set ahead of each backward

    @property
    def grad(self) -> Any:
        return MISSING if self.before is None else (self.before - to_numpy(self.data)) / self.rate

    @grad.setter
    def grad(self, new: Any) -> None:
        """Nothing to set: there is no place for it."""


def pairs(values: list[Place], gradients: list[Place], templates: Iterable[str] = ()) -> list[Pair]:
    """Each value with the gradient of its shape whose name fits best; a gradient serves one value."""
    ranked = []
    for i, v in enumerate(values):
        for g in gradients:
            if (rank := match(v.path, g.path, templates)) and _fit(v.get(), g.get(), rank):
                ranked.append((-rank, len(g.path), i, v, g))
    found: dict[int, Pair] = {}
    taken: set[Any] = set()
    for _, _, i, v, g in sorted(ranked, key=lambda r: r[:3]):
        if not {_same(v), _same(g), ("gradient", _spot(g)), ("value", _spot(v))} & taken and _spot(v) != _spot(g):
            if ("gradient", _spot(v)) in taken or ("value", _spot(g)) in taken:
                continue
            taken |= {_same(v), ("gradient", _spot(g)), ("value", _spot(v))}
            found[i] = Pair(v, g)
    return [found[i] for i in sorted(found)]


def by_shape(values: list[Place], gradients: list[Place]) -> list[Pair]:
    """Each gradient with the one value of its shape; none where that leaves a doubt."""
    shapes, wanted = ([numpy.shape(place.get()) for place in places] for places in (values, gradients))
    clear = len(set(wanted)) == len(wanted) and all(shapes.count(shape) == 1 for shape in wanted)
    return [Pair(values[shapes.index(s)], g) for s, g in zip(wanted, gradients, strict=True)] if clear else []


def aliases_of(place: Place, others: list[Place]) -> list[Place]:
    """Other places that hold the very same array."""
    array = place.get()
    return [p for p in others if p is not place and is_array(array) and p.get() is array]


def named(found: list[Pair]) -> dict[str, Pair]:
    """{name: pair}: params["W"] is W, W.data is W; the whole path where that says two things."""
    short = [_short(pair.value.path) for pair in found]
    return {s if short.count(s) == 1 else pair.value.label: pair for s, pair in zip(short, found, strict=True)}


def snapshot(roots: list[Place]) -> dict[tuple, tuple[Place, Any, Any]]:
    """{place: (Place, what it holds, a copy)} of all floats that are reachable."""
    kept = {}
    for place in places_in(roots):
        value = place.get()
        kept[_spot(place)] = (place, value, to_numpy(value).copy() if is_array(value) else value)
    return kept


def changed(before: dict, after: dict) -> list[Place]:
    """Places that are new, hold another object, or hold other numbers."""
    found = []
    for key, (place, value, copy) in after.items():
        _, held, was = before.get(key, (None, MISSING, None))
        same = held is not MISSING and not (is_array(value) and held is not value)
        if not (same and numpy.shape(was) == numpy.shape(copy) and numpy.array_equal(was, copy, equal_nan=True)):
            found.append(place)
    return found


def _spot(place):
    return id(place.owner), place.key


def _same(place):
    value = place.get()
    return ("array", id(value)) if is_array(value) else ("spot", _spot(place))


def _fit(value, gradient, rank):
    """Could it be its gradient? A wrong shape is reported where the name leaves no doubt."""
    same = numpy.shape(value) == numpy.shape(gradient)
    return same or (rank > 1 and is_array(value) and is_array(gradient))


def _short(path):
    parts = [part for part in path[:-1] if plain(part) not in HOLDERS or isinstance(path[-1], int)]
    inner = isinstance(path[-1], str) and plain(path[-1]) in VALUES - {"w", "weight"}  # W.data is W; fc.weight stays
    parts += [] if parts and inner else [path[-1]]
    first, *rest = parts
    return str(first) + "".join(
        f"[{p}]" if isinstance(p, int) and i == len(rest) - 1 else f".{p}" for i, p in enumerate(rest)
    )
