"""A student's layer, seen as a Module: plain arrays as parameters, their gradients beside them."""

from typing import Any

from .pairing import Pair, named, pairs
from .places import Place, places_in, roots_of
from .report import GradcheckError


def parameters_of(layer: Any, parameters: dict[str, str] | None = None) -> dict[str, Any]:
    """{name: parameter with data and grad} of a layer, by names alone; a backward may bring more to light.

    In this order: the attributes named in `parameters`; named_parameters(), a Module's; arrays and gradients whose
    names fit: W and dW (or d_W, dLdW, grad_W, W_grad), params["W"] and grads["W"], W.data and W.grad. Layers inside
    the layer are searched as well, and named by their attribute: "norm.weight".
    """
    if parameters is not None:
        if not isinstance(parameters, dict) or not parameters:
            raise GradcheckError(
                f'parameters must be names such as {{"W": "dW"}}, or None to find them, got {parameters!r}'
            )
        for name in parameters:
            if not hasattr(layer, name):
                known = ", ".join(vars(layer))
                raise GradcheckError(f"parameters names {name!r}, which {type(layer).__name__} lacks; it has {known}")
        own = {
            name: (Place(layer, name, (name,)), Place(layer, gradient, (gradient,)))
            for name, gradient in parameters.items()
        }
        for name in parameters:
            if not hasattr(getattr(layer, name), "dtype") and not isinstance(getattr(layer, name), float):
                kind = type(getattr(layer, name)).__name__
                raise GradcheckError(f"parameters names {name!r}, which is a {kind}: it must be an array of floats")
        return {name: Pair(value, gradient) for name, (value, gradient) in own.items()}
    if hasattr(layer, "named_parameters"):
        return dict(layer.named_parameters())
    found = list(places_in(roots_of([], layer)))
    return named(pairs(found, found))


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
