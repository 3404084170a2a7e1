"""One exercise being judged: questions to the child, and sentences for whatever comes back but an answer."""

import re
import secrets
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy

from .child.channel import Other
from .compare import NotRight, NotStarted
from .process import Child, ChildEnded

LONGEST = 1 << 20  # bytes of a student's file
FORWARD_CALLS = 2  # that a backward may make: to compute again what was not saved
NEEDS = "needs a file that is not started"
SOLVES = "which exercises may not: NumPy is enough"


def read_source(path: Path) -> str:
    """The text of a student's file. Raises NotRight for anything but a regular file of reasonable size."""
    try:
        kind = path.lstat().st_mode
        if stat.S_ISLNK(kind) and path.resolve().parent != path.parent.resolve():
            raise NotRight(f"{path.name} is a link to another folder: hand in the file itself")
        if not stat.S_ISREG(path.stat().st_mode):
            raise NotRight(f"{path.name} is not a regular file")
        if path.stat().st_size > LONGEST:
            raise NotRight(f"{path.name} has more than {LONGEST >> 20} MiB: hand in the source alone")
        return path.read_bytes().decode("utf-8", "replace")
    except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself
        raise NotRight(f"{path.name} cannot be read: {getattr(error, 'strerror', error)}") from None


def plain(text: Any, length: int = 300) -> str:
    """Text of a student's process as one line that no terminal, table or JSON stumbles over."""
    text = text if isinstance(text, str) else ""
    text = "".join(c if c.isprintable() else " " for c in text[: 4 * length])
    text = " ".join(text.encode("utf-8", "replace").decode().split())
    return text if len(text) <= length else text[: length - 1] + "…"


class Session:
    """What a check of an exercise needs: fresh random numbers, the student's functions, sentences."""

    def __init__(self, child: Child, name: str, folder: Path, memory: float) -> None:
        self.child, self.name, self.folder, self.memory = child, name, folder, memory
        self.rng = numpy.random.default_rng(secrets.randbits(128))  # drawn for this student, after the file was loaded
        self.uses: list[str] = []
        self.saw_right_forward = False

    def load(self) -> None:
        """Let the child import the file."""
        self._ask({"do": "load"})

    def seed(self) -> int:
        """For a generator of the student's function."""
        return int(self.rng.integers(1 << 31))

    def call(self, function: str, arguments: tuple, names: list[str], answer: Callable | None = None) -> Any:
        """What the function returns. answer: stands in for the argument that is a function of ours, and answers it."""
        callbacks = [i for i, a in enumerate(arguments) if callable(a)]
        order = {"do": "call", "function": function, "callbacks": callbacks}
        reply = self._ask(order | sendable(arguments), answer)
        self._check_unchanged(function, reply, names)
        return reply.get("result")

    def forward(self, function: str, arguments: tuple, names: list[str]) -> Any:
        """y; what it saved stays with the child."""
        reply = self._ask({"do": "forward", "function": function} | sendable(arguments))
        if "no_pair" in reply:
            got = plain(reply["no_pair"])
            raise NotRight(f"{self._line(reply)}{function} returned {got}, expected a tuple (y, saved)")
        self._check_unchanged(function, reply, names)
        return reply.get("result")

    def backward(self, function: str, dy: Any) -> Any:
        """The gradients for dy. Raises NotRight where it differences the forward."""
        reply = self._ask({"do": "backward", "function": function, "dy": dy})
        self._check_unchanged(function, reply, ["dy"])
        calls = reply.get("calls") if isinstance(reply.get("calls"), dict) else {}
        same, moved = (n if isinstance(n := calls.get(k), int) else 0 for k in ("same", "moved"))
        if calls.get("unwatched") is True:
            raise NotRight(f"{function} takes away the profile that counts its calls", where=function)
        if same > FORWARD_CALLS or moved >= 2:
            raise NotRight(
                f"{function} calls the forward {max(same, moved)} times: that is differencing; a backward computes the "
                "gradient from dy and saved",
                cause="differences the forward",
                where=function,
            )
        return reply.get("result")

    def _ask(self, order, answer=None):
        try:
            reply = self.child.ask(order, answer)
        except ChildEnded as ended:
            raise NotRight(self._how_it_ended(ended.status)) from None
        if not isinstance(reply, dict):
            raise NotRight("the process answered something that the marker did not ask for")
        uses = reply.get("uses")
        self.uses = [u for u in uses if isinstance(u, str)] if isinstance(uses, list) else []
        if isinstance(reply.get("raised"), dict):
            self._raise(reply["raised"])
        if "missing_function" in reply:
            raise NotRight(f"{self.name}.py has no function {order.get('function')}")
        if "does_not_take" in reply:
            count = len(order.get("arguments", (0, 0)))
            why = plain(reply["does_not_take"])
            raise NotRight(f"{self._line(reply)}{order.get('function')} does not take its {count} arguments: {why}")
        return reply

    def _check_unchanged(self, function, reply, names):
        changed = reply.get("changed")
        for i in changed if isinstance(changed, list) else ():
            if isinstance(i, int) and 0 <= i < len(names):
                raise NotRight(
                    f"{function} changes {names[i]}, which it was given: work on a copy",
                    cause="changes what it was given",
                    where=function,
                )

    # --- what it raised, and how it ended

    def _raise(self, raised):
        frames = raised.get("frames")
        frames = [f for f in frames if isinstance(f, tuple) and len(f) == 3] if isinstance(frames, list) else []
        kind, text = plain(raised.get("kind")), plain(raised.get("text"))
        file, line, function = frames[-1] if frames else ("", 0, "")
        at = self._at(file, line)
        if kind == "NotImplementedError":
            self._not_started(file, function)
        if kind == "ForbiddenImport":
            raise NotRight(f"imports {text}, {SOLVES}{at}", cause="imports what would solve it")
        if kind == "MemoryError":
            raise NotRight(f"needs more than {self.memory:g} MB of memory{at}", cause="takes too much memory")
        name = plain(raised.get("type"), 60) or "an exception"
        if kind == "SyntaxError":
            code = self._text_of(file, line)
            where = f"{plain(file, 80)}:{line}: " if isinstance(line, int) else ""
            raise NotRight(f"{where}{name}: {text}{f', at `{code}`' if code else ''}", cause="does not compile")
        raise NotRight(f"raises {name}{': ' + text if text else ''}{at}", cause=f"raises {name}")

    def _not_started(self, file, function):
        if isinstance(file, str) and file and file != f"{self.name}.py":
            raise NotRight(f"needs {plain(function, 60)} of {plain(file, 80)}, not started", cause=NEEDS)
        raise NotStarted(plain(function, 60))

    def _at(self, file, line):
        code = self._text_of(file, line)
        place = plain(file, 80)
        return f", at {place}:{line}" + (f": `{code}`" if code else "") if place and isinstance(line, int) else ""

    def _text_of(self, file, line):
        """The student's line, as the file has it and not as its process says."""
        if not (isinstance(file, str) and re.fullmatch(r"\w{1,80}\.py", file) and type(line) is int and line > 0):
            return ""
        try:
            lines = read_source(self.folder / file).splitlines()
        except NotRight:
            return ""
        return plain(lines[line - 1], 120) if line <= len(lines) else ""

    def _line(self, reply):
        line = reply.get("line")
        return f"{self.name}.py:{line}: " if type(line) is int and line > 0 else ""

    def _how_it_ended(self, status):
        if status is None:
            return f"was still running after {self.child.seconds:g} seconds: an endless loop?"
        if status < 0:
            try:
                name = signal.Signals(-status).name
            except ValueError:
                name = f"signal {-status}"
            return f"the process crashed ({name})"
        return f"the process ended itself with status {status} before it was checked"


def sendable(arguments: tuple) -> dict[str, Any]:
    """What of the arguments is sent: generators as their seeds, and no functions."""
    seeds = {str(i): a.seed for i, a in enumerate(arguments) if isinstance(a, Seed)}
    sent = tuple(None if isinstance(a, Seed) or callable(a) else a for a in arguments)
    return {"arguments": sent, "generators": seeds}


class Seed:
    """Stands for a numpy.random.Generator among the arguments; the child makes one of this seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed


def what(value: Any) -> str:
    """What came back, in a few words."""
    return value.kind if isinstance(value, Other) else type(value).__name__
