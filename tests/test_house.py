"""The rules of the house: who may import what."""

import ast
from pathlib import Path

import pytest
import user_program

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "minixfmr"
FILES = sorted(p for p in PACKAGE.rglob("*.py") if p.parent.name != "templates")  # those are for students

# imports run one way only: a file may import from its own room and from those before it
ROOMS = ["backend", "checks", "module", "layers", "models", "generation", "training", "checkpoint"]
ROOMS += ["pretrained", "gradcheck", "exercises", "trace"]


def imports(path):
    """(module, level) of every import in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level
        elif isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports(path):
    room = path.relative_to(PACKAGE).with_suffix("").parts[0]
    depth = len(path.relative_to(PACKAGE).parts)
    for module, level in imports(path):
        if module.split(".")[0] in ("numpy", "cupy"):
            shelf = room in ("layers", "models", "module", "training") and path.name != "decoding.py"
            assert not shelf and module.split(".")[0] == "numpy", f"{path} imports {module}: write xp instead"
        if level == depth and room in ROOMS and module:
            assert ROOMS.index(module.split(".")[0]) <= ROOMS.index(room), f"{path} imports {module}"


def test_the_shelf_can_be_read_from_end_to_end():
    rooms = ("layers", "models", "training", "generation")
    shelf = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES if path.parent.name in rooms}
    shelf[PACKAGE / "module.py"] = len((PACKAGE / "module.py").read_text(encoding="utf-8").splitlines())
    assert max(shelf.values()) <= 250
    assert 2000 < sum(shelf.values()) <= 2900, "what the paper does not need belongs in variants/, checks/ or backend/"


def test_a_users_first_program_runs_and_is_typed():
    assert user_program.main() < 0.5
    mypy = pytest.importorskip("mypy.api", reason="mypy is not installed; pip install mypy does for this")
    out, errors, status = mypy.run(
        ["--strict", "--follow-imports=silent", "--config-file", "", str(ROOT / "tests" / "user_program.py")]
    )
    assert status == 0, out + errors
