"""Hugging Face folders: config.json, generation_config.json, and weights in one file or several."""

import contextlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import safetensors
import safetensors.numpy

from ..checkpoint import CheckpointError, write_file

STORED = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "uint16"}
WEIGHTS = "model.safetensors"
INDEX = WEIGHTS + ".index.json"


@dataclass(frozen=True)
class Tensor:
    """An array in a file, read when it is asked for, so that a large model is in memory only once."""

    path: Path
    dtype: str  # as safetensors name them
    shape: tuple[int, ...]
    offset: int

    @property
    def is_float(self) -> bool:
        """Whether it is stored as plain floating-point numbers, in 16 bits or more."""
        return self.dtype in STORED

    def read(self) -> numpy.ndarray:
        """The array; bfloat16, which NumPy lacks, becomes float32. Raises CheckpointError for other numbers."""
        if not self.is_float:
            raise CheckpointError(f"{self.path}: a tensor is stored as {self.dtype}, which is not supported")
        flat = numpy.fromfile(self.path, STORED[self.dtype], math.prod(self.shape), offset=self.offset)
        if self.dtype == "BF16":  # the upper half of a float32
            flat = (flat.astype("uint32") << 16).view("float32")
        return flat.reshape(self.shape)


class Lazy(Mapping):
    """{name: array}, where each array is made when it is asked for."""

    def __init__(self, names: list[str], read: Any) -> None:
        self.names, self.read = names, read

    def __getitem__(self, name: str) -> Any:
        return self.read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def read_json(path: Path, missing: dict | None = None, kind: type = dict) -> Any:
    """The dictionary, or the list, in a JSON file; missing, if given and there is no file."""
    if missing is not None and not path.exists():
        return missing
    if path.exists() and not path.is_file():  # a pipe or a device would never end
        raise CheckpointError(f"cannot read {path}: it is not a regular file")

    def refuse(name):
        raise ValueError(f"{name} is no number of JSON")

    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    if not isinstance(value, kind):
        raise CheckpointError(f"cannot read {path}: it must hold a {kind.__name__}, and holds {json.dumps(value)[:40]}")
    return value


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """{name: Tensor} of model.safetensors, or of all the files that its index names. Raises CheckpointError."""
    if (folder / WEIGHTS).exists() or not (folder / INDEX).exists():
        return _tensors_of(folder / WEIGHTS)
    where = read_json(folder / INDEX).get("weight_map")
    if not isinstance(where, dict) or not all(isinstance(file, str) for file in where.values()):
        raise CheckpointError(f"{folder / INDEX}: weight_map must be a dictionary from names to files")
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(where.values())):
        if Path(file).name != file or file in ("", ".", ".."):
            raise CheckpointError(f"{folder / INDEX}: {file!r} must be the name of a file in the same folder")
        found = _tensors_of(folder / file)
        listed = {name for name, other in where.items() if other == file}
        wrong = sorted(listed - set(found)) or sorted(set(found) - listed)
        if wrong:
            raise CheckpointError(
                f"{folder / INDEX} and {file} disagree about {', '.join(wrong[:3])}: download both again"
            )
        tensors |= found
    return tensors


def _tensors_of(path):
    """{name: Tensor} of one safetensors file."""
    if not path.exists():
        found = sorted(p.name for p in path.parent.glob("*.bin")) if path.parent.is_dir() else []
        beside = f" (there is {found[0]}: open it in transformers and save it again)" if found else ""
        raise CheckpointError(f"there is no file {path}: the weights must be stored as safetensors{beside}")
    if not path.is_file():
        raise CheckpointError(f"cannot read {path}: it is not a regular file")
    try:
        with safetensors.safe_open(path, "numpy"):  # is the file whole?
            pass
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from error
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    start = 8 + length
    return {
        name: Tensor(path, item["dtype"], tuple(item["shape"]), start + item["data_offsets"][0])
        for name, item in header.items()
    }


def write_folder(folder: str | Path, config: dict, generation: dict, tensors: dict) -> None:
    """Write what read_json and read_tensors read, in place of weights in several files. Raises CheckpointError."""
    folder = Path(folder)
    write_file(folder / WEIGHTS, safetensors.numpy.save(tensors, {"format": "pt"}))
    write_file(folder / "config.json", (json.dumps(config, indent=2) + "\n").encode())
    if generation:
        write_file(folder / "generation_config.json", (json.dumps(generation, indent=2) + "\n").encode())
    else:
        with contextlib.suppress(OSError):
            (folder / "generation_config.json").unlink(missing_ok=True)
    for path in folder.glob("model*.safetensors*"):  # else older weights would lie beside
        if path.name == INDEX or re.fullmatch(r"model-\d+-of-\d+\.safetensors", path.name):
            with contextlib.suppress(OSError):
                path.unlink()
