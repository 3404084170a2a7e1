"""Damaged files: what is read is what was written, or, where no checksum can tell, what the file says; or it is refused
by a sentence that names the file, and nothing is changed."""

import json

import numpy
import safetensors
import safetensors.numpy

import minixfmr
from minixfmr.pretrained import FAMILIES
from minixfmr.pretrained.keys import COMMON
from minixfmr.pretrained.settings import NEUTRAL, OBEYED

from . import damage
from .originals import Original, originals
from .runner import Case, is_ours


def case(rng):
    """One damaged file, or one damaged dictionary."""
    if rng.random() < 0.1:
        return damage.choose(rng, (from_dict, load_state_dict))(rng)
    original = damage.choose(rng, originals())
    name = damage.choose(rng, sorted(original.files))
    if rng.random() < 0.08:
        return out_of_place(rng, original, name)
    what, data = damaged(rng, original, name)
    expected = expectation(original, name, data)

    def run():
        (original.folder / name).write_bytes(data)
        return guarded(original, name)

    return Case(f"{original.door}({name}: {what})", run, lambda result: difference(result, expected))


def damaged(rng, original, name):
    """(what was done, other bytes)"""
    data = original.files[name]
    if data[:1] in b"{[":
        if rng.random() < 0.25:
            return damage.in_bytes(rng, data)
        what, value = damage.in_json(rng, json.loads(data), settings(json.loads(data)))
        how, other = damage.json_bytes(rng, value)
        return what + how, other
    kinds = damage.in_bytes, damage.in_tensors, damage.flipped_numbers
    what, other = damage.choose(rng, kinds)(rng, data)
    if rng.random() < 0.05:  # another file of the same kind in its place, such as another shard
        others = sorted(n for n in original.files if n.endswith("tensors") and n != name)
        what, other = ("another", original.files[damage.choose(rng, others)]) if others else (what, other)
    return what, other


def settings(value):
    """The names of all that a config.json of this kind, or a generation_config.json, may say."""
    kind = value.get("model_type") if isinstance(value, dict) else None
    return sorted(set(COMMON) | set(FAMILIES[kind].keys) if kind in FAMILIES else set(OBEYED) | set(NEUTRAL))


def out_of_place(rng, original, name):
    """Something else where the file is: a pipe, a folder, a link ..."""
    seed = int(rng.integers(2**31))

    def run():
        kind = damage.in_place(numpy.random.default_rng(seed), original.folder / name)
        return kind, guarded(original, name)

    def check(result):
        kind, loaded = result
        optional = name == "generation_config.json" and kind in ("gone", "nowhere")
        return None if optional else difference(loaded, Expected(original.expected))

    return Case(f"{original.door}({name}: out of place {seed})", run, check)


def guarded(original: Original, name: str):
    """What the reader gives; an error must name the folder, and leave what is read into as it was."""
    before = {key: array.copy() for key, array in original.unchanged().items() if key}
    try:
        return original.read(original.folder)
    except Exception as error:
        after = original.unchanged()
        assert all(same(before[key], after[key]) for key in before), f"it failed, and changed something: {error}"
        named = original.folder.name in str(error) or loaded(error)
        assert named or not is_ours(error), f"the file is not named: {error}"
        raise
    finally:
        original.restore(name)


def loaded(error):
    """Whether the error is one of using the model, after it was loaded."""
    frames, trace = [], error.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    return "forward" in frames


# --- what must come of it


class Expected:
    """arrays: as they must be, None where the file cannot be read.    said: → whether what else was loaded is right"""

    def __init__(self, arrays, said=None):
        self.arrays = arrays
        self.said = said or (lambda result: damage_free(result, arrays))


def damage_free(result, arrays):
    return text(result.get("")) == text(arrays.get(""))


def text(value):
    return json.dumps(value, sort_keys=True, default=str)


def expectation(original, name, data):
    """What reading the folder may give where this file has these bytes."""
    expected = original.expected
    if name.endswith(".json") and name != "tokenizer.json":
        return Expected(
            expected, None if original.door.split()[0] == "load" else lambda r: obeyed(r, expected, name, data)
        )
    if original.sealed:
        return Expected(expected)
    return Expected(*as_stored(original, name, data))


def as_stored(original, name, data):
    """(arrays, said) as of Expected, by the library's own reader: what the tensors in the damaged file say. A file of
    numbered numbers tells which number goes where."""
    numbers, training = [], None
    try:
        for file in sorted(n for n in original.files if not n.endswith(".json")):
            stored = safetensors.numpy.load(data if file == name else original.files[file])
            for tensor in sorted(safetensors.numpy.load(original.files[file])):
                numbers.append(stored.get(tensor, numpy.zeros(0)).astype("float32").reshape(-1))
        if original.door.startswith("load_training"):
            training = json.loads(damage.parts(data)[0]["__metadata__"]["training"])
            training = [training["progress"], training["t"], training["notes"]]
    except Exception:  # of any kind: what the library cannot read must not be read
        return {"": None}, None
    flat, places = numpy.concatenate(numbers), original.places()
    if max(place.max() for place in places.values()) >= flat.size:
        return {"": None}, None
    said = training or original.expected.get("")
    return {"": said} | {key: flat[place] for key, place in places.items()}, lambda r: text(r.get("")) == text(said)


def obeyed(result, expected, name, data):
    """Whether a config.json or the like is obeyed to the letter, as far as the model has such a setting."""
    wanted = json.loads(data)
    if name == "run.json":
        return text(result[""][0]) == text(wanted)
    if not isinstance(wanted, dict) or "." in name.rpartition("/")[0] or not isinstance(result[""], list):
        return True
    _, published, generation = result[""]
    where = generation if name == "generation_config.json" else published
    ignored = {"architectures", "eos_token_id"}
    return all(text(where[key]) == text(v) for key, v in wanted.items() if key in where and key not in ignored)


def difference(result, expected):
    """What is wrong with what was loaded; None if nothing is."""
    if not expected.said(result):
        return "what is said is not what was written"
    if isinstance(result.get(""), list) and text(result[""][0]) != text((expected.arrays.get("") or [0])[0]):
        return None  # another configuration, which was obeyed
    if set(result) - {""} != set(expected.arrays) - {""}:
        return "other arrays"
    wrong = [key for key in result if key and not same(result[key], expected.arrays[key])]
    return f"{', '.join(wrong)} is not what was written" if wrong else None


def same(a, b):
    """Whether two arrays are the same in every bit."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


# --- dictionaries

CONFIG = minixfmr.Config(vocab_size=9, d_model=8, num_heads=2, d_ff=12, num_encoder_layers=1, num_decoder_layers=1)
DEFAULTS = minixfmr.Config(vocab_size=9).to_dict()


def from_dict(rng):
    what, values = damage.in_json(rng, CONFIG.to_dict())

    def check(config):
        return None if text(config.to_dict()) == text(DEFAULTS | values) else "not what was given"

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
