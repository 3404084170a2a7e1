"""Plain values: counts, numbers, flags and choices. Each check returns the value as Python's own type."""

import functools
import math
import numbers
from collections.abc import Collection
from typing import Any

import numpy

LARGEST = 1 << 62  # of counts: what is larger overflows somewhere


def plain(value: Any) -> Any:
    """A NumPy number, or an array without axes, as a number of Python's; anything else as it is."""
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def shown(value: Any) -> str:
    """The value in at most one line, and its type where that is not plain to see."""
    kind = type(value)
    if hasattr(value, "dtype") and hasattr(value, "shape") and value.shape != ():
        return f"an array of {value.dtype} of shape {tuple(value.shape)}"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # such as an integer of more digits than Python writes
        return f"a {kind.__name__}"
    text = text if len(text) <= 60 else text[:57] + "..."
    known = value is None or kind in (bool, int, str, list, tuple, dict)
    return text if known or text.startswith(kind.__name__) or kind is float else f"{text} ({kind.__name__})"


def require(name: str, value: Any, holds: Any, valid: str) -> None:
    """Raise ValueError unless it holds."""
    if not holds:
        raise ValueError(f"{name} must be {valid}, got {shown(value)}")


def is_count(value: Any, least: int = 1, most: float = LARGEST) -> bool:
    """Whether it is an integer from least to most."""
    if type(value) is int:  # the usual case first: this runs in each training step
        return least <= value <= most
    value = plain(value)
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and least <= int(value) <= most


def count(name: str, value: Any, least: int = 1, most: float = LARGEST, hint: str = "") -> int:
    """The integer. Raises ValueError unless it is one, from least to most."""
    if not is_count(value, least, most):
        large = isinstance(value, int) and value > most
        valid = f"an integer of at least {least}" + (f" and at most {most}" if large else "")
        raise ValueError(f"{name} must be {valid}{hint}, got {shown(value)}")
    return value if type(value) is int else int(plain(value))


@functools.cache
def _bounds(interval):
    low, high = interval[1:-1].split(", ")
    return float(low), float(high), interval[0] == "[", interval[-1] == "]"


def is_number(value: Any, interval: str = "(-inf, inf)") -> bool:
    """Whether it is a real number in the interval, such as "(0, 1]"; NaN is in none."""
    if type(value) is not float:
        value = plain(value)
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            return False
        try:
            value = float(value)
        except OverflowError:  # an integer beyond all floats
            return False
    low, high, with_low, with_high = _bounds(interval)
    return (low <= value if with_low else low < value) and (value <= high if with_high else value < high)


def number(name: str, value: Any, interval: str = "(-inf, inf)", hint: str = "") -> float:
    """The number. Raises ValueError unless it is a real one in the interval, such as "(0, 1]"; NaN is in none."""
    if not is_number(value, interval):
        raise ValueError(f"{name} must be {_words(interval)}{hint}, got {shown(value)}")
    return value if type(value) is float else float(plain(value))


def _words(interval):
    _, high, with_low, _ = _bounds(interval)
    if interval == "(-inf, inf)":
        return "a finite number"
    if high == math.inf and interval[-1] == ")":
        return f"a finite number {'of at least' if with_low else 'greater than'} {interval[1:].split(', ')[0]}"
    return f"in {interval}"


def flag(name: str, value: Any) -> bool:
    """The boolean. Raises ValueError for anything else: "no" would count as true."""
    require(name, value, isinstance(plain(value), bool), "True or False")
    return bool(plain(value))


def choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Raise ValueError unless it is one of the choices."""
    known = isinstance(value, str) and value in choices
    require(name, value, known, "one of " + ", ".join(map(repr, choices)))


def generator(name: str, value: Any) -> None:
    """Raise TypeError unless it is None or a generator of random numbers."""
    if value is not None and not isinstance(value, numpy.random.Generator):
        raise TypeError(
            f"{name} must be a numpy.random.Generator, such as numpy.random.default_rng(0), or None for no dropout, "
            f"got {shown(value)}"
        )


def pair(name: str, value: Any, interval: str) -> tuple[float, float]:
    """Two numbers. Raises ValueError for anything else."""
    holds = isinstance(value, list | tuple | numpy.ndarray) and len(value) == 2
    require(name, value, holds and all(is_number(x, interval) for x in value), f"two numbers {_words(interval)}")
    return float(plain(value[0])), float(plain(value[1]))


# --- the arguments of layers


def check_widths(odd_width: Any = 1, **widths: Any) -> None:
    """Raise ValueError unless the widths are counts, and one of a convolution that keeps the length is odd."""
    for name, value in widths.items():
        count(name, value)
    require("width", odd_width, is_count(odd_width) and odd_width % 2, "odd, for a convolution that keeps the length")


def check_eps(d: Any, eps: Any) -> float:
    """The eps of a norm over d numbers. Raises ValueError for one that would hide them, or not keep from 0 / 0."""
    count("d", d)
    return number("eps", eps, "[1e-30, 1]")


def check_heads(
    d_model: Any, num_heads: Any, dropout: Any, head_dim: Any = None, num_key_value_heads: Any = None, scale: Any = None
) -> None:
    """Raise ValueError unless attention can have such heads."""
    check_widths(d_model=d_model)
    number("dropout", dropout, "[0, 1)")
    if not is_count(num_heads) or (head_dim is None and d_model % num_heads):
        raise ValueError(
            f"d_model must be divisible by num_heads, got d_model = {d_model} and num_heads = {shown(num_heads)}"
        )
    if head_dim is not None:
        count("head_dim", head_dim)
    groups = num_heads if num_key_value_heads is None else num_key_value_heads
    divides = is_count(groups) and num_heads % groups == 0
    require("num_key_value_heads", groups, divides, f"a divisor of num_heads = {num_heads}")
    if scale is not None:
        number("scale", scale, "(0, 1e6]")
