"""What is checked, as the rest of the checker sees it: arrays to move, a forward, a backward, gradients by name."""

import copy
from collections.abc import Callable
from typing import Any

import numpy

from ..backend import to_device, to_numpy
from .blame import blame
from .calling import RATE, Convention, argument_names, conventions, must_fit, wants_context
from .harvest import Returned, checked_output, left_on
from .kinds import Context, arrays_in, is_float, is_mask, kind_of, prepared
from .pairing import Pair, Stepped
from .places import Place, State, is_number, roots_of
from .profile import Profile, profile_of
from .randomness import Randomness
from .report import GradcheckError

__all__ = ["LayerSubject", "Subject", "arrays_in", "is_float", "is_mask", "kind_of"]


class Subject:
    """A pair of functions and the arguments to check it with.

    values: {name: float64 array} that finite differences move in place; forward reads the same arrays
    others: {name: array} of integers, masks and data, which have no gradient
    parameters: {name: with data and grad} of arrays beside the arguments whose gradients backward leaves somewhere
    notes: what was assumed    unchecked: what was not compared, each with what to do
    """

    layer: Any = None

    def __init__(
        self, forward: Callable, backward: Callable, arguments: tuple, options: dict, seed: int = 0, profile: Any = None
    ):
        for role, function in (("forward", forward), ("backward", backward)):
            if not callable(function):
                raise GradcheckError(f"{role} is {function!r}: pass a function")
        self.forward_code, self.backward_code, self.options, self.seed = forward, backward, options, seed
        self.profile: Profile = profile_of(profile)
        self.names = argument_names(forward, arguments)
        if self.names[:1] != ["ctx"] and wants_context(forward, arguments):
            arguments = (Context(), *arguments)
            self.names = argument_names(forward, arguments)
        self.arguments = [prepared(a, name) for name, a in zip(self.names, arguments, strict=True)]
        self.notes: list[str] = []
        self.unchecked: list[str] = []
        self.parameters: dict[str, Any] = {}
        self.parameter_names: dict[str, str] = {}
        self.returned: dict = {}
        self.convention: Convention | None = None
        self.values: dict[str, Any] = {}
        self.others: dict[str, Any] = {}
        for name, argument in [*zip(self.names, self.arguments, strict=True), *options.items()]:
            for label, array in arrays_in(argument, name):
                data = name in options or self.profile.is_data(name) or self.profile.is_data(label)
                differentiable = is_float(array) and not is_mask(name, array) and not data
                (self.values if differentiable else self.others)[label] = array
        self.inputs = list(self.values)
        self.pinned: int | None = None
        self.roots = self.all_roots()
        self.original = self.state = State(self.roots, self.layer)
        self.randomness = Randomness(self.roots)
        self.called: set[Callable] = set()  # whose arguments are known to fit
        self.settled = False  # is nothing left of the last call that the next could see?

    def all_roots(self) -> list[Place]:
        """The places that forward and backward can see of their own, as they are now."""
        return roots_of([self.forward_code, self.backward_code], self.layer)

    def add_parameters(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters
        inputs = set(self.inputs)
        self.parameter_names = {name: f"parameter {name}" if name in inputs else name for name in parameters}

    def move_parameters(self, rng: numpy.random.Generator) -> None:
        """Float64 copies of the parameters, off their initial values: a gain of 1 or a bias of 0 hides mistakes."""
        for name, p in self.parameters.items():
            if self.parameter_names[name] in self.values:
                continue
            data = to_numpy(p.data).astype(numpy.float64)
            p.data = (
                to_device(data + _shift(data, rng))
                if data.ndim or not isinstance(p, Pair)
                else float(data + _shift(data, rng))
            )
            if not isinstance(p, Pair):
                p.grad = to_device(numpy.zeros(data.shape))
            self.values[self.parameter_names[name]] = p.data
        self.state, self.settled = State(self.roots, self.layer), False

    def put_back(self) -> None:
        """Everything as it was found, bit for bit."""
        self.original.rewind()
        self.randomness.put_back()
        self.settled = False

    # --- calls ---

    def forward(self, turn: int = 0, pinned: tuple[Place, float] | None = None) -> tuple[Any, Any]:
        """y and what forward saved for backward; calls of one turn get copies, and draw the same random numbers.

        Several outputs that each have an upstream gradient are one vector here."""
        result = self.run_forward(turn, pinned)
        if self.convention is None:
            self.convention = self._first_convention(result)
        return self._output(result), result[self.convention.saved] if self.convention.saved is not None else None

    def run_forward(self, turn: int = 0, pinned: tuple[Place, float] | None = None) -> Any:
        """What forward returns, from the state as it was at first, with the values as they are now.

        pinned: a place that holds another number in this call."""
        if not self.settled or pinned:
            self.settled = not self.state.rewind({self.pinned, *(id(value) for value in self.values.values())})
        for name, p in self.parameters.items():
            if isinstance(p, Pair) and is_number(p.value.get()):
                p.data = float(self.values[self.parameter_names[name]])
        if pinned:
            pinned[0].set(pinned[1])
            self.settled = False
        with self.randomness.seeded(self.seed + turn):
            self.passed, options = copy.deepcopy((self.arguments, self.options))
            self.held = [pair for n, a in zip(self.names, self.passed, strict=True) for pair in arrays_in(a, n)]
            self.result = self._call(self.forward_code, self.passed, options)
        if self.result is None and self.layer is not None:
            self.result = left_on(self.layer, self.passed)
        return self.result

    def backward(self, dy: Any, saved: Any, turn: int = 1) -> dict[str, Any]:
        """{name: gradient} for all values; a missing one is None."""
        before = {name: to_numpy(v).copy() for name, v in self.values.items() if name not in self.inputs}
        for name, p in self.parameters.items():
            if isinstance(p, Stepped):
                p.before = before.get(self.parameter_names[name])
        self.settled = False
        with self.randomness.seeded(self.seed + turn, turn):  # who needs forward's numbers must have saved them
            result = self._call(self.backward_code, self._backward_arguments(dy, saved), {})
        gradients = Returned(self, self.gradients_in(result)).gradients()
        for name, p in self.parameters.items():
            gradients[self.parameter_names[name]] = p.grad if hasattr(p.grad, "dtype") else None
        self.stepped = [n for n, v in before.items() if not numpy.array_equal(to_numpy(self.values[n]), v)]
        for name in self.stepped:  # a backward that takes a step itself
            self.values[name][...] = to_device(before[name])
        return gradients

    def gradients_in(self, result: Any) -> Any:
        """The gradients in what backward returned."""
        return result

    def starting_gradient(self, y: Any, rng: numpy.random.Generator) -> Any:
        """A random dy, so that no error can hide behind a symmetric one; 1 where backward takes none."""
        if not numpy.shape(y):
            return numpy.float64(rng.uniform(0.5, 2) if "dy" in self._convention().roles else 1.0)
        return to_device(rng.standard_normal(y.shape))

    def zero_grad(self) -> None:
        for p in self.parameters.values():
            if hasattr(p.grad, "dtype"):
                p.grad = 0.0 if isinstance(p.grad, numpy.float64) else to_device(numpy.zeros(p.grad.shape))

    @property
    def stateful(self) -> bool:
        """Does what backward needs live elsewhere than in what forward returned?"""
        return self._convention().saved is None

    def candidates(self, result: Any) -> list[Convention]:
        """The ways in which the pair could be meant, given what forward returned."""
        if self.profile.outputs and isinstance(result, tuple):
            count = min(self.profile.outputs, len(result))
            saved = len(result) - 1 if len(result) > count else None
            return [Convention(tuple(range(count)), saved, ("dy",) * count + (("saved",) if saved else ()))]
        return list(dict.fromkeys(conventions(self.backward_code, result, self.names, self.layer is not None)))

    def _convention(self):
        return self.convention or Convention()

    def _first_convention(self, result):
        return self.candidates(result)[0]

    def _call(self, function, arguments, options):
        if function not in self.called:
            must_fit(function, arguments, options)
            self.called.add(function)
        with blame(function), numpy.errstate(all="ignore"):
            return function(*arguments, **options)

    def _output(self, result):
        outputs = self._convention().outputs
        if not isinstance(result, tuple) or not outputs:
            return checked_output(
                result[0] if isinstance(result, tuple) and len(result) == 1 else result, self.forward_code
            )
        found = [checked_output(result[i], self.forward_code) for i in outputs]
        self.shapes = [numpy.shape(y) for y in found]
        return found[0] if len(found) == 1 else numpy.concatenate([numpy.ravel(to_numpy(y)) for y in found])

    def _backward_arguments(self, dy, saved):
        outputs, roles = self._convention().outputs, self._convention().roles
        dys = [dy]
        if len(outputs) > 1:
            ends = numpy.cumsum([int(numpy.prod(shape)) for shape in self.shapes])[:-1]
            parts = numpy.split(to_numpy(dy), ends)
            dys = [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]
        passed, upstream = dict(zip(self.names, self.passed, strict=True)), iter(dys)
        given = {"saved": saved, "output": self.result, "rate": RATE}
        return [
            next(upstream) if role == "dy" else passed[role[1:]] if role.startswith("=") else given[role]
            for role in roles
        ]


class LayerSubject(Subject):
    """A layer: a forward and a backward that are methods, and parameters whose gradients backward leaves."""

    def __init__(
        self,
        layer: Any,
        parameters: dict[str, Any],
        arguments: tuple,
        options: dict,
        seed: int = 0,
        profile: Any = None,
    ):
        if isinstance(layer, type):
            raise GradcheckError(f"{layer.__name__} is a class: make a layer of it, as {layer.__name__}(...), first")
        forward: Any = getattr(layer, "forward", None) or (layer if hasattr(layer, "backward") else None)
        for method, found in (("forward", forward), ("backward", getattr(layer, "backward", None))):
            if not callable(found):
                raise GradcheckError(
                    f"{type(layer).__name__} has no method {method}: a layer needs forward and backward"
                )
        self.layer = layer
        super().__init__(forward, layer.backward, arguments, options, seed, profile)
        self.add_parameters(parameters)


def _shift(data, rng):
    """A change that hides nothing and leaves positive numbers positive."""
    least, mean = numpy.abs(data).min(initial=numpy.inf), numpy.abs(data).mean() if data.size else 0
    one_sided = data.size and (data.min() > 0 or data.max() < 0)
    spread = 0.3 * numpy.abs(data) if one_sided and least > 0.1 * mean else 0.1 * (mean or 1)
    return rng.uniform(-1, 1, data.shape) * spread
