"""Training data and batches: pairs of sequences, and what the model's forward is given."""

import functools
import inspect
import itertools
from collections.abc import Sequence
from typing import Any

import numpy

from .arrays import array, with_four_axes
from .objectives import tokens
from .values import LARGEST, count, is_count, number, require, shown

LISTS = (list, tuple)  # made once: `list | tuple` makes a new type at each call


def check_pairs(sources: Any, targets: Any, config: Any) -> None:
    """Raise unless these are lists of as many sequences of token ids of the config's vocabularies, none too long."""
    for name, sequences in (("sources", sources), ("targets", targets)):
        if not isinstance(sequences, Sequence | numpy.ndarray) or isinstance(sequences, str):
            raise TypeError(f"{name} must be a list of lists of token ids, got {shown(sequences)}")
    if len(sources) != len(targets):
        raise ValueError(f"{len(sources)} sources but {len(targets)} targets: they go in pairs")
    if not len(sources):
        raise ValueError("no sentence pairs")
    sizes = config.vocab_size, config.target_vocab_size
    for name, sequences, V in zip(("sources", "targets"), (sources, targets), sizes, strict=True):
        if not _are_tokens(sequences, V):
            for i, sequence in enumerate(sequences):
                tokens(f"{name}[{i}]", sequence, V)
    longest = max(map(len, itertools.chain(sources, targets))) + 1
    if longest > config.max_position_embeddings:
        raise ValueError(
            f"a sequence of {longest} tokens (its end token included) is longer than max_position_embeddings = "
            f"{config.max_position_embeddings}: drop such pairs, or raise max_position_embeddings"
        )
    if config.eos_token_id is None:
        raise ValueError("eos_token_id of the config is None: TranslationData ends each sequence with it, so give one")


def _are_tokens(sequences, V):
    """The usual case, all at once."""
    try:
        flat = list(itertools.chain.from_iterable(sequences))
    except TypeError:
        return False
    kinds = set(map(type, flat))
    return kinds <= {int} and (not flat or (min(flat) >= 0 and max(flat) < V))


def check_indices(indices: Any, size: int, what: str = "pairs") -> list[int]:
    """The numbers of some of so many things. Raises ValueError unless there are any, all in [0, size)."""
    found = indices.tolist() if isinstance(indices, numpy.ndarray) and indices.ndim == 1 else indices
    good = isinstance(found, list | tuple | range) and len(found) > 0 and all(is_count(i, 0, size - 1) for i in found)
    require("indices", indices, good, f"a list of numbers of {what}, in [0, {size})")
    return [int(i) for i in found]


def check_lengths(lengths: Any, max_tokens: Any) -> tuple[list[int], int]:
    """Both as Python's integers. Raises ValueError unless lengths are counts."""
    found = lengths.tolist() if isinstance(lengths, numpy.ndarray) else lengths
    good = isinstance(found, list | tuple) and all(is_count(n, 0) for n in found)
    require("lengths", lengths, good, "a list of integers of at least 0")
    return [int(n) for n in found], count("max_tokens", max_tokens)


PARTS = {
    "model": ("forward", "backward", "parameters"),
    "optimizer": ("step", "zero_grad", "parameters"),
    "data": ("order", "batch"),
    "criterion": ("forward", "backward", "count"),
    "loss": ("forward", "count"),  # a criterion that only evaluates
}


def check_parts(**things: Any) -> None:
    """Raise TypeError unless the model, optimizer, data or criterion given has the methods of one."""
    for name, thing in things.items():
        lacking = [method for method in PARTS[name] if not hasattr(thing, method)]
        if lacking or isinstance(thing, type):
            raise TypeError(f"{name} must be an object with {', '.join(PARTS[name])}, got {shown(thing)}")


def check_trainer(model: Any, optimizer: Any, schedule: Any, data: Any, criterion: Any) -> None:
    """Raise TypeError or ValueError unless these fit together."""
    check_parts(model=model, optimizer=optimizer, data=data, criterion=criterion)
    if not callable(schedule):
        raise TypeError(f"schedule must be a function of the step, such as constant(1e-3), got {shown(schedule)}")
    own = {id(p) for p in model.parameters()}
    if not all(id(p) in own for p in optimizer.parameters):
        raise ValueError("the optimizer has parameters that this model lacks: make it of model.parameters()")


def check_accept(accept: Any, names: Any) -> None:
    """Raise ValueError unless it is a list of names of settings."""
    good = isinstance(accept, list | tuple | set | frozenset) and all(isinstance(n, str) and n in names for n in accept)
    require("accept", accept, good, f"a list of some of {', '.join(names)}")


def check_training(accumulate: Any, clip_norm: Any, seed: Any) -> tuple[int, float | None, int]:
    """All as Python's numbers. Raises ValueError for one outside what it means."""
    clip = None if clip_norm is None else number("clip_norm", clip_norm, "(0, inf]")
    return count("accumulate", accumulate), clip, count("seed", seed, 0, (1 << 64) - 1)


@functools.lru_cache(256)
def _unknown(function, given):
    """A sentence on the names given that forward does not take; "" if there are none."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind == p.VAR_KEYWORD for p in parameters):
        return ""
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    unknown = ", ".join(str(name) for name in given if name != "labels" and name not in names)
    known = ", ".join(name for name in names if name not in ("self", "rng", "save"))
    return f"a batch has {unknown}, the model's forward takes {known}" if unknown else ""


def check_batches(batches: Any, model: Any, seed: Any = None) -> list[dict[str, Any]]:
    """The batches, each as check_batch gives it. Raises TypeError unless they are a list, and seed integers or None."""
    if not isinstance(batches, LISTS):
        raise TypeError(f"batches must be a list of dictionaries, got {shown(batches)}")
    if seed is not None and not (isinstance(seed, LISTS) and all(is_count(n, 0, 1 << 64) for n in seed)):
        raise TypeError(f"seed must be a list of integers of at least 0, or None, got {shown(seed)}")
    return [check_batch(batch, model) for batch in batches]


def check_padding(sequences: Any, pad_id: Any) -> int:
    """The pad_id as an integer. Raises unless there are sequences to pad."""
    good = isinstance(sequences, list | tuple | numpy.ndarray) and len(sequences) > 0
    good = good and all(isinstance(s, list | tuple | numpy.ndarray) and numpy.ndim(s) == 1 for s in sequences)
    require("sequences", sequences, good, "a list of at least one list of token ids")
    return count("pad_id", pad_id, -LARGEST)


def check_batch(batch: Any, model: Any) -> dict[str, Any]:
    """The batch as a dictionary of its own, with an array for each list, before its rows are shared out: what serves
    all of them has an axis that says so. Raises unless the model's forward can be given its entries, and it has labels.
    """
    if not isinstance(batch, dict):
        raise TypeError(f"a batch must be a dictionary of arrays, got {shown(batch)}")
    if "labels" not in batch:
        raise ValueError(f"a batch must have labels, got {', '.join(map(str, batch)) or 'an empty dictionary'}")
    problem = _unknown(getattr(model.forward, "__func__", model.forward), tuple(batch))
    if problem:
        raise ValueError(problem)
    found = {name: array(name, value) if isinstance(value, LISTS) else value for name, value in batch.items()}
    if "mask" in found and found["mask"] is not None:
        heads = getattr(getattr(model, "config", None), "num_heads", 0)
        found["mask"] = with_four_axes(array("mask", found["mask"]), len(array("labels", found["labels"])), heads)
    for name in ("position_ids", "token_type_ids"):
        if name in found and getattr(found[name], "ndim", 2) == 1:
            found[name] = found[name][None]
    return found
