"""Hugging Face folders: config.json, generation_config.json, and weights in one file or several."""

import json
import math
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy
import safetensors
import safetensors.numpy

from ..checkpoint import CheckpointError, write_file
from ..layers import Convolution, Linear

STORED = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "uint16"}


class Lazy(Mapping):
    """{name: array}, where each array is read when it is asked for, so that a large model is in memory only once."""

    def __init__(self, readers):
        """readers: {name: function that returns the array}"""
        self.readers = readers

    def __getitem__(self, name):
        return self.readers[name]()

    def __iter__(self):
        return iter(self.readers)

    def __len__(self):
        return len(self.readers)


def read_json(path, missing=None):
    """The dictionary in a JSON file; missing, if that is given and there is no file. Raises CheckpointError."""
    if missing is not None and not path.is_file():
        return missing
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error


def read_tensors(folder):
    """{name: numpy.ndarray}, Lazy, of model.safetensors, or of all the files that model.safetensors.index.json names.

    bfloat16, which NumPy lacks, becomes float32; integer tables are left out. Raises CheckpointError.
    """
    index = folder / "model.safetensors.index.json"
    files = sorted(set(read_json(index)["weight_map"].values())) if index.is_file() else ["model.safetensors"]
    readers = {}
    for path in (folder / file for file in files):
        if not path.is_file():
            raise CheckpointError(f"there is no file {path}: the weights must be stored as safetensors")
        header, start = read_header(path)
        for name, item in header.items():
            if item["dtype"] in STORED:
                where = path, item["dtype"], item["shape"], start + item["data_offsets"][0]
                readers[name] = partial(read_tensor, *where)
            elif item["dtype"] not in ("I64", "I32", "U8", "BOOL"):  # position ids and mask buffers of old files
                raise CheckpointError(f"{path}: {name} is stored as {item['dtype']}, which is not supported")
    return Lazy(readers)


def read_header(path):
    """({name: dtype, shape and place}, where the places count from) of a safetensors file. Raises CheckpointError."""
    try:
        with safetensors.safe_open(path, "numpy"):  # is the file whole?
            pass
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from error
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return header, 8 + length


def read_tensor(path, dtype, shape, offset):
    """The array that lies there in a safetensors file."""
    flat = numpy.fromfile(path, STORED[dtype], math.prod(shape), offset=offset)
    if dtype == "BF16":  # the upper half of a float32
        flat = (flat.astype("uint32") << 16).view("float32")
    return flat.reshape(shape)


def write_folder(folder, config, generation, tensors):
    """Write what read_json and read_tensors read. Raises CheckpointError."""
    folder = Path(folder)
    write_file(folder / "model.safetensors", safetensors.numpy.save(tensors, {"format": "pt"}))
    write_file(folder / "config.json", (json.dumps(config, indent=2) + "\n").encode())
    if generation:
        write_file(folder / "generation_config.json", (json.dumps(generation, indent=2) + "\n").encode())


# --- names and layouts


def find(rules, name):
    """(the published name of our array, its part or None).

    rules: {our name: their name}, of an array or, without ".weight" or ".bias", of a layer. {i} is a block's number.
    Their name may come as (name, part), see take. Raises CheckpointError if no rule covers ours.
    """
    layer, dot, kind = name.rpartition(".")
    for sought, suffix in ((name, ""), (layer, dot + kind)):
        number = re.search(r"\.(\d+)\.", sought)
        template = sought if number is None else sought.replace(number[0], ".{i}.", 1)
        if template in rules:
            theirs, part = rules[template] if isinstance(rules[template], tuple) else (rules[template], None)
            return theirs.replace("{i}", number[1] if number else "") + suffix, part
    raise CheckpointError(f"no published name is known for {name}")


def transposed(model, as_they_are=(), prefix=""):
    """The names of our arrays whose axes come in the opposite order there, where matrices are (out, in).

    as_they_are: starts of names that are excepted
    """
    names = set()
    for name, child in model.named_children():
        full = prefix + name
        if isinstance(child, Linear | Convolution) and not full.startswith(as_they_are):
            names.add(f"{full}.weight")
        names |= transposed(child, as_they_are, f"{full}.")
    return names


PREFIXES = ("bert.", "roberta.", "distilbert.", "deberta.", "transformer.", "model.")


def current_names(tensors, expected):
    """{name as written today: name in the file}. Old files say gamma and beta for a norm's weight and bias, and may
    lack the prefix that a model has inside a model with a head."""
    renamed = {}
    for stored in tensors:
        name = re.sub(r"(?<=LayerNorm\.)gamma$", "weight", re.sub(r"(?<=LayerNorm\.)beta$", "bias", stored))
        candidates = [name, *(prefix + name for prefix in PREFIXES)]
        renamed[next((candidate for candidate in candidates if candidate in expected), name)] = stored
    return renamed


def is_tied(flag, stored, head, table):
    """Whether the output matrix is the token table: as the config says, unless the file holds two that differ."""
    if not flag or stored is None or head not in stored:
        return flag
    own = stored[table] if table in stored else stored[table.partition(".")[2]]  # old files lack the prefix
    return own.shape == stored[head].shape and bool((own == stored[head]).all())


def take(tensor, part, num_heads):
    """Our part of a published tensor: None, all of it; ("row", 0), its only row; ("columns", k), the k-th third of its
    columns; ("heads", k), the k-th third of the rows of each head."""
    if part is None:
        return tensor
    kind, k = part
    if kind == "row":
        return tensor[k]
    if kind == "columns":
        width = tensor.shape[-1] // 3
        return tensor[..., k * width : (k + 1) * width]
    return tensor.reshape(num_heads, 3, -1, tensor.shape[-1])[:, k].reshape(-1, tensor.shape[-1])


def join(pieces, num_heads):
    """The published tensor of our parts, {part: array}: the inverse of take."""
    if None in pieces:
        return pieces[None]
    kind = next(iter(pieces))[0]
    arrays = [pieces[part] for part in sorted(pieces)]
    if kind == "row":
        return arrays[0][None]
    if kind == "columns":
        return numpy.concatenate(arrays, axis=-1)
    d = arrays[0].shape[-1]
    return numpy.concatenate([a.reshape(num_heads, 1, -1, d) for a in arrays], axis=1).reshape(-1, d)
