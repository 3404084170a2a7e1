"""The numbers by which gradients are wrong most often, with their names."""

import math
from typing import Any

import numpy

from ...backend import to_numpy
from ..subject import LayerSubject, Subject, arrays_in, is_mask
from .instrument import functions_behind

PLAIN = (2, 3, 4)
Constants = dict[str, float | tuple[float, ...]]  # {name: number, or the numbers that it may be}
COUNTS = ("batch", "examples", "positions", "entries", "labels")  # of these nobody takes the square root


def constants_of(subject: Subject, dy: Any, y: Any, saved: Any) -> Constants:
    """{name: number} of the sizes, counts and probabilities of a check."""
    inputs = [(n, v) for n, v in subject.values.items() if n in subject.names]
    shape: tuple[int, ...] = numpy.shape(y) or next((v.shape for _, v in inputs), ())
    numbers = _numbers(subject, saved)
    named = _sizes(subject, inputs, shape)
    if not numpy.shape(dy) and dy != 1:
        named["dy, the upstream gradient"] = float(dy)
    others = {n: a for n, a in globals_of(subject).items() if hasattr(a, "dtype") and a.ndim} | subject.others
    for name, array in others.items():
        if array.dtype.kind in "iu" and not is_mask(name, array):
            named |= _counts(to_numpy(array), numbers, named)
    for name, number in numbers.items():
        if number > 0:
            named |= _meanings(name, number, subject, shape)
    named |= {f"axis {axis} of {name}": size for name, array in inputs for axis, size in enumerate(array.shape)}
    return named


def _sizes(subject, inputs, shape):
    """What the axes of the output mean."""
    named: Constants = {}
    if len(shape) >= 2:
        named["batch size"] = shape[0]
        named["number of positions"] = math.prod(shape[:-1])
    if len(shape) >= 3:
        named["length"] = shape[-2]
    if len(shape) == 4:
        named["number of heads"] = shape[1]
    if len(shape) == 4 or {"q", "query"} & set(subject.names):
        named["d_head"] = shape[-1]
    if shape:
        named["number of examples" if _in_columns(subject, inputs, shape) else "width"] = shape[-1]
        named["number of entries"] = math.prod(shape)
    return named


def _counts(labels, numbers, named):
    """How many labels there are, and how many of them count."""
    count = int((labels != numbers.get("ignore_index", -100)).sum())
    if "ignore_index" not in numbers and labels.min(initial=0) < 0:
        count = int((labels >= 0).sum())
    found: Constants = {"number of labels": labels.size}
    if count < labels.size:
        found["number of labels that count"] = count
    sizes = named | found
    for size in ("batch size", "length", "number of labels", "number of entries"):
        if 0 < count != sizes.get(size, labels.size):
            found[f"labels that count / {size}"] = count / sizes.get(size, labels.size)
    return found


def _meanings(name, number, subject, shape):
    """What a positive number may stand for: itself, a number of heads, a probability."""
    if isinstance(number, int) and "head" in name:
        widths = [n for v in subject.values.values() for n in v.shape[::-1] if n % number == 0]
        widths = [*(n for n in shape[-1:] if n % number == 0), *widths]
        d_head = {"d_head": tuple(width // number for width in dict.fromkeys(widths))} if widths else {}
        return {"number of heads": number} | d_head
    if number < 1:
        keep = {f"keep probability 1 - {name}": 1 - number, f"{name} / (1 - {name})": number / (1 - number)}
        return {name: number} | keep
    return {name: number}


def numbers_in(value: float | tuple[float, ...]) -> tuple[float, ...]:
    """The numbers that a name may stand for."""
    return value if isinstance(value, tuple) else (value,)


def _in_columns(subject, inputs, shape):
    """Is the last axis that of the examples? It is of inputs and output alike, and of no parameter."""
    like = [v for _, v in inputs if v.ndim == len(shape) and v.shape[-1] == shape[-1]]
    others = [v for v in subject.values.values() if not any(v is a for a in like)]
    return len(shape) == 2 and len(like) == 1 and others and not any(shape[-1] in v.shape for v in others)


def either(names: list[str]) -> str:
    """The first few names, as a choice; places in a shape only where nothing better is known."""
    better = [n for n in names if "axis " not in n]
    return " or ".join((better or names)[:3]).removeprefix("plainly ")


def say(name: str) -> str:
    """What a name of names_of says, without its number here: '√d_head'."""
    return name.partition(" = ")[0]


def names_of(factor: float, constants: Constants) -> list[str]:
    """All that a factor could be: '√d_head = √8', and so on; empty if it is none of the constants."""
    found = []
    for name, n in ((name, n) for name, values in constants.items() for n in numbers_in(values)):
        whole = isinstance(n, int | numpy.integer)
        if n in (0, 1):
            continue
        forms = {
            name: (n, f"{n}" if whole else f"{n:.4g}"),
            f"1/({name})": (1 / n, f"1/{n}" if whole else f"{1 / n:.4g}"),
        }
        if whole and n > 2:
            forms |= {f"2/({name})": (2 / n, f"2/{n}")}
        if whole and n > 1 and not any(word in name for word in COUNTS):
            forms |= {f"√{name}": (math.sqrt(n), f"√{n}"), f"1/√{name}": (1 / math.sqrt(n), f"1/√{n}")}
            forms |= {f"(n - 1)/n with n = {name}": ((n - 1) / n, f"{n - 1}/{n}")} if n > 2 else {}
        for spelled, (value, digits) in forms.items():
            if abs(factor - value) <= 1e-6 * abs(value):
                found.append(f"{spelled.replace('(' + name + ')', name) if ' ' not in name else spelled} = {digits}")
    for n in PLAIN:
        for plain, value in ((f"{n}", n), (f"1/{n}", 1 / n)):
            if abs(factor - value) <= 1e-6 * value:
                found.append(f"plainly {plain}" if found else plain)
    return found


def _numbers(subject, saved):
    """{name: int or float} among the arguments, the options, what forward saved and the attributes of a layer."""
    named = dict(zip(subject.names, subject.arguments, strict=True)) | subject.options
    given = [n for n in named.values() if isinstance(n, int | float)]
    entries = enumerate(saved if isinstance(saved, tuple | list) else [])
    named |= {f"saved[{i}]": n for i, n in entries if isinstance(n, int | float | numpy.number) and n not in given}
    if isinstance(subject, LayerSubject):
        named = dict(getattr(subject.layer, "__dict__", {})) | named
    named = globals_of(subject) | named
    return {
        name: n.item() if hasattr(n, "item") else n
        for name, n in named.items()
        if isinstance(n, int | float | numpy.integer | numpy.floating) and not isinstance(n, bool)
    }


def globals_of(subject: Subject) -> dict[str, Any]:
    """{name: array or number} of the module that the student's functions use."""
    found: dict[str, Any] = {}
    for start in (subject.forward_code, subject.backward_code):
        for function in functions_behind(start, getattr(subject, "layer", None)):
            space = function.__globals__
            named = {n: space[n] for n in function.__code__.co_names if n in space}
            found |= {
                n: a for n, a in named.items() if isinstance(a, numpy.ndarray | int | float) and type(a) is not bool
            }
    return found


def pool_of(subject: Subject, dy: Any, y: Any, saved: Any) -> dict[str, numpy.ndarray]:
    """{name: array} of all that an explanation may use: inputs, masks, labels, what was saved, the output, dy."""
    pool = {name: to_numpy(a) for name, a in [*subject.values.items(), *subject.others.items()]}
    for label, a in arrays_in(saved):
        pool.setdefault(label, to_numpy(a))
    for name, a in getattr(getattr(subject, "layer", None), "__dict__", {}).items():
        if hasattr(a, "dtype") and hasattr(a, "shape"):
            pool.setdefault(f"self.{name}", to_numpy(a))
    for name, a in globals_of(subject).items():
        if isinstance(a, numpy.ndarray | float):
            pool.setdefault(name, numpy.asarray(a))
    pool["the output"] = to_numpy(y)
    pool["dy"] = to_numpy(dy)
    return pool
