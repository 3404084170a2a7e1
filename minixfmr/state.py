"""Whether a state, such as a state_dict or what a file holds, fits: all of it is checked before any of it is copied."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy

from .backend import to_numpy

SHOWN = 20  # of the names that are wrong


def check_arrays(state: Any, own: Mapping[str, Any], what: str) -> None:
    """Raise ValueError, naming all that is wrong, unless state has an array of its shape for each of own, and no other.

    what: whose they are, such as "a DecoderOnly of this config"
    """
    if not isinstance(state, Mapping):
        raise ValueError(f"a state must be a dictionary of arrays, as state_dict() gives, got a {type(state).__name__}")
    problems = [f"{name}: missing" for name in own if name not in state]
    problems += [f"{name}: not a parameter of this model" for name in state if name not in own]
    found = {name: problem(state[name], array) for name, array in own.items() if name in state}
    problems += [f"{name}: {text}" for name, text in found.items() if text]
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] * (len(problems) > SHOWN)
        shown = "\n  ".join(problems[:SHOWN] + more)
        raise ValueError(f"these weights do not fit {what}:\n  {shown}")


def problem(array: Any, own: Any) -> str:
    """What keeps an array from being copied into another; "" if nothing does."""
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        return f"a {type(array).__name__}, where an array belongs"
    if tuple(array.shape) != own.shape:
        return f"shape {tuple(array.shape)}, the model has {own.shape}"
    dtype = array.dtype if hasattr(array.dtype, "kind") else to_numpy(array).dtype
    if dtype.kind != "f" and "float" not in dtype.name:
        return f"numbers of type {dtype}, where floating-point ones belong"
    if dtype.itemsize > own.dtype.itemsize:
        values = to_numpy(array)
        beyond = int((numpy.isfinite(values) & (abs(values) > numpy.finfo(own.dtype).max)).sum())
        return f"{beyond} values are too large for {own.dtype}" if beyond else ""
    return ""


def check_keys(state: Any, keys: Collection[str], what: str, others: bool = False) -> None:
    """Raise ValueError unless a state is a dictionary with these keys, and no others unless they may be."""
    if not isinstance(state, Mapping):
        raise ValueError(f"{what} must be a dictionary, got a {type(state).__name__}")
    if lacking := [key for key in keys if key not in state]:
        raise ValueError(f"{what} lacks {', '.join(lacking)}")
    if (surplus := [str(key) for key in state if key not in keys]) and not others:
        raise ValueError(f"{what} has {', '.join(surplus)}, which is not known")


def check_count(value: Any, name: str, below: int | None = None) -> None:
    """Raise ValueError unless a count of a state is a whole number, 0 or more, and below a limit if there is one."""
    whole = isinstance(value, int | numpy.integer) and not isinstance(value, bool)
    if not whole or value < 0 or (below is not None and value >= below):
        valid = "0 or more" if below is None else f"in [0, {below})"
        raise ValueError(f"{name} must be a whole number, {valid}, got {value!r}")
