"""What a pass is told in: calls of forwards and backwards, and steps, which are pairs of them."""

import inspect
import itertools
import re
import textwrap
from dataclasses import dataclass, field
from typing import Any

from ..module import Parameter


@dataclass
class Call:
    """One call of a forward or a backward."""

    function: Any  # that was called
    owner: Any  # the module whose method it is, or whose method called it; or the loss
    path: str  # of the owner, such as "decoder.blocks.0"
    inside: Any  # the Call that it is a part of, None for the outermost
    number: int  # in the order in which the calls begin, from 1
    caller: Any  # the code that called it, not always that of the step that it is inside of
    called: tuple[str, int]  # file and line
    shapes_in: list = field(default_factory=list)
    shapes_out: list = field(default_factory=list)
    low: float | None = None  # the range of the values that came out
    high: float | None = None
    seconds: float = 0.0  # with the steps inside
    own_seconds: float = 0.0  # without them
    kept: int | None = None  # bytes held when it returned, its variables too, beyond those when it began
    peak: int | None = None  # the most held meanwhile, beyond the same
    saved: Any = None  # what ties a backward to its forward

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
        """The kind of step: "Linear", or for a function and its backward "linear"."""
        return type(self.owner).__name__ if self.is_method else self.function.__name__.removesuffix("_backward")

    @property
    def place(self):
        """(file, line) of its definition."""
        return self.function.__code__.co_filename, self.function.__code__.co_firstlineno

    @property
    def formula(self):
        """The formula of its docstring, for a module's forward that of the class; "" where there is none."""
        return _formula(type(self.owner) if self.is_method and self.is_forward else self.function)


@dataclass
class Step:
    """A forward, and the backward that answers it: None where nothing was to be differentiated."""

    forward: Call
    backward: Call | None

    @property
    def parameters(self):
        """{name: shape} of the module's own, without those of the modules inside it."""
        own = vars(self.forward.owner).items() if self.forward.is_method else ()
        return {name: value.shape for name, value in own if isinstance(value, Parameter)}


def steps_of(calls):
    """Each forward with the backward that was given what it saved; where several saved the same, or nothing, the
    backward that came last answers the first."""
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
        call.saved = None  # not needed any more, and perhaps large
    return steps


def _key(call):
    return id(call.owner), call.name, id(call.saved)


def _formula(described):
    """The first formula in a docstring: an indented block, or else lines of the form a = b, without what follows."""
    lines = (inspect.getdoc(described) or "").splitlines()
    block = _block(lines, _is_indented)
    if not block:
        starts = (re.split(r":\s{2,}", line)[-1] for line in _block(lines, _is_equation))  # "The norm:   y = ..."
        block = [
            re.split(r"\s+\(\w+ [&\w. ]*\d{4}|,? with |, (?:the|so) |(?<!\.)[.;](?: |$)", line)[0] for line in starts
        ]
    return textwrap.dedent("\n".join(block))


def _block(lines, belongs):
    """The first lines in a row that belong, if they hold an equation."""
    block = list(itertools.takewhile(belongs, itertools.dropwhile(lambda line: not belongs(line), lines)))
    return block if any(" = " in line for line in block) else []


def _is_indented(line):
    return line.startswith("    ")


def _is_equation(line):
    return " = " in line and not re.match(r"\w+(, \w+)*: ", line)  # a legend, such as "mask: (T, T), True = visible"
