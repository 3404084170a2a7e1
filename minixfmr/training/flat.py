"""All parameters as one long array, and replicas of a model with gradients of their own."""

import copy
from typing import Any

from ..backend import on_gpu, shared_zeros
from ..module import Parameter


def replicate(module):
    """A second module with the very same parameter values and gradients of its own, for another worker."""
    shared = {id(parameter.data): parameter.data for parameter in module.parameters()}
    replica = copy.deepcopy(module, shared)
    parameters = replica.parameters()
    gradients = shared_zeros(sum(p.data.size for p in parameters), parameters[0].data.dtype)
    for p, gradient in zip(parameters, _views(gradients, parameters), strict=True):
        p.grad = gradient
    return replica


class FlatParameter(Parameter):
    """All parameters in one long array, of which each becomes a view: one array operation then updates them all,
    however many there are."""

    def __init__(self, parameters: list[Parameter]) -> None:
        size, dtype = sum(p.data.size for p in parameters), parameters[0].data.dtype
        self.data, self._grad = (shared_zeros(size, dtype) for _ in "dg")  # forked helpers keep no copy of them
        self._parts = parameters
        views = zip(parameters, _views(self.data, parameters), _views(self._grad, parameters), strict=True)
        for p, data, grad in views:
            data[...], grad[...] = p.data, p.grad
            p.data, p.grad = data, grad

    @property
    def grad(self) -> Any:
        """The gradients of all, to be read or written into."""
        write_zeros(self._parts)
        return self._grad

    @grad.setter
    def grad(self, array: Any) -> None:  # the same one, as after flat.grad *= 2
        self._grad = array

    def clear_grad(self) -> None:
        """Every gradient = 0: on a GPU at once, in one kernel."""
        if on_gpu():
            self.grad.fill(0)
        else:
            for p in self._parts:
                p.clear_grad()


def write_zeros(parameters):
    """Write the zeros of gradients that were cleared and have got nothing since, before the flat array is read."""
    for p in parameters:
        _ = p.grad


def _views(flat, parameters):
    """Yield for each parameter its part of a flat array, in its shape."""
    start = 0
    for p in parameters:
        yield flat[start : start + p.data.size].reshape(p.data.shape)
        start += p.data.size
