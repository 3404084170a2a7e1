"""Indices that look at other entries in backward than in forward: strides, padding, labels."""

import ast
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from .remedies import Remedy
from .sites import Site


def windows(site: Site) -> Iterator[Remedy]:
    """Another place for the window, or another kind of index."""
    index = site.value
    if site.kind != "index":
        return
    sizes = {n: s for n, s in site.scope.items() if isinstance(s, int | numpy.integer) and "[" not in n}
    parts = index if isinstance(index, tuple) else (index,)
    if any(_is_window(p) for p in parts):
        for name, size in sizes.items():
            if size > 1:
                text = (
                    f"the window starts at multiples of {name} in forward: start it at {name} times the loop's number"
                )
                yield Remedy(
                    "window", text, _each(lambda p, s, n=name: slice(p.start * s[n], p.start * s[n] + p.stop - p.start))
                )
    if any(isinstance(p, slice) and isinstance(p.stop, int | numpy.integer) for p in parts):
        for name, size in sizes.items():
            if size > 0:
                text = f"the entries that count start at {name}: from {name} to {name} + size, not from 0 to size"
                yield Remedy("window", text, _each(lambda p, s, n=name: slice((p.start or 0) + s[n], p.stop + s[n])))
    whole_rows = len(parts) == 2 and isinstance(parts[0], slice) and parts[0] == slice(None)
    if whole_rows and getattr(getattr(parts[1], "dtype", None), "kind", "") in tuple("iu"):
        text = "[:, labels] takes these columns in every row: use [np.arange(len(labels)), labels], one entry a row"
        yield Remedy("wrong index", text, lambda i, s: (numpy.arange(len(i[1])), i[1]))


def wraps(site: Site, code: Any) -> Iterator[Remedy]:
    """hs[t - 1] at t = 0: index -1 is the last entry. code.latest: the values of the subscript's parts."""
    index = site.parts[-1] if site.kind == "Subscript" and len(site.parts) > 1 else None
    if index is None or code.sites[index].kind != "index" or not isinstance(site.node.slice, ast.BinOp):
        return

    def change(v, s):
        number = code.latest[index]
        return 0 * v if isinstance(number, int | numpy.integer) and number < 0 else v

    text = "at the first step its index is -1, which is the last entry: nothing comes before, so take zeros there"
    yield Remedy("wrong index", text, change, zeroes=True)


def _is_window(part: Any) -> bool:
    ends = (part.start, part.stop) if isinstance(part, slice) else (None, None)
    return all(isinstance(e, int | numpy.integer) for e in ends)


def _each(move: Callable) -> Callable:
    """The change of an index that moves every slice with an end in it."""

    def change(index, scope):
        parts = index if isinstance(index, tuple) else (index,)
        ended = [isinstance(p, slice) and p.stop is not None for p in parts]
        moved = tuple(move(p, scope) if e else p for p, e in zip(parts, ended, strict=True))
        return moved if isinstance(index, tuple) else moved[0]

    return change
