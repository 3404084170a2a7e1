"""Arrays as the field has them: ids, positions, masks, labels, vectors.

Lists and whatever NumPy can read are taken as well. Values are looked at on the host alone, where the data comes from;
of arrays on a device only the kind and the shape, for to read a number there is to wait for all work before it. The
two exceptions, whose damage would be silent, are ids, and masks that are not boolean.
"""

import functools
from typing import Any

import numpy

from ..backend import to_device, xp
from .values import LARGEST, count, generator, shown

INT64 = numpy.dtype("int64")
UNSIGNED = {n: numpy.dtype(f"u{n}") for n in (1, 2, 4, 8)}  # by bytes


def array(name: str, value: Any) -> Any:
    """The array as it is, or as a NumPy array where NumPy can read it. Raises TypeError or ValueError."""
    if type(value) is numpy.ndarray:
        return value
    if isinstance(value, numpy.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be lost: give .filled() and an attention_mask")
    if isinstance(value, xp.ndarray) and xp.ndarray is not numpy.ndarray:
        return value
    try:
        found = numpy.asarray(value)
    except Exception as error:  # whatever an __array__ may raise
        ragged = isinstance(value, list | tuple) and len({len(v) for v in value if hasattr(v, "__len__")}) > 1
        why = "its rows differ in length: pad them" if ragged else f"NumPy cannot read it ({error})"
        raise ValueError(f"{name} must be an array: {why}, got {shown(value)}") from error
    return found


def integers(name: str, value: Any, what: str = "token ids") -> Any:
    """The array of integers, of 32 bits or more and signed. Raises TypeError for anything else."""
    found = array(name, value)
    if found.dtype is INT64:  # the usual case
        return found
    if found.dtype.kind not in "iu" and not (found.size == 0 and not hasattr(value, "dtype")):
        kind = shown(value) if found.dtype.kind in "OUSV" else found.dtype
        raise TypeError(f"{name} must be integers ({what}), got {kind}: convert with .astype(int)")
    return found if found.dtype.char in "ilq" and found.dtype.isnative else found.astype("int64")


def within(name: str, ids: Any, size: int, why: str = "") -> None:
    """Raise ValueError unless all integers lie in [0, size)."""
    if not are_within(ids, size):
        raise ValueError(f"{name} must lie in [0, {size}), got values from {ids.min()} to {ids.max()}{why}")


def are_within(ids: Any, size: int) -> bool:
    """Whether all integers lie in [0, size)."""
    if not ids.size:
        return True
    if isinstance(ids, numpy.ndarray):  # seen without its sign, a negative number is a huge one
        return numpy.maximum.reduce(ids.view(UNSIGNED[ids.dtype.itemsize]), axis=None) < size
    return ids.min() >= 0 and ids.max() < size


def check_ids(ids: Any, vocab_size: int, name: str = "ids") -> Any:
    """The ids on the device. Raises TypeError unless they are integers, ValueError unless in [0, vocab_size).

    NumPy ids are checked before they move; the check of ids that are on a GPU waits for it.
    """
    ids = integers(name, ids)
    within(name, ids, vocab_size, ": was the text encoded with this model's vocabulary?")
    return to_device(ids)


def check_inputs(ids: Any, mask: Any, prefix: str = "", batch: int | None = None, rng: Any = None) -> tuple[Any, Any]:
    """The ids (B, T) and the mask (B, T), boolean, or None, as arrays, wherever they are.

    Raises TypeError or ValueError unless the ids are integers, 2-D, not empty, of the given batch size, and the mask,
    where there is one, is of the same shape and says which are real. prefix: of the two names, such as "decoder_";
    rng: None or a generator."""
    if rng is not None:
        generator("rng", rng)
    name = prefix + "input_ids"
    if ids is None:
        shifted = "the target shifted right (minixfmr.training.shift_right), or, for a classifier, the source likewise"
        raise TypeError(f"{name} is missing: give what is read{': ' + shifted if prefix else ''}")
    found = array(name, ids)
    shape = found.shape
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"{name} must be an array of shape (B, T), B and T at least 1, got {tuple(shape)}")
    if batch is not None and shape[0] != batch:
        raise ValueError(f"input_ids has {shape[0]} sequences, decoder_input_ids {batch}: they go in pairs")
    mask = None if mask is None else attention_mask(mask, shape, prefix)
    return integers(name, found if hasattr(ids, "dtype") else ids), mask


def attention_mask(mask: Any, shape: tuple | None = None, prefix: str = "") -> Any:
    """The mask as booleans, True where there is a real token. Raises unless it holds nothing but 0 and 1, or is of
    another shape."""
    name = prefix + "attention_mask"
    found = array(name, mask)
    if shape is not None and found.shape != shape:
        raise ValueError(f"{name} has shape {tuple(found.shape)}, {prefix}input_ids {tuple(shape)}")
    kind = found.dtype.kind
    if kind == "b":
        return found
    if kind not in "iuf":
        raise TypeError(f"{name} must hold 1 where there is a real token and 0 at padding, got {shown(mask)}")
    real = found != 0
    usual = found.dtype is INT64 and isinstance(found, numpy.ndarray)
    if not (are_within(found, 2) if usual else (found == real).all()):  # NaN is not equal to 1
        low, high = found.min(), found.max()
        remedy = ": additive masks hold 0 where attention may go, so give mask == 0" if low < 0 <= high else ""
        raise ValueError(f"{name} must hold 1 (real) or 0 (padding), got values from {low} to {high}{remedy}")
    return real


def check_positions(value: Any, shape: tuple, config: Any) -> Any:
    """(B, T) integers, one row for all repeated. Raises unless they are positions that the model has."""
    if config.positions == "none" or config.positions_from_ids:
        why = 'positions = "none"' if config.positions == "none" else "positions_from_ids: it counts the ids itself"
        raise ValueError(f"position_ids: this model takes none ({why}), leave them out")
    found = for_each("position_ids", value, shape, "positions")
    within("position_ids", found, config.max_position_embeddings, ": max_position_embeddings is how many there are")
    return found


def check_types(value: Any, shape: tuple, config: Any) -> Any:
    """(B, T) integers, one row for all repeated, or None. Raises unless they are token types that the model has."""
    if value is None:
        return None
    if not config.type_vocab_size:
        raise ValueError("token_type_ids: this model has no token types (type_vocab_size = 0), leave them out")
    found = for_each("token_type_ids", value, shape, "token types")
    within("token_type_ids", found, config.type_vocab_size, ": type_vocab_size is how many types there are")
    return found


def for_each(name: str, value: Any, shape: tuple, what: str) -> Any:
    """Integers for each of the ids (B, T): a row that serves many sequences gets the gradient of them all."""
    found = integers(name, value, what)
    if tuple(found.shape) not in (shape, (1, shape[1]), (shape[1],)):
        raise ValueError(
            f"{name} has shape {tuple(found.shape)}: it must be that of input_ids, {shape}, or one row for all, "
            f"(1, {shape[1]}) or ({shape[1]},)"
        )
    return (
        found + numpy.zeros(shape, found.dtype)
        if isinstance(found, numpy.ndarray)
        else found + xp.zeros(shape, dtype=found.dtype)
    )


def check_mask(mask: Any, shape: tuple) -> Any:
    """The mask on the device. Raises unless it is boolean, broadcasts to shape = (B, H, Tq, Tk), and says how."""
    if mask is None:
        return None
    found = array("mask", mask)
    if found.dtype.kind != "b":
        additive = "an additive mask, 0 where attention may go, with mask == 0, one of 0 and 1 with mask == 1"
        kind = found.dtype if found.dtype.kind in "iufc" else shown(mask)
        raise TypeError(f"mask must be boolean (True = may attend), got {kind}: convert {additive}")
    own = tuple(found.shape)
    if not _broadcasts(own, shape):
        raise ValueError(f"mask of shape {own} does not broadcast to (B, H, Tq, Tk) = {shape}")
    if len(own) < 4:
        _check_meaning(found, own, *shape)
    return to_device(found)


@functools.lru_cache(256)
def _broadcasts(own, shape):
    return 2 <= len(own) <= 4 and all(m in (1, n) for m, n in zip(own[::-1], shape[::-1], strict=False))


def with_four_axes(mask: Any, B: int, H: int) -> Any:
    """The mask as (B or 1, H or 1, Tq, Tk). Raises ValueError where it does not say which of them it lacks."""
    own = tuple(mask.shape)
    if 2 <= len(own) <= 3:
        _check_meaning(mask, own, B, H, own[-2], own[-1])
        return mask[(None,) * (4 - len(own))]
    return mask


def _check_meaning(mask, own, B, H, Tq, Tk):
    """Raise ValueError where the first axis could be the batch as well."""
    if len(own) == 3 and own[0] == B == H > 1:
        raise ValueError(
            f"mask of shape {own} could be one for each of {B} sequences or of {H} heads: give mask[:, None] for "
            "sequences, mask[None] for heads"
        )
    if len(own) == 2 and own[0] == B == Tq > 1 and not _looks_ahead(mask):
        raise ValueError(
            f"mask of shape {own} could be (B, Tk) or (Tq, Tk): give mask[:, None, None] for one row a sequence, "
            "mask[None, None] for one row a query"
        )


def _looks_ahead(mask):
    """Is it True from the first key to the query's own, or later, and False then: what no padding looks like?"""
    Tq, Tk = mask.shape
    ahead = xp.tri(Tq, Tk, Tk - Tq, dtype=bool)
    return bool((to_device(mask) == ahead).all())


def check_padding(mask: Any) -> Any:
    """attention_mask(mask) of two axes."""
    real = attention_mask(mask)
    if real.ndim != 2:
        raise ValueError(f"attention_mask must be of shape (B, Tk), got {tuple(real.shape)}")
    return real


def check_ends(ids: Any, end: int | None) -> None:
    """Raise ValueError unless each sequence of ids (B, T) has its end token. Of ids on a device nothing is known."""
    without: Any = numpy.flatnonzero((ids != end).all(axis=1)) if isinstance(ids, numpy.ndarray) else []
    if len(without):
        raise ValueError(f"input_ids[{without[0]}] has no end token, {end}, at which this head reads the sequence")


def check_lengths(Tq: Any, Tk: Any = None) -> tuple[int, int]:
    """Both as Python's integers. Raises ValueError unless the queries are the last of the keys."""
    Tq = count("Tq", Tq, 0)
    return Tq, Tq if Tk is None else count("Tk", Tk, Tq, hint=", for the queries are the last of the keys")


def lengths(name: str, value: Any, B: int | None = None, longest: int = LARGEST) -> Any:
    """(B,) integers from 0 to longest."""
    found = integers(name, value, "lengths")
    if found.ndim != 1 or len(found) != (len(found) if B is None else B) or not len(found):
        raise ValueError(f"{name} must be one length for each sequence, (B,), got shape {tuple(found.shape)}")
    if isinstance(found, numpy.ndarray) and (found.min() < 0 or found.max() > longest):
        raise ValueError(f"{name} must be from 0 to {longest}, got values from {found.min()} to {found.max()}")
    return found
