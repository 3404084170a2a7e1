"""What layers are given: vectors of their width, a memory, an upstream gradient, rows of a table of positions."""

from typing import Any

import numpy

from ..backend import check_array, to_device, xp
from .arrays import for_each
from .values import is_count


def check_vectors(name: str, x: Any, width: int, axis: str = "", axes: int = 0) -> None:
    """Raise unless x is an array (..., width), of so many axes if that is not 0. name: with that of the layer."""
    if isinstance(x, xp.ndarray) and x.shape[-1:] == (width,) and axes in (0, x.ndim):  # the usual case
        return
    check_array(x, name)
    if x.shape[-1:] != (width,):
        raise ValueError(f"{name} has shape {tuple(x.shape)}, its last axis must be {axis and axis + ' = '}{width}")
    raise ValueError(f"{name} has shape {tuple(x.shape)}, it must have {axes} axes")


def check_memory(x: Any, memory: Any) -> None:
    """Raise unless attention can be between x (B, Tq, d) and a memory (B, Tk, d), or None."""
    _check_axes("x", x)
    if memory is None:
        return
    _check_axes("memory", memory)
    if len(memory) != len(x):
        raise ValueError(f"attention: memory has {len(memory)} sequences, x {len(x)}: they go in pairs")


def _check_axes(name, array):
    check_array(array, name)
    if array.ndim != 3:
        raise ValueError(f"attention: {name} has shape {tuple(array.shape)}, it must be (B, T, d)")


def check_bias(bias: Any, width: int) -> None:
    """Raise ValueError unless it is None or holds (width,) numbers: fewer would get the gradients of all."""
    if bias is not None and tuple(bias.data.shape) != (width,):
        raise ValueError(f"bias has shape {tuple(bias.data.shape)}, it must be ({width},), one for each token")


def check_upstream(name: str, dy: Any, rows: Any, table: Any) -> None:
    """Raise unless dy can be the gradient of the logits of these rows (N, d) and this table (V, d)."""
    check_vectors(name, dy, len(table), "V")
    if dy.size != len(rows) * len(table):
        raise ValueError(f"{name} has shape {tuple(dy.shape)}, the logits had {len(rows)} rows: give one of that shape")


def check_rows(rows: Any, x: Any, table: Any) -> Any:
    """The rows of a table of positions for x (B, T, d): a slice, or (B, T) integers on the device. Raises ValueError
    for a sequence that goes past the table."""
    check_vectors("positions: x", x, table.shape[1], axes=3)
    start = is_count(rows, 0)
    if start:
        low, end = rows, rows + x.shape[1]
    else:
        rows = for_each("rows", rows, tuple(x.shape[:2]), "positions")
        low, end = rows.min() if isinstance(rows, numpy.ndarray) else 0, int(rows.max()) + 1
    if low < 0:
        raise ValueError(f"positions count from 0, got {low}")
    if end > len(table):
        raise ValueError(
            f"a sequence of length {end} is longer than max_position_embeddings = {len(table)}: "
            "shorten it, or build the model with a larger max_position_embeddings"
        )
    return slice(low, end) if start else to_device(rows)
