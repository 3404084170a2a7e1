"""Workers that compute at the same time: processes where they can be forked, else threads.

A thread has to wait for Python's lock before and after each array operation, which costs small models all that a
second core would gain; a forked process has a lock of its own, and sees the same weights in shared memory. CUDA and
the systems beside Linux do not bear a fork, and get threads.
"""

import contextlib
import multiprocessing
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

from .cores import one_blas_thread
from .switch import on_gpu


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


class ForkedWorker:
    """The same in a copy of this process. It ends with this one, even when that is killed: its pipe then closes."""

    _pipes: ClassVar[list] = []  # our ends, of all workers

    def __init__(self, compute):
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._pipes.append(self._pipe)
        self._process = context.Process(target=self._serve, args=(compute, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def start(self, *arguments):
        with contextlib.suppress(OSError):  # a dead process is reported by result
            self._pipe.send(arguments)

    def result(self):
        try:
            value = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise RuntimeError("a worker process was killed; is there enough memory for so many?") from error
        if isinstance(value, BaseException):
            raise value
        return value

    def close(self):
        self._pipes.remove(self._pipe)
        self._pipe.close()
        self._process.join()

    def _serve(self, compute, pipe):
        for other in self._pipes:  # copies of them would keep the pipes open when their process is gone
            other.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the first process decides what to do
        with one_blas_thread():
            while True:
                try:
                    arguments = pipe.recv()
                    try:
                        value = compute(*arguments)
                    except Exception as error:
                        value = error
                    pipe.send(value)
                except (EOFError, OSError):  # nobody is there any more
                    return


def new_worker(compute):
    """A worker of the kind that can be had."""
    forks = sys.platform == "linux" and not on_gpu()
    return (ForkedWorker if forks else ThreadWorker)(compute)


def close_all(workers):
    """End these workers and empty the list."""
    while workers:
        workers.pop().close()
