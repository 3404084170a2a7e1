"""One step of the optimizer.

Judged in five steps beside the package's, with two sets of options.
"""

from typing import Any

import numpy

from ...module import Parameter
from ...training import AdamW
from ..compare import NotRight, compare
from ..exercise import Check, Exercise, Mistake
from ..reasons import Reason, reason_of_result
from ..session import what

NAMES = ["parameter", "grad", "m", "v", "step", "lr", "betas", "eps", "weight_decay"]
DEFAULTS: dict[str, Any] = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
OTHERS: dict[str, Any] = dict(lr=0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.3)


RIGHT: dict[str, Any] = {
    "m_hat": lambda m, b, t: m / (1 - b**t),
    "v_hat": lambda v, b, t: v / (1 - b**t),
    "root": lambda v, eps: numpy.sqrt(v) + eps,
    "square": lambda g: g * g,
    "decay": lambda p, lr, wd: p - lr * wd * p,
    "grad": lambda g, p, wd: g,
    "complement": lambda b: 1 - b,
    "betas": lambda b1, b2: (b1, b2),  # of m̂ and v̂
    "options": lambda options: options,
}


def _step(part, change):
    """A step in which something is not as in RIGHT; part: which of parameter, m and v is given."""
    of = RIGHT | change

    def wrong(p, g, m, v, t, *options):
        lr, (b1, b2), eps, wd = of["options"](options)
        g = of["grad"](g, p, wd)
        m = b1 * m + of["complement"](b1) * g
        v = b2 * v + of["complement"](b2) * of["square"](g)
        for_m, for_v = of["betas"](b1, b2)
        new = of["decay"](p, lr, wd) - lr * of["m_hat"](m, for_m, t) / of["root"](of["v_hat"](v, for_v, t), eps)
        return {"parameter": new, "m": m, "v": v}[part]

    return wrong


MISTAKES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("m̂ forgotten", "m is started at 0, which is not undone: m̂ = m / (1 - β₁ᵗ)", {"m_hat": lambda m, b, t: m}),
    ("v̂ forgotten", "v is started at 0, which is not undone: v̂ = v / (1 - β₂ᵗ)", {"v_hat": lambda v, b, t: v}),
    (
        "m̂ and v̂ forgotten",
        "m and v are started at 0, which is not undone: m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ)",
        {"m_hat": lambda m, b, t: m, "v_hat": lambda v, b, t: v},
    ),
    ("β without its power", "1 - β₁ is not raised: m̂ = m / (1 - β₁ᵗ)", {"m_hat": lambda m, b, t: m / (1 - b)}),
    ("β without its power", "1 - β₂ is not raised: v̂ = v / (1 - β₂ᵗ)", {"v_hat": lambda v, b, t: v / (1 - b)}),
    *(
        (
            "wrong step",
            f"the power is t {sign} 1 in m̂: t counts from 1",
            {"m_hat": lambda m, b, t, k=k: m / (1 - b ** (t + k) + (t + k == 0) * 1e-30)},
        )
        for sign, k in (("+", 1), ("-", -1))
    ),
    ("β₁ in v̂", "v̂ is v / (1 - β₂ᵗ): β₁ stands there", {"betas": lambda b1, b2: (b1, b1)}),
    ("β₂ in m̂", "m̂ is m / (1 - β₁ᵗ): β₂ stands there", {"betas": lambda b1, b2: (b2, b2)}),
    ("eps inside the root", "eps stands inside the root: √v̂ + eps", {"root": lambda v, eps: numpy.sqrt(v + eps)}),
    ("eps forgotten", "eps is missing: √v̂ + eps", {"root": lambda v, eps: numpy.sqrt(v)}),
    ("root forgotten", "the root is missing: √v̂ + eps", {"root": lambda v, eps: v + eps}),
    ("square forgotten", "v is the running mean of the square, g²", {"square": lambda g: g}),
    ("square forgotten", "v is the running mean of the square g², not of |g|", {"square": abs}),
    ("weight decay forgotten", "the weight decay is missing", {"decay": lambda p, lr, wd: p}),
    (
        "weight decay without lr",
        "the decay is lr · weight_decay · p: lr is missing",
        {"decay": lambda p, lr, wd: p - wd * p},
    ),
    ("weight decay of the wrong sign", "the decay has the wrong sign", {"decay": lambda p, lr, wd: p + lr * wd * p}),
    (
        "weight decay in the gradient",
        "the decay is decoupled: it acts on p and never enters the gradient",
        {"decay": lambda p, lr, wd: p, "grad": lambda g, p, wd: g + wd * p},
    ),
    (
        "weight decay in the gradient",
        "the decay acts on p alone: here it enters the gradient too",
        {"grad": lambda g, p, wd: g + wd * p},
    ),
    ("1 - β forgotten", "the factor 1 - β is missing: m ← β₁ m + (1 - β₁) g", {"complement": lambda b: 1.0}),
)


def _reason(name, got, right, before, options):
    """Why this part of a step is wrong."""
    arguments = (*before, *options.values())
    mistakes = [Mistake(cause, text, _step(name, change)) for cause, text, change in MISTAKES]
    for i, (key, value) in enumerate(DEFAULTS.items()):
        if value != options[key]:
            text = f"{key} is taken as {value}, not as the argument says"
            change = {"options": lambda o, i=i, value=value: (*o[:i], value, *o[i + 1 :])}
            mistakes.append(Mistake("an option not used", text, _step(name, change)))
    swapped = {"options": lambda o: (o[0], o[1][::-1], *o[2:])}
    mistakes.append(Mistake("betas exchanged", "β₁ and β₂ are exchanged", _step(name, swapped)))
    found = reason_of_result(tuple(mistakes), got, numpy.asarray(right), arguments)
    return found and Reason(found.cause, found.text, (name,), found.place)


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
                try:
                    compare(name, got, value, f" after step {step}{remark}")
                except NotRight as error:
                    found = _reason(name, got, value, before, options)
                    raise found.of(error, f" after step {step}{remark}") if found else error from None


TUTORIAL = 6
EXERCISE = Exercise(("adamw_step",), (Check("step", 5, check),))
