"""A strict double of CuPy that needs no GPU: NumPy underneath, CuPy's manners on top.

An array here is no numpy.ndarray. Mixed with one it raises TypeError, and so does NumPy when it is asked to convert
one. Only what minixfmr needs is here, with CuPy's own argument names, which test_cupy.py compares with the real
package. `counts` keeps what costs time on a GPU: kernel launches, copies between the two memories, and waiting.

Launches are those of CuPy's source (version 14): one for each operation on arrays but views; for a matrix product of
more than two axes, also the copies that make its operands contiguous, and the pointer tables if one is broadcast.
"""

import math
import types
from dataclasses import dataclass, field

import numpy

MESSAGE = (
    "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly."
)


@dataclass
class Counts:
    launches: int = 0
    uploads: list = field(default_factory=list)  # what was copied to the device: (dtype, shape)
    downloads: list = field(default_factory=list)  # what was fetched, each time waiting for all work before it

    def clear(self):
        self.launches = 0
        self.uploads.clear()
        self.downloads.clear()


counts = Counts()


def _made(result, launches=1):
    """A new device array around a NumPy one; reductions give arrays without axes, never scalars."""
    counts.launches += launches
    array = object.__new__(ndarray)
    array._host, array.base = numpy.asarray(result), None
    return array


def _operand(x):
    """What NumPy is to compute with: the inside of a device array, or a scalar."""
    if type(x) is ndarray:
        return x._host
    if isinstance(x, int | float | numpy.generic):
        return x
    raise TypeError(f"Unsupported type {type(x)}")


def _upload(x, dtype=None):
    host = numpy.array(x, dtype=dtype)
    if host.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {host.dtype}")
    counts.uploads.append((host.dtype, host.shape))
    return host


class ndarray:  # the name that CuPy gives it
    __slots__ = ("_host", "base")
    __array_ufunc__ = None  # so that NumPy leaves an operation on both kinds to the refusal below
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, *_, **__):
        raise TypeError("make arrays with cupy.asarray, zeros and their like")

    def __array__(self, *_, **__):
        raise TypeError(MESSAGE)

    def __reduce_ex__(self, protocol):
        raise TypeError("an array on a GPU does not belong in a file: use to_numpy")

    def __deepcopy__(self, memo):
        return self.copy()

    # --- what waits for the device

    def get(self):
        counts.downloads.append((self._host.dtype, self._host.shape))
        return self._host.copy()

    def item(self):
        return self.get().item()

    def tolist(self):
        return self.get().tolist()

    def __bool__(self):
        return bool(self.get())

    def __int__(self):
        return int(self.get())

    def __float__(self):
        return float(self.get())

    def __repr__(self):
        return repr(self.get())

    def __format__(self, spec):
        return format(self.get() if self.ndim else self.item(), spec)

    # --- shape

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    T = property(lambda self: self._view(self._host.T))

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def _view(self, host):
        """Another look at the same memory, or, if NumPy had to copy, a new array and a launch."""
        if host.size and not numpy.may_share_memory(host, self._host):
            return _made(host)
        view = _made(host, launches=0)
        view.base = self if self.base is None else self.base
        return view

    def reshape(self, *shape):
        return self._view(self._host.reshape(*shape))

    def transpose(self, *axes):
        return self._view(self._host.transpose(*axes))

    def swapaxes(self, axis1, axis2):
        return self._view(self._host.swapaxes(axis1, axis2))

    # --- indexing

    def _key(self, key):
        """(the key for NumPy, launches): index arrays wrap around as CuPy's do, and several are first made into one."""
        keys = key if isinstance(key, tuple) else (key,)
        arrays = []
        found = []
        for k in keys:
            if type(k) is ndarray:
                k = k._host
                if k.dtype == bool:
                    counts.downloads.append((k.dtype, ()))  # how many are True decides the shape
                arrays.append(k)
            elif isinstance(k, list | numpy.ndarray):
                k = _upload(k, None if len(k) else numpy.int32)
                arrays.append(k)
            found.append(k)
        if arrays and all(isinstance(k, slice | int | numpy.ndarray) for k in found):
            axes = zip(found, self.shape, strict=False)
            found = [k % n if isinstance(k, numpy.ndarray) and k.dtype != bool and n else k for k, n in axes]
        return tuple(found), (len(arrays) + 2 if len(arrays) > 1 else len(arrays))

    def __getitem__(self, key):
        key, launches = self._key(key)
        if launches == 0:
            return self._view(self._host[key if Ellipsis in key else (*key, ...)])
        return _made(self._host[key], launches)

    def __setitem__(self, key, value):
        key, launches = self._key(key)
        value = _operand(value)
        if launches and not isinstance(value, numpy.ndarray):
            value = _upload(value, self.dtype)
        counts.launches += max(launches, 1)
        self._host[key] = value

    # --- arithmetic

    def __matmul__(self, other):
        if type(other) is not ndarray:
            raise TypeError(f"Unsupported type {type(other)}")
        return matmul(self, other)

    def __rmatmul__(self, other):
        raise TypeError(f"Unsupported type {type(other)}")

    # --- methods, with CuPy's arguments

    def astype(self, dtype, copy=True):
        return self if not copy and self.dtype == dtype else _made(self._host.astype(dtype))

    def copy(self):
        return _made(self._host.copy())

    def fill(self, value):
        if not isinstance(value, int | float | numpy.generic):
            raise TypeError(f"Unsupported type {type(value)}")
        counts.launches += 1
        self._host.fill(value)

    def all(self, axis=None, keepdims=False):
        return _made(self._host.all(axis=axis, keepdims=keepdims))

    def any(self, axis=None, keepdims=False):
        return _made(self._host.any(axis=axis, keepdims=keepdims))

    def argmax(self, axis=None, keepdims=False):
        return _made(self._host.argmax(axis=axis, keepdims=keepdims))

    def cumsum(self, axis=None, dtype=None):
        return _made(self._host.cumsum(axis=axis, dtype=dtype))

    def max(self, axis=None, keepdims=False):
        return _made(self._host.max(axis=axis, keepdims=keepdims))

    def mean(self, axis=None, dtype=None, keepdims=False):
        return _made(self._host.mean(axis=axis, dtype=dtype, keepdims=keepdims))

    def min(self, axis=None, keepdims=False):
        return _made(self._host.min(axis=axis, keepdims=keepdims))

    def sum(self, axis=None, dtype=None, keepdims=False):
        return _made(self._host.sum(axis=axis, dtype=dtype, keepdims=keepdims))


def _operators():
    """+, -, <, ... from NumPy's ufuncs: forwards, backwards and in place."""
    names = dict(add="add", sub="subtract", mul="multiply", truediv="true_divide", floordiv="floor_divide")
    names |= dict(mod="remainder", pow="power", and_="bitwise_and", or_="bitwise_or", xor="bitwise_xor")

    def make(ufunc):
        def forwards(self, other):
            return _made(ufunc(self._host, _operand(other)))

        def backwards(self, other):
            return _made(ufunc(_operand(other), self._host))

        def in_place(self, other):
            counts.launches += 1
            ufunc(self._host, _operand(other), out=self._host, casting="same_kind")
            return self

        return forwards, backwards, in_place

    for name, ufunc in names.items():
        forwards, backwards, in_place = make(getattr(numpy, ufunc))
        for prefix, function in (("", forwards), ("r", backwards), ("i", in_place)):
            setattr(ndarray, f"__{prefix}{name.rstrip('_')}__", function)
    for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
        short = {"equal": "eq", "not_equal": "ne"}.get(name, name[0] + ("e" if "_" in name else "t"))
        setattr(ndarray, f"__{short}__", make(getattr(numpy, name))[0])
    for name, ufunc in (("neg", numpy.negative), ("abs", numpy.abs), ("invert", numpy.invert)):
        setattr(ndarray, f"__{name}__", lambda self, ufunc=ufunc: _made(ufunc(self._host)))


_operators()


class ufunc:
    """A function of each element. CuPy's take neither `where` nor axes."""

    def __init__(self, numpy_ufunc):
        self._ufunc = numpy_ufunc

    def __call__(self, *args, out=None, casting="same_kind", dtype=None):
        args = [_operand(x) for x in args]
        if out is None:
            return _made(self._ufunc(*args, casting=casting, dtype=dtype))
        if type(out) is not ndarray:
            raise TypeError(f"return arrays must be of ArrayType, not {type(out)}")
        counts.launches += 1
        self._ufunc(*args, out=out._host, casting=casting, dtype=dtype)
        return out

    def at(self, a, indices, b=None):
        if type(indices) is not ndarray or type(b) is not ndarray or a.dtype.kind != "f":
            raise TypeError("here only floats are added, and only at places in a device array")
        counts.launches += 1
        self._ufunc.at(a._host, indices._host, b._host)


UFUNCS = "add ceil cos divide exp log maximum minimum multiply sign sin sqrt subtract tanh"
globals().update({name: ufunc(getattr(numpy, name)) for name in UFUNCS.split()})

float32, inf, finfo = numpy.float32, numpy.inf, numpy.finfo


def matmul(a, b, out=None):
    launches = 1
    if max(a.ndim, b.ndim) > 2:
        launches += sum(not x._host.flags.c_contiguous for x in (a, b))
        if a.ndim != b.ndim or a.shape[:-2] != b.shape[:-2]:
            launches += 3 * (max(a.ndim, b.ndim) - 2)
    product = _made(a._host @ b._host, launches)
    if out is None:
        return product
    if not out._host.flags.c_contiguous:  # then the product is made elsewhere and copied
        counts.launches += 1
    out._host[...] = product._host
    return out


def asarray(a, dtype=None):
    if type(a) is ndarray:
        return a.astype(dtype or a.dtype, copy=False)
    return _made(_upload(a, dtype), launches=0)


def arange(start, stop=None, step=1, dtype=None):
    return _made(numpy.arange(*((0, start) if stop is None else (start, stop)), step, dtype=dtype))


def empty(shape, dtype=float):
    return _made(numpy.empty(shape, dtype), launches=0)


def empty_like(prototype):
    return _made(numpy.empty_like(_array(prototype)), launches=0)


def full(shape, fill_value, dtype=None):
    return _made(numpy.full(shape, fill_value, dtype))


def full_like(a, fill_value):
    return _made(numpy.full_like(_array(a), fill_value))


def ones(shape, dtype=float):
    return _made(numpy.ones(shape, dtype))


def zeros(shape, dtype=float):
    return _made(numpy.zeros(shape, dtype))


def zeros_like(a):
    return _made(numpy.zeros_like(_array(a)))


def tri(N, M=None, k=0, dtype=float):
    return _made(numpy.tri(N, M, k, dtype))


def _array(x):
    if type(x) is not ndarray:
        raise TypeError(f"Unsupported type {type(x)}")
    return x._host


def concatenate(tup, axis=0):
    return _made(numpy.concatenate([_array(x) for x in tup], axis))


def stack(tup, axis=0):
    return _made(numpy.stack([_array(x) for x in tup], axis))


def pad(array, pad_width):
    return _made(numpy.pad(_array(array), pad_width), 2 + 2 * sum(pair != (0, 0) for pair in pad_width))


def repeat(a, repeats, axis=None):
    return _made(numpy.repeat(_array(a), repeats, axis))


def where(condition, x=None, y=None):
    return _made(numpy.where(_array(condition), _operand(x), _operand(y)))


def clip(a, a_min, a_max):
    return _made(numpy.clip(_array(a), a_min, a_max))


def cumsum(a, axis=None):
    return _made(numpy.cumsum(_array(a), axis))


def sort(a, axis=-1):
    return _made(numpy.sort(_array(a), axis, kind="stable"))


def argsort(a, axis=-1, kind=None):
    if kind not in (None, "stable"):
        raise ValueError(f"unknown kind of sort {kind!r}")
    return _made(numpy.argsort(_array(a), axis, kind="stable"))


def argpartition(a, kth, axis=-1):
    return _made(numpy.argpartition(_array(a), kth, axis))


def take_along_axis(a, indices, axis):
    return _made(numpy.take_along_axis(_array(a), _array(indices), axis), 2 * a.ndim + 1)


class _BitGenerator:
    def __init__(self, seed=None):
        self.generator = numpy.random.Generator(numpy.random.Philox(seed))
        counts.launches += 1


class _Generator:
    def __init__(self, bit_generator):
        self._generator = bit_generator.generator

    def random(self, size=None, dtype=float):
        return _made(self._generator.random(size, dtype), -(-math.prod(size) // 256_000))


random = types.SimpleNamespace(Philox4x3210=_BitGenerator, Generator=_Generator)


class CUDARuntimeError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


cuda = types.SimpleNamespace(
    runtime=types.SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        getDeviceCount=lambda: 1,
        driverGetVersion=lambda: 12090,
        runtimeGetVersion=lambda: 12090,
    ),
    memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
)

# what stands for the module cupyx.scipy.special
_erf = numpy.frompyfunc(math.erf, 1, 1)
special = types.ModuleType("special")
special.erf = lambda x: _made(_erf(_array(x)).astype(x.dtype))
