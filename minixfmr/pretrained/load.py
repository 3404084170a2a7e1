"""A Hugging Face folder in, a Hugging Face folder out."""

import contextlib
import difflib
import warnings
from pathlib import Path
from typing import Any

from ..backend import to_numpy
from ..checkpoint import CheckpointError, as_path, built, check_size, is_there, read_json
from ..models import Config, EncoderDecoder
from . import (
    albert,
    bart,
    bert,
    deberta,
    deberta_v2,
    distilbert,
    electra,
    gemma,
    gpt2,
    gpt_neo,
    gpt_neox,
    llama,
    m2m_100,
    marian,
    mistral,
    mpnet,
    mt5,
    opt,
    pegasus,
    phi3,
    qwen,
    roberta,
    t5,
)
from .family import Family
from .folder import read_tensors, write_folder
from .keys import COMMON, Values, values_of
from .layouts import find, join, transposed
from .settings import FREE, NEUTRAL, OBEYED, TOKENS, generation_settings, settings_in_config
from .tensors import File, fill

ENCODERS: Any = (bert, roberta, distilbert, electra, mpnet, albert, deberta, deberta_v2)
DECODERS: Any = (gpt2, gpt_neo, gpt_neox, opt, llama, mistral, qwen, gemma, phi3)
PAIRS: Any = (bart, pegasus, m2m_100, marian, t5, mt5)
FILES: Any = (*ENCODERS, *DECODERS, *PAIRS)
FAMILIES: dict[str, Family] = {family.kind: family for file in FILES for family in file.FAMILIES}


def build(config: dict, dtype: str = "float32", seed: int = 0) -> Any:
    """A new model of a Hugging Face configuration, a dictionary as in config.json, with random weights.

    Raises CheckpointError for a model type, an architecture or a setting that cannot be obeyed.
    """
    family = _family(config, "config")
    named = {"architectures": config.get("architectures") or [next(iter(family.heads))]}
    return _build(family, config | named, dtype, seed=seed)[0]


def load_pretrained(
    directory: str | Path, dtype: str = "float32", *, head: str | None = None, finite: bool = True
) -> Any:
    """The model in a Hugging Face folder: config.json, model.safetensors (or several files with their index), and
    generation_config.json, whose settings then hold in generate.

    dtype: "float32" or "float64"; weights stored in 16 bits are widened.
    head: in place of the one that config.json names, such as "none" for the vectors or "sequence_classification"; if
    the file lacks its weights, they start anew, and a warning says so
    finite: refuse weights that are NaN or infinite
    Raises CheckpointError, in one sentence, for what cannot be obeyed; warns of what is not used.
    """
    folder = as_path(directory)
    config, tensors = read_json(folder / "config.json"), read_tensors(folder)
    _warn_of_rounding(config, tensors, folder)
    family = _family(config, str(folder / "config.json"))
    file = File(family, tensors, str(folder))
    model, c = _build(family, config, dtype, file=file, head=head, where=str(folder / "config.json"))
    fill(model, file, places(model), c, finite=finite, head=head or "")
    if model.config.head in ("causal_lm", "seq2seq_lm"):
        path = folder / "generation_config.json"
        stored = read_json(path, missing={})
        moved = settings_in_config(config)
        if not is_there(path):
            stored, path = _older_settings(c, moved), folder / "config.json"
        _warn_of_older(moved, stored, family, folder)
        model.generation = generation_settings(stored, str(path), model.config.target_vocab_size)
    return model


def save_pretrained(model: Any, directory: str | Path) -> None:
    """Write the model as a Hugging Face folder, which transformers opens. Raises CheckpointError if the model was not
    made by load_pretrained or build: only then is it known which published system it is."""
    if not model.published:
        raise CheckpointError(
            "only a model from load_pretrained or minixfmr.pretrained.build can be written as a Hugging Face folder; "
            "minixfmr.save writes any model"
        )
    family, where = FAMILIES[model.published["model_type"]], places(model)
    flip = transposed(model, family.as_they_are)
    pieces: dict[str, dict] = {}
    for name, array in model.state_dict().items():
        theirs, part = where[name]
        pieces.setdefault(theirs, {})[part] = array.T if name in flip else array
    tensors = {name: to_numpy(join(parts, model.config.num_heads)).copy() for name, parts in pieces.items()}
    tensors = {family.written(name, model): array for name, array in (model.kept | tensors).items()}
    write_folder(directory, model.published | {"dtype": model.config.dtype}, model.generation, tensors)


def places(model: Any) -> dict[str, tuple[str, Any]]:
    """{our name: (canonical name of the published tensor, which part of it)} of all arrays of a published model."""
    family = FAMILIES[model.published["model_type"]]
    c = Values(family.kind, family.keys, model.published, separate=model.separate)
    rules, head = family.names | family.more_names(model.config), model.config.head
    tied = {target: source for target, source in family.tied(c) if target not in c.separate}
    found = {name: find(rules, name, head) for name, _ in model.named_arrays()}
    return {name: (tied.get(theirs, theirs), part) for name, (theirs, part) in found.items()}


def _family(config, where):
    """The Family of a configuration."""
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        near = difflib.get_close_matches(str(kind), FAMILIES, 1)
        nearest = f"; the nearest is {near[0]}" if near else ""
        known = ", ".join(sorted(FAMILIES))
        raise CheckpointError(f"{where}: model_type {kind!r} is not known; known are {known}{nearest}")
    return FAMILIES[kind]


def _build(family, config, dtype, *, file=None, head=None, where="config", seed=0):
    """(the model, what its configuration says)"""
    architecture = _architecture(family, config, head, where)
    model_class, head = family.heads[architecture]
    elsewhere = set(OBEYED) | set(NEUTRAL) | FREE
    c = values_of(config, family.kind, COMMON | family.keys, elsewhere, where)
    if file is not None:
        file.tie(c)
    elif not (c.tie_word_embeddings or family.always_tied):
        c.separate |= {target for target, _ in family.tied(c)}
    if model_class is EncoderDecoder and not c.is_encoder_decoder:
        raise c.refuse("is_encoder_decoder", f"cannot be obeyed in a {architecture}, only true")
    with _in_their_words(c, where):
        tied = family.tied(c)[0][0] not in c.separate
        usual = {"head": head, "tie_word_embeddings": tied}
        fields = built(lambda: c.fields() | usual | family.fields(c, head), where)
        ours = built(lambda: Config(**fields, dtype=dtype), where)
        if file is not None:
            check_size(ours, model_class, file.tensors, where)
        model = built(lambda: model_class(ours, seed), where)
    model.published = c.published() | {"model_type": family.kind, "architectures": [architecture]}
    model.separate, model.kept = c.separate, {}
    if head in ("causal_lm", "seq2seq_lm"):
        model.generation = _older_settings(c, settings_in_config(config))
    return model, c


@contextlib.contextmanager
def _in_their_words(c, where):
    """Errors about fields of Config name the keys that they come from."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(where + c.worded(str(error).removeprefix(where))) from error


def _older_settings(c, moved):
    """The settings of generation of a folder that has no file for them, with the class's special tokens."""
    usual = {name: getattr(c, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return {name: value for name, value in (usual | moved).items() if value is not None}


def _warn_of_rounding(config, tensors, folder):
    """Say so where transformers would round the weights to the dtype of config.json."""
    key = "dtype" if config.get("dtype") is not None else "torch_dtype"
    if config.get(key) in ("float16", "bfloat16") and any(t.stored in ("F32", "F64") for t in tensors.values()):
        text = f"{key} = {config[key]!r} is not obeyed: the weights are stored with more bits, and are not rounded"
        warnings.warn(f"{folder}/config.json: {text}", stacklevel=3)


def _warn_of_older(moved, stored, family, folder):
    """Name the settings of generation in config.json that a generation_config.json puts out of force."""
    names = [n for n in sorted(moved) if n not in TOKENS and n not in family.keys and moved[n] != stored.get(n)]
    if names:
        text = ", ".join(f"{name} = {moved[name]!r}" for name in names)
        warnings.warn(f"{folder}/config.json: {text}: not read, as generation_config.json holds", stacklevel=3)


def _architecture(family, config, head, where):
    """The name of the architecture, as this head or as config.json asks for it."""
    named = config.get("architectures")
    if named is not None and not (isinstance(named, list) and all(isinstance(name, str) for name in named)):
        raise CheckpointError(f"{where}: architectures must be a list of names, got {named!r}")
    if head is not None:
        heads = {name: other for other, (_, name) in reversed(family.heads.items())}
        if head not in heads:
            raise CheckpointError(f"a {family.kind} has no head {head!r}; it has {', '.join(heads)}")
        return heads[head]
    if not named:
        body = next(name for name, (_, head) in family.heads.items() if head == "none")
        others = ", ".join(sorted({head for _, head in family.heads.values()} - {"none"}))
        text = f"names no architectures, so it is opened as {body}, without a head; give head= for another: {others}"
        warnings.warn(f"{where} {text}", stacklevel=4)
        return body
    name = family.aliases.get(named[0], named[0])
    if name not in family.heads:
        known = ", ".join(family.heads)
        raise CheckpointError(
            f"{where}: architectures = {named!r} of model_type {family.kind!r} is not known; known are {known}: "
            "give head= to open it as one of them"
        )
    return name
