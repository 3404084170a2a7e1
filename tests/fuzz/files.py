"""Damaged files: what is read is what was written, or, where no checksum can tell, what the file says; or it is refused
by a sentence that names the file, and nothing is changed."""

import functools
import importlib.util
import json

import numpy

from minixfmr.pretrained import FAMILIES
from minixfmr.pretrained.keys import COMMON
from minixfmr.pretrained.settings import NEUTRAL, OBEYED

from . import damage, dictionaries, ours, published
from .oracle import Expected, difference, expectation, same
from .original import Original
from .runner import Case, is_ours


@functools.cache
def originals() -> list[Original]:
    """One of each kind."""
    tutorial = []
    if all(importlib.util.find_spec(extra) for extra in ("tokenizers", "num2words", "tqdm")):
        from .tutorial import files, read

        tutorial = [Original("run", files(), read)]
    return [*ours.models(), *ours.weights(), *ours.training(), *published.published(), published.sentences(), *tutorial]


def case(rng):
    """One damaged file, or one damaged dictionary."""
    if rng.random() < 0.1:
        return damage.choose(rng, (dictionaries.from_dict, dictionaries.load_state_dict))(rng)
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
    if isinstance(value, dict) and "word_embedding_dimension" in value:
        return ["pooling_mode", "pooling_mode_lasttoken", "pooling_mode_max_tokens"]
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
