"""Which gradient belongs to which array, by their names: dW, dLdW, grad_W, W_grad; params["W"] and grads["W"]."""

import re
from collections.abc import Iterable
from typing import Any

PREFIXES = ("dld", "dlossd", "dl", "d", "gradientof", "gradient", "gradof", "grad", "g", "delta", "nabla")
SUFFIXES = ("gradients", "gradient", "grads", "grad", "g")
INFIXES = ("dld", "grad")  # all_dl_dweights, fc1_grad_weight
HOLDERS = {"params", "parameters", "param", "weights", "learnable", "trainable", "variables", "data", "p"}
GRADIENT_HOLDERS = {"grads", "gradients", "grad", "gradient", "dparams", "gradparams", "paramgrads", "g", "derivatives"}
VALUES = {"data", "value", "val", "values", "v", "array", "w", "weight"}  # of a student's own Parameter
GRADIENTS = {"grad", "gradient", "g", "dw", "grads", "d"}
DATA = {"t", "target", "targets", "label", "labels", "y", "ytrue", "yhot", "onehot", "truth", "groundtruth", "gold"}
UPSTREAM = re.compile(r"d[a-z0-9_]|grad|g$|gy$|gout|delta|upstream|err|top_diff|output_grad|out_grad", re.I)
CACHE = re.compile(r"cache|saved|ctx|context|memory|tape|state|residual|saved_tensors|tmp|store", re.I)
RATES = {"learningrate", "lr", "eta", "stepsize"}
OUTPUTS = {"y", "out", "output", "outputs", "a", "activation", "activations", "yhat", "result", "z"}


def plain(name: Any) -> Any:
    """A name without case and underscores; an index stays."""
    return name.replace("_", "").casefold() if isinstance(name, str) else name


def stems(name: object) -> set:
    """What a gradient's name could be the gradient of: "dLdW" → {"w", "ldw"}."""
    if not isinstance(name, str):
        return set()
    p = plain(name)
    cut = {p.removeprefix(prefix) for prefix in PREFIXES if p.startswith(prefix)}
    cut |= {p.removesuffix(suffix) for suffix in SUFFIXES if p.endswith(suffix)}
    cut |= {p.replace(infix, "", 1) for infix in INFIXES}
    return cut - {"", p}


def value_keys(path: tuple) -> set[tuple]:
    """What a parameter's path says, with and without the words that only hold parameters."""
    parts = tuple(plain(part) for part in path)
    keys = {parts, tuple(part for part in parts[:-1] if part not in HOLDERS) + parts[-1:]}
    if len(parts) > 1 and parts[-1] in VALUES:
        keys |= {key[:-1] for key in keys if len(key) > 1}
    return keys


def gradient_keys(path: tuple) -> set[tuple]:
    """The value_keys that this path could be the gradient of; empty if nothing in it says gradient."""
    path = path[1:] if path[0] == "returned" else path
    parts = tuple(plain(part) for part in path)
    keys: set[tuple] = set()
    held = tuple(part for part in parts[:-1] if part not in GRADIENT_HOLDERS) + parts[-1:]
    if held != parts:
        keys |= {held, *(held[:-1] + (stem,) for stem in stems(path[-1]))}
    if len(parts) > 1 and parts[-1] in GRADIENTS:
        keys.add(parts[:-1])
    for i, part in enumerate(path):
        keys |= {parts[:i] + (stem,) + parts[i + 1 :] for stem in stems(part)}
    return keys


def match(value: tuple, gradient: tuple, templates: Iterable[str] = ()) -> int:
    """How well a gradient's path fits a value's: 3 as a course says, 2 by name, 1 abbreviated (db for bias), 0 not."""
    last = value[-1]
    if isinstance(last, str) and any(t.format(name=last) == gradient[-1] for t in templates):
        return 3 if value[:-1] == gradient[:-1] or len(value) != len(gradient) else 0
    wanted, offered = value_keys(value), gradient_keys(gradient)
    if wanted & offered:
        return 2
    return int(any(_abbreviates(g, w) for w in wanted for g in offered))


def _abbreviates(short: tuple, long: tuple) -> bool:
    """Is it the same path, with one name cut short: ("b", 0) for ("biases", 0)?"""
    differ = [(s, n) for s, n in zip(short, long, strict=False) if s != n]
    return (
        len(short) == len(long)
        and len(differ) == 1
        and all(isinstance(s, str) and isinstance(n, str) and len(s) < len(n) and n.startswith(s) for s, n in differ)
    )
