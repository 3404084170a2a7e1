"""Arguments as users write them: the same meaning in several forms, and what means nothing."""

import fractions
from dataclasses import dataclass
from typing import Any

import numpy

BAD = "refused"  # the meaning of what has none
MAYBE = "either"  # refused or obeyed, as the door likes


class Unreadable:
    def __array__(self, *_):
        raise RuntimeError("unreadable")

    def __repr__(self):
        raise RuntimeError("no words")


@dataclass
class Argument:
    """passed: what the call gets    meaning: the plain value that it stands for, or BAD"""

    passed: Any
    meaning: Any

    @property
    def bad(self) -> bool:
        return isinstance(self.meaning, str) and self.meaning == BAD


def pick(rng, *choices):
    return choices[rng.integers(len(choices))]


# --- numbers

NO_NUMBERS = (None, "no", "0.5", "", b"1", [], [1.0], {}, (1, 2), 1j, float("nan"), object(), Unreadable(), True)
NO_NUMBERS += (numpy.array([1.0, 2.0]), numpy.array(["a"]), numpy.float64("nan"), False, set(), numpy.bool_(True))
HUGE = (float("inf"), float("-inf"), 10**400, -(10**400), 10**5000)


def number(rng, good, bad=(), either=()):
    """A float: one of the good ones in some form, or something bad. either: may be refused or not, so is not drawn."""
    if rng.random() < 0.75:
        value = pick(rng, *good)
        forms = [value, numpy.float64(value), numpy.array(value), float(value)]
        forms += [fractions.Fraction(value)] if rng.random() < 0.1 else []
        forms += [int(value)] if value == int(value) else []
        return Argument(pick(rng, *forms), float(value))
    return Argument(pick(rng, *bad, *NO_NUMBERS, *HUGE), BAD)


def count(rng, good, bad=(-1, 0), none=False):
    """An integer, or something bad. none: None is allowed and not drawn"""
    if rng.random() < 0.75:
        value = int(pick(rng, *good))
        kinds = [int, numpy.int64, numpy.int32, numpy.array] + ([numpy.uint8] if 0 <= value < 256 else [])
        return Argument(pick(rng, *kinds)(value), value)
    odd = [x for x in NO_NUMBERS if not (none and x is None)]
    return Argument(pick(rng, *bad, *odd, *HUGE, 2.5, numpy.float32(2.5)), BAD)


def flag(rng):
    if rng.random() < 0.75:
        value = bool(rng.integers(2))
        return Argument(pick(rng, value, numpy.bool_(value), numpy.array(value)), value)
    return Argument(pick(rng, "no", "yes", "False", 0, 1, 2, 0.0, [], [True], object(), numpy.array([True])), BAD)


def choice(rng, good):
    if rng.random() < 0.75:
        value = pick(rng, *good)
        return Argument(value, value)
    return Argument(pick(rng, "nonsense", "", 0, 1.5, b"relu", [], ["post"], object(), good[0].upper(), True), BAD)


# --- arrays


def integers(rng, values, size=None, shapes_too=True):
    """An array of integers (its values in [0, size)) in some form, or damaged."""
    values = numpy.array(values)
    if rng.random() < 0.7:
        return Argument(_form(rng, values), values)
    return Argument(_damaged(rng, values, size, shapes_too), BAD)


def _form(rng, values):
    forms = [lambda: values, lambda: values.tolist(), lambda: values.astype("int32"), lambda: values.astype(">i8")]
    forms += [lambda: numpy.asfortranarray(values), lambda: tuple(map(tuple, values)) if values.ndim == 2 else values]
    forms += [
        lambda: list(values),
        lambda: numpy.repeat(values, 2, axis=-1)[..., ::2],
        lambda: _frozen(values),
    ]
    if values.size and values.min() >= 0:
        forms += [lambda: values.astype("uint8"), lambda: values.astype("uint64")]
    forms += [lambda: _torch(values)]
    return pick(rng, *forms)()


def _frozen(values):
    values = values.copy()
    values.flags.writeable = False
    return values


def _torch(values):
    try:
        import torch
    except ImportError:
        return values
    return torch.from_numpy(values.copy())


def _damaged(rng, values, size, shapes_too):
    spoilt = values.copy()
    at = tuple(rng.integers(n) for n in values.shape)
    damage = rng.integers(12)
    if damage < 3 and (size is not None or damage == 0):
        spoilt[at] = pick(rng, -1, -5, -(1 << 40)) if damage < 2 or size is None else pick(rng, size, size + 7, 1 << 40)
        return spoilt.tolist() if rng.random() < 0.3 else spoilt
    if damage < 5:
        return pick(
            rng, values.astype(float), values.astype(float).tolist(), values * 1j, values.astype(str), values > 0
        )
    if damage < 7:
        rows = values.astype(object)
        rows[at] = pick(rng, None, "x", 1.5, {1}, numpy.nan, 10**30)
        return rows.tolist() if rng.random() < 0.5 else rows
    if damage == 7 and values.ndim == 2 and values.shape[0] > 1 and values.shape[1] > 1:
        return [values[0].tolist(), *(row[:-1].tolist() for row in values[1:])]
    if damage < 10 and shapes_too:
        return pick(
            rng,
            values[None],
            values[:0],
            values[..., :0],
            values.reshape(-1)[0],
            values[..., None],
            values.reshape(-1) if values.ndim > 1 else values[None],
            values.tolist()[0] if values.ndim > 1 else [values.tolist()],
        )
    return pick(
        rng, None, "ids", b"ids", 3, 2.5, {}, {1: 2}, object(), Unreadable(), iter([1, 2]), (x for x in [1]), set()
    )


def mask(rng, real):
    """A mask of 1 and 0 in some form, or damaged. real: (B, T) booleans"""
    if rng.random() < 0.7:
        form = rng.integers(7)
        forms = (bool, "int64", "int8", "float32", "float64", "uint8")
        if form < 6:
            return Argument(real.astype(forms[form]), real)
        return Argument(
            pick(rng, real.tolist(), real.astype(int).tolist(), _torch(real), _torch(real.astype(int))), real
        )
    lowest = pick(rng, -1e9, -numpy.inf, -10000.0, float(numpy.finfo("float32").min))
    additive = numpy.where(real, 0.0, lowest)
    if real.all():
        additive[0, 0] = lowest
    spoilt = real.astype(float)
    spoilt[0, -1] = pick(rng, numpy.nan, numpy.inf, 2.0, -1.0, 0.5)
    listed = real.astype(int).tolist()
    listed[0][0] = pick(rng, None, "1", [1], 2, -1)
    B, T = real.shape
    shapes = [real[None], real[:, :-1], real[..., None], numpy.ones((B + 1, T)), numpy.ones((B, T + 1)), real[0]]
    if B > 1:
        shapes += [real[:1]]
    return Argument(
        pick(
            rng,
            additive,
            additive,
            numpy.where(additive < 0, -10000, 0),
            spoilt,
            listed,
            real.astype(str),
            "mask",
            1,
            True,
            {},
            object(),
            real * 1j,
            *shapes,
            numpy.array(listed, dtype=object),
        ),
        BAD,
    )
