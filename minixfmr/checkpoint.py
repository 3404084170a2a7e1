"""Checkpoints: safetensors for arrays, JSON for the rest. Never pickle; files are written atomically.

A file is written under a temporary name in the same folder, forced to the disk, and renamed: a crash, a kill or a full
disk leaves the old file whole.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Collection
from pathlib import Path
from typing import Any

import safetensors
import safetensors.numpy

from .models import Config, DecoderOnly, EncoderDecoder, EncoderOnly
from .training import Trainer

ARCHITECTURES: dict[str, Any] = {kind.__name__: kind for kind in (EncoderOnly, DecoderOnly, EncoderDecoder)}


class CheckpointError(ValueError):
    """A checkpoint cannot be written, read, or does not fit; the message names the file and what to do."""


def write_file(path: str | Path, data: bytes) -> None:
    """Replace the file by these bytes, or fail with CheckpointError and leave it as it was.

    Any number of processes may write one path: it always holds what one of them wrote, whole.
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")  # nobody else's
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if not isinstance(error, OSError):  # such as Ctrl-C
            raise
        kept = "what was there is unchanged" if path.is_dir() else "nothing was written"
        kept = "the file that was there is unchanged" if path.is_file() else kept
        raise CheckpointError(f"cannot write {path}: {error.strerror or error}; {kept}") from error


def save(model: Any, path: str | Path) -> None:
    """Write a model into the folder path: config.json and model.safetensors. Raises CheckpointError."""
    description = {"format": 1, "architecture": type(model).__name__, "config": model.config.to_dict()}
    text = json.dumps(description, indent=2)
    # the same text goes into the weights' file, so that two halves of different saves cannot pass for one model
    write_file(Path(path) / "model.safetensors", safetensors.numpy.save(model.state_dict(), {"description": text}))
    write_file(Path(path) / "config.json", text.encode())


def load(path: str | Path) -> Any:
    """The model that save wrote into the folder path. Raises CheckpointError if it is missing, damaged or another."""
    tensors, metadata = _read(Path(path) / "model.safetensors")
    config_path = Path(path) / "config.json"
    try:
        description = json.loads(config_path.read_text(encoding="utf-8"))
        architecture, config = description["architecture"], Config.from_dict(description["config"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"cannot read {config_path}: {error}") from error
    if architecture not in ARCHITECTURES:
        raise CheckpointError(
            f"{config_path}: unknown architecture {architecture!r}, known: {', '.join(ARCHITECTURES)}"
        )
    if "description" in metadata and json.loads(metadata["description"]) != description:
        raise CheckpointError(f"{config_path} is not the config that {path}/model.safetensors was saved with")
    model = ARCHITECTURES[architecture](config)
    try:
        model.load_state_dict(tensors)
    except ValueError as error:
        raise CheckpointError(f"{path}/model.safetensors: {error}") from error
    return model


def save_weights(model: Any, path: str | Path) -> None:
    """Write a model's weights alone into the one file path. Raises CheckpointError."""
    write_file(path, safetensors.numpy.save(model.state_dict()))


def load_weights(model: Any, path: str | Path) -> None:
    """Put weights that save_weights wrote into the model. Raises CheckpointError, and then changes nothing."""
    try:
        model.load_state_dict(_read(path)[0])
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}" if not isinstance(error, CheckpointError) else str(error)) from error


def save_training(trainer: Trainer, path: str | Path, notes: Any = None) -> None:
    """Write all that resuming needs into the one file path. notes: any JSON values of the caller's.

    Over MPI all ranks may call it: the first alone writes.
    """
    if not trainer.gradients.leads:
        return
    state = trainer.state_dict()
    tensors = {f"model.{name}": array for name, array in state["model"].items()}
    tensors |= {f"optimizer.{name}": state["optimizer"][name] for name in ("m", "v")}
    rest = {key: state[key] for key in ("progress", "settings")} | {"t": state["optimizer"]["t"], "notes": notes}
    write_file(path, safetensors.numpy.save(tensors, {"training": json.dumps(rest)}))


def load_training(trainer: Trainer, path: str | Path, accept: Collection[str] = ()) -> Any:
    """Put the trainer where save_training left it, and return the notes.

    accept: names of settings that may differ, see Trainer.load_state_dict
    Raises CheckpointError, and then changes nothing.
    """
    tensors, metadata = _read(path)
    if "training" not in metadata:
        raise CheckpointError(f"{path} holds no training state: it was not written by save_training")
    try:
        rest = json.loads(metadata["training"])
        model = {n.removeprefix("model."): array for n, array in tensors.items() if n.startswith("model.")}
        optimizer = {name: tensors[f"optimizer.{name}"] for name in ("m", "v")} | {"t": rest["t"]}
        notes = rest["notes"]
        trainer.load_state_dict(rest | {"model": model, "optimizer": optimizer}, accept)
    except KeyError as error:
        raise CheckpointError(f"cannot resume from {path}: {error} is missing") from error
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"cannot resume from {path}: {error}") from error
    return notes


def _read(path):
    """(tensors, metadata) of a safetensors file."""
    if not Path(path).is_file():
        raise CheckpointError(f"there is no file {path}")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from error
