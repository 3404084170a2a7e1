"""Published ways to stretch rotary positions to longer texts than in training, as frequencies."""

import math
from typing import Any

import numpy

from .keys import Values, read

ROPE_KEYS = {
    "rope_parameters": read(None),
    "rope_scaling": read(None),
    "rope_theta": read(10000.0),
    "partial_rotary_factor": read(None),
    "original_max_position_embeddings": read(None),
}
NUMBERS = {  # what each type needs, and what it may have
    "default": ("", ""),
    "linear": ("factor", ""),
    "dynamic": ("factor", ""),
    "llama3": ("factor low_freq_factor high_freq_factor", ""),
    "yarn": ("", "factor attention_factor beta_fast beta_slow mscale mscale_all_dim truncate"),
    "longrope": ("short_factor long_factor", "factor attention_factor"),
}
FREE = {"rope_theta", "rope_type", "type", "partial_rotary_factor", "original_max_position_embeddings"}


def rope_fields(
    c: Values,
    dh: int,
    *,
    partial: bool = False,
    keys: tuple[str, str] = ("rope_theta", "partial_rotary_factor"),
    kinds: dict[str, str] | None = None,
) -> dict[str, Any]:
    """The fields of Config. dh: width of a head; partial: whether a part of it may turn, and not all; keys: names of
    the two beside the dictionary; kinds: other names of types.
    Raises CheckpointError for a scaling that cannot be obeyed."""
    rope, key = (c.rope_scaling, "rope_scaling") if c.rope_scaling else (c.rope_parameters, "rope_parameters")
    rope = {} if rope is None else rope
    if not isinstance(rope, dict):
        raise c.refuse(key, "must be a dictionary such as {'rope_type': 'linear', 'factor': 2.0}")
    kind = str(rope.get("rope_type", rope.get("type", "default")))
    kind = (kinds or {}).get(kind, kind)
    if kind not in NUMBERS:
        raise c.refuse(key, f"has a rope_type that is not known; known are {', '.join(NUMBERS)}")
    needed, optional = (set(names.split()) for names in NUMBERS[kind])
    _check(c, key, rope, needed, optional)
    theta = rope.get("rope_theta", getattr(c, keys[0]))
    if isinstance(theta, bool) or not isinstance(theta, int | float) or not theta > 0:
        raise c.refuse(key if "rope_theta" in rope else keys[0], "must be, or have as rope_theta, a number over 0")
    turning = key if "partial_rotary_factor" in rope else keys[1]
    part = rope.get("partial_rotary_factor", getattr(c, keys[1])) if partial or kind != "default" else 1.0
    width = _width(c, dh, 1.0 if part is None else part, turning)
    if width < dh and not partial:
        raise c.refuse(turning, f"turns {width} of the {dh} entries of a head: only all of them can turn here")
    if width % 2 and kind in ("dynamic", "yarn", "longrope"):
        raise c.refuse(turning, f"leaves {width} of the {dh} entries of a head to turn, which is odd")
    return {"rope_theta": float(theta), "rope_scaling": _scaling(c, kind, rope, width, dh, float(theta))}


def _width(c, dh, part, key):
    """How many entries of a head turn."""
    if isinstance(part, bool) or not isinstance(part, int | float) or not 0 < part <= 1:
        raise c.refuse(key, "must be, or have as partial_rotary_factor, a number in (0, 1]")
    width = int(dh * part)  # an odd one has a last wave that is half outside, and yet turns two entries
    if part < 1 and (width < 1 or width + width % 2 > dh):
        raise c.refuse(key, f"leaves {width} of the {dh} entries of a head to turn")
    return width


def _check(c, key, rope, needed, optional):
    """Raise CheckpointError for numbers that are missing, unknown or no numbers."""
    missing, unknown = sorted(needed - set(rope)), sorted(set(rope) - needed - optional - FREE)
    if missing:
        raise c.refuse(key, f"lacks {', '.join(missing)}")
    if unknown:
        raise c.refuse(key, f"has {', '.join(unknown)}, which this rope_type does not read: remove it")
    for name in (needed | optional) & set(rope):
        value = rope[name]
        numbers = value if name.endswith(("short_factor", "long_factor")) else [value]
        ok = isinstance(numbers, list) and all(
            n is None or (isinstance(n, int | float) and math.isfinite(n)) for n in numbers
        )
        if not ok or (name in needed and None in numbers):
            raise c.refuse(key, f"needs a number for {name}, got {value!r}")
    if rope.get("factor") is not None and not rope["factor"] > 0:
        raise c.refuse(key, "needs a factor greater than 0")


def _scaling(c, kind, rope, width, dh, theta):
    """Config's rope_scaling: None, or {"frequencies": ..., "factor": ...}, see layers/variants/rotary.py."""
    i = numpy.arange((width + 1) // 2)
    frequency = theta ** (-2.0 * i / width)
    s, longest = rope.get("factor"), c.max_position_embeddings
    original = c.original_max_position_embeddings or rope.get("original_max_position_embeddings") or longest
    if kind == "default":
        return None if width == dh else _neutral(frequency)
    if kind == "linear":
        return _neutral(frequency / s)
    if kind == "dynamic":  # the base grows with the text
        return {"width": width, "growth": s, "length": longest}
    if kind == "llama3":  # slow waves are stretched, fast ones are not, those between a little
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        turns = original * frequency / (2 * math.pi)  # within the original length
        keep = numpy.clip((turns - low) / (high - low), 0, 1)
        return _neutral(frequency * (keep + (1 - keep) / s))
    s = s or longest / original
    if kind == "yarn":
        return _neutral(frequency * _ramp(rope, width, original, theta, s), _yarn_factor(rope, s))
    factor = rope.get("attention_factor")  # longrope: a factor for each wave, found by search (Ding et al. 2024)
    if factor is None:
        factor = 1.0 if s <= 1 else math.sqrt(1 + math.log(s) / math.log(original))
    short, long = (numpy.asarray(rope[name], "float64") for name in ("short_factor", "long_factor"))
    if short.shape != i.shape or long.shape != i.shape:
        raise c.refuse("rope_scaling" if c.rope_scaling else "rope_parameters", f"needs {len(i)} numbers a list")
    beyond = {"long_frequencies": (frequency / long).tolist(), "length": original}
    return _neutral(frequency / short, factor) | beyond


def _neutral(frequencies, factor=1.0):
    return {"frequencies": frequencies.tolist(), "factor": float(factor)}


def _ramp(rope, width, original, theta, s):
    """The factor of each frequency in yarn: slow waves are stretched, by a ramp over the index (Peng et al. 2023)."""

    def index_of(turns):
        return width * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low, high = index_of(rope.get("beta_fast") or 32), index_of(rope.get("beta_slow") or 1)
    if rope.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, width - 1)
    stretch = numpy.clip((numpy.arange(width // 2) - low) / (high - low if high != low else 0.001), 0, 1)
    return 1 - stretch + stretch / s


def _yarn_factor(rope, s):
    def grown(m):
        return 0.1 * m * math.log(s) + 1 if s > 1 else 1.0

    if rope.get("attention_factor") is not None:
        return rope["attention_factor"]
    m, m_all = rope.get("mscale"), rope.get("mscale_all_dim")
    return grown(m) / grown(m_all) if m and m_all else grown(1)
