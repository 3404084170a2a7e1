"""Random numbers: drawn on the host, so that a seed gives the same weights and data order on every backend. Only
dropout, which needs far more of them, is drawn where it is used."""

from typing import Any

import numpy

from .products import lies_by_columns
from .switch import has_cuda, on_gpu, to_device, xp


class _Generator(numpy.random.Generator):
    on_gpu: Any = None  # the one there that was seeded from this one


def random_generator(seed: Any) -> numpy.random.Generator:
    """A generator from a seed (an int or a sequence of ints); a generator comes back as it is. None: another each time.
    Raises ValueError for anything else."""
    if isinstance(seed, numpy.random.Generator):
        return seed
    try:
        if isinstance(seed, bool):
            raise TypeError("a boolean is no number to draw from")
        return _Generator(numpy.random.SFC64(seed))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"a seed must be an integer of at least 0, a list of such, None or a generator, got {seed!r:.60}"
        ) from error


def _on_gpu(rng):
    """CuPy's generator for one of NumPy's. It is kept with ours, as starting one costs more than drawing from it."""
    kept = getattr(rng, "on_gpu", None)
    if kept is None:
        kept = xp.random.Generator(xp.random.Philox4x3210(int(rng.integers(1 << 63))))
        if isinstance(rng, _Generator):
            rng.on_gpu = kept
    return kept


def random_keep(rng, x, p):
    """(a boolean array of the shape and layout of x, False with probability p; that p, rounded to 1/65536, since 16
    random bits per element suffice)"""
    threshold = round(p * 65536)
    if has_cuda():
        return _on_gpu(rng).random(x.shape, dtype="float32") >= threshold / 65536, threshold / 65536
    bits = rng.bit_generator.random_raw(-(-x.size // 4)).view(numpy.uint16)[: x.size]
    keep = bits >= numpy.uint16(threshold)
    if not on_gpu() and lies_by_columns(x):
        keep = keep.reshape(x.swapaxes(-1, -2).shape).swapaxes(-1, -2)
    return to_device(keep.reshape(x.shape)), threshold / 65536
