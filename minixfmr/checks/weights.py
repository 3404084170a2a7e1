"""What goes into a model's parameters: values of the right names, shapes and kinds, all of them finite."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy

from ..backend import check_array, to_numpy
from .values import count, shown


def check_floats(array: Any, name: str) -> None:
    """Raise TypeError unless it is an array of the backend in use, of float32 or float64."""
    check_array(array, name)
    if array.dtype.char not in "fd":
        raise TypeError(f"{name} must be float32 or float64, got {array.dtype}: convert with .astype('float32')")


def check_state(owner: str, own: dict[str, Any], state: Any, finite: bool = True) -> None:
    """Raise TypeError or ValueError, naming all that is wrong, unless a state fits the parameters or buffers `own`: the
    same names and shapes, and real numbers, all of them finite if they must be.

    Each array is asked for, and let go, by itself: a mapping may read them from a file."""
    if not isinstance(state, Mapping):
        raise TypeError(f"the weights must be a dictionary of arrays, as state_dict() gives, got {shown(state)}")
    problems = [f"{name}: missing" for name in own if name not in state]
    problems += [f"{name}: not a parameter of this model" for name in state if name not in own]
    for name, p in own.items():
        problem = misfit(state[name], p.data.shape, p.data.dtype, finite) if name in state else ""
        problems += [f"{name}: {problem}"] if problem else []
    if problems:
        text = "\n  ".join(problems[:20] + [f"and {len(problems) - 20} more"] * (len(problems) > 20))
        raise ValueError(f"these weights do not fit a {owner} of this config:\n  {text}")


def misfit(value: Any, shape: tuple, dtype: Any, finite: bool = True) -> str:
    """What is wrong with the value as an array of this shape and dtype; "" if nothing is. An array in a file is not
    read before it is known to be of this shape."""
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        try:
            value = to_numpy(value)
        except Exception as error:  # whatever an __array__ may raise
            return f"no array ({error})"
    if getattr(value.dtype, "kind", "f") not in "fV":  # V: bfloat16, which NumPy does not know
        return f"must hold real numbers, got {value.dtype}" + ": convert them to floats" * (value.dtype.kind in "iu")
    if tuple(value.shape) != tuple(shape):
        return f"shape {tuple(value.shape)}, the model has {tuple(shape)}"
    array = to_numpy(value)
    with numpy.errstate(all="ignore"):  # what float64 holds may be too large for float32
        copied = array.astype(dtype, copy=False)
        if math.isfinite(copied.sum(dtype="float64")) or numpy.isfinite(copied).all():
            return ""
    if lost := int((~numpy.isfinite(copied) & numpy.isfinite(array)).sum()):
        return f"{lost} of its values are too large for {dtype}"
    return f"{int((~numpy.isfinite(copied)).sum())} of its values are NaN or infinite" if finite else ""


def check_keys(what: str, state: Any, keys: Collection[str]) -> None:
    """Raise TypeError or ValueError unless a state is a dictionary with these keys and no others."""
    if not isinstance(state, Mapping):
        raise TypeError(f"{what} must be a dictionary, got {shown(state)}")
    if set(state) != set(keys):
        raise ValueError(f"{what} must have {', '.join(keys)}, and has {', '.join(map(str, state)) or 'nothing'}")


def check_moments(state: Any, size: int, dtype: Any, finite: bool = True) -> int:
    """The t of an optimizer's state. Raises TypeError or ValueError unless it belongs to so many values."""
    check_keys("the optimizer's state", state, ("m", "v", "t"))
    for name in ("m", "v"):
        problem = misfit(state[name], (size,), dtype, finite)
        if problem or (name == "v" and (to_numpy(state[name]) < 0).any()):
            raise ValueError(f"optimizer state {name} has {problem or 'a mean of squares that is negative'}")
    return count("the optimizer's t", state["t"], 0)
