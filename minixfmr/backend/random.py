"""Random numbers: drawn on the host, so that a seed gives the same weights and data order on every backend. Only
dropout, which needs far more of them, is drawn where it is used."""

import math
from typing import Any

import numpy

from .switch import backend_name, to_device, xp


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
    """A boolean array, False with probability p (rounded to 1/65536): 16 random bits per element suffice."""
    if backend_name() == "cupy":
        return _on_gpu(rng).random(shape, dtype="float32") >= round(p * 65536) / 65536
    size = math.prod(shape)
    bits = rng.bit_generator.random_raw(-(-size // 4)).view(numpy.uint16)[:size]
    return to_device((bits >= numpy.uint16(round(p * 65536))).reshape(shape))
