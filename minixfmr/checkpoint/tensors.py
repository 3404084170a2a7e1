"""Arrays in safetensors files: read when they are asked for, and told from damaged ones by a checksum."""

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy
import safetensors
import safetensors.numpy

from .disk import CheckpointError, check_regular
from .text import canonical, parse_json

FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "uint16"}
OTHERS = {f"{kind[0].upper()}{bits}": f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
NAMES = {"float64": "F64", "float32": "F32", "float16": "F16"}
CHECKSUMS, METADATA = "checksums", "__metadata__"  # a key of the metadata; the metadata's own key in the header


@dataclass(frozen=True)
class Tensor:
    """An array in a file, read when it is asked for, so that a large model is in memory only once.

    numpy.asarray(tensor) reads it too.
    """

    path: Path
    name: str
    stored: str  # its dtype, as safetensors name them
    shape: tuple[int, ...]
    offset: int
    checksum: int | None = None  # None: the file has none
    finite: bool = False  # whether NaN and infinity are refused

    @property
    def is_float(self) -> bool:
        """Whether it is stored as plain floating-point numbers, in 16 bits or more."""
        return self.stored in FLOATS

    @property
    def dtype(self) -> numpy.dtype:
        """That of the array; of bytes if it is one that NumPy lacks."""
        return numpy.dtype("float32" if self.stored == "BF16" else (FLOATS | OTHERS).get(self.stored, "V"))

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    def read(self) -> numpy.ndarray:
        """The array; bfloat16, which NumPy lacks, becomes float32.

        Raises CheckpointError for other numbers, for damage, and for NaN or infinity where they are refused.
        """
        if not self.is_float:
            raise CheckpointError(
                f"{self.path}: {self.name} is stored as {self.stored}, which is not supported: only F64, F32, F16 and "
                "BF16 are read"
            )
        try:
            flat = numpy.fromfile(self.path, FLOATS[self.stored], self.size, offset=self.offset)
            whole = flat.reshape(self.shape)
        except (OSError, ValueError, MemoryError) as error:
            raise CheckpointError(f"cannot read {self.name} of shape {self.shape} in {self.path}: {error}") from error
        if self.checksum is not None and self.checksum != checksum(self.name, self.stored, flat, self.shape):
            raise CheckpointError(
                f"{self.path} is damaged: the numbers of {self.name} are not those that were written; use another copy"
            )
        if self.stored == "BF16":  # the upper half of a float32
            whole = (whole.astype("uint32") << 16).view("float32")
        if self.finite and not numpy.isfinite(whole).all():
            count = int((~numpy.isfinite(whole)).sum())
            raise CheckpointError(
                f"{self.path}: {self.name} has {count} values that are NaN or infinite: the file is damaged, or the "
                "training diverged; to open it nevertheless give finite=False"
            )
        return whole

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> numpy.ndarray:
        return numpy.asarray(self.read(), dtype)

    def must_be_finite(self, finite: bool = True) -> "Tensor":
        """The same, which refuses NaN and infinity, or not."""
        return replace(self, finite=finite)


def checksum(name: str, stored: str, data: numpy.ndarray, shape: tuple[int, ...] | None = None) -> int:
    """Of a tensor: changed when its name, dtype, shape or any byte is."""
    said = canonical([name, stored, list(data.shape if shape is None else shape)])
    return zlib.crc32(numpy.ascontiguousarray(data).reshape(-1).view("uint8").data, zlib.crc32(said.encode()))


def packed(tensors: Mapping[str, numpy.ndarray], metadata: Mapping[str, str] | None = None) -> list[bytes | memoryview]:
    """The parts of a safetensors file of these arrays and texts, with checksums among its metadata.

    The same values give the same bytes."""
    metadata = dict(sorted((metadata or {}).items()))
    for name, array in tensors.items():
        if str(array.dtype) not in NAMES:
            raise CheckpointError(
                f"cannot write {name}: its numbers are {array.dtype}, only {', '.join(NAMES)} are kept"
            )
    sums = {name: checksum(name, NAMES[str(array.dtype)], array) for name, array in tensors.items()}
    metadata[CHECKSUMS] = json.dumps(sums | {METADATA: _of_texts(metadata)})
    data = safetensors.numpy.save(dict(tensors))
    length = int.from_bytes(data[:8], "little")
    # the library would write the texts in another order each time
    header = json.dumps({METADATA: metadata} | json.loads(data[8 : 8 + length]), separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return [len(header).to_bytes(8, "little") + header, memoryview(data)[8 + length :]]


def open_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """({name: Tensor}, metadata without checksums) of a safetensors file.

    Raises CheckpointError unless the file is whole, as far as it says; each tensor tells its own damage when read.
    """
    check_regular(path)
    try:
        with safetensors.safe_open(path, "numpy"):  # is the file whole?
            pass
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = parse_json(file.read(length))
        metadata = header.pop(METADATA, None) or {}
        sums = _sums(metadata, header)
    except (safetensors.SafetensorError, OSError, ValueError, MemoryError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}; copy or download it again") from error
    tensors = {
        name: Tensor(
            path, name, item["dtype"], tuple(item["shape"]), 8 + length + item["data_offsets"][0], sums.get(name)
        )
        for name, item in header.items()
    }
    return tensors, metadata


def _sums(metadata, header):
    """The checksums of the tensors, taken out of the metadata; {} if the file has none. Raises ValueError."""
    if CHECKSUMS not in metadata:
        return {}
    sums = parse_json(metadata.pop(CHECKSUMS))
    if not isinstance(sums, dict) or set(sums) != {*header, METADATA} or {type(s) for s in sums.values()} != {int}:
        raise ValueError("its checksums are those of other tensors")
    if sums.pop(METADATA) != _of_texts(metadata):
        raise ValueError("what it says beside its tensors is not what was written")
    return sums


def _of_texts(metadata):
    return zlib.crc32(canonical(metadata).encode())
