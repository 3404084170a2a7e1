"""Parameter and Module: what every layer and model is made of.

The contract of a module:

    y, saved = layer.forward(x, ...)        # pure: stores nothing on self
    dx       = layer.backward(dy, saved)    # adds to every parameter.grad, returns the gradient of each array input

`saved` holds what the backward needs; nothing else holds it. Since nothing lives on the module between the two
calls, one layer can be used twice, be shared, or run in two threads. Several array inputs: backward returns a
tuple in the order of forward's arguments. Integer inputs and masks have no gradient.

Ownership: a module may save, or hand on as its output, any array that it was given or made. So nobody writes into an
array that came from elsewhere, be it an argument or the output of another module: y = x + f, never f += x.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from .backend import to_device, to_numpy, xp
from .checks.weights import check_floats, check_state


class Parameter:
    """An array to be learned, and the gradient of the loss with respect to it, of the same shape and dtype."""

    _is_cleared: bool

    def __init__(self, data: Any) -> None:
        check_floats(data, "the data of this Parameter")
        self.data = data
        self.grad = xp.zeros(data.shape, dtype=data.dtype)  # takes no memory until something is written to it

    @property
    def shape(self):
        return self.data.shape

    @property
    def grad(self) -> Any:
        """The gradient, to be read, added to or written into; after an optimizer's zero_grad, fetch it anew."""
        if self._is_cleared:
            self._grad.fill(0)
            self._is_cleared = False
        return self._grad

    @grad.setter
    def grad(self, array: Any) -> None:
        self._grad = array
        self._is_cleared = False

    def accumulate(self, gradient: Any) -> None:
        """grad += gradient"""
        if self._is_cleared:
            self._grad[...] = gradient
            self._is_cleared = False
        else:
            self._grad += gradient

    def clear_grad(self) -> None:
        """grad = 0, put off until it is next read: what is accumulated before then takes the place of the zeros."""
        self._is_cleared = True

    def __repr__(self):
        return f"Parameter(shape={self.data.shape}, dtype={self.data.dtype})"


class Buffer:
    """An array that belongs to a model and is saved with it, but is not learned."""

    def __init__(self, data: Any) -> None:
        self.data = data


class Module:
    """A part of a model. Attributes that are Parameters, Modules or lists of Modules are found by name."""

    def forward(self, *inputs, **options):
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, dy, saved):
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def __call__(self, *inputs, **options):
        """The output of forward alone."""
        return self.forward(*inputs, **options)[0]

    def named_children(self):
        """Yield (name, child module) in the order of definition; "blocks.0" for an item of a list."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, list):
                yield from ((f"{name}.{i}", item) for i, item in enumerate(value) if isinstance(item, Module))

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield (dotted name, Parameter); one that is shared comes once, under its first name."""
        return self._named(Parameter)

    def _named(self, kinds):
        seen = set()
        for name, array in self._all(kinds):
            if id(array) not in seen:
                seen.add(id(array))
                yield name, array

    def _all(self, kinds, prefix=""):
        for name, value in vars(self).items():
            if isinstance(value, kinds):
                yield prefix + name, value
        for name, child in self.named_children():
            yield from child._all(kinds, f"{prefix}{name}.")

    def named_arrays(self) -> Iterator[tuple[str, Any]]:
        """Yield (dotted name, Parameter or Buffer): everything that is saved, a shared one once."""
        return self._named(Parameter | Buffer)

    def parameters(self) -> list[Parameter]:
        """The list of all Parameters, a shared one once."""
        return [parameter for _, parameter in self.named_parameters()]

    def num_parameters(self) -> int:
        """How many numbers there are to learn."""
        return sum(parameter.data.size for parameter in self.parameters())

    def zero_grad(self) -> None:
        """Set every gradient to zero, in place. backward only ever adds."""
        for parameter in self.parameters():
            parameter.grad.fill(0)

    def state_dict(self) -> dict[str, Any]:
        """{name: copy of the values as a numpy.ndarray} of all Parameters and Buffers, a shared one once."""
        return {name: to_numpy(p.data).copy() for name, p in self.named_arrays()}

    def load_state_dict(self, state: Mapping[str, Any], finite: bool = True) -> None:
        """Copy the values of state into the parameters. finite: refuse NaN and infinity

        Raises ValueError or TypeError, and changes nothing, unless the names and shapes are exactly those of
        state_dict() and the values are real numbers."""
        self.check_state_dict(state, finite)
        for name, array in self.named_arrays():
            array.data[...] = to_device(state[name], array.data.dtype)

    def check_state_dict(self, state: Mapping[str, Any], finite: bool = True) -> None:
        """Raise ValueError or TypeError unless load_state_dict takes this state."""
        check_state(type(self).__name__, dict(self.named_arrays()), state, finite)
