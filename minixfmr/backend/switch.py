"""The array module behind every other file: NumPy on a CPU, CuPy on CUDA, or anything that speaks NumPy.

`xp` stands for that module: `xp.exp(x)` is `numpy.exp(x)` or `cupy.exp(x)`. Only this package knows which.

Another module can take NumPy's place if it has these names, with NumPy's meaning (a test keeps the list true):

    arange argsort asarray ceil clip concatenate cos cumsum empty empty_like exp finfo float32 full full_like inf log
    matmul maximum minimum ndarray ones pad repeat sign sin sort sqrt stack take_along_axis tanh tri where zeros
    zeros_like

and its arrays these, beside operators, indexing and, if they are not in host memory, get() or asnumpy:

    T all any argmax astype base copy cumsum dtype fill max mean min ndim reshape shape size sum swapaxes transpose

`add.at`, `argpartition` and random generators are used where the module has them; elsewhere others do that part.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy

from .cuda import BackendError, import_cupy

Array: TypeAlias = Any  # a numpy.ndarray, or the array of the backend in use, which no type checker knows


class OutOfMemoryError(BackendError, MemoryError):
    """The arrays did not fit; the message says what to make smaller."""


def _names():
    """The names that this file's docstring lists."""
    return (__doc__ or "").split("\n\n")[3].split()


class _ArrayModule:
    """Looks like the chosen module. A name is fetched once and kept, so `xp.exp` costs what `numpy.exp` does."""

    def __getattr__(self, name):
        value = getattr(_module, name)
        setattr(self, name, value)
        return value


_module: Any = numpy
xp: Any = _ArrayModule()


def use_backend(backend: Any) -> None:
    """Choose the array module for everything made from now on.

    backend: "numpy", "cupy", or a module object with NumPy's interface. Arrays made before stay where they
    are, so choose before building a model. Also set by the environment variable MINIXFMR_BACKEND.
    Raises BackendError, in one sentence, if it is unknown, not installed or has no GPU to run on.
    """
    global _module
    if isinstance(backend, str) and backend == "numpy":
        module = numpy
    elif isinstance(backend, str) and backend == "cupy":
        module = import_cupy()
    elif isinstance(backend, str) or not hasattr(backend, "matmul"):
        raise BackendError(f'unknown backend {backend!r:.60}: use "numpy", "cupy" or a NumPy-like module object')
    else:
        module = backend
        lacking = [name for name in _names() if not hasattr(module, name)]
        if lacking:
            raise BackendError(f"{module!r:.60} cannot take NumPy's place: it has no {', '.join(lacking)}")
    _module = module
    vars(xp).clear()


def backend_name() -> str:
    """The name of the array module in use, such as "numpy"."""
    return _module.__name__


def on_gpu() -> bool:
    """Whether arrays live on a device: kernel launches dominate there, and reading a number waits for all work before.

    The one flag by which this package tells NumPy on a CPU, where passes over memory dominate, from all others.
    """
    return _module is not numpy


def has_cuda() -> bool:
    """Whether the module is CuPy, for the few things that it has and other modules lack."""
    return on_gpu() and hasattr(_module, "cuda")


@contextlib.contextmanager
def backend(name: Any) -> Iterator[None]:
    """Use another backend for a while:   with minixfmr.backend("cupy"): ...   name, errors: as of use_backend."""
    before = _module
    use_backend(name)
    try:
        yield
    finally:
        use_backend(before)


def to_numpy(array: Any) -> numpy.ndarray:
    """The array as a numpy.ndarray on the host; a NumPy array comes back as it is."""
    if type(array) is numpy.ndarray:
        return array
    if hasattr(array, "get") and hasattr(array, "dtype"):
        return array.get()
    if hasattr(_module, "asnumpy") and isinstance(array, _module.ndarray):
        return _module.asnumpy(array)
    try:
        return numpy.asarray(array)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"a {type(array).__name__} cannot become an array: {error}") from error


def to_device(array: Any, dtype: Any = None) -> Array:
    """The array (of any backend) or nested list of numbers as an array of the backend in use. Raises TypeError for
    anything else."""
    try:
        found = array if isinstance(array, xp.ndarray) else to_numpy(array)
        if found.dtype.kind in "biufc":
            return xp.asarray(found, dtype=dtype)
        problem: Any = f"{found.dtype} is no kind of number"
    except (TypeError, ValueError) as error:
        problem = error
    raise TypeError(f"a {type(array).__name__} cannot become an array{f' of {dtype!r:.40}' * bool(dtype)}: {problem}")


def number(x: Array) -> Any:
    """An array without axes as a Python float; on a GPU as it is, since fetching it waits for all work before it."""
    return x if on_gpu() else float(x)


def to_floats(*numbers: Any) -> list[float]:
    """Python floats of such numbers, fetched in one trip."""
    return to_numpy(xp.stack([xp.asarray(x, dtype="float64") for x in numbers])).tolist()


def check_array(array: Any, name: str) -> None:
    """Raise TypeError unless it is an array of the backend in use: mixed with others it fails somewhere deep inside."""
    if not isinstance(array, xp.ndarray):
        kind = type(array)
        raise TypeError(
            f"{name} is a {kind.__module__}.{kind.__name__}, the backend in use is {backend_name()}: convert it with "
            "minixfmr.to_device, or, if it belongs to a model, build or load that after use_backend"
        )


if os.environ.get("MINIXFMR_BACKEND"):
    use_backend(os.environ["MINIXFMR_BACKEND"])
