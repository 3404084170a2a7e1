"""Where an array of ours lies in a published file: its name there, and which part of it."""

import re
from typing import Any

import numpy

from ..checkpoint import CheckpointError
from ..layers import Convolution, Linear

PARTS = {  # of a sublayer, by how many names it has
    3: ("norm", "layer.hidden", "layer.output"),
    4: ("norm", "layer.gate", "layer.hidden", "layer.output"),
    5: ("norm", "layer.query", "layer.key", "layer.value", "layer.output"),
}


def block(ours: str, theirs: str, **sublayers: tuple) -> dict[str, Any]:
    """The rules for the names of a block.

    ours, theirs: what all its names begin with, such as "decoder.blocks.{i}." and "*.h.{i}."
    sublayers: their names of self_attention (and cross_attention) as (norm, query, key, value, output), and of
        feed_forward as (norm, hidden, output) or (norm, gate, hidden, output)
    """
    rules: dict[str, Any] = {}
    for sublayer, names in sublayers.items():
        for part, name in zip(PARTS[len(names)], names, strict=True):
            place = (theirs + name[0], name[1]) if isinstance(name, tuple) else theirs + name
            rules[f"{ours}{sublayer}.{part}"] = place
    return rules


def fused(name: str, kind: str) -> list[tuple]:
    """Query, key and value in one tensor; kind: how, see take."""
    return [(name, (kind, k)) for k in range(3)]


def find(rules: dict, name: str, head: str) -> tuple[str, Any]:
    """(the published name of our array, its part or None).

    rules: {our name: their name}, of an array or, without ".weight" or ".bias", of a layer. {i} is a block's number.
    The first word of a head's names is its kind, such as "causal_lm.output". Their name begins with "*." where it is
    one of the body's, and may come as (name, part), see take. Raises CheckpointError if no rule covers ours.
    """
    name = re.sub(r"^head\.", f"{head}.", name)
    layer, dot, kind = name.rpartition(".")
    for sought, suffix in ((name, ""), (layer, dot + kind)):
        number = re.search(r"\.(\d+)\.", sought)
        template = sought if number is None else sought.replace(number[0], ".{i}.", 1)
        if template in rules:
            theirs, part = rules[template] if isinstance(rules[template], tuple) else (rules[template], None)
            return theirs.replace("{i}", number[1] if number else "") + suffix, part
    raise CheckpointError(f"no published name is known for {name}")


def transposed(model: Any, as_they_are: tuple = (), prefix: str = "") -> set[str]:
    """The names of our arrays whose axes come in the opposite order there, where matrices are (out, in).

    as_they_are: starts of names that are excepted
    """
    names = set()
    for name, child in model.named_children():
        full = prefix + name
        if isinstance(child, Linear | Convolution) and not full.startswith(as_they_are):
            names.add(f"{full}.weight")
        names |= transposed(child, as_they_are, f"{full}.")
    return names


def take(tensor: Any, part: Any, num_heads: int) -> Any:
    """Our part of a published tensor: None, all of it; ("row", 0), its only row; ("columns", k), the k-th third of its
    columns; ("rows", k, sizes), the k-th run of its rows; ("heads", k), the k-th third of the rows of each head."""
    if part is None:
        return tensor
    kind, k, *sizes = part
    if kind == "row":
        return tensor[k]
    if kind == "columns":
        width = tensor.shape[-1] // 3
        return tensor[..., k * width : (k + 1) * width]
    if kind == "rows":
        start = sum(sizes[0][:k])
        return tensor[start : start + sizes[0][k]]
    return tensor.reshape(num_heads, 3, -1, *tensor.shape[1:])[:, k].reshape(-1, *tensor.shape[1:])


def join(pieces: dict, num_heads: int) -> Any:
    """The published tensor of our parts, {part: array}: the inverse of take."""
    if None in pieces:
        return pieces[None]
    kind = next(iter(pieces))[0]
    arrays = [pieces[part] for part in sorted(pieces)]
    if kind == "row":
        return arrays[0][None]
    if kind in ("columns", "rows"):
        return numpy.concatenate(arrays, axis=-1 if kind == "columns" else 0)
    rest = arrays[0].shape[1:]
    return numpy.concatenate([a.reshape(num_heads, 1, -1, *rest) for a in arrays], axis=1).reshape(-1, *rest)
