"""What is checked, as the rest of the checker sees it: arrays to move, a forward, a backward, gradients by name."""

import copy
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from ..backend import to_device, to_numpy
from .adapter import layers_of
from .blame import blame, name_of, place_of
from .report import GradcheckError

LOWEST = -1e3  # an additive mask holds 0 where attention may go, and this or less where it may not


class Subject:
    """A pair of functions and the arguments to check it with.

    values: {name: float64 array} that finite differences move in place; forward reads the same arrays
    others: {name: array} of integers and masks, which have no gradient
    """

    def __init__(self, forward: Callable, backward: Callable, arguments: tuple, options: dict, seed: int = 0):
        for role, function in (("forward", forward), ("backward", backward)):
            if not callable(function):
                raise GradcheckError(f"{role} is {function!r}: pass a function")
        self.forward_code, self.backward_code, self.options, self.seed = forward, backward, options, seed
        self.names = _argument_names(forward, arguments)
        self.arguments = [_prepared(a, name) for name, a in zip(self.names, arguments, strict=True)]
        self.generators = _generators(getattr(inspect.unwrap(forward), "__globals__", {}))
        self.values: dict[str, Any] = {}
        self.others: dict[str, Any] = {}
        for name, argument in [*zip(self.names, self.arguments, strict=True), *options.items()]:
            entries = argument.items() if isinstance(argument, dict) else [(None, argument)]
            for key, array in entries:
                if hasattr(array, "dtype") and hasattr(array, "shape"):
                    differentiable = is_float(array) and not is_mask(name, array) and name not in options
                    where = self.values if differentiable else self.others
                    where[name if key is None else f"{name}[{key!r}]"] = array

    def forward(self, turn: int = 0) -> tuple[Any, Any]:
        """y and what forward saved for backward; calls of one turn get copies, and draw the same random numbers."""
        numpy.random.seed((self.seed + turn) % 2**32)  # what homework uses; gradcheck puts the state back
        for namespace, name, generator in self.generators:
            namespace[name] = copy.deepcopy(generator)
        self.passed, options = copy.deepcopy((self.arguments, self.options))
        return self._output_and_saved(self._call(self.forward_code, self.passed, options))

    def backward(self, dy: Any, saved: Any, turn: int = 1) -> dict[str, Any]:
        """{name: gradient} for all values; a missing one is None."""
        # other numbers than forward's: who needs those must have saved them
        numpy.random.seed((self.seed + turn) % 2**32)
        return self._named(self._call(self.backward_code, self._backward_arguments(dy, saved), {}))

    def _call(self, function, arguments, options):
        try:
            inspect.signature(function).bind(*arguments, **options)
        except ValueError:
            pass  # a function without a signature, such as one written in C
        except TypeError as error:
            takes = ", ".join(inspect.signature(function).parameters) or "no arguments"
            given = len(arguments) + len(options)
            raise GradcheckError(
                f"{name_of(function)} takes ({takes}) but is called with {given} arguments: {error}{place_of(function)}"
            ) from None
        with blame(function):
            return function(*arguments, **options)

    def _output_and_saved(self, result):
        name, place = name_of(self.forward_code), place_of(self.forward_code)
        if result is None:
            raise GradcheckError(f"{name} returned nothing: is a return statement missing?{place}")
        if not isinstance(result, tuple):
            raise GradcheckError(f"{name} returned {kind_of(result)} alone: return (y, cache), two values{place}")
        if len(result) != 2:
            raise GradcheckError(f"{name} returned {len(result)} values: return (y, cache), two values{place}")
        return self._checked_output(result[0]), result[1]

    def _checked_output(self, y):
        name, place = name_of(self.forward_code), place_of(self.forward_code)
        if isinstance(y, float):  # a loss
            return numpy.float64(y)
        if not hasattr(y, "dtype") or not hasattr(y, "shape"):
            raise GradcheckError(f"{name} returned {kind_of(y)} as its output: return a NumPy array{place}")
        if not is_float(y):
            raise GradcheckError(f"{name} returned {kind_of(y)}: only an output of floats has a gradient{place}")
        return y

    def _backward_arguments(self, dy, saved):
        if _takes(self.backward_code) == 1 and not numpy.shape(dy):  # criterion.backward(saved): its dy is 1
            return [saved]
        return [dy, saved]

    def starting_gradient(self, y: Any, rng: numpy.random.Generator) -> Any:
        """A random dy, so that no error can hide behind a symmetric one; 1 where backward takes none."""
        if not numpy.shape(y):
            return numpy.float64(1.0 if _takes(self.backward_code) < 2 else rng.uniform(0.5, 2))
        return to_device(rng.standard_normal(y.shape))

    def _named(self, result):
        """The gradients that backward returned, by the name of their argument."""
        arguments = dict(zip(self.names, self.arguments, strict=True))
        wanted = [name for name in self.names if any(v == name or v.startswith(f"{name}[") for v in self.values)]
        if wanted and result is None:
            raise self._wrong(f"returned nothing: return the gradient of {', '.join(wanted)}")
        gradients = list(result) if isinstance(result, tuple | list) else [result]
        if len(gradients) == len(arguments) != len(wanted):  # one for each argument, those without gradient too
            for name, gradient in zip(arguments, gradients, strict=True):
                if name not in wanted and is_float(gradient):
                    raise self._wrong(
                        f"returned a gradient for {name}, which is {kind_of(arguments[name])} and has none: pass "
                        f"{name} as floats, or return None for it"
                    )
            gradients = [g for name, g in zip(arguments, gradients, strict=True) if name in wanted]
        elif len(gradients) > len(wanted):
            gradients = [g for g in gradients if g is not None]
        if len(gradients) != len(wanted):
            raise self._wrong(
                f"returned {len(gradients)} gradients for {len(wanted)} float inputs ({', '.join(wanted) or 'none'}): "
                "return one for each, in their order"
            )
        named: dict[str, Any] = {}
        for name, gradient in zip(wanted, gradients, strict=True):
            if not isinstance(arguments[name], dict):
                named[name] = self._array(name, gradient)
            elif isinstance(gradient, dict):
                by_key = {f"{name}[{key!r}]": g for key, g in gradient.items()}
                named |= {v: self._array(v, by_key.get(v)) for v in self.values if v.startswith(f"{name}[")}
            else:
                raise self._wrong(f"returned {kind_of(gradient)} for {name}: return a dictionary with the same keys")
        return named

    def _array(self, name, gradient):
        """The gradient of a value as an array, or None."""
        if gradient is None or hasattr(gradient, "dtype"):
            return gradient
        shape = tuple(self.values[name].shape)
        if isinstance(gradient, float | int) and not shape:
            return numpy.float64(gradient)
        raise self._wrong(f"returned {kind_of(gradient)} as the gradient of {name}: return an array of shape {shape}")

    def _wrong(self, what):
        return GradcheckError(f"{name_of(self.backward_code)} {what}{place_of(self.backward_code)}")


class LayerSubject(Subject):
    """A layer: a forward and a backward that are methods, and parameters whose gradients backward adds to."""

    def __init__(self, layer: Any, parameters: dict[str, Any], arguments: tuple, options: dict, seed: int = 0):
        for method in ("forward", "backward"):
            if not callable(getattr(layer, method, None)):
                raise GradcheckError(
                    f"{type(layer).__name__} has no method {method}: a layer needs forward and backward"
                )
        super().__init__(layer.forward, layer.backward, arguments, options, seed)
        self.layer, self.parameters = layer, parameters
        self.generators += [found for part in layers_of(layer) for found in _generators(vars(part))]
        inputs = set(self.values)
        self.parameter_names = {name: f"parameter {name}" if name in inputs else name for name in parameters}

    def move_parameters(self, rng: numpy.random.Generator) -> None:
        """Float64 copies of the parameters, off their initial values: a gain of 1 or a bias of 0 hides mistakes."""
        for name, p in self.parameters.items():
            data = to_numpy(p.data)
            spread = 0.1 * (1 + numpy.abs(data).mean())
            p.data = to_device(double(data) + rng.uniform(-spread, spread, data.shape))
            p.grad = to_device(numpy.zeros(data.shape))
            self.values[self.parameter_names[name]] = p.data

    def backward(self, dy, saved, turn=1):
        gradients = super().backward(dy, saved, turn)
        for name, p in self.parameters.items():
            gradients[self.parameter_names[name]] = p.grad if hasattr(p.grad, "dtype") else None
        return gradients

    def zero_grad(self) -> None:
        for p in self.parameters.values():
            p.grad = to_device(numpy.zeros(p.data.shape))

    def _named(self, result):
        parameters = set(self.parameter_names.values())
        values, self.values = self.values, {k: v for k, v in self.values.items() if k not in parameters}
        try:
            return super()._named(result)
        finally:
            self.values = values

    def _output_and_saved(self, result):
        self.stateful = not isinstance(result, tuple)  # a layer that keeps what backward needs on itself
        if self.stateful and result is not None:
            return self._checked_output(result), None
        return super()._output_and_saved(result)

    def _backward_arguments(self, dy, saved):
        if self.stateful:
            return [dy] if _takes(self.backward_code) else []
        return super()._backward_arguments(dy, saved)


# --- what kind of thing is it ---


def is_float(x: Any) -> bool:
    return getattr(getattr(x, "dtype", None), "kind", "") == "f"


def is_mask(name: str, x: Any) -> bool:
    """Booleans, anything with mask in its name, and the additive kind: 0, and -inf or nearly so."""
    if getattr(getattr(x, "dtype", None), "kind", "") == "b" or "mask" in name:
        return True
    lowest = to_numpy(x).min(initial=0) if is_float(x) else 0
    return bool(lowest <= LOWEST and numpy.isin(to_numpy(x), (0, lowest)).all())


def double(x: Any) -> numpy.ndarray:
    return to_numpy(x).astype(numpy.float64)


def arrays_in(thing: Any, label: str = "saved") -> Iterator[tuple[str, Any]]:
    """(label, array) of every array in nested tuples, lists and dictionaries."""
    if hasattr(thing, "dtype") and hasattr(thing, "shape"):
        yield label, thing
    elif isinstance(thing, tuple | list):
        for i, part in enumerate(thing):
            yield from arrays_in(part, f"{label}[{i}]")
    elif isinstance(thing, dict):
        for key, part in thing.items():
            yield from arrays_in(part, f"{label}[{key!r}]")


def kind_of(x: Any) -> str:
    """x in two or three words, for error messages."""
    if hasattr(x, "dtype") and hasattr(x, "shape"):
        return f"an array of {x.dtype} of shape {tuple(x.shape)}"
    return "nothing" if x is None else f"a {type(x).__name__}"


def _prepared(argument, name):
    if isinstance(argument, dict):
        return {key: _prepared(value, f"{name}[{key!r}]") for key, value in argument.items()}
    if isinstance(argument, list | tuple) and argument and isinstance(argument[0], float | list):
        raise GradcheckError(f"{name} is a {type(argument).__name__}: pass an array, numpy.array({name})")
    if not is_float(argument):
        return argument
    value = double(argument)
    if value.size > 1 and numpy.ptp(value) == 0 and not is_mask(name, argument):  # a gain of ones hides mistakes
        value = value + numpy.random.default_rng(0).uniform(-0.1, 0.1, value.shape) * (1 + abs(value.flat[0]))
    return to_device(value)


def _generators(namespace):
    """(namespace, name, generator) of the random generators kept there: each call is to draw the same numbers."""
    kinds = numpy.random.Generator, numpy.random.RandomState
    return [(namespace, name, thing) for name, thing in list(namespace.items()) if isinstance(thing, kinds)]


def _argument_names(forward, arguments):
    try:
        parameters = list(inspect.signature(forward).parameters.values())
    except ValueError:
        parameters = []
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [named[i] if i < len(named) else f"argument {i}" for i in range(len(arguments))]


def _takes(function):
    """How many arguments a function must be given."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return 2
    needed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    several = any(p.kind == p.VAR_POSITIONAL for p in parameters)
    return 2 if several else len([p for p in needed if p.default is p.empty])
