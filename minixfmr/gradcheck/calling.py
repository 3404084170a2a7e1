"""How a student's forward and backward are called: what is output, what is saved, what backward is given."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy

from .blame import name_of, place_of
from .names import CACHE, OUTPUTS, RATES, UPSTREAM, plain
from .report import GradcheckError

RATE = 0.125  # given as the learning rate: a power of two, so that dividing by it is exact


@dataclass(frozen=True)
class Convention:
    """One way of calling a pair.

    outputs: which items of the tuple that forward returns have an upstream gradient; () if all that it returns is y
    saved: which item backward gets, or None
    roles: of backward's arguments in their order: "dy" (the n-th is the gradient of the n-th output), "saved",
        "output", "rate" (a learning rate) or the name of a forward argument, "=x"
    sure: the names say so; of others those that agree with finite differences are preferred
    quiet: nothing to be said about it
    """

    outputs: tuple[int, ...] = ()
    saved: int | None = None
    roles: tuple[str, ...] = ("dy",)
    sure: bool = True
    quiet: bool = False

    def told(self) -> list[str]:
        """What is assumed, beyond forward → (y, cache), backward(dy, cache) and a layer's backward(dy)."""
        lines = []
        if len(self.outputs) > 1:
            lines.append(f"{len(self.outputs)} outputs, each with an upstream gradient")
        again = (
            []
            if self.quiet
            else [role[1:] for role in self.roles if role.startswith("=") and role not in ("=ctx", "=context")]
        )
        if again:
            lines.append(f"backward is given {' and '.join(again)} again")
        if "output" in self.roles:
            lines.append("backward is given the output")
        return lines


def conventions(backward: Callable, result: Any, arguments: list[str], layer: bool) -> Iterator[Convention]:
    """The ways in which backward could be meant, the likeliest first.

    result: what forward returned    arguments: the names of forward's    layer: does it keep state on itself?
    """
    names, optional = parameters(backward)
    names += [name for name in optional[:1] if plain(name) in RATES]  # given, so that its step can be told
    if isinstance(result, tuple) and len(result) > 1:
        yield from _of_several(names, result, arguments, layer)
    else:
        yield from _of_one(names, optional, result, arguments)


def parameters(function: Callable) -> tuple[list[str], list[str]]:
    """(names of the arguments it must be given, names of the others)."""
    try:
        signature = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return ["dy", "saved"], []
    positional = [p for p in signature if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p.name for p in positional if p.default is p.empty]
    if any(p.kind == p.VAR_POSITIONAL for p in signature) and len(needed) < 2:
        return ["dy", "saved"][:2], []
    return needed, [p.name for p in positional if p.default is not p.empty]


def argument_names(forward: Callable, arguments: tuple) -> list[str]:
    """What forward calls the arguments it is given."""
    named = [p.name for p in positional(forward)]
    return [named[i] if i < len(named) else f"argument {i}" for i in range(len(arguments))]


def wants_context(forward: Callable, arguments: tuple) -> bool:
    """Is a ctx to come before these arguments?"""
    needed = [p.name for p in positional(forward) if p.default is p.empty]
    return needed[:1] in (["ctx"], ["context"]) and len(needed) == len(arguments) + 1


def positional(function: Callable) -> list[inspect.Parameter]:
    """The arguments that may be given without their names; none of a function without a signature, as of C."""
    try:
        signature = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return []
    return [p for p in signature if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def must_fit(function: Callable, arguments: list, options: dict) -> None:
    """Raises GradcheckError where a function does not take these arguments."""
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


def is_upstream(name: str) -> bool:
    return bool(UPSTREAM.match(name)) and not CACHE.match(name)


def _of_several(names, result, arguments, layer):
    n, fixed = len(result), {}
    for i, name in enumerate(names):  # settings that forward took as well; learning rates
        if plain(name) in RATES:
            fixed[i] = "rate"
        elif name in arguments and i >= 2:
            fixed[i] = f"={name}"
    free = [name for i, name in enumerate(names) if i not in fixed]

    def roles(order):
        order = iter(order)
        return tuple(fixed.get(i) or next(order) for i in range(len(names)))

    count, last = len(free), n - 1
    floats = [i for i, item in enumerate(result) if getattr(getattr(item, "dtype", None), "kind", "") == "f"]
    ups = [is_upstream(name) for name in free]
    if count == 0:
        yield Convention((0,), None, roles(()))
    elif count == 1:
        scalar = not getattr(result[0], "shape", ())
        yield (
            Convention((0,), None, roles(("dy",)))
            if layer and (ups[0] or not scalar)
            else Convention((0,), last, roles(("saved",)))
        )
        yield Convention((0,), last, roles(("saved",)))
        yield Convention((0,), None, roles(("dy",)))
    else:
        every = tuple(range(count))
        if count == n and all(ups) and set(every) <= set(floats):
            yield Convention(every, None, roles(["dy"] * count))
        if count == 2 and (CACHE.match(free[0]) or ups == [False, True]):
            yield Convention((0,), last, roles(("saved", "dy")))
        heads = every[:-1]
        if set(heads) <= set(floats) or count == 2:
            yield Convention(heads, last, roles(["dy"] * (count - 1) + ["saved"]))
        yield Convention((0,), last, roles(("dy", "saved", *["dy"] * (count - 2)))[: len(names)])


def _of_one(names, optional, result, arguments):
    if not names:
        scalar = not getattr(result, "shape", (1,))
        if optional and is_upstream(optional[0]) and not scalar:
            yield Convention((), None, ("dy",))
        yield Convention((), None, ())
        return
    if len(names) == 1 and names[0] in arguments and not numpy.shape(result):  # a loss, whose dy is 1
        yield Convention((), None, (f"={names[0]}",), False)
    roles: list[str] = []
    unknown = []
    for i, name in enumerate(names):
        exact = [a for a in arguments if a == name] or [a for a in arguments if plain(a) == plain(name)]
        if plain(name) in RATES and i:
            roles.append("rate")
        elif len(names) == 1 or (is_upstream(name) and not exact):
            roles.append("dy")
        elif exact:
            roles.append(f"={exact[0]}")
        elif plain(name) in OUTPUTS:
            roles.append("output")
        else:
            unknown.append(i)
            roles.append("?")
    if "dy" not in roles and unknown:
        roles[unknown.pop(0)] = "dy"
    if not unknown:
        yield Convention((), None, tuple(roles), "output" not in roles)
        if "output" in roles and arguments:
            yield Convention((), None, tuple(f"={arguments[0]}" if r == "output" else r for r in roles), False)
        return
    spare = [f"={a}" for a in arguments if f"={a}" not in roles]
    for filler in [*([spare] if len(spare) == len(unknown) else []), ["output"] * len(unknown), spare]:
        if len(filler) >= len(unknown):
            filled = iter(filler)
            yield Convention((), None, tuple(next(filled) if r == "?" else r for r in roles), False)
