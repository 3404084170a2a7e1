"""A wrong gradient and what it should be."""

import math
from dataclasses import dataclass
from typing import Any

import numpy

from ..differences import Numeric

EVIDENCE = 4  # entries that must agree before an unnamed factor or a term is believed


@dataclass
class Case:
    """One gradient by backward and by differences. shape: of the array that it is the gradient of."""

    name: str
    analytic: Any
    numeric: Numeric
    shape: tuple[int, ...]
    tolerance: float

    def agrees(self, candidate: Any) -> bool:
        """Is this the right gradient, wherever it was compared?"""
        candidate = numpy.asarray(candidate)
        if candidate.shape != self.shape or candidate.dtype.kind not in "fiu":
            return False
        errors = self.numeric.errors(candidate)
        return bool(errors.size and errors.max() <= self.tolerance)

    @property
    def evidence(self) -> int:
        """Entries that say something: those that are not zero."""
        return int((numpy.abs(self.numeric.slopes) > self.numeric.floor).sum())

    @property
    def whole(self) -> numpy.ndarray | None:
        """The numeric gradient as an array, if every entry is known."""
        if len(self.numeric.slopes) != math.prod(self.shape):
            return None
        right = numpy.empty(self.shape)
        right[self.numeric.indices] = self.numeric.slopes if self.shape else self.numeric.slopes[0]
        return right

    def factor(self, v: numpy.ndarray, direction: numpy.ndarray | None = None) -> float | None:
        """c with c · v (or v + c · direction) right everywhere, or None."""
        base = numpy.zeros_like(v) if direction is None else v
        direction = v if direction is None else direction
        if v.shape != self.shape or direction.shape != self.shape:
            return None
        step = direction[self.numeric.indices]
        square = float((step * step).sum())
        if not square > 1e-24:
            return None
        c = float(((self.numeric.slopes - base[self.numeric.indices]) * step).sum()) / square
        return c if c and self.agrees(base + c * direction) else None
