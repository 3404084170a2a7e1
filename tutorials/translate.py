"""Train a small Transformer to translate, see what it learned, and translate with it.

    python tutorials/translate.py                                             # numbers in words, English to German
    python tutorials/translate.py --name mine --pairs deu.txt                 # your own pairs
    python tutorials/translate.py --model runs/numbers --translate "forty-two"
    python tutorials/translate.py --model runs/mine --evaluate test.tsv --num-beams 5

Everything about a run lies in runs/<name>/: the model, its vocabulary, pictures, metrics.json, and, while it trains,
the checkpoint from which `--resume` goes on after Ctrl-C, a crash or a kill as if nothing had happened.
"""

import signal
import sys
from importlib.util import find_spec

if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports, which take a second, ends in silence
    lacking = [name for name in ("minixfmr", "num2words", "sacrebleu", "tokenizers", "tqdm") if not find_spec(name)]
    if lacking:
        print(f'translate.py: error: {lacking[0]} is missing: pip install "minixfmr[tutorials]"', file=sys.stderr)
        sys.exit(2)

from pathlib import Path

from corpus import load_tokenizer, train_tokenizer
from translation import (
    DataError,
    RunError,
    UsageError,
    console,
    data,
    machines,
    options,
    plan,
    report,
    settings,
    training,
    using,
)
from translation.folder import RunFolder
from translation.plan import as_data
from translation.signals import Stopped, StopRequests
from translation.translator import Translator, cross_attention, translate

import minixfmr
from minixfmr.checkpoint import write_file

__all__ = ["Translator", "as_data", "cross_attention", "main", "translate"]  # the tutorials use them too

WRONG = (UsageError, DataError, minixfmr.ConfigError, minixfmr.CheckpointError, minixfmr.BackendError, OSError)


def main(arguments=None):
    """Run the command line; return the exit status."""
    with console.unbreakable():
        given = options.parse(sys.argv[1:] if arguments is None else arguments, __doc__)
        try:
            if "backend" in given:
                minixfmr.use_backend(given.pop("backend"))
            if machines.follows():
                return machines.follow()
            if {"translate", "evaluate", "model"} & given.keys():
                machines.refuse("a finished model")
                return using.use(given)
            return train_command(given)
        except WRONG as error:
            console.error(error)
            return machines.end(2)
        except RunError as error:
            console.error(error)
            return machines.end(1)
        except MemoryError as error:  # while the model is built
            console.error(f"out of memory ({error}): lower --d-model, --d-ff or --layers")
            return machines.end(2)
        except KeyboardInterrupt as stop:  # outside training, which saves first
            print("\nstopped", file=sys.stderr)
            return machines.end(getattr(stop, "status", 130))


def train_command(given):
    """Begin a run, or go on with one."""
    if {"resume", "overwrite"} <= given.keys():
        raise UsageError("--resume and --overwrite contradict each other")
    options.refuse_idle(given)
    resume, overwrite = given.pop("resume", False), given.pop("overwrite", False)
    machines.count_ranks(given)
    folder = RunFolder(given.get("name", options.DEFAULTS["name"]))
    with StopRequests() as stop, folder.locked():
        run, corpus, valid = go_on(folder, given) if resume else begin(folder, given, overwrite)
        machines.tell(run, corpus)
        to_go_on = f"To go on: {console.resume_command(folder.name)}"
        try:
            if not run.train(corpus, valid, stop):
                print(f"\nstopped; everything is saved. {to_go_on}")
                return 128 + stop.number
            report.finish(run, corpus)
        except Stopped as stopped:
            saved = "model and figures are written" if folder.finished() else f"what was saved stays. {to_go_on}"
            print(f"\nstopped at once; {saved}")
            return machines.end(stopped.status)
        except Exception as error:
            if isinstance(error, RunError):
                raise
            raise RunError(f"trained and saved, but not tested: {type(error).__name__}: {error}. {to_go_on}") from error
    return 0


def begin(folder, given, overwrite):
    """A new run, its corpus and validation data. All that can be wrong is found before the first file is written."""
    if (folder.finished() or folder.begun()) and not overwrite:
        state = "a finished run" if folder.finished() else "an unfinished run (--resume goes on with it)"
        raise UsageError(f"{folder} holds {state}: choose another --name, or start anew with --overwrite")
    wanted = settings.chosen(given)
    corpus = data.read_corpus(wanted)
    if wanted["finetune"]:
        tokenizer = load_tokenizer(Path(wanted["finetune"]) / "tokenizer.json")
    else:
        tokenizer = train_tokenizer(corpus.train, wanted["vocab_size"])
    wanted = plan.fitted(wanted, corpus.train, tokenizer)
    trainer, valid = plan.prepare(wanted, corpus, tokenizer)
    plan.tell_plan(wanted, corpus, trainer, tokenizer, given)
    wanted, files = data.kept(wanted, corpus, folder.path)
    run = training.Run(folder, wanted, trainer, tokenizer)
    if wanted["finetune"]:
        training.begin_with(trainer.model, wanted["finetune"])
    first = run.save if wanted["finetune"] else None  # without a checkpoint a run begins with new weights
    folder.start({"settings": wanted, "data": corpus.fingerprint()}, tokenizer, files, first)
    return run, corpus, valid


def go_on(folder, given):
    """An unfinished run where it stood, its corpus and validation data."""
    if folder.finished():
        raise UsageError(
            f"{folder} is finished: nothing to resume; choose another --name, or --overwrite it (--finetune {folder} "
            "begins with its model)"
        )
    if not folder.begun():
        raise UsageError(f"there is no run to resume in {folder}")
    described = folder.description()
    wanted, changes = settings.resumed(described["settings"], given, folder)
    try:
        corpus = data.read_corpus(wanted)
    except DataError as error:
        raise DataError(f"{error}; if the data was moved, name it beside --resume, such as --pairs FILE") from error
    if corpus.fingerprint() != described["data"]:
        raise UsageError(f"the data files are not those that {folder} began with; restore them, or use --overwrite")
    wanted, files = data.kept(wanted, corpus, folder.path)
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    wanted = plan.fitted(wanted, corpus.train, tokenizer)
    trainer, valid = plan.prepare(wanted, corpus, tokenizer)
    plan.tell_plan(wanted, corpus, trainer, tokenizer, given)
    terms = ("learning rates", "workers") if changes or described.get("changes") else ()
    run = training.resume(training.Run(folder, wanted, trainer, tokenizer), terms)
    step = trainer.progress.step
    for name, (old, new) in changes.items():
        print(f"from step {step:,} on {console.option(name)} is {new}, which was {old}")
    if changes:
        for name, content in files:
            write_file(folder / name, content)
        described["changes"] = [*described.get("changes", []), {"step": step} | {n: v for n, (_, v) in changes.items()}]
        folder.write_json("run.json", described | {"settings": wanted})
    return run, corpus, valid


if __name__ == "__main__":
    sys.exit(main())
