"""Cores: threads for passes over large arrays, and how many of them BLAS may take."""

import contextlib
import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from threadpoolctl import ThreadpoolController

from .switch import on_gpu


@functools.cache
def has_threads() -> bool:
    """Whether a thread can be started: not in a browser tab."""
    try:
        thread = threading.Thread(target=int)
        thread.start()
    except RuntimeError:
        return False
    thread.join()
    return True


def cores() -> int:
    """How many cores this process may use: one where no threads can be started."""
    if not has_threads():
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _blas():
    return ThreadpoolController()  # finding the libraries takes a while


@functools.cache
def _threads():
    return ThreadPoolExecutor(cores())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # fork copies no threads: the child would wait forever


def on_all_cores(function, parts, worth=True):
    """function(part) for each of the parts of large arrays, on all cores, if they have no other work and that is worth
    more than the waiting for Python's lock that it costs."""
    if worth and not on_gpu() and cores() > 1 and not _busy:
        shares = [parts[core :: cores()] for core in range(cores())]
        with one_blas_thread():
            list(_threads().map(lambda share: [function(part) for part in share], shares))
    else:
        for part in parts:
            function(part)


_busy: list = []  # not empty where each core has work of its own


@contextlib.contextmanager
def one_blas_thread():
    """For a `with`: each matrix product runs on one core, where the cores have other work, or the products are so
    small that waiting for a second core costs more than it saves."""
    _busy.append(True)
    try:
        with _blas().limit(limits=1, user_api="blas"):
            yield
    finally:
        _busy.pop()
