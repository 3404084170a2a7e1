"""The process of one exercise: load the student's file, call its functions, send back what they return.

Nothing is judged here. What a forward saves for its backward stays in this process, for it may be anything.
"""

import builtins
import contextlib
import copy
import importlib
import inspect
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy

from .channel import Channel, ChannelError, kind_of
from .confine import become, confine
from .watch import Watch

FORBIDDEN = ("minixfmr", "torch", "jax", "tensorflow", "autograd")


class ForbiddenImport(ImportError):
    """An exercise imported what would solve it."""


def work(channel: Channel) -> None:
    """Do what the judge asks until it closes the channel."""
    job = channel.receive()
    folder = Path(job["folder"])
    if "user" in job:
        become(*job["user"])
    missing = confine(job["memory"], job["seconds"], [*job["readable"].split("\n"), str(folder)], job["scratch"])
    channel.send({"missing": missing})
    os.chdir(job["scratch"])
    os.environ.clear()
    os.environ.update({"HOME": job["scratch"], "TMPDIR": job["scratch"], "PATH": os.defpath})
    student = Student(job["name"], folder, channel)
    with contextlib.suppress(ChannelError):  # closed: done
        while True:
            channel.send(student.answer(channel.receive()))


class Student:
    """The student's module, and what its last forward saved."""

    def __init__(self, name, folder, channel):
        self.name, self.folder, self.channel = name, folder, channel
        self.module: Any = None
        self.saved: Any = None
        self.watch: Any = None

    def answer(self, order):
        """Do what the judge's order says: {"do": the name of a method below, and its arguments}. → what to send back"""
        try:
            answer = getattr(self, order.pop("do"))(**order)
        except ChannelError:
            raise
        except BaseException as error:  # SystemExit too: it comes from the student's file
            answer = {"raised": _raised(error, self.folder)}
        return answer | {"uses": self.used()}

    def load(self):
        _guard_imports(self.folder)
        sys.path.insert(0, str(self.folder))
        self.module = importlib.import_module(self.name)
        return {}

    def call(self, function, arguments, generators=(), callbacks=()):
        """The function of these arguments. generators: {place: seed}; callbacks: places of a function of the judge."""
        called, refused = self._function(function, arguments)
        if refused:
            return refused
        arguments = self._filled(arguments, dict(generators), callbacks)
        before = copy.deepcopy([a for i, a in enumerate(arguments) if i not in callbacks])
        result = called(*arguments)
        after = [a for i, a in enumerate(arguments) if i not in callbacks]
        return {"result": result, "changed": [i for i, (b, a) in enumerate(zip(before, after)) if not _same(b, a)]}  # noqa: B905

    def forward(self, function, arguments, generators=()):
        """y, and what backward needs kept here."""
        answer = self.call(function, arguments, generators)
        if "result" not in answer:
            return answer
        result = answer["result"]
        if not isinstance(result, tuple) or len(result) != 2:
            return {"no_pair": "nothing" if result is None else kind_of(result), "line": self._line(function)}
        y, self.saved = result
        self.watch = Watch(getattr(self.module, function), y)
        return answer | {"result": y}

    def backward(self, function, dy):
        """The gradients for dy, and how often the forward was called on the way."""
        called, refused = self._function(function, (dy, self.saved))
        if refused:
            return refused
        given = dy.copy() if isinstance(dy, numpy.ndarray) else dy
        with self.watch:
            result = called(given, self.saved)
        return {"result": result, "changed": [] if _same(dy, given) else [0], "calls": self.watch.calls()}

    def explain(self, forward, backward, arguments, generators, seconds):
        """What the gradient checker says: sentences with causes, and its table."""
        from minixfmr.gradcheck import GradcheckError, gradcheck_function

        pair = getattr(self.module, forward), getattr(self.module, backward)
        try:
            report = gradcheck_function(*pair, *self._filled(arguments, dict(generators), ()), max_seconds=seconds)
        except GradcheckError:  # the judge has said already what cannot be checked
            return {"reasons": [], "report": ""}
        reasons = [(e.cause, str(e)) for e in report.explanations]
        reasons += [(f"not so: {p.name}", f"{p.name}: no, {p.remark}") for p in report.properties if not p.ok]
        return {"reasons": reasons, "report": str(report)}

    def train(self, names, steps):
        """Let the functions of these files train a Transformer, and tell the judge how it goes, line by line."""
        from minixfmr.exercises.rehearsal import rehearse

        return {"equal": rehearse(names, steps, self._ask)}

    def used(self):
        """The names of the student's other files that were imported."""
        here = str(self.folder)
        names = [name for name, module in list(sys.modules.items()) if here == _folder_of(module)]
        return [name for name in names if name != self.name and type(name) is str][:50]

    def _function(self, name, arguments):
        """The function of this name; else what to answer the judge."""
        function = getattr(self.module, name, None)
        if not callable(function):
            return None, {"missing_function": name}
        try:
            inspect.signature(function).bind(*arguments)
        except TypeError as error:
            return None, {"does_not_take": str(error)[:300], "line": self._line(name)}
        except ValueError:  # no signature to look at
            pass
        return function, None

    def _line(self, name):
        code = getattr(inspect.unwrap(getattr(self.module, name)), "__code__", None)
        return code.co_firstlineno if code else 0

    def _filled(self, arguments, generators, callbacks):
        arguments = list(arguments)
        for place, seed in generators.items():
            arguments[int(place)] = numpy.random.default_rng(seed)
        for place in callbacks:
            arguments[place] = self._ask
        return arguments

    def _ask(self, *arguments):
        """A function of the judge's, called by the student."""
        self.channel.send({"ask": arguments})
        return self.channel.receive()["answer"]


def _folder_of(module):
    try:
        return str(Path(module.__file__).parent)
    except BaseException:  # what stands in sys.modules may be the student's
        return None


def _same(before, after):
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(_same(before[key], after[key]) for key in before)
    if isinstance(before, numpy.ndarray):
        return before.shape == after.shape and bool(((before == after) | (before != before)).all())
    return True


def _guard_imports(folder):
    """Let no file of the folder import what would solve the exercise. It prevents accidents, not malice."""
    original = builtins.__import__

    def guarded(name, globals=None, locals=None, fromlist=(), level=0):
        importer = str((globals or {}).get("__file__", ""))
        if level == 0 and name.split(".")[0] in FORBIDDEN and folder in Path(importer).parents:
            raise ForbiddenImport(name)
        return original(name, globals, locals, fromlist, level)

    builtins.__import__ = guarded


def _raised(error, folder):
    """An exception as text: its type, what it says, and the student's lines that it passed, the innermost last."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if folder in Path(f.filename).parents]
    raised: dict[str, Any] = {"type": str(type(error).__name__), "text": _text(error)}
    raised["frames"] = [(Path(f.filename).name, f.lineno or 0, f.name) for f in frames[-20:]]
    raised["kind"] = next((k.__name__ for k in _KINDS if isinstance(error, k)), "")
    if isinstance(error, SyntaxError) and error.filename:
        raised["text"] = str(error.msg)
        raised["frames"] = [(Path(str(error.filename)).name, error.lineno or 0, "")]
    return raised


_KINDS = (ForbiddenImport, NotImplementedError, MemoryError, SyntaxError)


def _text(error):
    try:
        return str(error)[:2000]
    except BaseException:  # its __str__ is the student's
        return ""
