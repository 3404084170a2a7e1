"""The marker's side of the processes that run students' code: they are started, asked, and ended here.

A server process, which has NumPy loaded, forks a child for each exercise (child/server.py). Where a system cannot
fork, each exercise gets a process of its own; where it has no processes, none (here.py). A child that kills or stops
its server costs its own exercise alone: the next one gets a new server.
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .child.channel import Channel, ChannelError
from .here import MISSING, has_none, here
from .readable import installed_paths

CHILD = Path(__file__).parent / "child"
PACKAGES = str(Path(__file__).resolve().parents[2])  # where minixfmr is, installed or not
START = (  # the folder as a package of its own, so that nothing of minixfmr is loaded with it
    "import sys, types; package = types.ModuleType('marker'); package.__path__ = [sys.argv[1]]; "
    "sys.modules['marker'] = package; import marker.server"
)
KEPT = ("PATH", "HOME", "PYTHONPATH", "PYTHONHOME", "LANG", "LC_ALL", "SYSTEMROOT", "TEMP", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Limits:
    """What one exercise may take. seconds: of computing; waiting may take three times as long."""

    seconds: float = 10.0
    memory: float = 2048.0  # megabytes, beside NumPy
    user: str = ""  # whose rights it has; "": the marker's. Another takes a marker that root runs


class ChildEnded(Exception):
    """The child did not answer; status: how it ended (negative for a signal), None if it was ended for being late."""

    def __init__(self, status: int | None) -> None:
        super().__init__(f"the child ended with status {status}")
        self.status = status


class Child:
    """One exercise's process, and questions to it."""

    def __init__(self, channel: Channel, seconds: float, end: Any) -> None:
        self.channel, self.seconds, self._end = channel, seconds, end
        self.until = time.monotonic() + 3 * seconds + 1
        self.missing: list[str] = []

    def ask(self, order: dict, answer: Any = None) -> Any:
        """What the child answers to the order; answer: the judge's function that the student's code may call."""
        try:
            self.channel.send(order, self._left())
            for _ in range(10_000):
                reply = self.channel.receive(self._left())
                if not (answer and isinstance(reply, dict) and "ask" in reply):
                    return reply
                self.channel.send({"answer": answer(reply["ask"])}, self._left())
            raise TimeoutError  # it asks without end
        except TimeoutError:
            raise ChildEnded(None) from None
        except ChannelError:
            pass
        status = self.end()
        cpu = getattr(signal, "SIGXCPU", 0)
        raise ChildEnded(None if cpu and status in (-cpu, None) else status)

    def end(self) -> int | None:
        """End the process, if it has not ended. → its status"""
        self.channel.close()
        end, self._end = self._end, lambda: None
        return end()

    def _left(self):
        return max(self.until - time.monotonic(), 0.001)


class Workshop:
    """Starts children. Use as a context: whatever is still running ends with it.

    modules: to be loaded before a child is forked
    fork: False for a process of its own for each; None: where the system cannot fork
    """

    def __init__(self, limits: Limits, modules: tuple[str, ...] = (), fork: bool | None = None) -> None:
        self.limits, self.modules = limits, modules
        self.forks = hasattr(os, "fork") if fork is None else fork
        self.alone = False  # whether this system turned out to have no processes
        self.server: subprocess.Popen | None = None
        self.control: Any = None  # a socket
        self.missing: dict[str, None] = {}  # what this system does not limit, each once

    def __enter__(self) -> "Workshop":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    @contextlib.contextmanager
    def child(self, name: str, folder: Path) -> Iterator[Any]:
        """A process that is ready to load folder/name.py: a Child, or a Here where the system has no processes.

        Raises WorkshopError where there are too many for another one."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            started = self._started(scratch)
            if not started:
                with here(name, folder, self.limits.seconds) as stand_in:
                    yield stand_in
                return
            channel, end = started
            child = Child(channel, self.limits.seconds, end)
            job: dict[str, Any] = {"name": name, "folder": str(folder), "scratch": scratch}
            if self.limits.user:
                job["user"] = _user(self.limits.user)
                os.chown(scratch, *job["user"])
            job |= {
                "memory": self.limits.memory,
                "seconds": self.limits.seconds,
                "readable": "\n".join(self._readable()),
            }
            try:
                self.missing |= dict.fromkeys(child.ask(job)["missing"])
                child.until = time.monotonic() + 3 * self.limits.seconds + 1
                yield child
            finally:
                child.end()

    def tell_missing(self) -> None:
        """Say what this system does not limit; known once a child was started."""
        for sentence in self.missing:
            print(f"not limited on this system: {sentence}", file=sys.stderr)

    def close(self) -> None:
        """End the server, and with it its child."""
        if self.control:
            self.control.close()
        if self.server:
            with contextlib.suppress(OSError):
                os.killpg(self.server.pid, signal.SIGKILL)
            self.server.kill()
            self.server.wait()
        self.server = self.control = None

    def _started(self, scratch):
        """(the channel to a new process, what ends it), or None where this system has no processes."""
        if not self.alone:
            try:
                return self._fork() if self.forks else self._spawn(scratch)
            except WorkshopError:
                raise
            except (OSError, AttributeError, ImportError, NotImplementedError, RuntimeError) as error:
                self.close()
                if not has_none(error):
                    raise WorkshopError(f"no process can be started for students' code: {error}") from None
            self.alone = True
            self.missing[MISSING] = None
            if self.limits.user:
                raise UserError(f"there are no processes here that could run as {self.limits.user}")
        return None

    def _fork(self):
        for attempt in (1, 2):  # the server may have been killed meanwhile
            self._ensure_server()
            ours, theirs = socket.socketpair()
            try:
                socket.send_fds(self.control, [b"s"], [theirs.fileno()])
                pid = self._number()
                break
            except (OSError, ValueError):
                self.close()
                if attempt == 2:
                    raise WorkshopError("the process that starts students' code does not run") from None
            finally:
                theirs.close()
        return Channel(ours), lambda: self._end_fork(pid)

    def _end_fork(self, pid):
        try:
            self.control.sendall(b"e")
            return self._number()
        except (OSError, ValueError, AttributeError):  # the server is gone, or was stopped
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
            self.close()
            return None

    def _number(self):
        """The number that the server answers with, in a line. Raises OSError or ValueError if it does not."""
        self.control.settimeout(10)
        return int(self.control.makefile("rb").readline())

    def _ensure_server(self):
        if self.server and self.server.poll() is None:
            return
        self.close()
        self.control, theirs = socket.socketpair()
        self.server = self._start("fork", str(theirs.fileno()), *self.modules, pass_fds=[theirs.fileno()])
        theirs.close()

    def _spawn(self, scratch):
        token = secrets.token_hex(16)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(30)
            process = self._start("once", str(listener.getsockname()[1]), token)
            try:
                connection, _ = listener.accept()
                connection.settimeout(30)
                known = secrets.compare_digest(connection.recv(len(token), socket.MSG_WAITALL), token.encode())
            except OSError:
                known = False
        if not known:
            process.kill()
            raise WorkshopError("the process that runs students' code did not start")
        return Channel(connection), lambda: _end_spawned(process)

    def _start(self, *arguments, **options):
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        if self.modules:
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [PACKAGES, environment.get("PYTHONPATH")]))
        return subprocess.Popen(  # -B: no __pycache__ in the folder. -P: the working folder is not searched for modules
            [sys.executable, "-B", "-P", "-c", START, str(CHILD), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment | threads,
            start_new_session=True,  # a process group of its own, to be ended as a whole
            **options,
        )

    def _readable(self):
        """What a student's code may read: Python, what is installed, the system's libraries; not the right results."""
        return installed_paths() + ([PACKAGES, *filter(None, sys.path)] if self.modules else [])


class WorkshopError(RuntimeError):
    """A process for students' code cannot be started, though the system has processes."""


class UserError(ValueError):
    """Children cannot run as this user; the message says why."""


def _user(name):
    """(uid, gid) of a user. Raises UserError unless this process may become that user."""
    try:
        import pwd

        entry = pwd.getpwnam(name)
    except (ImportError, KeyError):
        raise UserError(f"there is no user {name!r} on this system: make one, as with useradd {name}") from None
    if os.geteuid() and os.geteuid() != entry.pw_uid:
        raise UserError(f"to run students' code as {name}, the marker has to be run by root")
    return entry.pw_uid, entry.pw_gid


def _end_spawned(process):
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1)
    if hasattr(os, "killpg"):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    return process.wait()
