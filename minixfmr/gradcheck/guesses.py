"""Something to check a pair or a layer with: from the file's own gradcheck_inputs, or made up and tried."""

import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from .blame import blame
from .discovery import Item
from .kinds import Context, arrays_in
from .names import plain
from .report import GradcheckError

FIRST = ((2, 5, 6), (5, 6), (2, 3, 6, 6), (6, 5), (6,), (2, 6, 6, 3))  # shapes of the first array
TRIES = 3000  # of shapes

# settings by their plain names; as arguments, as arguments of a constructor, or as keys of a dictionary of settings
SETTINGS: dict[str, Any] = {
    "mask": None, "attentionmask": None, "attnmask": None, "seed": 1, "p": 0.7, "rate": 0.3, "dropout": 0.3,
    "dropprob": 0.3, "keepprob": 0.7, "dropoutratio": 0.3, "eps": 1e-5, "epsilon": 1e-5, "momentum": 0.9,
    "numheads": 2, "heads": 2, "nheads": 2, "nhead": 2, "dout": 4, "outfeatures": 4, "nout": 4, "outdim": 4,
    "outputsize": 4, "nneurons": 4, "mode": "train", "training": True, "train": True, "trainflg": True,
    "istraining": True, "stride": 1, "pad": 0, "padding": 0, "poolheight": 2, "poolwidth": 2, "poolh": 2, "poolw": 2,
    "kernelsize": 2, "filtersize": 2, "reg": 0.1, "lambd": 0.1, "l2": 0.1, "l1": 0.1, "weightdecay": 0.1,
    "alpha": 0.1, "negativeslope": 0.1, "slope": 0.1, "delta": 1.0, "beta1": 0.9, "axis": -1, "dim": -1,
    "activation": "relu", "std": 0.5, "weightscale": 0.5, "weightinitstd": 0.5, "scale": 0.5, "temperature": 1.5,
    "learningrate": 0.1, "lr": 0.1, "causal": True,
}  # fmt: skip
LABELS = {"ids", "tokens", "labels", "label", "targets", "target", "y", "t", "ytrue", "indices", "idx", "inputids"}
VECTORS = {"b", "bias", "biases", "gamma", "beta", "gain", "b1", "b2", "bx", "bh"}
MATRICES = {"w", "weight", "weights", "w1", "w2", "wq", "wk", "wv", "wo", "wx", "wh", "u", "kernel"}
DICTIONARIES = ("param", "config", "cfg", "settings", "hparams", "options")


class Settings(dict):
    """A dictionary of settings that knows usual ones when it is asked for them."""

    def __missing__(self, key):
        if plain(key) in SETTINGS:
            return SETTINGS[plain(key)]
        raise KeyError(key)


def from_hook(item: Item, hooks: list[Callable], seed: int) -> tuple | None:
    """What gradcheck_inputs gives for one of the names of an item."""
    for hook in hooks:
        for name in dict.fromkeys(item.asked):
            try:
                with blame(hook):
                    given = hook(name, numpy.random.default_rng(seed))
            except GradcheckError as error:
                if isinstance(error.original, KeyError):
                    continue
                raise
            if given is not None:
                return given if isinstance(given, tuple) else (given,)
    return None


def made_up(function: Callable, seed: int, widths: tuple[int, ...] = ()) -> Iterator[tuple]:
    """Arguments to try a function with: equal shapes first, then others. widths: that a layer's arrays have"""
    rng = numpy.random.default_rng(seed)
    needed = required(function)
    tries = 0
    labelled = any(plain(p.name) in LABELS for p in needed[1:])
    firsts = [(5, 6), *FIRST] if labelled else FIRST  # (examples, classes) is what most losses take
    for first in dict.fromkeys([*firsts, *((5, width) for width in widths)]):
        choices = [_choices(p.name, first, i, rng) for i, p in enumerate(needed)]
        for values in itertools.product(*choices):
            tries += 1
            if tries > TRIES:
                return
            yield tuple(v(rng) if callable(v) else v for v in values)


def made_up_layers(kind: type, seed: int) -> Iterator[Any]:
    """Layers of a class, with sizes of 6, then with arrays for what is named as they are."""
    rng = numpy.random.default_rng(seed)
    needed = required(kind)
    if not needed and any(p.kind == p.VAR_POSITIONAL for p in _signature(kind)):
        raise GradcheckError(f"{kind.__name__} is made of other layers")
    error, made = None, False
    sizes = SETTINGS | {"dim": 6}  # of a layer dim is its width, of a function an axis
    numbers = [sizes.get(plain(p.name), 6) for p in needed]
    arrays = [
        _choices(p.name, (5, 6), 1, rng)[0] if _is_array_name(p.name) else n
        for p, n in zip(needed, numbers, strict=True)
    ]
    for values in [numbers, [a(rng) if callable(a) else a for a in arrays], [4] * len(needed), [1] * len(needed)]:
        try:
            yield kind(*values)
            made = True
        except Exception as problem:
            error = error or problem
    if not made:
        told = ", ".join(f"{p.name}={v!r}" for p, v in zip(needed, numbers, strict=True))
        raise GradcheckError(f"{kind.__name__}({told}) raised {type(error).__name__}: {error}")


def remedy(item: Item) -> str:
    """How to give the inputs."""
    layer = f"{item.name}(...), " if item.kind in ("layer", "network") else ""
    return (
        f"if it is right, add to the file\n    def gradcheck_inputs(name, rng):\n"
        f'        if name == "{item.name}":\n'
        f"            return {layer}rng.standard_normal((2, 5, 6)), ...  # the arguments of forward"
    )


def told(names: list[str], arguments: tuple) -> str:
    """'inputs made up: x 2×5×6, W 6×4'"""
    shapes = [
        f"{label} {'×'.join(map(str, a.shape)) or 'a number'}"
        for name, argument in zip(names, arguments, strict=False)
        for label, a in arrays_in(argument, name)
    ]
    return f"inputs made up: {', '.join(shapes) or 'none'}"


def required(function: Callable) -> list[inspect.Parameter]:
    kinds = _signature(function)
    return [p for p in kinds if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _signature(function):
    try:
        return list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        return []


def _is_array_name(name):
    return plain(name) in MATRICES | VECTORS


def _choices(name, first, position, rng):
    """What an argument is tried as, the likeliest first."""
    p = plain(name)
    d, n = first[-1], first[0]
    if p in ("ctx", "context"):
        return [Context()]
    if p == "rng":
        return [numpy.random.default_rng(1)]
    if any(p.endswith(word) for word in DICTIONARIES):
        return [Settings()]
    if p in SETTINGS:
        return [SETTINGS[p]]
    if p in LABELS and position:
        labels = [lambda r, s=s: r.integers(0, min(4, d), s) for s in dict.fromkeys((first[:-1], (n,)))]
        return [*labels, _floats(first), lambda r: numpy.eye(d)[r.integers(0, d, first[:-1])]]
    if p in ("ids", "tokens", "inputids", "indices", "idx"):
        return [lambda r: r.integers(0, 4, (2, 5))]
    vectors = [(d,), (4,), (1, 4), (4, 1), (1, d)]
    matrices = [(d, 4), (d, d), (4, d), (4, n), (4, 4), (24, d)]
    if position == 0:
        return [_floats(first)]
    if p in VECTORS or (p.startswith("b") and len(p) <= 2):
        return [*map(_floats, [*vectors, first, (d, 4)])]  # b is a matrix beside an a
    if p in MATRICES or (p.startswith("w") and len(p) <= 4):
        return [*map(_floats, [*matrices, (3, 3, 2, 2), (d,), (1, d)])]  # a gain is a weight, too
    return [*map(_floats, dict.fromkeys([first, *matrices, *vectors, (n, 4)]))]


def _floats(shape):
    return lambda rng: rng.standard_normal(shape)
