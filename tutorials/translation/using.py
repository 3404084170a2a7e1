"""What a trained model is used for: to translate, and to be tested on other files."""

import json
import sys
from pathlib import Path

from minixfmr.checkpoint import write_file

from . import UsageError
from .console import note
from .data import layout
from .files import normalise
from .options import refuse_idle
from .pairs import read_pairs, read_parallel
from .report import measure, without_nan
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
    for sentence in standard_input() if text == "-" else [text]:
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


def standard_input():
    """Its lines as UTF-8, whatever the locale; bytes that are not become surrogates, as on the command line."""
    return open(sys.stdin.fileno(), encoding="utf-8", errors="surrogateescape", newline="\n", closefd=False)


def evaluate(translator, given, num_beams):
    """Test on the pairs of the files: figures on standard output and in a file, the translations, one a pair, too."""
    files = given["evaluate"]
    if len(files) > 2:
        raise UsageError(f"--evaluate takes a file of pairs, or one of sources and one of targets, got {len(files)}")
    read = read_pairs if len(files) == 1 else read_parallel
    pairs = read(*files, layout(given))
    metrics, translations = measure(translator, pairs, num_beams)
    metrics |= {"num_beams": num_beams, "files": [str(Path(file).absolute()) for file in files]}
    output = Path(given.get("output", Path(given["model"]) / "hypotheses.txt"))
    write_file(output, "".join(f"{translations[source].text}\n" for source, _ in pairs).encode())
    described = output.with_name(output.name + ".json")
    text = json.dumps(without_nan(metrics), indent=2)
    write_file(described, (text + "\n").encode())
    print(text)
    print(f"the {len(pairs):,} translations are in {output}, these figures in {described}")
    return 0
