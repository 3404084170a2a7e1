"""Published checkpoints: a Hugging Face folder in, a Hugging Face folder out.

Each family has a small file that says how its configuration and its names translate; there is no mathematics in it.
"""

import re
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from ..backend import column_major, to_numpy
from ..checkpoint import CheckpointError
from ..generation.rules import RULES
from ..models import Config
from ..module import Buffer
from . import bart, bert, deberta, gpt2, llama, t5
from .folder import Lazy, current_names, find, join, read_json, read_tensors, take, transposed, write_folder

FAMILIES: dict[str, Any] = {kind: family for family in (bert, deberta, gpt2, llama, t5, bart) for kind in family.KINDS}
GENERATION = (*RULES, "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")


def build(config: dict, dtype: str = "float32", seed: int = 0, stored: Any = None) -> Any:
    """A new model of a Hugging Face configuration, a dictionary as in config.json, with random weights.

    stored: {name: array} of its file, where there is one, to tell a tied output matrix from a separate one.
    Raises CheckpointError for a model type or an architecture that is not known.
    """
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise CheckpointError(f"model_type {kind!r} is not known; known are {', '.join(sorted(FAMILIES))}")
    family = FAMILIES[kind]
    architectures = family.architectures(kind)
    architecture = (config.get("architectures") or [next(iter(architectures))])[0]
    if architecture not in architectures:
        known = ", ".join(architectures)
        raise CheckpointError(f"architecture {architecture!r} of model_type {kind!r} is not known; known are {known}")
    model_class, head = architectures[architecture]
    model = model_class(Config(**family.fields(config, head, stored), dtype=dtype), seed)
    model.published = config
    # older folders keep what generation needs to know among the rest
    writes = head in ("causal_lm", "seq2seq_lm")
    model.generation = {key: config[key] for key in GENERATION if writes and config.get(key) is not None}
    return model


def load_pretrained(directory: str | Path, dtype: str = "float32") -> Any:
    """The model in a Hugging Face folder: config.json, model.safetensors (or several files with their index), and
    generation_config.json, whose rules for tokens (forced, banned, shortest length ...) then hold in generate.

    dtype: "float32" or "float64"; weights stored in 16 bits are widened.
    Raises CheckpointError for a family that is not known, or if the arrays are not exactly those expected.
    """
    folder = Path(directory)
    config, tensors = read_json(folder / "config.json"), read_tensors(folder)
    model = build(config, dtype, stored=tensors)
    model.generation = read_json(folder / "generation_config.json", missing=model.generation)
    family, places = _places(model)
    expected = {theirs for theirs, _ in places.values()}
    stored = current_names(tensors, expected)
    buffers = {name for name, array in model.named_arrays() if isinstance(array, Buffer)}
    optional = {places[name][0] for name in buffers}  # old files lack them; what they start with is then right
    ignored = re.compile("|".join(family.IGNORED) or "(?!)")
    missing = sorted(expected - optional - set(stored))
    extra = sorted(set(stored) - expected)
    unexpected = [name for name in extra if not ignored.fullmatch(name)]
    if missing or unexpected:
        raise CheckpointError(
            f"{folder} does not hold what a {type(model).__name__} of its config needs:\n"
            f"  expected: {len(expected)} arrays, such as {', '.join(sorted(expected)[:3])}\n"
            f"  missing: {', '.join(missing) or 'none'}\n  unexpected: {', '.join(unexpected) or 'none'}"
        )
    if extra:
        warnings.warn(f"{folder}: left out, as this model has no use for them: {', '.join(extra)}", stacklevel=2)
    if optional - set(stored):
        kept = ", ".join(sorted(optional - set(stored)))
        warnings.warn(f"{folder}: not in the file, so left as they start: {kept}", stacklevel=2)
    flip, arrays = transposed(model, family.AS_THEY_ARE), dict(model.named_arrays())

    def read(name):
        theirs, part = places[name]
        if theirs not in stored:
            return arrays[name].data
        array = take(tensors[stored[theirs]], part, model.config.num_heads)
        return array.T if name in flip else array

    try:
        model.load_state_dict(Lazy({name: partial(read, name) for name in places}))
    except ValueError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    for name in transposed(model) & set(arrays):
        arrays[name].data = column_major(arrays[name].data)
    return model


def save_pretrained(model: Any, directory: str | Path) -> None:
    """Write the model as a Hugging Face folder, which transformers opens. Raises CheckpointError if the model was not
    made by load_pretrained or build: only then is it known which published system it is."""
    if not model.published:
        raise CheckpointError(
            "only a model from load_pretrained or minixfmr.pretrained.build can be written as a Hugging Face folder; "
            "minixfmr.save writes any model"
        )
    family, places = _places(model)
    flip = transposed(model, family.AS_THEY_ARE)
    pieces: dict[str, dict] = {}
    for name, array in model.state_dict().items():
        theirs, part = places[name]
        pieces.setdefault(theirs, {})[part] = array.T if name in flip else array
    tensors = {name: to_numpy(join(parts, model.config.num_heads)).copy() for name, parts in pieces.items()}
    write_folder(directory, model.published | {"dtype": model.config.dtype}, model.generation, tensors)


def _places(model):
    """(the family of the model, {our name: (their name, part)})"""
    family = FAMILIES[model.published["model_type"]]
    rules = family.names(model.published, model.config)
    return family, {name: find(rules, name) for name, _ in model.named_arrays()}
