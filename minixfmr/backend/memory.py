"""Memory: arrays that forked processes share, what the C library keeps, and the order of a matrix."""

import contextlib
import functools
import os
import pathlib
import sys
from typing import Any

import numpy

from .switch import OutOfMemoryError, on_gpu, xp

try:
    import mmap
except ImportError:  # in some browsers' Python
    mmap = None  # type: ignore[assignment]


@contextlib.contextmanager
def fits_in_memory(advice):
    """Say what to make smaller where memory runs out."""
    try:
        yield
    except OutOfMemoryError:
        raise
    except MemoryError as error:
        raise OutOfMemoryError(f"out of memory ({error}): {advice}") from error


def free_memory() -> int:
    """Bytes that this process can still have, of the machine and of the control group that it is in."""
    free = [1 << 62]
    with contextlib.suppress(OSError, ValueError, IndexError):  # elsewhere than on Linux nothing is known
        found = dict(line.split(":") for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
        free.append(1024 * int(found["MemAvailable"].split()[0]))
    with contextlib.suppress(OSError, ValueError):
        free.append(int(pathlib.Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(free)


def shared_zeros(size, dtype):
    """A flat array of zeros, on a CPU in memory shared with forked processes; otherwise fork copies each page on its
    first write."""
    if on_gpu():
        return xp.zeros(size, dtype=dtype)
    length = max(size, 1) * numpy.dtype(dtype).itemsize
    memory: Any = mmap.mmap(-1, length) if forks() else bytearray(length)
    return numpy.frombuffer(memory, dtype, size)


def forks() -> bool:
    """Whether workers are forked from this process, and share its memory: on Linux, with NumPy."""
    return sys.platform == "linux" and not on_gpu() and hasattr(os, "fork") and mmap is not None


def is_shared(array):
    """Whether an array is a view of one that shared_zeros made (or lies on a GPU, where nothing is forked)."""
    return not isinstance(array, numpy.ndarray) or isinstance(getattr(array.base, "base", None), memoryview)


@functools.cache
def keep_freed_memory():
    """Let the C library keep up to 1 GiB of freed arrays for the next ones, instead of asking the system for fresh
    pages each time, which costs up to a tenth of a training step. glibc only; no effect elsewhere.

    Called where training or generation begins: importing the package changes nothing in the process.
    """
    _call_c("mallopt", -3, 32 << 20)  # M_MMAP_THRESHOLD, the most it allows: smaller blocks come from what is kept
    _call_c("mallopt", -1, 1 << 30)  # M_TRIM_THRESHOLD


def _call_c(name, *numbers):
    """Call a function of the C library, where it has one of this name."""
    with contextlib.suppress(OSError, TypeError, AttributeError, ImportError):
        import ctypes

        getattr(ctypes.CDLL(None), name)(*numbers)


def lay_out(parameters, by_columns):
    """Give each of {name: parameter} a new place, still empty, in one long array. The system maps that in huge pages,
    with which generation, where each token reads all weights, reads them up to a sixth faster.

    by_columns: the names of those whose columns lie one after the other, the order in which products of few rows read
    a matrix fastest, where it is too large for the cache
    """
    shapes = {name: p.data.shape for name, p in parameters.items()}
    places, end = {}, 0
    for name, p in parameters.items():
        places[name] = slice(end, end + p.data.size)
        end += -(-p.data.size // 16) * 16  # each begins at a line of the cache
        dtype, p.data = p.data.dtype, None  # free what was there before there is more
    _call_c("malloc_trim", 0)  # and let the system have it
    flat: Any = xp.empty(end, dtype=dtype) if parameters else None
    for name, p in parameters.items():
        values, shape = flat[places[name]], shapes[name]
        flip = name in by_columns and values.size >= 1 << 18
        p.data = values.reshape(shape[::-1]).T if flip else values.reshape(shape)
