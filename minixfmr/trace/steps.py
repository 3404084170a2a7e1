"""What a trace is made of: calls of a forward or a backward, and steps, which pair them."""

import inspect
import itertools
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..module import Parameter


@dataclass
class Call:
    """One call of a forward or a backward."""

    function: Any  # the function called
    owner: Any  # the module whose method it is or whose method called it, or the loss
    path: str  # the owner's name in the model, such as "decoder.blocks.0"
    inside: Any  # the Call that contains it, None for the outermost
    number: int  # from 1, in the order in which the calls begin
    caller: Any  # the code that called it, which may be a helper of the step that contains it
    called: tuple[str, int]  # file and line of the call
    shapes_in: list = field(default_factory=list)
    shapes_out: list = field(default_factory=list)
    low: float | None = None  # the range of the output's values
    high: float | None = None
    seconds: float = 0.0  # including nested steps
    own_seconds: float = 0.0  # without nested steps
    kept: int | None = None  # bytes held when it returned, its local variables included, beyond those at its start
    peak: int | None = None  # the most held in between, beyond those at its start
    saved: Any = None  # what links a backward to its forward

    @property
    def is_method(self):
        return self.function.__name__ in ("forward", "backward")

    @property
    def is_forward(self):
        return not self.function.__name__.endswith("backward")

    @property
    def depth(self):
        return 0 if self.inside is None else self.inside.depth + 1

    @property
    def name(self):
        """The kind of step: "Linear" for a module, "linear" for a function and its backward."""
        return type(self.owner).__name__ if self.is_method else self.function.__name__.removesuffix("_backward")

    @property
    def place(self):
        """(file, line) of its definition."""
        return self.function.__code__.co_filename, self.function.__code__.co_firstlineno

    @property
    def formula(self):
        """The formula in its docstring (for a module's forward, in that of the class); "" if there is none."""
        return formula(type(self.owner) if self.is_method and self.is_forward else self.function)


@dataclass
class Step:
    """A forward and the backward that answers it, None if none was called."""

    forward: Call
    backward: Call | None

    @property
    def parameters(self):
        """{name: shape} of the module's own parameters, without those of modules inside it."""
        own = vars(self.forward.owner).items() if self.forward.is_method else ()
        return {name: value.shape for name, value in own if isinstance(value, Parameter)}


def steps_of(calls):
    """Pair each forward with the backward that received what it saved. If several saved the same object, or nothing,
    the last backward answers the first forward."""
    saved = {_key(call) for call in calls if call.is_forward}
    answers: dict = {}
    for call in calls:
        if not call.is_forward:
            key = _key(call) if _key(call) in saved else (id(call.owner), call.name, id(None))
            answers.setdefault(key, []).append(call)
    steps = []
    for call in calls:
        if call.is_forward:
            found = answers.get(_key(call))
            steps.append(Step(call, found.pop() if found else None))
    for call in calls:
        call.saved = None  # no longer needed, and perhaps large
    return steps


def _key(call):
    return id(call.owner), call.name, id(call.saved)


def is_of_a_pair(name: str, known: Any) -> bool:
    """Whether a function of this name has its backward, or its forward, among the known names."""
    base = name.removesuffix("_backward")
    return {base, f"{base}_backward"} <= known.keys()


def pairs_of(module: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield (what is described, forward, backward) for the functions f and f_backward and the classes with methods
    forward and backward that a Python module defines, in its order. Described is the forward, or the class."""
    known = vars(module)
    for name, value in known.items():
        if getattr(value, "__module__", None) != module.__name__:
            continue
        methods = [vars(value).get(method) for method in ("forward", "backward")] if inspect.isclass(value) else []
        if methods and all(map(inspect.isfunction, methods)):
            yield value, *methods
        elif inspect.isfunction(value) and is_of_a_pair(name, known) and not name.endswith("_backward"):
            yield value, inspect.unwrap(value), inspect.unwrap(known[f"{name}_backward"])


def formula(described: Any) -> str:
    """The first formula in the docstring of a function or class, "" if there is none: an indented block, or else lines
    of the form a = b, without the prose after."""
    lines = (inspect.getdoc(described) or "").splitlines()
    block = _block(lines, _is_indented)
    if not block:
        starts = (re.split(r"[:?]\s{2,}", line)[-1] for line in _block(lines, _is_equation))  # "The norm:   y = ..."
        block = [
            re.split(r"\s+\(\w+ [&\w. ]*\d{4}|,? with |, (?:the|so) |: (?=[a-z]{3})|(?<!\.)[.;](?: |$)", line)[0]
            for line in starts
        ]
    return textwrap.dedent("\n".join(block))


def _block(lines, belongs):
    """The first run of lines that belong, if it contains an equation."""
    block = list(itertools.takewhile(belongs, itertools.dropwhile(lambda line: not belongs(line), lines)))
    return block if any(" = " in line for line in block) else []


def _is_indented(line):
    return line.startswith("    ")


def _is_equation(line):
    is_legend = re.match(r"[\w.]+(, \w+)*: ", line)  # such as "mask: (T, T), True = visible"
    return bool(re.search(' = (?!")', line)) and not is_legend  # nor is pooling = "last" an equation
