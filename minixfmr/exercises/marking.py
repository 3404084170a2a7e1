"""Mark a folder: each exercise in a process of its own, where there are any, judged here."""

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..backend import backend
from .compare import NotRight, NotStarted
from .exercise import Exercise
from .process import ChildEnded, Limits, UserError, Workshop, WorkshopError
from .session import Session, plain, read_source, sendable

USES_WRONG = "uses a file that is wrong"


@dataclass
class Part:
    """The outcome of one check of an exercise."""

    label: str
    state: str  # right, wrong, not started
    points: int
    possible: int
    message: str = ""


@dataclass
class Result:
    """The outcome of an exercise."""

    name: str
    state: str  # right, wrong, not started
    parts: list[Part]
    message: str = ""
    cause: str = ""  # of what is wrong, in a few words, for the tally of a class
    hints: tuple[str, str, str] = ("", "", "")  # which array, which line or step, what
    report: str = ""
    uses: list[str] = field(default_factory=list)  # the student's other files that it imported

    @property
    def points(self) -> int:
        return sum(part.points for part in self.parts)

    @property
    def possible(self) -> int:
        return sum(part.possible for part in self.parts)


class Marker:
    """Marks exercises. Use as a context: its processes end with it.

    explain: where no named mistake fits, let the gradient checker search for the reason, in a process of its own.
    """

    def __init__(self, limits: Limits, explain: bool = True, fork: bool | None = None) -> None:
        self.limits = limits
        self.workshop = Workshop(limits, fork=fork)
        self.explainers = Workshop(limits, ("minixfmr.gradcheck",), fork) if explain else None

    def __enter__(self) -> "Marker":
        return self

    def __exit__(self, *_: Any) -> None:
        self.workshop.close()
        if self.explainers:
            self.explainers.close()

    @property
    def missing(self) -> list[str]:
        """What this system does not limit, in sentences; known once something was marked."""
        return list(self.workshop.missing)

    def folder(self, folder: Path, exercises: Iterable[Exercise]) -> Iterator[Result]:
        """The results of a folder's exercises, one by one. Where one imports a file that is wrong, that is said."""
        seen: dict[str, str] = {}
        for exercise in exercises:
            result = self.mark(exercise, folder, {name for name, state in seen.items() if state == "wrong"})
            seen[result.name] = result.state
            blame = [f"{used}.py" for used in result.uses if seen.get(used) == "wrong"]
            if result.state == "wrong" and blame:
                result.message += f" (it uses {' and '.join(blame)}, not right itself)"
                result.cause = USES_WRONG
            yield result

    def mark(self, exercise: Exercise, folder: Path, wrong: set[str] | None = None) -> Result:
        """The result of one exercise. wrong: what is known to be wrong; where it uses that, no reason is searched."""
        parts = [Part(check.label, "not started", 0, check.points) for check in exercise.checks]
        result = Result(exercise.name, "not started", parts)
        path = folder / f"{exercise.name}.py"
        if not path.exists() and not path.is_symlink():
            result.message = "file missing"
            return result
        try:
            read_source(path)
            with backend("numpy"), self.workshop.child(exercise.name, folder) as child:
                session = Session(child, exercise.name, folder, self.limits.memory)
                try:
                    self._checks(exercise, session, result, wrong or set())
                finally:
                    result.uses = [u for u in session.uses if re.fullmatch(r"\w{1,80}", u)]
        except NotRight as error:
            _wrong(result, error)
        except UserError:
            raise
        except NotStarted as error:
            _not_started(result, str(error), exercise)
        except ChildEnded:
            _wrong(result, NotRight("the process ended before it was asked anything"))
        except WorkshopError as error:
            _wrong(result, NotRight(f"could not be run: {error}"))
        except Exception as error:  # an answer that nobody thought of costs this exercise alone
            _wrong(result, NotRight(f"what came back could not be judged ({type(error).__name__})"))
        return result

    def _checks(self, exercise, session, result, wrong):
        session.load()
        search = self.explainers is not None and not wrong & set(session.uses)
        explain = functools.partial(self._explained, self.explainers, session) if search else None
        for check, part in zip(exercise.checks, result.parts, strict=True):
            check.run(session, explain)
            part.state, part.points = "right", check.points
        result.state = "right"

    def _explained(self, explainers, session, forward, backward, arguments):
        """What the gradient checker says, in a new child. What it says is text alone, and earns nothing."""
        order = {"do": "explain", "forward": forward, "backward": backward, "seconds": 5.0}
        try:
            with explainers.child(session.name, session.folder) as child:
                child.ask({"do": "load"})
                reply = child.ask(order | sendable(arguments))
        except ChildEnded:
            return [], ""
        if not isinstance(reply, dict) or not isinstance(reply.get("reasons"), list):
            return [], ""
        pairs = [p for p in reply["reasons"] if isinstance(p, tuple) and len(p) == 2]
        report = "\n".join(plain_line(line) for line in str(reply.get("report") or "").splitlines()[:80])
        return [(plain(cause, 80), plain(text, 600)) for cause, text in pairs if plain(text)], report


def plain_line(text: str) -> str:
    """A line of a table, its columns kept, without what a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in text[:200]).encode("utf-8", "replace").decode().rstrip()


def _wrong(result, error):
    part = next(p for p in result.parts if p.state != "right")
    part.state, part.message = "wrong", str(error)
    result.state, result.message, result.report = "wrong", str(error), error.report
    result.cause = error.cause or "other"
    where = error.where or result.name
    found = re.search(r"\w+\.py:\d+(, `[^`]*`)?", str(error))
    place = error.place or (found.group() if found else "")
    result.hints = (f"{where} is not right", f"look at {place}" if place else f"{where} is not right", str(error))


def _not_started(result, function, exercise):
    done = [part.label for part in result.parts if part.state == "right"]
    if function and function != exercise.functions[0]:
        first = f"{' and '.join(done)} is right, " if done else ""
        result.message = f"{first}{function} is not started"
