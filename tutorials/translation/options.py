"""The command line: what can be asked for, and what was."""

import argparse
import os

from . import UsageError
from .columns import NAMED
from .console import note, option

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def columns(text):
    """ "2,4" → (2, 4)"""
    numbers = [int(number) for number in text.split(",") if number.strip().isdecimal()]
    if len(numbers) != 2 or text.count(",") != 1 or min(numbers) < 1 or numbers[0] == numbers[1]:
        raise argparse.ArgumentTypeError(f"must be two different numbers from 1 on, such as 2,4, got {text!r}")
    return numbers


def separator(text):
    """The characters that are meant by "tab", "comma", or themselves."""
    found = NAMED.get(text.lower(), "\t" if text == "\\t" else text)
    if not found or any(c.isalnum() or c in '"\r\n' for c in found):
        raise argparse.ArgumentTypeError(f"must be tab, comma, semicolon, or signs such as '|||', got {text!r}")
    return found


def as_written(name, value):
    """The value of an option as its text on the command line."""
    if name == "columns":
        return ",".join(map(str, value))
    return next((word for word, sign in NAMED.items() if name == "separator" and sign == value), value)


def quoting(text):
    """csv or none"""
    if text not in ("csv", "none"):
        raise argparse.ArgumentTypeError(f"must be csv or none, got {text!r}")
    return text


# training: {name: (default, type, help)}; None is chosen by the data, which is said
DATA = {
    "pairs": (None, str, "file with source TAB target on each line; - is standard input"),
    "source": (None, str, "file with one source sentence per line"),
    "target": (None, str, "file with their translations"),
    "valid_pairs": (None, str, "validation pairs; without them, pairs are held out of the training files"),
    "valid_source": (None, str, "or as two files"),
    "valid_target": (None, str, ""),
    "test_pairs": (None, str, "test pairs; likewise"),
    "test_source": (None, str, ""),
    "test_target": (None, str, ""),
}
LAYOUT = {
    "columns": (None, columns, "columns of source and target in files of pairs, such as 2,4 (default: 1,2)"),
    "separator": (None, separator, "between columns: tab, comma, semicolon or any signs (default: recognised)"),
    "quoting": (None, quoting, "csv: cells may stand in quotes, as Excel writes them; none: a quote is a character"),
    "reverse": (False, bool, "translate from target to source"),
    "header": (False, bool, "the first line names the columns"),
    "skip_bad_lines": (False, bool, "skip lines that are not a pair or not UTF-8, and count them"),
}
MODEL = {
    "vocab_size": (None, int, "subwords, both sides together (default: 130 for numbers, 6000 for own data)"),
    "d_model": (128, int, "width"),
    "num_heads": (4, int, "attention heads"),
    "d_ff": (512, int, "width of the feed-forward layers"),
    "layers": (2, int, "encoder blocks, and as many decoder blocks"),
    "norm_order": ("pre", str, "pre or post"),
    "max_length": (256, int, "longest sentence, in subwords"),
}
TRAINING = {
    "name": ("numbers", str, "the run's folder, runs/NAME"),
    **DATA,
    **LAYOUT,
    "source_lang": ("en", str, "language of the numbers, as num2words names it"),
    "target_lang": ("de", str, ""),
    "numbers": (20000, int, "random numbers to train on, beside those below 1,000"),
    "finetune": (None, str, "start from the model and vocabulary of this run's folder"),
    **MODEL,
    "dropout": (0.1, float, "probability of dropping a unit"),
    "label_smoothing": (0.1, float, "share of the target probability that is spread over the whole vocabulary"),
    "batch_tokens": (None, int, "subwords in a batch (default: 2500, fewer where the data is small)"),
    "accumulate": (1, int, "batches per optimizer step"),
    "epochs": (None, int, "passes over the training pairs (default: 7, more where the data is small)"),
    "lr": (None, float, "peak learning rate (default: 3e-3, with --finetune 3e-4)"),
    "warmup": (400, int, "steps to reach it, at most half of the run's"),
    "keep": ("best", str, "which epoch's model: best (by the validation loss) or last"),
    "patience": (None, int, "stop after this many epochs without improvement (default: never)"),
    "seed": (0, int, "seed of all random numbers"),
    "threads": (min(4, CORES), int, "worker processes"),
    "save_every": (200, int, "steps between two checkpoints; each epoch ends with one too"),
}
DEFAULTS = {name: default for name, (default, _, _) in TRAINING.items()}
USING = {
    "model": (str, "FOLDER", "a finished run, such as runs/numbers"),
    "num_beams": (int, "N", "beam search of this width (default: 1, greedy)"),
    "output": (
        str,
        "FILE",
        "with --evaluate: where the translations go (default: hypotheses.txt in the model's folder)",
    ),
}


class Once(argparse.Action):
    """Store the value of an option. A second one replaces the first, which is said; but no file is left out so."""

    def __call__(self, parser, namespace, values, option_string=None):
        before = getattr(namespace, self.dest, values)
        another = str(before) != str(values)
        if another and self.dest in (*DATA, "evaluate"):
            parser.error(f"{option_string} is given twice, and takes one value: join the files first")
        if another:
            note(f"{option_string} is given twice: {values} counts, not {before}")
        setattr(namespace, self.dest, values)


def parse(arguments, description):
    """The options that were given, as a dictionary; an option left out is not in it."""
    parser = argparse.ArgumentParser(
        description=description,
        argument_default=argparse.SUPPRESS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        prog="translate.py",
    )
    training = parser.add_argument_group("training")
    for name, (default, kind, text) in TRAINING.items():
        if kind is bool:
            training.add_argument(option(name), action="store_true", help=text)
        else:
            shown = f" (default: {default})" if default is not None else ""
            training.add_argument(option(name), type=kind, metavar=kind.__name__, help=text + shown, action=Once)
    training.add_argument("--resume", action="store_true", help="go on with an unfinished run")
    training.add_argument("--overwrite", action="store_true", help="start anew where a run is already")
    using = parser.add_argument_group("translating")
    for name, (kind, metavar, text) in USING.items():
        using.add_argument(option(name), type=kind, metavar=metavar, help=text, action=Once)
    text = "translate this; without TEXT, standard input by lines"
    using.add_argument("--translate", nargs="?", const="-", metavar="TEXT", help=text, action=Once)
    text = "test the model on a file of pairs, or on a file of sources and one of targets"
    using.add_argument("--evaluate", nargs="+", metavar="FILE", help=text, action=Once)
    text = "show each token's probability and alternatives"
    using.add_argument("-v", "--verbose", action="store_true", help=text)
    parser.add_argument("--backend", help='"numpy" or "cupy" (default: $MINIXFMR_BACKEND, else numpy)')
    return vars(parser.parse_args(_joined(arguments)))


# what can be done, and which options have an effect on it
NUMBERS, PAIRS, FILES, RESUMING = "training on numbers", "training on pairs", "training on two files", "--resume"
TRANSLATING, ON_PAIRS, ON_FILES = "--translate", "--evaluate of a file of pairs", "--evaluate of two files"
OWN, BEGINNING, EVALUATING = {PAIRS, FILES, RESUMING}, {NUMBERS, PAIRS, FILES}, {ON_PAIRS, ON_FILES}
OWN_WORDS = "data of your own (--pairs FILE)"
GOES_WITH: dict[str, tuple[str, set]] = dict.fromkeys((*TRAINING, "resume"), ("training", OWN | BEGINNING))
GOES_WITH |= dict.fromkeys(("source_lang", "target_lang", "numbers"), ("training on numbers", {NUMBERS, RESUMING}))
GOES_WITH |= dict.fromkeys(DATA, (OWN_WORDS, OWN))
GOES_WITH |= dict.fromkeys(LAYOUT, ("files of pairs", {PAIRS, RESUMING, ON_PAIRS}))
GOES_WITH |= dict.fromkeys(("reverse", "header", "skip_bad_lines"), (OWN_WORDS, OWN | EVALUATING))
GOES_WITH |= {
    "overwrite": ("a new run", BEGINNING),
    "model": ("--translate or --evaluate", {TRANSLATING, *EVALUATING}),
    "num_beams": ("--translate or --evaluate, and --model", {TRANSLATING, *EVALUATING}),
    "translate": ("--model", {TRANSLATING}),
    "verbose": ("--translate", {TRANSLATING}),
    "evaluate": ("--model", EVALUATING),
    "output": ("--evaluate", EVALUATING),
}


def task(given):
    """What the options ask for."""
    if "translate" in given:
        return TRANSLATING
    if "evaluate" in given:
        return ON_PAIRS if len(given["evaluate"]) == 1 else ON_FILES
    if "resume" in given:
        return RESUMING
    if any(name.endswith("pairs") for name in DATA if name in given):
        return PAIRS
    return FILES if any(name in given for name in DATA) else NUMBERS


def refuse_idle(given):
    """Raise UsageError for an option that has no effect on what is asked for."""
    asked = task(given)
    for name in given:
        words, tasks = GOES_WITH[name]
        if asked not in tasks:
            raise UsageError(f"{option(name)} goes with {words}, not with {asked}")


def _joined(arguments):
    """The arguments with a text after --translate that begins with a dash joined to it, for argparse takes such a text
    for options."""
    known = {option(name) for name in (*TRAINING, *USING, "resume", "overwrite", "translate", "evaluate", "verbose")}
    known |= {"--backend", "--help", "-h", "-v"}
    joined: list[str] = []
    for argument in arguments:
        text = argument.startswith("-") and argument != "-" and argument.split("=")[0] not in known
        if joined and joined[-1] == "--translate" and text:
            joined[-1] = f"--translate={argument}"
        else:
            joined.append(argument)
    return joined
