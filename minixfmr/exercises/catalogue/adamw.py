"""AdamW: five steps beside the package's, with two sets of options."""

from typing import Any

import numpy

from ...module import Parameter
from ...training import AdamW
from ..compare import NotRight, compare
from ..exercise import Check, Exercise
from ..session import what

NAMES = ["parameter", "grad", "m", "v", "step", "lr", "betas", "eps", "weight_decay"]
DEFAULTS: dict[str, Any] = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
OTHERS: dict[str, Any] = dict(lr=0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.3)


def check(session, explain=None):
    for remark, options, given in (("", DEFAULTS, ()), (" (other options than the defaults)", OTHERS, OTHERS.values())):
        right = Parameter(session.rng.standard_normal((3, 4)))
        optimizer = AdamW([right], **options)
        state = (right.data.copy(), numpy.zeros((3, 4)), numpy.zeros((3, 4)))
        for step in range(1, 6):
            right.grad[...] = grad = session.rng.standard_normal((3, 4))
            parameter, m, v = state
            before = (parameter, grad, m, v, step)
            optimizer.step()
            state = session.call("adamw_step", (*before, *given), NAMES)
            if not isinstance(state, tuple) or len(state) != 3:
                got = "nothing" if state is None else what(state)
                raise NotRight(f"adamw_step returned {got}, expected a tuple (parameter, m, v)")
            expected = (optimizer.m.reshape(3, 4), optimizer.v.reshape(3, 4), right.data)
            for name, got, value in zip(("m", "v", "parameter"), (*state[1:], state[0]), expected, strict=True):
                compare(name, got, value, f" after step {step}{remark}")


EXERCISE = Exercise("one step of the optimizer", ("adamw_step",), (Check("step", 5, check),), tutorial=6)
