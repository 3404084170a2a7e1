"""Where a student's backward leaves its gradients: returned one by one, in lists, by name, or as attributes."""

from collections.abc import Callable
from typing import Any

import numpy

from .blame import name_of, place_of
from .kinds import is_float, kind_of
from .names import GRADIENT_HOLDERS, OUTPUTS, match, plain
from .places import is_array
from .report import GradcheckError


def left_on(layer: Any, arguments: list) -> Any:
    """The output that a forward left as an attribute of its layer instead of returning it."""
    for name, thing in getattr(layer, "__dict__", {}).items():
        if plain(name) in OUTPUTS and is_float(thing) and not any(thing is a for a in arguments):
            return thing
    return None


def checked_output(y: Any, forward: Callable) -> Any:
    """y, if it is floats; a number as NumPy's. Raises GradcheckError for anything else."""
    if is_float(y):
        return y
    name, place = name_of(forward), place_of(forward)
    if y is None:
        raise GradcheckError(f"{name} returned nothing: is a return statement missing?{place}")
    if isinstance(y, float | int) and not isinstance(y, bool):  # a loss
        return numpy.float64(y)
    if type(y).__module__.split(".")[0] == "torch":
        raise GradcheckError(
            f"{name} returned a torch.Tensor: the checker moves NumPy arrays; PyTorch checks its own with "
            f"torch.autograd.gradcheck, or write the pair in NumPy{place}"
        )
    if not hasattr(y, "dtype") or not hasattr(y, "shape"):
        raise GradcheckError(f"{name} returned {kind_of(y)} as its output: return a NumPy array{place}")
    raise GradcheckError(f"{name} returned {kind_of(y)}: only an output of floats has a gradient{place}")


class Returned:
    """What backward returned, sorted by whose gradient it is."""

    def __init__(self, subject: Any, result: Any):
        self.subject, self.result = subject, result
        self.arguments = dict(zip(subject.names, subject.arguments, strict=True))
        self.labels = {
            name: [v for v in subject.inputs if v == name or v.startswith(f"{name}[")] for name in subject.names
        }
        self.wanted = [name for name in subject.names if self.labels[name]]
        subject.returned.clear()

    def gradients(self) -> dict[str, Any]:
        """{name: gradient or None} of the inputs; those of other arrays go to subject.returned."""
        found: dict[str, Any] = dict.fromkeys(self.subject.inputs)
        if self.result is None:
            self._from_attributes(found)
        else:
            self._from_parts(found, self._parts())
        return {name: self._array(name, gradient) for name, gradient in found.items()}

    def _parts(self):
        """The gradients returned, one for each wanted argument where possible."""
        result = self.result
        only = self.wanted[0] if len(self.wanted) == 1 else None
        whole = only is not None and isinstance(self.arguments[only], list | tuple)
        if whole and isinstance(result, list | tuple) and len(result) == len(self.arguments[only]):
            return [result]
        return list(result) if isinstance(result, tuple | list) else [result]

    def _from_parts(self, found, parts):
        rest = []
        for part in parts:
            if isinstance(part, dict) and not self._is_of_dictionary(part):
                self._by_name(found, part)
            else:
                rest.append(part)
        wanted = [name for name in self.wanted if all(found[v] is None for v in self.labels[name])]
        named = len(wanted) < len(self.wanted)
        if not rest and (named or len(rest) < len(parts)):
            return
        for name, part in zip(*self._aligned(wanted, rest), strict=False):
            self._structured(found, name, part)

    def _is_of_dictionary(self, part):
        """Is it the gradient of an argument that is a dictionary, and of nothing beside that?"""
        held = [self.arguments[name] for name in self.wanted if isinstance(self.arguments[name], dict)]
        plain = [name for name in self.wanted if not isinstance(self.arguments[name], dict)]
        return any(_gradient_of(key, part) is not None for inner in held for key in inner) and not any(
            _gradient_of(name, part) is not None for name in plain
        )

    def _by_name(self, found, part):
        held = [name for name in self.wanted if isinstance(self.arguments[name], dict)]
        inner = [(name, key) for name in held for key in self.arguments[name]]
        for key, gradient in part.items():
            name = next((n for n in self.wanted if n == key or match((n,), (key,))), None)
            item = next(((n, k) for n, k in inner if k == key or match((k,), (key,))), None)
            if name is not None and found.get(name, gradient) is None:
                self._structured(found, name, gradient)
            elif name is None and item is not None:
                self._into(found, f"{item[0]}[{item[1]!r}]", self.arguments[item[0]][item[1]], gradient)
            else:
                self.subject.returned[key] = gradient

    def _aligned(self, wanted, parts):
        """The names and the parts that belong together, in order."""
        names = list(self.arguments)
        if len(parts) == len(names) != len(wanted):  # one for each argument, those without gradient too
            for name, part in zip(names, parts, strict=True):
                if name not in self.wanted and is_float(part) and name not in self.subject.others:
                    raise self._wrong(
                        f"returned a gradient for {name}, which is {kind_of(self.arguments[name])} and has none: pass "
                        f"{name} as floats, or return None for it"
                    )
                integer = self.subject.others.get(name)
                integers = is_float(part) and integer is not None and integer.dtype.kind in "iu"
                without = len(wanted) < len(parts) and len(self.subject.parameters) == 0
                if integers and without and part.shape == integer.shape:
                    raise self._wrong(
                        f"returned a gradient for {name}, which is {kind_of(integer)} and has none: pass "
                        f"{name} as floats, or return None for it"
                    )
            return names, parts
        if len(parts) > len(wanted):
            parts = [part for part in parts if part is not None]
        if len(parts) > len(wanted):
            extra = parts[len(wanted) :]
            if self.subject.layer is None or not all(is_float(part) for part in extra):
                raise self._count(parts, wanted)
            self.subject.returned.update(enumerate(extra))
        if len(parts) < len(wanted):
            likely = [n for n in wanted if not self.subject.profile.looks_like_data(n)]
            wanted = likely if len(likely) == len(parts) else wanted
            missing = [n for n in self.wanted if n not in wanted[: len(parts)]]
            if not parts or (len(missing) and not self._fit(wanted, parts)):
                raise self._count(parts, wanted)
        return wanted, parts

    def _fit(self, wanted, parts):
        return all(
            not is_float(part) or len(self.labels[n]) > 1 or numpy.shape(self.arguments[n]) == part.shape
            for n, part in zip(wanted, parts, strict=False)
        )

    def _structured(self, found, name, part):
        argument = self.arguments[name]
        if isinstance(argument, dict):
            if not isinstance(part, dict):
                raise self._wrong(f"returned {kind_of(part)} for {name}: return a dictionary with the same keys")
            for key in argument:
                self._into(found, f"{name}[{key!r}]", argument[key], _gradient_of(key, part))
        elif isinstance(argument, list | tuple):
            if not isinstance(part, list | tuple) or len(part) != len(argument):
                raise self._wrong(f"returned {kind_of(part)} for {name}: return {len(argument)} gradients, in a list")
            for i, inner in enumerate(argument):
                self._into(found, f"{name}[{i}]", inner, part[i])
        elif name in found:
            found[name] = part

    def _into(self, found, label, argument, gradient):
        if isinstance(argument, dict) and isinstance(gradient, dict):
            for key in argument:
                self._into(found, f"{label}[{key!r}]", argument[key], _gradient_of(key, gradient))
        elif label in found:
            found[label] = gradient

    def _from_attributes(self, found):
        layer = self.subject.layer
        attributes = dict(getattr(layer, "__dict__", {}))
        for name in list(attributes):
            if isinstance(attributes[name], dict) and plain(name) in GRADIENT_HOLDERS:
                attributes |= attributes[name]
        for name in self.wanted:
            fitting = [(match((name,), (a,)), a) for a in attributes if match((name,), (a,))]
            if fitting and name in found:
                found[name] = attributes[max(fitting)[1]]
        if self.wanted and all(found[v] is None for n in self.wanted for v in self.labels[n]):
            raise self._wrong(f"returned nothing: return the gradient of {', '.join(self.wanted)}")

    def _array(self, name, gradient):
        """The gradient of a value as an array, or None."""
        if gradient is None or is_array(gradient) or hasattr(gradient, "dtype"):
            return gradient
        shape = tuple(self.subject.values[name].shape)
        if isinstance(gradient, float | int) and (not shape or gradient == 0):
            return numpy.full(shape, float(gradient))[()] if not shape else numpy.float64(gradient)
        raise self._wrong(f"returned {kind_of(gradient)} as the gradient of {name}: return an array of shape {shape}")

    def _count(self, parts, wanted):
        return self._wrong(
            f"returned {len(parts)} gradients for {len(wanted)} float inputs ({', '.join(wanted) or 'none'}): "
            "return one for each, in their order"
        )

    def _wrong(self, what):
        return GradcheckError(f"{name_of(self.subject.backward_code)} {what}{place_of(self.subject.backward_code)}")


def _gradient_of(key, gradients):
    """The gradient of an item in a dictionary: under the same key, or under one such as dW."""
    if key in gradients:
        return gradients[key]
    return next((g for k, g in gradients.items() if match((key,), (k,))), None)
