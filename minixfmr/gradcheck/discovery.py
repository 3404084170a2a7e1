"""Find what can be checked in a student's module: pairs of functions, layers, losses; and what only looks like one."""

import ast
import inspect
import re
import sys
import textwrap
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .blame import is_students
from .calling import is_upstream
from .names import GRADIENT_HOLDERS, GRADIENTS, gradient_keys, plain
from .profile import Profile

LOSS = re.compile(r"loss|cost|criterion|objective|cross_?entropy|(^|_)(x?ce|bce|nll|mse|xent|hinge)(_|$)", re.I)
DERIVATIVES = ("_derivative", "_deriv", "_prime", "_grad", "_gradient")


@dataclass
class Item:
    """Something to check.

    kind: "pair", "layer", "loss" (a function that returns a loss and its gradient), "network" (a class with such a
    method), or "" for what cannot be checked, with the reason in problem"""

    name: str
    kind: str = ""
    forward: Any = None
    backward: Any = None
    module: Any = None
    problem: str = ""
    asked: tuple[str, ...] = ()  # names that gradcheck_inputs may know it by
    doubt: str = ""  # why what disagrees here may be no gradient at all


def items_in(module: types.ModuleType, profile: Profile) -> list[Item]:
    """Everything in a module, and in the student's own modules that it imports from, in the order of the file."""
    things = {
        name: thing
        for name, thing in vars(module).items()
        if (inspect.isfunction(thing) or inspect.isclass(thing)) and _is_own(thing, module)
    }
    functions = {n: t for n, t in things.items() if inspect.isfunction(t) and n != "gradcheck_inputs"}
    classes = [t for t in dict.fromkeys(things.values()) if inspect.isclass(t)]
    found = _pairs(functions, profile) + [item for kind in classes if (item := _class(kind, classes))]
    for item in found:
        item.module = sys.modules.get(getattr(item.forward, "__module__", ""), module) or module
    return found


# --- functions ---


def _pairs(functions, profile):
    found, used = [], set()
    for name, function in functions.items():
        if name in used or (parts := _forward_name(name, functions, profile)) is None:
            continue
        stem, partners = parts
        partner = next((p for p in partners if p in functions and p != name), None)
        if partner is None:
            wanted = partners[0]
            problem = f"{name} has no {wanted} beside it: write it, or rename the function"
            found.append(Item(stem, "", function, problem=problem))
            continue
        used |= {name, partner}
        backward = functions[partner]
        if (partner.endswith(DERIVATIVES) or partner == f"d{name}") and _takes_a_point(backward):
            backward = _times(backward)
        base = stem.removesuffix(next((s for s in profile.suffixes if stem.endswith(s)), ""))
        found.append(Item(stem, "pair", function, backward, asked=(stem, name, re.sub(r"_[a-z0-9]+$", "", base), base)))
    for name, function in functions.items():
        if name in used or any(item.forward is function for item in found):
            continue
        if LOSS.search(name) and _returns_a_tuple(function):
            found.append(Item(name, "loss", function, function, asked=(name,), doubt=_unnamed(function)))
        elif re.search(r"(^|_)backward(_|$)|(^|_)backprop(_|$)", name):
            problem = f"{name} has no forward beside it: name that {name.replace('backward', 'forward')}"
            found.append(Item(name, "", function, problem=problem))
    order = list(functions.values())
    return sorted(found, key=lambda item: order.index(item.forward))


def _forward_name(name, functions, profile):
    """(stem, names that its backward may have) if this is the name of a forward."""
    if re.search(r"(^|_)forward(_|$)", name) or name.endswith("Forward"):
        backs = [re.sub("forward", word, name) for word in ("backward", "backprop", "bwd", "grad")]
        backs += [name.replace("Forward", "Backward")]
        stem = re.sub(r"_?forward_?(?=_|$)|^forward_|_forward", lambda m: "_" if m[0].count("_") == 2 else "", name)
        return re.sub(r"__+", "_", stem).strip("_") or name, list(dict.fromkeys(backs))
    if re.search(r"(^|_)fwd(_|$)", name):
        return name.replace("_fwd", "").replace("fwd_", ""), [name.replace("fwd", "bwd")]
    backs = [f"{name}_backward", f"{name}_bwd", f"d{name}", f"backward_{name}", *(f"{name}{d}" for d in DERIVATIVES)]
    for suffix in profile.suffixes:
        if name.endswith(suffix):
            backs.append(f"{name.removesuffix(suffix)}_backward{suffix}")
    return (name, backs) if any(b in functions for b in backs) and "backward" not in name else None


def _times(derivative):
    """backward(dy, point) of an activation from its derivative; whether that takes x or y is found by trying."""

    def backward(dy, point):
        return dy * derivative(point)

    backward.__qualname__ = derivative.__qualname__
    return backward


def _takes_a_point(function):
    """Is its one argument where the derivative is taken, and not an upstream gradient?"""
    needed = [p.name for p in _needed(function)]
    return len(needed) == 1 and not is_upstream(needed[0])


def _returns_a_tuple(function):
    return bool(_returned_tuples(function))


def _returned_tuples(function):
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return []
    returns = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return)]
    return [value for value in returns if isinstance(value, ast.Tuple) and len(value.elts) > 1]


def _unnamed(function):
    """Why what a loss returns beside it may be no gradient: by their names, none of them is one."""
    beside = [part for value in _returned_tuples(function) for part in value.elts[1:]]
    names = [part.id for part in beside if isinstance(part, ast.Name)]
    if len(names) < len(beside) or any(map(_says_gradient, names)):
        return ""
    told = " and ".join(dict.fromkeys(names))
    return (
        f"{function.__name__} returns {told} beside the loss, which is not its gradient; if it is meant to be, call "
        f"it d... or grad; if not, write {function.__name__}_backward"
    )


def _needed(function):
    kinds = inspect.signature(function).parameters.values()
    return [p for p in kinds if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _says_gradient(name):
    return is_upstream(name) or plain(name) in GRADIENT_HOLDERS | GRADIENTS or bool(gradient_keys((name,)))


# --- classes ---


def _class(kind, classes):
    """The item of a class, or None if it is no layer or a base class."""
    forward = next((m for m in ("forward", "__call__") if callable(_own(kind, m))), None)
    backward = _own(kind, "backward")
    if any(base.__module__.split(".")[0] == "torch" for base in kind.__mro__):
        problem = f"{kind.__name__} is of PyTorch, whose gradients are its own: write forward and backward in NumPy"
        return Item(kind.__name__, "", kind, problem=problem)
    base = any(kind in other.__mro__[1:] for other in classes)
    if forward and backward:
        unfinished = [m for m in (forward, "backward") if inspect.isabstract(kind) or _is_stub(_own(kind, m))]
        if unfinished:
            if base or inspect.isabstract(kind) or (len(unfinished) == 2 and _raises(_own(kind, "backward"))):
                return None  # a base class computes nothing
            return Item(kind.__name__, "", kind, problem=f"{kind.__name__}.{unfinished[0]} is not written yet")
        return Item(kind.__name__, "layer", kind, asked=(kind.__name__,))
    loss = next((m for m in vars(kind) if LOSS.search(m) and callable(vars(kind)[m])), None)
    if loss and _returns_a_tuple(vars(kind)[loss]):
        return Item(kind.__name__, "network", kind, backward=loss, asked=(kind.__name__,))
    if forward == "forward" and not base and not _is_stub(_own(kind, "forward")):
        problem = f"{kind.__name__} has a forward and no backward: write it"
        return Item(kind.__name__, "", kind, problem=problem)
    return None


def _own(kind: type, method: str) -> Callable | None:
    """A method that the student wrote, in the class or in one of its bases."""
    return next((vars(base)[method] for base in kind.__mro__ if base is not object and method in vars(base)), None)


def _is_stub(function):
    """Does it do nothing but pass, return nothing, or raise NotImplementedError?"""
    function = getattr(function, "__func__", function)
    try:
        definition = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return False
    for statement in getattr(definition, "body", []):
        told = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        empty = isinstance(statement, ast.Return) and (
            statement.value is None or (isinstance(statement.value, ast.Constant) and statement.value.value is None)
        )
        missing = isinstance(statement, ast.Raise) and "NotImplemented" in ast.unparse(statement)
        if not (told or empty or missing or isinstance(statement, ast.Pass)):
            return False
    return True


def _raises(function):
    function = getattr(function, "__func__", function)
    return "NotImplemented" in inspect.getsource(function)


def _is_own(thing, module):
    """Written in this module, or in another file of the student's."""
    if getattr(thing, "__module__", None) == module.__name__:
        return True
    other = sys.modules.get(getattr(thing, "__module__", "") or "")
    file = getattr(other, "__file__", None)
    return file is not None and is_students(file)
