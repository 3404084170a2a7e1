"""The settings of a run: chosen, checked, and, when it is resumed, changed where that makes sense."""

import argparse
import math
import os

import minixfmr

from . import UsageError
from .console import option
from .files import STANDARD_INPUT, is_pipe
from .options import DATA, DEFAULTS, MODEL, TRAINING
from .translator import Translator

RESUMABLE = ("epochs", "lr", "threads", "save_every", "keep", "patience", *DATA)  # what a resumed run may change
PREFIXES = ("", "valid_", "test_")  # of the options that name data
POSITIVE = ("save_every", "warmup", "numbers", "accumulate", "threads", "max_length", "epochs", "batch_tokens")
CHOSEN = "vocab_size", "lr"  # always written down, if not given then by the data
HIGHEST = {"threads": 1024, "vocab_size": 10**7}
LOWEST = {"vocab_size": 10, "seed": 0, "patience": 1} | dict.fromkeys(POSITIVE, 1)


def chosen(given):
    """The settings of a new run."""
    given = _with_whole_paths(given)
    settings = DEFAULTS | given
    if "threads" not in given and minixfmr.backend_name() != "numpy":
        settings["threads"] = 1  # threads share out the cores of a CPU
    own_data = settings["pairs"] or settings["source"]
    if settings["finetune"]:
        settings |= _of_the_model(given)
    by_data = {"vocab_size": 6000 if own_data else 130, "lr": usual_rate(settings)}
    settings |= {name: value for name, value in by_data.items() if settings[name] is None}
    check(settings)
    return settings


def usual_rate(settings):
    """The peak learning rate of a run that is not told another."""
    return 3e-4 if settings["finetune"] else 3e-3


def resumed(stored, given, run):
    """(the settings to go on with, {name: (old, new)} of what was changed)."""
    if unknown := sorted(set(stored) - set(DEFAULTS)):
        raise UsageError(f"{run}/run.json has settings that this version does not know: {', '.join(unknown)}")
    check_stored(DEFAULTS | stored, run)
    settings, given = DEFAULTS | _followed(stored, run), _with_whole_paths(given)
    changes = {name: (settings[name], value) for name, value in given.items() if settings[name] != value}
    for name, (old, new) in changes.items():
        if name not in RESUMABLE:
            raise UsageError(
                f"{run} was started with {option(name)} {old}, not {new}: resume without the option, or choose "
                "another --name"
            )
    for kind in PREFIXES:  # a file of pairs in place of two files, or two in place of one
        if f"{kind}pairs" in given:
            settings |= {f"{kind}source": None, f"{kind}target": None}
        elif f"{kind}source" in given:
            settings[f"{kind}pairs"] = None
    for name in DATA:
        if name not in given and settings[name] and is_pipe(settings[name]):
            raise UsageError(
                f"{settings[name]}, from which {run} was begun, is a pipe or a device now: put the file back, or name "
                f"another of the same content beside --resume, with {option(name)}"
            )
    settings |= {name: new for name, (_, new) in changes.items()}
    check(settings)
    return settings, changes


def _followed(stored, run):
    """The settings with the paths of files that the run keeps itself, if its folder was moved."""
    paths = {name: stored[name] for name in DATA if stored.get(name)}
    own = {name: os.path.abspath(os.path.join(str(run), os.path.basename(path))) for name, path in paths.items()}
    return stored | {name: own[name] for name in paths if not os.path.exists(paths[name]) and os.path.exists(own[name])}


def check_stored(stored, run):
    """Raise UsageError for settings of a run.json that no options can have given."""
    for name, value in stored.items():
        default, kind, _ = TRAINING[name]
        if not (value is None and default is None and name not in CHOSEN) and not _could_be_given(value, kind):
            raise UsageError(
                f"{run}/run.json: {name} = {value!r} is not what {option(name)} gives: correct it, or start anew with "
                "--overwrite"
            )
    try:
        check(stored)
    except UsageError as error:
        raise UsageError(f"{run}/run.json: {error}") from error


def _could_be_given(value, kind):
    """Whether an option of this kind, a type or what reads its text, can have given the value."""
    if isinstance(kind, type):
        return isinstance(value, (int, float) if kind is float else kind) and isinstance(value, bool) == (kind is bool)
    text = ",".join(map(str, value)) if isinstance(value, list) else value
    try:
        return isinstance(text, str) and kind(text) == value
    except argparse.ArgumentTypeError:
        return False


def check(settings):
    """Raise UsageError for what cannot be meant."""
    for name, value in settings.items():
        if isinstance(value, int) and value > (most := HIGHEST.get(name, 10**12)):
            raise UsageError(f"{option(name)} must be at most {most:,}, got {value}")
    for name, least in LOWEST.items():
        if settings[name] is not None and settings[name] < least:
            raise UsageError(f"{option(name)} must be at least {least}, got {settings[name]}")
    if not 0 < settings["lr"] < math.inf:
        raise UsageError(f"--lr must be greater than 0, such as 1e-3, got {settings['lr']}")
    if not 0 <= settings["label_smoothing"] < 1:
        raise UsageError(f"--label-smoothing must be in [0, 1), got {settings['label_smoothing']}")
    if settings["keep"] not in ("best", "last"):
        raise UsageError(f"--keep must be best or last, got {settings['keep']!r}")
    for kind in PREFIXES:
        if bool(settings[kind + "source"]) != bool(settings[kind + "target"]):
            raise UsageError(
                f"{option(kind + 'source')} and {option(kind + 'target')} go together: give both or neither"
            )
        if settings[kind + "pairs"] and settings[kind + "source"]:
            both = f"{option(kind + 'source')} and {option(kind + 'target')}"
            raise UsageError(f"give {option(kind + 'pairs')}, or {both}, not both")
    own_data = settings["pairs"] or settings["source"]
    if not own_data and any(settings[name] for name in DATA):
        raise UsageError("validation and test files need training files: --source and --target, or --pairs")
    read_once([settings[name] for name in DATA])


def read_once(paths):
    """Raise UsageError if a pipe is to be read twice."""
    pipes = [STANDARD_INPUT if path == "/dev/stdin" else path for path in paths if path and is_pipe(path)]
    for path in pipes:
        if pipes.count(path) > 1:
            what = "standard input" if path == STANDARD_INPUT else f"the pipe {path}"
            raise UsageError(f"{what} can be read once only: give a file for the others")


def _with_whole_paths(given):
    """Paths from the root: the run may be resumed elsewhere. Raises UsageError for what run.json could not hold."""
    paths = {name: given[name] for name in (*DATA, "finetune") if name in given}
    whole = {name: path if path == STANDARD_INPUT else os.path.abspath(path) for name, path in paths.items()}
    for name, path in whole.items():
        if any("\ud800" <= character <= "\udfff" for character in path):
            raise UsageError(f"{option(name)}: the name {path!r} is not UTF-8: rename it, or set a locale of UTF-8")
    return given | whole


def _of_the_model(given):
    """The sizes of the model to begin with, which nothing that was given may contradict."""
    config = Translator.load(given["finetune"]).model.config
    sizes = {
        "vocab_size": config.vocab_size,
        "d_model": config.d_model,
        "num_heads": config.num_heads,
        "d_ff": config.d_ff,
        "layers": config.num_encoder_layers,
        "norm_order": config.norm_order,
        "max_length": config.max_position_embeddings,
    }
    for name in MODEL:
        if given.get(name, sizes[name]) != sizes[name]:
            raise UsageError(f"the model in {given['finetune']} has {option(name)} {sizes[name]}, not {given[name]}")
    return sizes
