"""What goes into a model's parameters: values of the right names, shapes and kinds, all of them finite."""

import math
from collections.abc import Mapping
from typing import Any

import numpy

from ..backend import check_array, to_numpy
from .values import count, shown

FLOATS = ("float32", "float64")


def check_floats(array: Any, name: str) -> None:
    """Raise TypeError unless it is an array of the backend in use, of float32 or float64."""
    check_array(array, name)
    if array.dtype not in FLOATS:
        raise TypeError(f"{name} must be float32 or float64, got {array.dtype}: convert with .astype('float32')")


def check_state(owner: str, own: dict[str, Any], state: Any, finite: bool = True) -> None:
    """Raise TypeError or ValueError, naming all that is wrong, unless a state fits the parameters or buffers `own`: the
    names and shapes are the same and every value is a real number; finite: and neither NaN nor infinite.

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
    """What is wrong with the value as an array of this shape and dtype; "" if nothing is."""
    try:
        array = to_numpy(value)
    except Exception as error:  # whatever an __array__ may raise
        return f"no array ({error})"
    if array.dtype.kind not in "fiu":
        return f"must hold real numbers, got {array.dtype}"
    if tuple(array.shape) != tuple(shape):
        return f"shape {tuple(array.shape)}, the model has {tuple(shape)}"
    if not finite:
        return ""
    with numpy.errstate(all="ignore"):  # what float64 holds may be too large for float32
        array = array.astype(dtype, copy=False)
        if math.isfinite(array.sum(dtype="float64")) or numpy.isfinite(array).all():
            return ""
    return f"{int((~numpy.isfinite(array)).sum())} of its values are NaN or infinite"


def check_moments(state: Any, size: int, dtype: Any) -> int:
    """The t of an optimizer's state. Raises TypeError or ValueError unless it belongs to so many values."""
    if not isinstance(state, Mapping) or not {"m", "v", "t"} <= set(state):
        raise TypeError(f"the optimizer's state must be a dictionary with m, v and t, got {shown(state)}")
    for name in ("m", "v"):
        array = state[name]
        if getattr(array, "shape", None) != (size,):
            values = getattr(array, "size", 0)
            raise ValueError(f"optimizer state {name} has {values} values, these parameters have {size}")
        problem = misfit(array, (size,), dtype)
        if problem or (name == "v" and to_numpy(array).min(initial=0) < 0):
            raise ValueError(f"optimizer state {name}: {problem or 'a mean of squares is negative'}")
    return count("the optimizer's t", state["t"], 0)
