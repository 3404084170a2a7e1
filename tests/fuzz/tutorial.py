"""The files of the translation tutorial: run.json and the vocabulary."""

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "tutorials"))

import corpus
from translation import folder, options, settings


def files():
    """{name: bytes} of a run that was begun."""
    tokenizer = corpus.train_tokenizer([("one two three", "eins zwei drei")] * 3, 40)
    with tempfile.TemporaryDirectory() as name:
        run = _run(name)
        run.start(
            {"settings": options.DEFAULTS | {"epochs": 3, "lr": 1e-3, "vocab_size": 40}, "data": "0123"}, tokenizer
        )
        return {file: (run / file).read_bytes() for file in ("run.json", "tokenizer.json")}


def read(path):
    """What resuming reads of these two."""
    described = _run(path).description()
    settings.resumed(described["settings"], {}, path)
    return {"": [described, json.loads(corpus.load_tokenizer(path / "tokenizer.json").to_str())]}


def _run(path):
    run = folder.RunFolder("fuzz")
    run.path = Path(path)
    return run
