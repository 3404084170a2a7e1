"""A student's layer, seen as a Module: plain arrays as parameters, their gradients beside them."""

from typing import Any

import numpy

from .report import GradcheckError

DICTIONARIES = (("params", "grads"), ("parameters", "gradients"), ("weights", "grads"), ("params", "gradients"))
PREFIXES_AND_SUFFIXES = (("d", ""), ("d_", ""), ("grad_", ""), ("", "_grad"))
MISSING = object()


class PlainParameter:
    """An array and its gradient, with the data and grad of a Parameter: attributes of a layer, or entries of
    dictionaries that are attributes of it. Looked up anew each time, for backward may put a new dictionary there."""

    def __init__(self, layer: Any, data: tuple[str, ...], grad: tuple[str, ...]):
        self.layer, self.places = layer, {"data": data, "grad": grad}  # a place: (attribute,) or (attribute, key)

    def _get(self, role):
        attribute, *key = self.places[role]
        found: Any = getattr(self.layer, attribute, MISSING)
        return found.get(key[0], MISSING) if key and found is not MISSING else found

    def _set(self, role, value):
        attribute, *key = self.places[role]
        container = getattr(self.layer, attribute) if key else vars(self.layer)
        if value is MISSING:  # there was none before the check
            container.pop(key[0] if key else attribute, None)
        elif key:
            container[key[0]] = value
        else:
            setattr(self.layer, attribute, value)

    data = property(lambda self: self._get("data"), lambda self, value: self._set("data", value))
    grad = property(lambda self: self._get("grad"), lambda self, value: self._set("grad", value))


def parameters_of(layer: Any, parameters: dict[str, str] | None = None) -> dict[str, Any]:
    """{name: parameter with data and grad} of a layer.

    In this order: the attributes named in `parameters`; named_parameters(), a Module's; two dictionaries on the layer
    with the same keys, self.params and self.grads (or parameters and gradients); attributes W and dW (or d_W, grad_W,
    W_grad). Layers inside the layer are searched as well, and named by their attribute: "norm.weight".
    """
    if parameters is not None:
        for name in parameters:
            if not hasattr(layer, name):
                known = ", ".join(vars(layer))
                raise GradcheckError(f"parameters names {name!r}, which {type(layer).__name__} lacks; it has {known}")
        return {name: PlainParameter(layer, (name,), (gradient,)) for name, gradient in parameters.items()}
    if hasattr(layer, "named_parameters"):
        return dict(layer.named_parameters())
    found: dict[str, Any] = {}
    for data, grads in DICTIONARIES:
        arrays, gradients = getattr(layer, data, None), getattr(layer, grads, None)
        if isinstance(arrays, dict) and isinstance(gradients, dict) and not found:
            found = {
                str(name): PlainParameter(layer, (data, name), (grads, name))
                for name, array in arrays.items()
                if _is_array(array)
            }
    for name, array in list(getattr(layer, "__dict__", {}).items()):
        if _is_array(array) and not found.get(name):
            for prefix, suffix in PREFIXES_AND_SUFFIXES:
                if hasattr(layer, prefix + name + suffix):
                    found[name] = PlainParameter(layer, (name,), (prefix + name + suffix,))
    for name, child in children_of(layer):
        found |= {f"{name}.{inner}": parameter for inner, parameter in parameters_of(child).items()}
    return found


def children_of(layer: Any) -> list[tuple[str, Any]]:
    """(name, layer) of the layers that a layer keeps as attributes, in lists or in dictionaries."""
    found = []
    for name, thing in getattr(layer, "__dict__", {}).items():
        several = isinstance(thing, list | tuple)
        parts = enumerate(thing) if several else thing.items() if isinstance(thing, dict) else [(None, thing)]
        for key, part in parts:
            if callable(getattr(part, "forward", None)) and callable(getattr(part, "backward", None)):
                found.append((name if key is None else f"{name}.{key}", part))
    return found


def layers_of(layer: Any) -> list[Any]:
    """A layer and all layers inside it."""
    return [layer, *(inner for _, child in children_of(layer) for inner in layers_of(child))]


def _is_array(thing):
    return isinstance(thing, numpy.ndarray) and thing.dtype.kind == "f"
