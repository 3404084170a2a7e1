"""The array module behind every other file: NumPy on a CPU, CuPy on CUDA, or anything that speaks NumPy.

`xp` stands for that module: `xp.exp(x)` is `numpy.exp(x)` or `cupy.exp(x)`. This is the only file that knows
which, and the home of the few operations that the array modules do not spell alike or do not all do fast.

Another module can take NumPy's place if it has these names, with NumPy's meaning (a test keeps the list true):

    add arange argpartition argsort asarray ceil clip concatenate cos cumsum divide empty empty_like exp finfo float32
    full full_like inf log matmul maximum minimum multiply ndarray ones pad repeat sign sin sort sqrt stack subtract
    take_along_axis tanh tri where zeros zeros_like

and its arrays these, beside operators, indexing and, if they are not in host memory, get():

    T all any argmax astype base copy cumsum dtype fill max mean min ndim reshape shape size sum swapaxes transpose
"""

import contextlib
import ctypes
import functools
import importlib
import math
import mmap
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy
from threadpoolctl import ThreadpoolController

from .gpu import BackendError, import_cupy


class OutOfMemoryError(BackendError, MemoryError):
    """The arrays did not fit; the message says what to make smaller."""


class _ArrayModule:
    """Looks like the chosen module. A name is fetched once and kept, so `xp.exp` costs what `numpy.exp` does."""

    def __getattr__(self, name):
        value = getattr(_module, name)
        setattr(self, name, value)
        return value


_module: Any = numpy
_cuda = False  # whether the module runs kernels on a GPU, where the number of them decides, not the passes over memory
xp: Any = _ArrayModule()


def use_backend(backend: Any) -> None:
    """Choose the array module for everything made from now on.

    backend: "numpy", "cupy", or a module object with NumPy's interface. Arrays made before stay where they
    are, so choose before building a model. Also set by the environment variable MINIXFMR_BACKEND.
    Raises BackendError, in one sentence, if it is unknown, not installed or has no GPU to run on.
    """
    global _module, _cuda
    if backend == "numpy":
        module = numpy
    elif backend == "cupy":
        module = import_cupy()
    elif isinstance(backend, str) or not hasattr(backend, "matmul"):
        raise BackendError(f'unknown backend {backend!r}: use "numpy", "cupy" or a NumPy-like module object')
    else:
        module = backend
    _module, _cuda = module, hasattr(module, "cuda")
    vars(xp).clear()


def backend_name() -> str:
    """The name of the array module in use, such as "numpy"."""
    return _module.__name__


@contextlib.contextmanager
def backend(name: Any) -> Iterator[None]:
    """Use another backend for a while:   with minixfmr.backend("cupy"): ...   name, errors: as of use_backend."""
    before = _module
    use_backend(name)
    try:
        yield
    finally:
        use_backend(before)


@contextlib.contextmanager
def fits_in_memory(advice):
    """Say what to make smaller where memory runs out."""
    try:
        yield
    except OutOfMemoryError:
        raise
    except MemoryError as error:
        raise OutOfMemoryError(f"out of memory ({error}): {advice}") from error


def to_numpy(array: Any) -> numpy.ndarray:
    """The array as a numpy.ndarray on the host; a NumPy array comes back as it is."""
    return array.get() if hasattr(array, "get") else numpy.asarray(array)


def to_device(array: Any, dtype: Any = None) -> Any:
    """The array (of any backend) or nested list as an array of the backend in use."""
    return xp.asarray(array if isinstance(array, xp.ndarray) else to_numpy(array), dtype=dtype)


def number(x):
    """An array without axes as a Python float; on a GPU as it is, since fetching it waits for all work before it."""
    return x if _cuda else float(x)


def to_floats(*numbers):
    """Python floats of such numbers, fetched in one trip."""
    return to_numpy(xp.stack([xp.asarray(x, dtype="float64") for x in numbers])).tolist()


def check_array(array, name):
    """Raise TypeError unless it is an array of the backend in use: mixed with others it fails somewhere deep inside."""
    if not isinstance(array, xp.ndarray):
        kind = type(array)
        raise TypeError(
            f"{name} is a {kind.__module__}.{kind.__name__}, the backend in use is {backend_name()}: convert it with "
            "minixfmr.to_device, or, if it belongs to a model, build or load that after use_backend"
        )


def from_file(path, dtype, count, offset):
    """A flat numpy.ndarray on the host, of so many numbers from there on in a file."""
    return numpy.fromfile(path, dtype, count, offset=offset)


def by_columns(array):
    """The same matrix with its columns one after the other in memory: the order in which generation reads it fastest,
    where it is too large for the cache."""
    return xp.asarray(array, order="F") if array.ndim == 2 and array.size >= 1 << 18 else array


def joined(arrays, axis):
    """Host arrays one after the other along an axis."""
    return numpy.concatenate(arrays, axis=axis)


# --- memory


def shared_zeros(size, dtype):
    """A flat array of zeros, on a CPU in memory that processes forked from this one share with it. Of what is not
    shared, a forked process would keep a copy as soon as this one writes to it."""
    if _module is not numpy:
        return xp.zeros(size, dtype)
    return numpy.frombuffer(mmap.mmap(-1, max(size, 1) * numpy.dtype(dtype).itemsize), dtype, size)


def is_shared(array):
    """Whether an array is a view of one that shared_zeros made (or lies on a GPU, where nothing is forked)."""
    return not isinstance(array, numpy.ndarray) or isinstance(getattr(array.base, "base", None), memoryview)


def keep_freed_memory():
    """Let the C library keep up to 1 GiB of freed arrays for the next ones, instead of asking the system for fresh
    pages each time, which costs up to a tenth of a training step. So it is said to glibc; others do as they like.
    """
    with contextlib.suppress(OSError, TypeError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD, the most it allows: smaller blocks come from what is kept
        mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD


# --- threads


@functools.cache
def _blas():
    return ThreadpoolController()  # looking for the libraries takes a while


@functools.cache
def _threads():
    return ThreadPoolExecutor(_cores())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # a forked process would wait for threads it has not got


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_all_cores(function, parts, worth=True):
    """function(part) for each of the parts of large arrays, on all cores, if that is worth more than the waiting for
    Python's lock that it costs."""
    if _module is numpy and worth:
        shares = [parts[core :: _cores()] for core in range(_cores())]
        list(_threads().map(lambda share: [function(part) for part in share], shares))
    else:
        for part in parts:
            function(part)


def one_blas_thread():
    """For a `with`: each matrix product runs on one core, where the cores have other work, or the products are so
    small that waiting for a second core costs more than it saves."""
    return _blas().limit(limits=1, user_api="blas")


# --- products


def times(a, b):
    """a @ b, of matrices (N, n) and (n, m); for a few rows a, as generation has them, in the fastest order."""
    if _module is numpy and 1 < len(a) < 64 and b.flags.f_contiguous:
        return _few_rows(a, b.T)
    return a @ b


def _few_rows(a, table):
    """a tableᵀ. To read the table (m, n) is most of the work, and as the left factor it is read fastest. OpenBLAS
    would first make a copy of it, but not in products of less than a million multiplications: hence the parts."""
    N = len(a)
    if N > 8 or a.size * len(table) <= 10**6:
        return (table @ a.T).T
    columns, product = a.T.copy(), numpy.empty((len(table), N), a.dtype)

    def multiply(part):
        numpy.matmul(table[part], columns, out=product[part])

    on_all_cores(multiply, row_blocks(table, 10**6 // N), table.size > 1 << 21)
    return product.T


def mostly_zero(rows):
    """Which rows (N, n) are not all 0, as indices, if they are the lesser part; else None. On a GPU always None, since
    it would have to be waited for."""
    if _cuda:
        return None
    used = rows.any(axis=-1)
    return used.nonzero()[0] if 2 * used.sum() < len(used) else None


# --- sums, as products with ones: BLAS adds up rows several times faster than NumPy's .sum(axis). CuPy's is one kernel,
# where a product of stacked matrices with one vector is five and more


@functools.lru_cache(256)
def _filled(shape, value, dtype, module):
    return module.full(shape, value, dtype)  # kept: making it would take a small model as long as the product


def row_sum(x):
    """Sum over the last axis, which stays with length 1:  (..., n) → (..., 1)."""
    return x.sum(axis=-1, keepdims=True) if _cuda else x @ _filled((x.shape[-1], 1), 1, x.dtype, _module)


def row_mean(x):
    """Mean over the last axis, which stays with length 1:  (..., n) → (..., 1)."""
    return x.mean(axis=-1, keepdims=True) if _cuda else x @ _filled((x.shape[-1], 1), 1 / x.shape[-1], x.dtype, _module)


def column_sum(x):
    """Sum over the last axis but one, which stays with length 1:  (..., m, n) → (..., 1, n)."""
    return x.sum(axis=-2, keepdims=True) if _cuda else _filled((1, x.shape[-2]), 1, x.dtype, _module) @ x


def column_max(x):
    """Largest over the last axis but one, which stays with length 1:  (..., m, n) → (..., 1, n).

    By halves, as NumPy's .max(axis) takes short columns one number at a time.
    """
    if _cuda:
        return x.max(axis=-2, keepdims=True)
    while (m := x.shape[-2]) > 1:
        half = (m + 1) // 2  # where m is odd, the one in the middle is on both sides
        x = xp.maximum(x[..., :half, :], x[..., m - half :, :])
    return x


def row_dot(a, b):
    """Sum of a · b over the last axis, which stays with length 1:  (..., n), (..., n) → (..., 1)."""
    if _module is numpy:
        return numpy.vecdot(a, b)[..., None]
    return (a * b).sum(axis=-1, keepdims=True)


def row_mean_dot(a, b):
    """Mean of a · b over the last axis, which stays with length 1:  (..., n), (..., n) → (..., 1)."""
    return row_dot(a, b) / a.shape[-1] if _module is numpy else (a * b).mean(axis=-1, keepdims=True)


def sum_rows(x):
    """Sum over every axis but the last:  (..., n) → (n,)."""
    rows = x.reshape(-1, x.shape[-1])
    return rows.sum(axis=0) if _cuda else _filled((len(rows),), 1, x.dtype, _module) @ rows


def add_at(table, ids, rows):
    """table[id] += row for each pair; unlike `table[ids] += rows`, an id that occurs twice counts twice.

    On a GPU in any order, so that two runs may differ by rounding.
    ids: (N,)    rows: (N, ...)
    """
    if _module is not numpy or not len(ids):
        xp.add.at(table, ids, rows)
        return
    order = ids.argsort(kind="stable")  # equal ids side by side, so that a sum over each run of them does it
    ordered = ids[order]
    starts = numpy.flatnonzero(numpy.concatenate(([True], ordered[1:] != ordered[:-1])))
    table[ordered[starts]] += numpy.add.reduceat(rows[order], starts, axis=0)


# --- elementwise functions


def in_blocks(function, x, results=1):
    """Arrays of the shape of x, as many as results, of which each element comes from that of x alone, over blocks
    that stay in the cache: where many cheap passes follow each other, memory is then read only once.

    function(block, *outs) fills the blocks outs.
    """
    flat = x.reshape(-1, 1)
    outs = [xp.empty_like(flat) for _ in range(results)]
    for part in row_blocks(flat):
        function(flat[part], *(out[part] for out in outs))
    return [out.reshape(x.shape) for out in outs]


def row_blocks(x, size=1 << 16):
    """Slices of the rows of x (N, n), one after the other, each of a few rows, about size numbers, that stay in the
    cache together."""
    rows = max(1, len(x) if _cuda else size // x.shape[1])  # on a GPU all of them
    return [slice(start, start + rows) for start in range(0, len(x), rows)]


# erf(x) = tanh(x · P(x²)) with P fitted by least squares on |x| ≤ 4.2, weighted by the error it causes;
# beyond that erf is ±1 in float32. Largest error 1.4e-7, about the rounding of float32, at the price of a tanh.
_ERF_P = (
    1.12837971,
    0.102765482,
    -1.84385045e-4,
    -6.25718144e-4,
    8.97119234e-5,
    -5.98555549e-6,
    1.58950448e-7,
)
_erf_exact = numpy.frompyfunc(math.erf, 1, 1)


def erf(x):
    """The error function, 2/√π ∫₀ˣ exp(-t²) dt, to the precision of x's dtype."""
    if _cuda:
        return importlib.import_module("cupyx.scipy.special").erf(x)
    if x.dtype == xp.float32:
        square = xp.minimum(x * x, 4.2**2)
        p = square * _ERF_P[-1]
        for coefficient in _ERF_P[-2:0:-1]:  # Horner's rule
            p += coefficient
            p *= square
        p += _ERF_P[0]
        p *= x
        return xp.tanh(p, out=p)
    return to_device(_erf_exact(to_numpy(x)).astype(x.dtype))


# --- random numbers: drawn on the host, so that a seed gives the same weights and data order on every backend. Only
# dropout, which needs far more of them, is drawn where it is used


class _Generator(numpy.random.Generator):
    on_gpu: Any = None  # the one there that was seeded from this one


def random_generator(seed: Any) -> numpy.random.Generator:
    """A generator from a seed (an int or a sequence of ints); a generator comes back as it is."""
    return seed if isinstance(seed, numpy.random.Generator) else _Generator(numpy.random.SFC64(seed))


def _on_gpu(rng):
    """CuPy's generator for one of NumPy's. It is kept with ours, as starting one costs more than drawing from it."""
    kept = getattr(rng, "on_gpu", None)
    if kept is None:
        kept = xp.random.Generator(xp.random.Philox4x3210(int(rng.integers(1 << 63))))
        if isinstance(rng, _Generator):
            rng.on_gpu = kept
    return kept


def random_keep(rng, shape, p):
    """A boolean array, False with probability p (rounded to 1/65536): 16 random bits an element suffice."""
    if _cuda:
        return _on_gpu(rng).random(shape, dtype="float32") >= round(p * 65536) / 65536
    size = math.prod(shape)
    bits = rng.bit_generator.random_raw(-(-size // 4)).view(numpy.uint16)[:size]
    return to_device((bits >= numpy.uint16(round(p * 65536))).reshape(shape))


if os.environ.get("MINIXFMR_BACKEND"):
    use_backend(os.environ["MINIXFMR_BACKEND"])
keep_freed_memory()
