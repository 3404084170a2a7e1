"""Hugging Face folders: config.json, generation_config.json, and weights in one file or several."""

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..checkpoint import CheckpointError, Tensor, as_path, is_there, open_tensors, packed, read_json, write_files

WEIGHTS = "model.safetensors"
INDEX = WEIGHTS + ".index.json"
ADAPTER = "adapter_config.json"


class Lazy(Mapping):
    """{name: array}, where each array is made when it is asked for."""

    def __init__(self, names: Iterable[str], read: Any) -> None:
        self.names, self.read = dict.fromkeys(names), read

    def __contains__(self, name: object) -> bool:
        return name in self.names  # Mapping's own would make the array

    def __getitem__(self, name: str) -> Any:
        return self.read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """{name: Tensor} of model.safetensors, or of all the files that its index names. Raises CheckpointError."""
    if is_there(folder / ADAPTER):
        raise CheckpointError(
            f"{folder / ADAPTER}: adapters are not supported: merge it into the model (merge_and_unload in peft), save "
            "that, and open the new folder"
        )
    if is_there(folder / WEIGHTS) or not is_there(folder / INDEX):
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
    if not is_there(path):
        found = sorted(p.name for p in path.parent.glob("*.bin")) if path.parent.is_dir() else []
        beside = f" (there is {found[0]}: open it in transformers and save it again)" if found else ""
        raise CheckpointError(f"there is no file {path}: the weights must be stored as safetensors{beside}")
    return open_tensors(path)[0]


def write_folder(folder: str | Path, config: dict, generation: dict, tensors: dict) -> None:
    """Write what load_pretrained reads, in place of weights in several files. Raises CheckpointError."""
    folder = as_path(folder)
    files: dict[Path, Any] = {folder / WEIGHTS: packed(tensors, {"format": "pt"})}
    texts = {"config.json": config} | ({"generation_config.json": generation} if generation else {})
    files |= {folder / name: (json.dumps(text, indent=2) + "\n").encode() for name, text in texts.items()}
    write_files(files)
    if not generation:
        with contextlib.suppress(OSError):
            (folder / "generation_config.json").unlink(missing_ok=True)
    for path in folder.glob("model*.safetensors*"):  # else older weights would lie beside
        if path.name == INDEX or re.fullmatch(r"model-\d+-of-\d+\.safetensors", path.name):
            with contextlib.suppress(OSError):
                path.unlink()
