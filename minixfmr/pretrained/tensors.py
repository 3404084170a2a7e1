"""Which stored tensor goes where: each one is used, equal to the one it is tied to, a leftover, or refused."""

import re
import warnings
from typing import Any

import numpy

from ..backend import lay_out
from ..checkpoint import CheckpointError, Tensor
from ..module import Buffer
from .family import LEFTOVERS, Family
from .folder import Lazy
from .keys import Values
from .layouts import take, transposed


class File:
    """The tensors of a folder under the names that its family gives them."""

    def __init__(self, family: Family, tensors: dict[str, Tensor], where: str) -> None:
        """Raises CheckpointError where two tensors have one name and differ."""
        self.family, self.where = family, where
        self.stored: dict[str, str] = {}  # {canonical name: name in the file}
        self.tensors = tensors
        for stored in sorted(tensors):
            name = family.canonical(stored)
            if name in self.stored and not self.equal(stored, self.stored[name]):
                raise CheckpointError(f"{where}: {stored} and {self.stored[name]} are one tensor, and differ")
            self.stored[name] = stored

    def equal(self, a: str, b: str) -> bool:
        """Whether two tensors, by their names in the file, are the same numbers."""
        one, two = self.tensors[a], self.tensors[b]
        same = one.shape == two.shape and one.is_float and two.is_float
        return same and bool(numpy.array_equal(one.read(), two.read(), equal_nan=True))

    def tie(self, c: Values) -> None:
        """Find out which tensors are tied, as transformers does: where tie_word_embeddings holds, and the file does
        not hold two that differ. One that is there under the other's name alone serves as both."""
        flag = self.family.always_tied or c.tie_word_embeddings
        for target, source in self.family.tied(c):
            if not flag:
                c.separate.add(target)
            elif target in self.stored and source in self.stored:
                if not self.equal(self.stored[target], self.stored[source]):
                    c.separate.add(target)
            elif target in self.stored:
                self.stored[source] = self.stored[target]

    def read(self, name: str, finite: bool) -> numpy.ndarray:
        """The tensor of this name. Raises CheckpointError for one that is NaN or infinite where it must be finite."""
        return self.tensors[self.stored[name]].must_be_finite(finite).read()


def fill(model: Any, file: File, places: dict, c: Values, *, finite: bool, head: str = "") -> None:
    """Copy the file's tensors into the model. places: {our name: (their canonical name, part)}

    head: if it was asked for, the file may lack its tensors, which then stay as they start
    Raises CheckpointError unless each tensor has its place.
    """
    where, arrays = file.where, dict(model.named_arrays())
    _compare(model, file, places, c, head)
    flip = transposed(model, file.family.as_they_are)

    def read(name):
        theirs, part = places[name]
        if theirs not in file.stored:
            return arrays[name].data
        try:
            array = take(file.read(theirs, finite), part, model.config.num_heads)
        except (ValueError, IndexError) as error:
            if isinstance(error, CheckpointError):
                raise
            shape = file.tensors[file.stored[theirs]].shape
            raise CheckpointError(f"{where}: {file.stored[theirs]} has shape {shape}: {error}") from error
        return array.T if name in flip else array

    stored = {name: array for name, array in arrays.items() if places[name][0] in file.stored}
    lay_out(stored, transposed(model))
    try:
        model.load_state_dict(Lazy(places, read), finite)
    except CheckpointError:
        raise
    except ValueError as error:
        theirs = {ours: file.stored.get(name, ours) for ours, (name, _) in places.items()}
        told = re.sub(r"[\w.]+", lambda word: theirs.get(word[0], word[0]), str(error))
        raise CheckpointError(f"{where}: {told}\n  matrices as (in, out); config.json says: {c.said()}") from error


def _compare(model, file, places, c, head):
    """Raise CheckpointError unless the file holds what the model needs, and nothing that it has no place for."""

    expected = {theirs for theirs, _ in places.values()}
    buffers = {name for name, array in model.named_arrays() if isinstance(array, Buffer)}  # they start right
    missing = sorted(expected - {places[name][0] for name in buffers} - set(file.stored))
    heads = {theirs for ours, (theirs, _) in places.items() if ours.startswith("head.")} if head else set()
    fresh = [name for name in missing if name in heads]
    missing = [name for name in missing if name not in fresh]
    copies = {target for target, _ in file.family.tied(c)} - c.separate
    unexpected = _sort_out(file, expected, copies, model)
    written = {name: file.family.written(name, model) for name in expected}
    if missing or unexpected:
        raise CheckpointError(
            f"{file.where} does not hold what a {type(model).__name__} of its config needs:\n"
            f"  config.json says: {c.said()}\n"
            f"  expected: {len(expected)} arrays, such as {', '.join(sorted(written.values())[:3])}\n"
            f"  missing: {_some(written[name] for name in missing)}\n  unexpected: {_some(unexpected)}"
        )
    if fresh:
        names = ", ".join(written[name] for name in fresh)
        warnings.warn(f"{file.where}: not in the file, so they start anew: {names}", stacklevel=4)
    _check_kinds(file, expected)


def _some(names, most=12):
    """The first of many names, and how many there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more or "none"


def _check_kinds(file, expected):
    """Raise CheckpointError for a weight that is not stored as floating-point numbers."""
    for name in sorted(expected & set(file.stored)):
        tensor = file.tensors[file.stored[name]]
        if not tensor.is_float:
            raise CheckpointError(
                f"{file.where}: {file.stored[name]} is stored as {tensor.stored}, quantised or of too few bits: only "
                "F64, F32, F16 and BF16 are read; save the model in one of these"
            )


def _sort_out(file, expected, copies, model):
    """Keep what belongs to other heads, warn of it and of leftovers; return the names of all others."""
    family, leftovers = file.family, re.compile("|".join((*LEFTOVERS, *file.family.leftovers)))
    kept, left, unexpected = [], [], []
    for name in sorted(set(file.stored) - expected):
        stored = file.stored[name]
        if name in copies:  # equal to what it is tied to
            continue
        if leftovers.fullmatch(stored):
            left.append(stored)
        elif family.is_unused(name, model) and file.tensors[stored].is_float:
            kept.append(name)
        else:
            kind = "" if file.tensors[stored].is_float else f" ({file.tensors[stored].stored})"
            unexpected.append(stored + kind)
    if unexpected:
        _check_kinds(file, expected)  # scales beside a quantised matrix are not what is wrong
        return unexpected
    if kept or left:
        names = ", ".join(sorted([file.stored[name] for name in kept] + left))
        warnings.warn(f"{file.where}: left out, as this model has no use for them: {names}", stacklevel=5)
    model.kept = {name: file.tensors[file.stored[name]].read() for name in kept}
    return []
