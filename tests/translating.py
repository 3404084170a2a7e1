"""What the tests of the tutorial script share: small data, a small model, and the script in a process of its own."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

for extra in ("tokenizers", "num2words", "sacrebleu", "matplotlib", "tqdm"):
    pytest.importorskip(extra, reason="needs minixfmr[tutorials]")

import translate

SCRIPT = Path(translate.__file__)
SMALL = "--d-model 16 --num-heads 2 --d-ff 24 --layers 1 --vocab-size 60 --max-length 48".split()
SMALL += "--warmup 5 --batch-tokens 150".split()
WORDS = {"red": "rot", "green": "grün", "blue": "blau", "old": "alt", "new": "neu", "big": "groß", "house": "Haus"}


def write_pairs(name="pairs.tsv", count=120):
    """A file of pairs: phrases of colours and their translation from right to left."""
    rng = random.Random(0)
    phrases = [rng.choices(list(WORDS), k=rng.randint(1, 4)) for _ in range(count)]
    lines = [f"{' '.join(p)}\t{' '.join(WORDS[w] for w in reversed(p))}\tignored" for p in phrases]
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(*arguments, **options):
    """The script in a process of its own."""
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", **options)


def train(*arguments):
    return translate.main(["--pairs", "pairs.tsv", *SMALL, *arguments])


def fails(capsys, *arguments):
    """The one line of error that the script gives."""
    capsys.readouterr()
    assert translate.main(list(arguments)) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("translate.py: error: ")
    assert len(error.splitlines()) == 1
    return error


def weights(folder):
    return (Path(folder) / "model.safetensors").read_bytes()
