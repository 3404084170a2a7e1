"""Folders of sentence-transformers: an encoder, what pools its vectors, and what scales the result."""

from pathlib import Path
from typing import Any

from ..checkpoint import CheckpointError, as_path, read_json
from ..models import EncoderOnly
from ..models.variants.sentence import SentenceEncoder
from .load import load_pretrained

POOLINGS = {"mean": "mean", "mean_tokens": "mean", "cls": "first", "cls_token": "first", "lasttoken": "last"}


def load_sentence_encoder(directory: str | Path, dtype: str = "float32") -> SentenceEncoder:
    """The sentence encoder in a folder with a modules.json. Raises CheckpointError for a module that is not known."""
    folder = as_path(directory)
    modules = read_json(folder / "modules.json", kind=list)
    model: Any = None
    pooling, normalized = "", False
    for module in modules:
        if not isinstance(module, dict) or not isinstance(module.get("type"), str):
            raise CheckpointError(f"{folder}/modules.json: each must be a dictionary with a type, got {module!r}")
        kind, path = module["type"].rpartition(".")[2], str(module.get("path", ""))
        if path.startswith("/") or ".." in Path(path).parts:
            raise CheckpointError(f"{folder}/modules.json: path {path!r} must lie in the folder")
        if kind == "Transformer" and model is None:
            model = load_pretrained(folder / path, dtype, head="none")
        elif kind == "Pooling" and model is not None and not pooling:
            pooling = _pooling(folder / path / "config.json", model.config.d_model)
        elif kind == "Normalize" and pooling:
            normalized = True
        else:
            raise CheckpointError(
                f"{folder}/modules.json: module {kind} is not supported there; known are Transformer, Pooling and "
                "Normalize, in this order"
            )
    if not pooling or not isinstance(model, EncoderOnly):
        raise CheckpointError(f"{folder}/modules.json must name an encoder as its Transformer, and a Pooling")
    return SentenceEncoder(model, pooling, normalized)


def _pooling(path, d):
    """The pooling that the config.json of a Pooling asks for."""
    config = read_json(path)
    modes = {name: value for name, value in config.items() if name.startswith("pooling_mode_")}
    named = config.get("pooling_mode") or []
    named = [named] if isinstance(named, str) else named
    if not all(isinstance(v, bool) for v in modes.values()) or not isinstance(named, list):
        raise CheckpointError(f"{path}: each pooling_mode_... must be true or false, and pooling_mode a name")
    asked = [name.removeprefix("pooling_mode_") for name, value in modes.items() if value] + list(map(str, named))
    if len(asked) != 1 or asked[0] not in POOLINGS:
        raise CheckpointError(
            f"{path}: pooling {' and '.join(asked) or 'of no kind'} is not supported, only one of mean, cls, lasttoken"
        )
    if config.get("word_embedding_dimension", d) != d:
        raise CheckpointError(
            f"{path}: word_embedding_dimension = {config['word_embedding_dimension']}, the model has {d}"
        )
    return POOLINGS[asked[0]]
