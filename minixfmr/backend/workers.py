"""Workers that compute at the same time: processes where they can be forked, else threads.

A thread has to wait for Python's lock before and after each array operation, which costs small models all that a
second core would gain; a forked process has a lock of its own, and sees the same weights in shared memory. CUDA and
systems other than Linux cannot fork safely, and get threads. A browser tab has neither: what would be done beside is
done in turn.
"""

import contextlib
import os
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

from .cores import has_threads, one_blas_thread
from .memory import forks

PATIENCE = 1.0  # seconds between two looks at a worker that has not answered yet


class WorkerError(RuntimeError):
    """A worker cannot answer, for it was killed or stopped from outside."""


class ThreadWorker:
    """A thread: start(*arguments) runs compute(*arguments), result() waits for what it returns."""

    def __init__(self, compute):
        self._compute, self._executor = compute, ThreadPoolExecutor(1)

    def start(self, *arguments):
        self._future = self._executor.submit(self._compute, *arguments)

    def result(self):
        return self._future.result()

    def close(self):
        self._executor.shutdown()


class InTurn:
    """The same without anything beside: start computes, and result returns that."""

    def __init__(self, compute):
        self._compute = compute

    def start(self, *arguments):
        try:
            self._value = self._compute(*arguments)
        except Exception as error:  # result raises it, as the others do
            self._value = error

    def result(self):
        if isinstance(self._value, Exception):
            raise self._value
        return self._value

    def close(self):
        """Nothing is to be ended."""


class ForkedWorker:
    """The same in a copy of this process. It ends with this one, even when that is killed: its pipe then closes."""

    _pipes: ClassVar[list] = []  # our ends, of all workers

    def __init__(self, compute):
        import multiprocessing  # where it is used: not every system can
        from multiprocessing.util import Finalize

        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._pipes.append(self._pipe)
        self._process = context.Process(target=self._serve, args=(compute, theirs), daemon=True)
        try:
            self._process.start()
        except BaseException:
            self._pipes.remove(self._pipe)
            raise
        theirs.close()
        # before multiprocessing waits, at the end of this process, for a worker that waits for its pipe to close
        self._at_exit = Finalize(self, _end, (self._pipe, self._process), exitpriority=10)

    def start(self, *arguments):
        with contextlib.suppress(OSError):  # a dead process is reported by result
            self._pipe.send(arguments)

    def result(self):
        try:
            while not self._pipe.poll(PATIENCE):
                self._check()
            value = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise WorkerError("a worker process was killed; is there enough memory for so many?") from error
        if isinstance(value, BaseException):
            raise value
        return value

    def _check(self):
        """Raise WorkerError if the process is stopped: it would never answer."""
        pid = self._process.pid or 0
        options = os.WSTOPPED | os.WNOHANG | os.WNOWAIT  # tell, and leave it as it is
        with contextlib.suppress(ChildProcessError):
            if os.waitid(os.P_PID, pid, options):
                raise WorkerError(f"the worker process {pid} was stopped by a signal")

    def close(self):
        if self._pipe in self._pipes:
            self._pipes.remove(self._pipe)
        self._at_exit()

    def _serve(self, compute, pipe):
        for other in self._pipes:  # copies of them would keep the pipes open when their process is gone
            other.close()
        import signal

        for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # they go to all; the first process decides what to do
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        with one_blas_thread():
            while True:
                try:
                    arguments = pipe.recv()
                    try:
                        value = compute(*arguments)
                    except Exception as error:
                        value = _sendable(error)
                    pipe.send(value)
                except (EOFError, OSError):  # nobody is there any more
                    return


def _sendable(error):
    """The error, or one of the same words if it does not survive the way through a pipe."""
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


def _end(pipe, process):
    """Close the pipe, at which the process ends by itself, or is made to if it cannot."""
    pipe.close()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()


def new_worker(compute):
    """A forked process on Linux with NumPy, else a thread. Where that cannot be started it is said what stands in."""
    if forks():
        try:
            return ForkedWorker(compute)
        except (OSError, ImportError, AttributeError, RuntimeError) as error:
            stand_in = "a thread" if has_threads() else "this process, in turn,"
            _say(f"a worker process cannot be started ({error}): {stand_in} computes in its place, slower")
    elif not has_threads():
        _say("neither processes nor threads can be started here: this process does all workers' work, in turn")
    return ThreadWorker(compute) if has_threads() else InTurn(compute)


def _say(sentence):
    warnings.warn(sentence, RuntimeWarning, stacklevel=3)


def close_all(workers):
    """End these workers and empty the list."""
    while workers:
        workers.pop().close()
