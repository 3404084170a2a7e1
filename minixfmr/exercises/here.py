"""The marker's other way: where a system has no processes, as in a browser tab, students' code runs in this one.

Questions and answers pass through the same words as between two processes, so that the judge sees the same. Nothing
limits what the code takes, and nothing keeps it from what the marker has in memory: for oneself, not for a class.
"""

import contextlib
import errno
import sys
from pathlib import Path
from typing import Any

import numpy

from ..gradcheck.visit import quiet, visit
from .child.channel import received
from .child.student import Student

MISSING = (
    "there are no processes here, so a file runs in the marker's own: its memory, its time (an endless loop has to be "
    "interrupted) and what it reads and changes are not limited, and it can reach the marker itself"
)
BUSY = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOENT, errno.EACCES}


def has_none(error: Exception) -> bool:
    """Whether a failure to start a process says that the system has none, not that it can have no more just now. A
    student's file can bring about the latter, and must not come to run in the marker's process by it."""
    return not (isinstance(error, OSError) and error.errno in BUSY)


class Here:
    """Stands in for a Child: the same questions, answered in this process."""

    def __init__(self, name: str, folder: Path, seconds: float) -> None:
        self.seconds = seconds
        self._student = Student(name, folder, self)
        self._ask_judge: Any = None
        self._reply: Any = None
        self._console = sys.stdout, sys.stderr

    def ask(self, order: dict, answer: Any = None) -> Any:
        """What the student's code answers to the order; answer: the judge's function that it may call."""
        self._ask_judge, self._console = answer, (sys.stdout, sys.stderr)
        with quiet(), numpy.errstate():
            reply = self._student.answer(received(order))
        if reply.get("raised", {}).get("type") == "KeyboardInterrupt":
            raise KeyboardInterrupt  # whoever waits wants it to end
        return received(reply)

    def send(self, value: Any) -> None:
        """The student's side of a question to the judge."""
        out, err = self._console
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            self._reply = {"answer": self._ask_judge(received(value)["ask"])}

    def receive(self) -> Any:
        """The judge's answer."""
        return received(self._reply)


@contextlib.contextmanager
def here(name: str, folder: Path, seconds: float):
    """A Here for folder/name.py; afterwards this process is as it was."""
    with visit(folder):
        yield Here(name, folder, seconds)
