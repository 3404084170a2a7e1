"""Functions that return a loss and its gradients at once: loss, dx = f(x, y), or loss, grads = net.loss(X, y)."""

from collections.abc import Callable
from typing import Any

import numpy

from .blame import name_of, place_of
from .calling import Convention
from .kinds import kind_of
from .report import GradcheckError
from .subject import Subject


class LossSubject(Subject):
    """Forward and backward are one function; what it returns after the loss are the gradients."""

    def __init__(self, function: Callable, arguments: tuple, seed: int = 0, profile: Any = None, layer: Any = None):
        self.layer = layer
        super().__init__(function, function, arguments, {}, seed, profile)

    def candidates(self, result: Any) -> list[Convention]:
        if not isinstance(result, tuple) or len(result) < 2 or numpy.size(result[0]) != 1:
            raise GradcheckError(
                f"{name_of(self.forward_code)} returned {kind_of(result)}: return the loss and its gradients"
                f"{place_of(self.forward_code)}"
            )
        self.notes.append("one function returns the loss and its gradients")
        return [Convention((0,), None, tuple(f"={name}" for name in self.names), quiet=True)]

    def gradients_in(self, result: Any) -> Any:
        return result[1] if len(result) == 2 else list(result[1:])
