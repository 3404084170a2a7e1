"""Undamaged files, and who reads them."""

import atexit
import functools
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy
import safetensors.numpy

from .damage import parts, together


@dataclass(eq=False)
class Original:
    """Files that belong together.

    read: the folder → what was loaded, as {"": JSON, name: array}
    sealed: whether damage of any byte of these files can be noticed    unchanged: what reading must leave alone if it
    fails, as the same kind of dictionary
    """

    door: str
    files: dict[str, bytes]
    read: Callable[[Path], dict]
    sealed: bool = True
    unchanged: Callable[[], dict] = dict
    expected: dict = field(init=False)
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=_scratch()))
        self.restore()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.expected = self.read(self.folder)

    @functools.cache  # noqa: B019
    def places(self) -> dict[str, numpy.ndarray]:
        """{name: which numbers of the files, all in a row, an array is made of}"""
        count, numbered = 0, dict(self.files)
        for name in sorted(n for n in self.files if not n.endswith(".json")):
            header, _ = parts(self.files[name])
            tensors = safetensors.numpy.load(self.files[name])
            for key in sorted(tensors):
                size = tensors[key].size
                tensors[key] = numpy.arange(count, count + size, dtype="float32").reshape(tensors[key].shape)
                count += size
            numbered[name] = safetensors.numpy.save(tensors, header.get("__metadata__"))
        for name, data in numbered.items():
            (self.folder / name).write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = self.read(self.folder)
        self.restore()
        return {key: array.astype(int) for key, array in found.items() if key}

    def restore(self, damaged: str = "") -> None:
        """Put the file back as it was; without a name, all of them."""
        if damaged:
            path = self.folder / damaged
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
            (path.parent / "elsewhere").unlink(missing_ok=True)
        for name in [damaged] if damaged else self.files:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(self.files[name])


@functools.cache
def _scratch():
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="minixfmr-fuzz-", dir=memory if memory.is_dir() else None)
    atexit.register(shutil.rmtree, folder, True)
    return folder


def unsealed(data: bytes) -> bytes:
    """The file as it was written before there were checksums."""
    header, body = parts(data)
    header["__metadata__"].pop("checksums")
    header["__metadata__"] or header.pop("__metadata__")
    return together(header, body)


def files_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def arrays_of(model):
    return {name: array.copy() for name, array in model.state_dict().items()}
