"""All parameters as one long array, and replicas of a model with gradients of their own."""

import copy

from ..backend import shared_zeros
from ..module import Parameter


def replicate(module):
    """A second module over the very same parameter values, with gradients of its own: work for another worker.

    → (the module, its gradients as one long array)
    """
    shared = {id(parameter.data): parameter.data for parameter in module.parameters()}
    replica = copy.deepcopy(module, shared)
    parameters = replica.parameters()
    gradients = shared_zeros(sum(p.data.size for p in parameters), parameters[0].data.dtype)
    for p, gradient in zip(parameters, _views(gradients, parameters), strict=True):
        p.grad = gradient
    return replica, gradients


def flatten(parameters):
    """Move the parameters into one long Parameter, of which each becomes a view: one array operation then
    updates them all, however many they are."""
    size, dtype = sum(p.data.size for p in parameters), parameters[0].data.dtype
    flat = Parameter(shared_zeros(size, dtype))
    flat.grad = shared_zeros(size, dtype)  # of which no forked helper keeps a copy
    views = zip(parameters, _views(flat.data, parameters), _views(flat.grad, parameters), strict=True)
    for p, data, grad in views:
        data[...], grad[...] = p.data, p.grad
        p.data, p.grad = data, grad
    return flat


def _views(flat, parameters):
    """Yield for each parameter its part of a flat array, in its shape."""
    start = 0
    for p in parameters:
        yield flat[start : start + p.data.size].reshape(p.data.shape)
        start += p.data.size
