"""Damaged dictionaries: from_dict and load_state_dict."""

import numpy

import minixfmr

from . import damage
from .oracle import same, text
from .runner import Case

CONFIG = minixfmr.Config(vocab_size=9, d_model=8, num_heads=2, d_ff=12, num_encoder_layers=1, num_decoder_layers=1)
DEFAULTS = minixfmr.Config(vocab_size=9).to_dict()


def from_dict(rng):
    what, values = damage.in_json(rng, CONFIG.to_dict())

    def check(config):
        given = {name: type(config.to_dict()[name])(v) for name, v in values.items() if type(v) is int}  # 1 is 1.0
        return None if text(config.to_dict()) == text(DEFAULTS | values | given) else "not what was given"

    return Case(f"from_dict({what})", lambda: minixfmr.Config.from_dict(values), check)


def load_state_dict(rng):
    model, other = (minixfmr.DecoderOnly(CONFIG, seed=seed) for seed in (0, 1))
    state = model.state_dict()
    name, another = (damage.choose(rng, sorted(state)) for _ in range(2))
    array = state[name]
    odd = {
        "gone": None,
        "list": array.tolist(),
        "text": "weights",
        "integers": array.astype(int),
        "complex": array.astype(complex),
        "objects": array.astype(object),
        "texts": array.astype(str),
        "booleans": array > 0,
        "float64": array.astype("float64"),
        "float16": array.astype("float16"),
        "too large": array.astype("float64") + 1e300,
        "by columns": numpy.asfortranarray(array),
        "flat": array.reshape(-1),
        "scalar": numpy.float32(1.0),
        "another": state[another],
        "state": None,
    }
    what = damage.choose(rng, sorted(odd))
    changed = state | {name: odd[what]}
    if what == "gone":
        del changed[name]
    if what == "state":
        changed = damage.choose(rng, [None, 3, [], list(state), "model", {1: 2}, set(state), list(state.items())])

    def run():
        before = other.state_dict()
        try:
            other.load_state_dict(changed)
        except Exception as error:
            assert all(same(before[n], array) for n, array in other.state_dict().items()), f"changed, and {error}"
            raise
        return other.state_dict()

    def check(result):
        given = {n: numpy.asarray(a).astype("float32") for n, a in changed.items()}
        return None if all(same(result[n], given[n]) for n in result) else "not what was given"

    right, either = ("float64", "float16", "by columns", "list"), ("flat", "scalar", "another")
    valid = None if what in either else what in right
    return Case(f"load_state_dict({what} {name})", run, check, valid)
