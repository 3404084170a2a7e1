"""Where numbers live in a student's objects: attributes, dictionaries, lists, closures, module globals."""

import inspect
import sys
import types
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from typing import Any

import numpy

from .blame import PACKAGE, is_students

DEEP = 8  # objects inside objects
LARGE = 1_000_000  # entries of an array whose contents are not kept
WRITTEN = 1 << 9  # the flag of a class that is not built in
MISSING = object()


@dataclass(frozen=True)
class Place:
    """One place that holds a value: owner[key], owner.key, or the cell of a closure.

    path: the names that lead there, ("params", "W") for self.params["W"]    within: the place that holds the owner
    """

    owner: Any
    key: Any
    path: tuple
    within: "Place | None" = field(default=None, compare=False, repr=False)

    @property
    def label(self) -> str:
        first, *rest = self.path
        return str(first) + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)

    def now(self) -> "Place | None":
        """The same place, reached again, for a backward may have made what holds it anew; None if it is gone."""
        if self.within is None:
            return self
        outer = self.within.now()
        return next((p for p in _inside(outer.get(), outer) if p.key == self.key), None) if outer else None

    def get(self) -> Any:
        if isinstance(self.owner, types.CellType):
            return self.owner.cell_contents
        if isinstance(self.owner, dict):
            return self.owner.get(self.key, MISSING)
        if isinstance(self.owner, list | tuple):
            return self.owner[self.key] if self.key < len(self.owner) else MISSING
        return getattr(self.owner, self.key, MISSING)

    def set(self, value: Any) -> None:
        """Put a value there; MISSING takes it away. Raises TypeError for an item of a tuple."""
        if isinstance(self.owner, types.CellType):
            self.owner.cell_contents = value
        elif value is MISSING:
            if isinstance(self.owner, dict):
                self.owner.pop(self.key, None)
            elif not isinstance(self.owner, list) and hasattr(self.owner, self.key):
                delattr(self.owner, self.key)
        elif isinstance(self.owner, dict | list | tuple):
            self.owner[self.key] = value  # type: ignore[index]
        else:
            setattr(self.owner, self.key, value)


def is_array(thing: Any) -> bool:
    """An array of floats that can be changed in place."""
    return getattr(getattr(thing, "dtype", None), "kind", "") == "f" and not isinstance(thing, numpy.generic)


def is_number(thing: Any) -> bool:
    return isinstance(thing, float | numpy.floating)


def places_in(roots: list[Place]) -> Iterator[Place]:
    """Every place reachable from these that holds an array of floats or a float, each once, the nearest first."""
    queue, seen = [(place, 0) for place in roots], set()
    while queue:
        place, depth = queue.pop(0)
        value = place.get()
        if is_array(value) or is_number(value):
            yield place
        elif depth < DEEP and id(value) not in seen:
            seen.add(id(value))
            queue += [(inner, depth + 1) for inner in _inside(value, place)]


def objects_in(roots: list[Place], kinds: tuple) -> Iterator[Place]:
    """Every place reachable from these that holds an object of these kinds."""
    queue, seen = [(place, 0) for place in roots], set()
    while queue:
        place, depth = queue.pop(0)
        value = place.get()
        if isinstance(value, kinds):
            yield place
        elif depth < DEEP and id(value) not in seen:
            seen.add(id(value))
            queue += [(inner, depth + 1) for inner in _inside(value, place)]


def roots_of(functions: list[Callable], layer: Any = None) -> list[Place]:
    """What functions and a layer can see of their own: attributes, closures and the globals that they name."""
    found = _inside(layer) if layer is not None else []
    taken: set[Any] = set()
    for function in _with_callees(functions):
        code, namespace = function.__code__, function.__globals__
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            if id(cell) not in taken and not _is_empty(cell):
                taken.add(id(cell))
                found.append(Place(cell, name, (name,)))
        for name in _names(code):
            if name in namespace and (id(namespace), name) not in taken and not _is_code(namespace[name]):
                taken.add((id(namespace), name))
                found.append(Place(namespace, name, (name,)))
    return found


class State:
    """All that is reachable, as it is now; rewind() puts it back, but for what `moved` says is moved on purpose."""

    def __init__(self, roots: list[Place], layer: Any = None):
        self.roots = [(place, place.get()) for place in roots]
        self.containers: dict[int, tuple[Any, Any]] = {}
        self.arrays: dict[int, tuple[Any, Any]] = {}
        for value in (layer, *(value for _, value in self.roots)):
            self._keep(value, 0)

    def rewind(self, moved: Set[int | None] = frozenset()) -> bool:
        """Was anything to be put back? moved: the ids of arrays whose contents stay as they are."""
        changed = False
        for place, value in self.roots:
            if place.get() is not value:
                place.set(value)
                changed = True
        for container, copy in self.containers.values():
            if isinstance(container, list):
                if len(container) != len(copy) or any(a is not b for a, b in zip(container, copy, strict=True)):
                    container[:] = copy
                    changed = True
            elif len(container) != len(copy) or any(container.get(k, MISSING) is not v for k, v in copy.items()):
                container.clear()
                container.update(copy)
                changed = True
        for key, (array, copy) in self.arrays.items():
            if key not in moved and not _equal(array, copy):
                array[...] = copy
                changed = True
        return changed

    def _keep(self, value, depth):
        if id(value) in self.containers or id(value) in self.arrays or depth > DEEP:
            return
        is_array = hasattr(value, "dtype") and type(getattr(value, "shape", None)) is tuple  # torch.Size is another
        if is_array and not isinstance(value, numpy.generic):
            flags = getattr(value, "flags", None)
            if value.size <= LARGE and getattr(flags, "writeable", True):
                self.arrays[id(value)] = (value, value.copy())
            return
        attributes = vars(value) if _is_open(value) and hasattr(value, "__dict__") else None
        container = attributes if attributes is not None else value
        if isinstance(container, dict | list):
            self.containers[id(value)] = (container, container.copy())
        for place in _inside(value):
            self._keep(place.get(), depth + 1)


def _equal(a, b):
    return bool(((a == b) | (a != a)).all()) if a.size else True


def _inside(value, within=None):
    """The places inside a value, which is held there: items, or the attributes of an object of the student's."""
    path = within.path if within else ()

    def at(owner, key):
        return Place(owner, key, (*path, key), within)

    if isinstance(value, dict):
        return [at(value, key) for key in value]
    if isinstance(value, list | tuple):
        return [at(value, i) for i in range(len(value))]
    if not _is_open(value):
        return []
    own = [at(vars(value), name) for name in getattr(value, "__dict__", {})]
    slots = [s for kind in type(value).__mro__ for s in _slots(kind) if hasattr(value, s)]
    shared = [
        at(kind, name)
        for kind in type(value).__mro__
        for name, thing in vars(kind).items()
        if name not in getattr(value, "__dict__", {}) and isinstance(thing, dict | list | float | numpy.ndarray)
        if not name.startswith("__") and _is_students_class(kind)
    ]
    return own + [at(value, s) for s in slots] + shared


def _slots(kind):
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else [s for s in slots if s not in ("__dict__", "__weakref__")]


def _is_open(value):
    return not _is_code(value) and _is_students_class(type(value))


def _is_students_class(kind):
    if not kind.__flags__ & WRITTEN:
        return False
    name = kind.__module__
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:  # of a notebook, or of exec; modules of C have no file either
        return name.split(".")[0] not in sys.stdlib_module_names or name in ("__main__", "builtins")
    return is_students(file) or str(file).startswith(PACKAGE)


def _is_code(thing):
    return inspect.ismodule(thing) or inspect.isclass(thing) or inspect.isroutine(thing)


def _is_empty(cell):
    try:
        return _is_code(cell.cell_contents)
    except ValueError:
        return True


def _with_callees(functions):
    found, queue = [], list(functions)
    while queue:
        function = inspect.unwrap(queue.pop(0))
        owner, function = getattr(function, "__self__", None), getattr(function, "__func__", function)
        if not isinstance(function, types.FunctionType) or function in found:
            continue
        if is_students(function.__code__.co_filename):
            found.append(function)
            names = _names(function.__code__)
            queue += [function.__globals__[name] for name in names if name in function.__globals__]
            queue += [getattr(type(owner), name) for name in names if callable(getattr(type(owner), name, None))]
    return found


def _names(code):
    inner = [name for c in code.co_consts if isinstance(c, types.CodeType) for name in _names(c)]
    return [*code.co_names, *inner]
