"""What a trained model is used for: to translate, and to be tested on other files."""

import json
import sys
import tempfile
from pathlib import Path

from minixfmr.checkpoint import write_file

from . import UsageError
from .console import note
from .data import layout
from .files import STANDARD_INPUT, normalise, standard_input
from .options import refuse_idle
from .pairs import read_pairs, read_parallel
from .report import measure, without_nan
from .settings import read_once
from .translator import Translator


def use(given):
    """The command line with --model; return the exit status."""
    if "model" not in given or not {"translate", "evaluate"} & given.keys():
        raise UsageError('translating takes both: --model runs/NAME --translate "TEXT" (or --evaluate FILE)')
    if {"translate", "evaluate"} <= given.keys():
        raise UsageError("--translate and --evaluate are two things: give one")
    refuse_idle(given)
    beams = given.get("num_beams", 1)
    if not 1 <= beams <= 64:
        raise UsageError(f"--num-beams must be from 1 to 64, got {beams}")
    translator = Translator.load(given["model"])
    if "evaluate" in given:
        return evaluate(translator, given, beams)
    return translate(translator, given["translate"], beams, given.get("verbose", False))


def translate(translator, text, num_beams, verbose):
    """One translation a line."""
    for sentence in _lines() if text == "-" else [text]:
        sentence = normalise(sentence)
        if any("\ud800" <= character <= "\udfff" for character in sentence):
            raise UsageError("the text to translate is not UTF-8: convert it, for example with iconv -t UTF-8")
        (translation,) = translator.translations([sentence], num_beams)
        if translation.unknown:
            note("this has characters that were not in the training data")
        if translation.cut:
            subwords = len(translation.source_ids) - 1 + translation.cut
            note(f"this has {subwords} subwords, of which {translation.cut} were cut off (--max-length)")
        if translation.unfinished:
            note(f"the translation was cut at {len(translation.ids)} subwords (--max-length)")
        print(translation.text, flush=True)
        for token, p, others in translator.steps(translation) if verbose and translation.ids else ():
            alternatives = "  ".join(f"{other} {share:.1%}" for other, share in others)
            print(f"  {token:16} {p:6.1%}   instead: {alternatives}")
        error = getattr(sys.stdout, "broken", None)
        if error:
            if isinstance(error, BrokenPipeError):  # whoever read this has read enough
                return 141
            raise UsageError(f"cannot write the translation: {error.strerror or error}")
    return 0


def _lines():
    """Those of standard input as UTF-8, whatever the locale; bytes that are not become surrogates, as on the command
    line."""
    return (line.decode(errors="surrogateescape") for line in standard_input())


def evaluate(translator, given, num_beams):
    """Test on the pairs of the files: figures on standard output and in a file, the translations, one a pair, too."""
    files = given["evaluate"]
    if len(files) > 2:
        raise UsageError(f"--evaluate takes a file of pairs, or one of sources and one of targets, got {len(files)}")
    read_once(files)
    output = Path(given.get("output", Path(given["model"]) / "hypotheses.txt"))
    described = output.with_name(output.name + ".json")
    check_outputs((output, described), files)
    read = read_pairs if len(files) == 1 else read_parallel
    pairs = read(*files, layout(given))
    metrics, translations = measure(translator, pairs, num_beams)
    named = [file if file == STANDARD_INPUT else str(Path(file).absolute()) for file in files]
    text = json.dumps(without_nan(metrics | {"num_beams": num_beams, "files": named}), indent=2)
    print(text, flush=True)
    write_file(output, "".join(f"{translations[source].text}\n" for source, _ in pairs).encode())
    write_file(described, (text + "\n").encode())
    print(f"the {len(pairs):,} translations are in {output}, these figures in {described}")
    return 0


def check_outputs(outputs, inputs):
    """Raise UsageError, before anything is computed, unless the files can be written and are none of those read."""
    for path in outputs:
        if path.exists() and not path.is_file():
            raise UsageError(f"--output: cannot write {path}, which is no regular file: choose another name")
        for file in inputs:
            if file != STANDARD_INPUT and path.exists() and Path(file).exists() and path.samefile(file):
                raise UsageError(f"--output: {path} would replace the data it is tested on: choose another name")
    folder = outputs[0].absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UsageError(f"--output: cannot write in {folder} ({error.strerror}): choose another folder") from error
