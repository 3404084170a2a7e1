"""Folders: new ones for students, and where in what they hand in the exercises lie."""

from pathlib import Path

from .catalogue import TEMPLATES
from .exercise import Exercise
from .plan import plan, points_table

SKIPPED = ("__MACOSX", "__pycache__")
DEEPEST = 3


class FolderError(ValueError):
    """A folder that cannot be used; the message says why and what to do."""


def write_new(folder: Path, exercises: dict[str, Exercise]) -> list[str]:
    """Write the templates, their README and a plan for two weeks. → the names of the files.

    Raises FolderError, and writes nothing, if one of them exists.
    """
    texts = {f"{name}.py": exercise.template for name, exercise in exercises.items()}
    readme = (TEMPLATES / "README.md").read_text("utf-8")
    texts["README.md"] = readme.replace("<!-- the list -->\n", points_table(exercises))
    texts["PLAN.md"] = plan(exercises)
    if folder.exists() and not folder.is_dir():
        raise FolderError(f"{folder} is not a folder: give the name of a new one")
    there = [name for name in texts if (folder / name).exists()]
    if there:
        raise FolderError(f"{folder} has {there[0]} already, and nothing is overwritten: give the name of a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return list(texts)


def locate(folder: Path, exercises: dict[str, Exercise]) -> tuple[Path, str]:
    """(the folder with the exercises, a remark): the folder itself, or one further down, where a zip file put it."""
    here = folder
    for _ in range(DEEPEST + 1):
        if any((here / f"{name}.py").is_file() for name in exercises):
            return here, "" if here == folder else f"the exercises were found in {here.relative_to(folder)}"
        inner = students(here)
        if len(inner) != 1:
            break
        here = inner[0]
    holding = [f for f in students(folder) if any((f / f"{name}.py").is_file() for name in exercises)]
    if len(holding) == 1:
        return holding[0], f"the exercises were found in {holding[0].name}"
    if holding:
        return folder, f"exercises lie in {' and in '.join(f.name for f in holding[:4])}: which are to be marked?"
    return folder, "no exercise was found here"


def others(folder: Path) -> list[str]:
    """The names of what lies beside the students' folders: files, links."""
    known = {*students(folder), *(folder / name for name in SKIPPED)}
    return [p.name for p in sorted(folder.iterdir()) if p not in known and p.name[0] != "."]


def students(folder: Path) -> list[Path]:
    """The folders inside a folder, in their order."""
    try:
        inner = sorted(folder.iterdir())
    except OSError:
        return []
    return [p for p in inner if p.name not in SKIPPED and p.name[0] != "." and not p.is_symlink() and p.is_dir()]
