"""What goes into a model's parameters: values of the right names, shapes and kinds, all of them finite."""

import math
from collections.abc import Mapping
from typing import Any

import numpy

from ..backend import check_array, to_device, to_numpy
from .values import count, shown

FLOATS = ("float32", "float64")


def check_floats(array: Any, name: str) -> None:
    """Raise TypeError unless it is an array of the backend in use, of float32 or float64."""
    check_array(array, name)
    if array.dtype not in FLOATS:
        raise TypeError(f"{name} must be float32 or float64, got {array.dtype}: convert with .astype('float32')")


def check_state(owner: str, own: dict[str, Any], state: Any) -> dict[str, Any]:
    """{name: array on the device, of the parameter's dtype} of a state that fits the parameters or buffers `own`.

    Raises TypeError or ValueError, naming all that is wrong, unless the names and shapes are the same and every value
    is a finite real number."""
    if not isinstance(state, Mapping):
        raise TypeError(f"the weights must be a dictionary of arrays, as state_dict() gives, got {shown(state)}")
    problems = [f"{name}: missing" for name in own if name not in state]
    problems += [f"{name}: not a parameter of this model" for name in state if name not in own]
    found = {}
    for name, p in own.items():
        if name in state:
            found[name], problem = _fitting(state[name], p.data)
            problems += [f"{name}: {problem}"] if problem else []
    if problems:
        text = "\n  ".join(problems[:20] + [f"and {len(problems) - 20} more"] * (len(problems) > 20))
        raise ValueError(f"these weights do not fit a {owner} of this config:\n  {text}")
    return found


def _fitting(value, data):
    """(the value as an array like data, or what is wrong with it)."""
    try:
        array = to_numpy(value)
    except Exception as error:  # whatever an __array__ may raise
        return None, f"no array ({error})"
    if array.dtype.kind not in "fiu":
        return None, f"must hold real numbers, got {array.dtype}"
    if tuple(array.shape) != tuple(data.shape):
        return None, f"shape {tuple(array.shape)}, the model has {tuple(data.shape)}"
    with numpy.errstate(over="ignore"):  # what float64 holds may be too large for float32
        array = array.astype(data.dtype, copy=False)
    if not math.isfinite(array.sum(dtype="float64")) and not numpy.isfinite(array).all():
        return None, f"{int((~numpy.isfinite(array)).sum())} of its values are NaN or infinite"
    return to_device(array), ""


def check_moments(state: Any, size: int, dtype: Any) -> tuple[Any, Any, int]:
    """(m, v, t) of an optimizer's state. Raises TypeError or ValueError unless it belongs to so many values."""
    if not isinstance(state, Mapping) or not {"m", "v", "t"} <= set(state):
        raise TypeError(f"the optimizer's state must be a dictionary with m, v and t, got {shown(state)}")
    moments = []
    for name in ("m", "v"):
        array = state[name]
        if getattr(array, "shape", None) != (size,):
            values = getattr(array, "size", 0)
            raise ValueError(f"optimizer state {name} has {values} values, these parameters have {size}")
        found, problem = _fitting(array, numpy.empty(size, dtype))
        if problem or (name == "v" and to_numpy(found).min(initial=0) < 0):
            raise ValueError(f"optimizer state {name}: {problem or 'a mean of squares is negative'}")
        moments.append(found)
    return moments[0], moments[1], count("the optimizer's t", state["t"], 0)
