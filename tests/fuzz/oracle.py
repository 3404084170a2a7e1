"""What reading a damaged file may give, and what is wrong with what it gave."""

import json

import numpy
import safetensors
import safetensors.numpy

from . import damage


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
    sealed = name == "tokenizer.json" or original.door.split()[0] == "load"
    if name.endswith(".json"):
        return Expected(expected, None if sealed else lambda result: obeyed(original, result, name, data))
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


def well_pooled(said, name, wanted):
    """Whether a sentence's vector is made as the folder asks for."""
    if name == "modules.json":
        return said["normalized"] == any(module["type"].endswith("Normalize") for module in wanted)
    if name == "1_Pooling/config.json":
        names = {"mean": "pooling_mode_mean_tokens", "first": "pooling_mode_cls_token"}
        asked = {kind for kind, key in names.items() if wanted.get(key)}
        return asked <= {said["pooling"]}
    return True


def obeyed(original, result, name, data):
    """Whether a text is obeyed to the letter, as far as the model has such a setting."""
    wanted = json.loads(data)
    if name == "run.json":
        return text(result[""][0]) == text(wanted)
    if original.door == "load_sentence_encoder":
        return well_pooled(result[""], name, wanted)
    if name not in ("config.json", "generation_config.json"):
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
