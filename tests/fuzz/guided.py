"""Coverage-guided fuzzing of everything that reads files, with atheris, which is not among the extras:

    pip install atheris
    python -m tests.fuzz.guided CORPUS -max_total_time=1800 -timeout=30 -max_len=40000

CORPUS is a folder, new or of an earlier run; the undamaged files are put there first. The first byte of an input says
which file of which original it replaces. What it finds is written to crash-*, and read again with

    python -m tests.fuzz.guided crash-...
"""

import contextlib
import io
import sys
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["minixfmr.checkpoint", "minixfmr.pretrained", "minixfmr.models.fields"]):
    from minixfmr import checkpoint, pretrained  # noqa: F401

from minixfmr.training import Trainer  # noqa: F401

from .files import difference, expectation, guarded
from .originals import originals
from .runner import is_ours

TARGETS = [(original, name) for original in originals() for name in original.files]


def one_input(data):
    """Read one damaged file. Raises whatever is not right and not refused in a sentence of ours."""
    if not data or data[0] >= len(TARGETS):
        return
    original, name = TARGETS[data[0]]
    (original.folder / name).write_bytes(data[1:])
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            result = guarded(original, name)
        except Exception as error:
            if not is_ours(error):
                raise
            return
        wrong = difference(result, expectation(original, name, data[1:]))
    assert wrong is None, f"{original.door} {name}: {wrong}"


def main():
    folder = next((Path(word) for word in sys.argv[1:] if not word.startswith("-") and not Path(word).is_file()), None)
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        for number, (original, name) in enumerate(TARGETS):
            (folder / f"undamaged-{number}").write_bytes(bytes([number]) + original.files[name])
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
