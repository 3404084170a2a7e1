"""Models and training states, as files."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..models import Config, DecoderOnly, EncoderDecoder, EncoderOnly
from ..training import Trainer
from .disk import CheckpointError, as_path, write_file, write_files
from .tensors import open_tensors, packed
from .text import canonical, parse_json, read_json

ARCHITECTURES: dict[str, Any] = {kind.__name__: kind for kind in (EncoderOnly, DecoderOnly, EncoderDecoder)}
WEIGHTS, CONFIG = "model.safetensors", "config.json"
TEXTS = {"description", "training", "format"}  # all that our metadata may hold; the last by other libraries
SMALL = 1 << 24, 1000  # numbers and blocks that are built without asking whether the file has as many


def save(model: Any, path: str | Path) -> None:
    """Write a model into the folder path: config.json and model.safetensors. Raises CheckpointError."""
    architecture = type(model).__name__
    if ARCHITECTURES.get(architecture) is not type(model):
        raise CheckpointError(
            f"save writes {', '.join(ARCHITECTURES)}, which load can build again, not {architecture}: "
            "minixfmr.checkpoint.save_weights writes the weights of any module"
        )
    folder = as_path(path)
    text = json.dumps({"format": 1, "architecture": architecture, "config": model.config.to_dict()}, indent=2)
    # the same text goes into the weights' file, so that two halves of different saves cannot pass for one model
    weights = packed(model.state_dict(), {"description": text})
    write_files({folder / WEIGHTS: weights, folder / CONFIG: text.encode()})


def load(path: str | Path, *, finite: bool = True) -> Any:
    """The model that save wrote into the folder path.

    finite: refuse weights that are NaN or infinite
    Raises CheckpointError if it is missing, damaged or another.
    """
    folder = as_path(path)
    tensors, metadata = _open(folder / WEIGHTS, finite)
    where = folder / CONFIG
    description = read_json(where)
    kind, config = _described(description, where)
    saved = _parsed(metadata, "description", folder / WEIGHTS) if "description" in metadata else description
    if canonical(saved) != canonical(description):
        raise CheckpointError(
            f"{where} is not the config that {folder / WEIGHTS} was saved with: put that one back, or save again"
        )
    check_size(config, kind, tensors, where)
    model = built(lambda: kind(config), where)
    try:
        model.load_state_dict(tensors, finite)
    except (ValueError, TypeError) as error:
        raise _in_file(folder / WEIGHTS, error) from error
    return model


def save_weights(model: Any, path: str | Path) -> None:
    """Write a module's weights alone into the one file path. Raises CheckpointError."""
    write_file(path, packed(model.state_dict()))


def load_weights(model: Any, path: str | Path, *, finite: bool = True) -> None:
    """Put weights that save_weights wrote into the module.

    finite: refuse weights that are NaN or infinite
    Raises CheckpointError, and then changes nothing.
    """
    tensors, _ = _open(as_path(path), finite)
    try:
        model.load_state_dict(tensors, finite)
    except (ValueError, TypeError) as error:
        raise _in_file(path, error) from error


def save_training(trainer: Trainer, path: str | Path, notes: Any = None) -> None:
    """Write all that resuming needs into the one file path. notes: any JSON values of the caller's.

    Over MPI all ranks may call it: the first alone writes. Raises CheckpointError.
    """
    if not trainer.gradients.leads:
        return
    state = trainer.state_dict()
    tensors = {f"model.{name}": array for name, array in state["model"].items()}
    tensors |= {f"optimizer.{name}": state["optimizer"][name] for name in ("m", "v")}
    rest = {key: state[key] for key in ("progress", "settings")} | {"t": state["optimizer"]["t"], "notes": notes}
    try:
        text = json.dumps(rest)
        parse_json(text, constants=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot write {path}: the notes must be values of JSON ({error})") from error
    write_file(path, packed(tensors, {"training": text}))


def load_training(trainer: Trainer, path: str | Path, accept: Collection[str] = (), *, finite: bool = True) -> Any:
    """Put the trainer where save_training left it, and return the notes.

    accept: names of settings that may differ, see Trainer.load_state_dict
    finite: refuse weights and moments that are NaN or infinite
    Raises CheckpointError, and then changes nothing.
    """
    file = as_path(path)
    tensors, metadata = _open(file, finite)
    if "training" not in metadata:
        raise CheckpointError(f"{path} holds no training state: it was not written by save_training")
    rest = _parsed(metadata, "training", file, constants=True)
    lacking = sorted({"progress", "settings", "t", "notes"} - set(rest))
    lacking += [name for name in ("optimizer.m", "optimizer.v") if name not in tensors]
    if lacking:
        raise CheckpointError(f"cannot resume from {path}: {', '.join(lacking)} is missing; use another copy")
    said = {name: rest[name] for name in ("progress", "settings")}
    parts: dict[str, dict] = {"model": {}, "optimizer": {"t": rest["t"]}}
    for name, tensor in tensors.items():
        part, _, inner = name.partition(".")
        if part not in parts or not inner:
            raise CheckpointError(f"cannot resume from {path}: {name} belongs to no training state")
        parts[part][inner] = tensor
    try:
        trainer.load_state_dict(said | parts, accept, finite)
    except (ValueError, TypeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"cannot resume from {path}: {error}") from error
    return rest["notes"]


def check_size(config: Config, kind: Any, tensors: dict[str, Any], where: Any) -> None:
    """Raise CheckpointError if a model of this config is far larger than the tensors that it is to be filled with:
    a digit too many in a config.json would take all memory, before a single shape is compared."""
    layers = (config.num_encoder_layers if kind is not DecoderOnly else 0) + (
        config.num_decoder_layers if kind is not EncoderOnly else 0
    )
    d, heads = config.d_model, config.num_heads * (config.head_dim or config.d_model // config.num_heads)
    table = config.vocab_size + config.type_vocab_size
    table += config.max_position_embeddings if config.positions == "learned" else 0
    table += config.num_labels if config.head.endswith("classification") else 0
    asked = table * (config.embedding_size or d) + (1 if config.shared_blocks else layers) * d * (config.d_ff + heads)
    held = sum(tensor.size for tensor in tensors.values())
    if asked > max(held, SMALL[0]):
        raise CheckpointError(
            f"{where}: its sizes ask for {asked:,} numbers and more, the weights beside it are {held:,}: correct "
            "vocab_size, d_model, d_ff, the number of layers or of positions"
        )
    if layers > max(len(tensors), SMALL[1]):
        raise CheckpointError(
            f"{where}: it asks for {layers:,} layers, and there are {len(tensors):,} weights for them"
        )


def built(build: Any, where: Any) -> Any:
    """What build() gives. Raises CheckpointError, naming the file, for a config that is wrong or too large."""
    try:
        return build()
    except CheckpointError:
        raise
    except (ValueError, MemoryError) as error:
        raise CheckpointError(f"{where}: {error}") from error
    except ArithmeticError as error:  # such as a division by a width of 0
        raise CheckpointError(f"{where}: its sizes do not go together ({error}): correct them") from error


def _described(description, where):
    """(class of model, Config) that a config.json of ours tells."""
    if description.get("format", 1) != 1:
        raise CheckpointError(
            f"{where} has format {description['format']!r}, and this version reads 1: install the version that wrote it"
        )
    unknown = sorted(set(description) - {"format", "architecture", "config"})
    architecture, config = description.get("architecture"), description.get("config")
    if unknown or not isinstance(config, dict):
        raise CheckpointError(
            f"cannot read {where}: it must hold format, architecture and config, and holds {', '.join(description)}; "
            "load_pretrained opens folders of Hugging Face"
        )
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        raise CheckpointError(f"{where}: unknown architecture {architecture!r}, known: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[architecture], built(lambda: Config.from_dict(config), where)


def _open(path, finite):
    """(tensors, metadata) of a file of ours."""
    tensors, metadata = open_tensors(path)
    unknown = sorted(set(metadata) - TEXTS)
    if unknown:
        raise CheckpointError(
            f"{path} says {', '.join(unknown)} of itself, which this version does not know: it is damaged, or a later "
            "version wrote it"
        )
    return {name: tensor.must_be_finite(finite) for name, tensor in tensors.items()}, metadata


def _parsed(metadata, name, path, constants=False):
    """The dictionary in a text of the metadata."""
    try:
        value = parse_json(metadata[name], constants)
    except ValueError as error:
        raise CheckpointError(f"cannot read {name} in {path} ({error}): use another copy") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{name} in {path} is no dictionary: use another copy")
    return value


def _in_file(path, error):
    """The error of a state that does not fit, with the file's name."""
    return error if isinstance(error, CheckpointError) else CheckpointError(f"{path}: {error}")
