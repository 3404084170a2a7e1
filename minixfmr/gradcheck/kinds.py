"""What kind of thing is it: a float array, a mask, something inside a list?"""

from collections.abc import Iterator
from typing import Any

import numpy

from ..backend import to_device, to_numpy
from .report import GradcheckError

LOWEST = -1e3  # an additive mask holds 0 where attention may go, and this or less where it may not


class Context:
    """What torch.autograd.Function calls ctx: forward leaves there what backward needs."""

    saved_tensors: tuple = ()
    saved_values: tuple = ()
    saved_arrays: tuple = ()
    needs_input_grad = (True,) * 16

    def save_for_backward(self, *things: Any) -> None:
        self.saved_tensors = self.saved_values = self.saved_arrays = things


def is_float(x: Any) -> bool:
    return getattr(getattr(x, "dtype", None), "kind", "") == "f"


def is_mask(name: str, x: Any) -> bool:
    """Booleans, anything with mask in its name, and the additive kind: 0, and -inf or nearly so."""
    if getattr(getattr(x, "dtype", None), "kind", "") == "b" or "mask" in name:
        return True
    lowest = to_numpy(x).min(initial=0) if is_float(x) else 0
    return bool(lowest <= LOWEST and (x == 0).any() and numpy.isin(to_numpy(x), (0, lowest)).all())


def arrays_in(thing: Any, label: str = "saved") -> Iterator[tuple[str, Any]]:
    """(label, array) of every array in nested tuples, lists and dictionaries."""
    if hasattr(thing, "dtype") and hasattr(thing, "shape"):
        yield label, thing
    elif isinstance(thing, tuple | list):
        for i, part in enumerate(thing):
            yield from arrays_in(part, f"{label}[{i}]")
    elif isinstance(thing, dict):
        for key, part in thing.items():
            yield from arrays_in(part, f"{label}[{key!r}]")


def kind_of(x: Any) -> str:
    """x in two or three words, for error messages."""
    if hasattr(x, "dtype") and hasattr(x, "shape"):
        return f"an array of {x.dtype} of shape {tuple(x.shape)}"
    return "nothing" if x is None else f"a {type(x).__name__}"


def double(x: Any) -> numpy.ndarray:
    return to_numpy(x).astype(numpy.float64)


def prepared(argument: Any, name: str) -> Any:
    """A copy in float64, as finite differences need it; a constant array is moved, for a gain of ones hides mistakes.

    Lists and dictionaries of arrays are copied item by item. Lists of numbers become arrays."""
    if isinstance(argument, dict):
        copied = {key: prepared(value, f"{name}[{key!r}]") for key, value in argument.items()}
        return copied if type(argument) is dict else _of_kind(argument, copied)
    if isinstance(argument, list | tuple) and any(hasattr(part, "dtype") for part in argument):
        return type(argument)(prepared(part, f"{name}[{i}]") for i, part in enumerate(argument))
    if isinstance(argument, list | tuple) and argument and isinstance(argument[0], float | list):
        raise GradcheckError(f"{name} is a {type(argument).__name__}: pass an array, numpy.array({name})")
    if isinstance(argument, numpy.floating):  # a number, like Python's own
        return float(argument)
    if not is_float(argument):
        return argument
    value = double(argument)
    if value.size > 1 and numpy.ptp(value) == 0 and not is_mask(name, argument):
        value = value + numpy.random.default_rng(0).uniform(-0.1, 0.1, value.shape) * (1 + abs(value.flat[0]))
    return to_device(value)


def _of_kind(argument, copied):
    argument = argument.copy()
    argument.update(copied)
    return argument
