"""Coverage-guided fuzzing of everything that reads files, with atheris, which is not among the extras:

    pip install atheris
    python -m tests.fuzz.guided CORPUS -max_total_time=1800 -max_len=40000

CORPUS is a folder, new or of an earlier run; the undamaged files are put there first. The first byte of an input says
which file of which original it replaces. Each kind of defect is shown once, and its input written beside the corpus, as
CORPUS-defect-0 and so on. One input alone:

    python -m tests.fuzz.guided CORPUS-defect-0
"""

import sys
import traceback
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["minixfmr"]):
    from .files import guarded, originals
    from .oracle import difference, expectation

from .runner import DEFECTS, Case, outcome

TARGETS = [(original, name) for original in originals() for name in original.files]
FOUND: set = set()


def case(data):
    """The Case of an input; None if its first byte names no file."""
    if not data or data[0] >= len(TARGETS):
        return None
    original, name = TARGETS[data[0]]

    def run():
        (original.folder / name).write_bytes(data[1:])
        return guarded(original, name)

    expected = expectation(original, name, data[1:])
    return Case(f"{original.door}({name})", run, lambda result: difference(result, expected))


def main():
    words = [Path(word) for word in sys.argv[1:] if not word.startswith("-")]
    folder = words[0] if words and not words[0].is_file() else None
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        for number, (original, name) in enumerate(TARGETS):
            (folder / f"undamaged-{number}").write_bytes(bytes([number]) + original.files[name])

    def one_input(data):
        tried = case(data)
        how, words = outcome(tried) if tried else ("right", "")
        if how not in DEFECTS or (key := (tried.name, how, words[:40])) in FOUND:
            return
        FOUND.add(key)
        print(f"DEFECT {how}: {tried.name}: {words}", flush=True)
        if folder:
            folder.with_name(f"{folder.name}-defect-{len(FOUND) - 1}").write_bytes(data)
        try:
            tried.run()
        except Exception:
            traceback.print_exc()

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
