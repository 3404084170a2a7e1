"""The exercises, one file each; and those of a teacher, files of the same kind in a folder of theirs."""

import importlib
import importlib.util
import re
from pathlib import Path

from ..exercise import Exercise

TEMPLATES = Path(__file__).parent.parent / "templates"
ORDER = (  # from softmax to a whole Transformer that writes
    *("softmax", "cross_entropy", "linear", "embedding", "layer_norm", "gelu", "dropout", "attention"),
    *("multi_head_attention", "cross_attention", "feed_forward", "encoder_block", "decoder_block"),
    *("adamw", "greedy_decoding"),
)


class CatalogueError(ValueError):
    """A file that is no exercise; the message says which, and what it lacks."""


def exercises(folder: Path | None = None) -> dict[str, Exercise]:
    """{name: exercise} in their order: those of the package, then the files of a teacher's folder. A file there that
    has the name of one of ours takes its place. Raises CatalogueError."""
    found = {name: _named(name, importlib.import_module(f".{name}", __package__)) for name in ORDER}
    for path in sorted(folder.glob("*.py")) if folder else ():
        if not path.name.startswith("_"):
            found[path.stem] = _named(path.stem, _imported(path))
    return found


def _imported(path):
    if not re.fullmatch(r"[a-z]\w*", path.stem):
        raise CatalogueError(
            f"{path} cannot be an exercise: its name must be that of a Python module, such as swish.py"
        )
    spec = importlib.util.spec_from_file_location(f"exercise_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    try:
        spec.loader.exec_module(module)  # type: ignore[union-attr]
    except Exception as error:
        raise CatalogueError(f"{path} does not load: {type(error).__name__}: {error}") from error
    return module


def _title(docstring):
    """The first line, as a part of a sentence."""
    line = docstring.strip().splitlines()[0].rstrip(".")
    return line[0].lower() + line[1:]


def _named(name, module):
    exercise = getattr(module, "EXERCISE", None)
    if not isinstance(exercise, Exercise):
        raise CatalogueError(f"{module.__file__} has no EXERCISE: set it to a Pair(...) or an Exercise(...)")
    exercise.name, exercise.tutorial = name, getattr(module, "TUTORIAL", 0)
    exercise.title = _title(module.__doc__ or name)
    shipped = TEMPLATES / f"{name}.py"
    exercise.template = getattr(module, "TEMPLATE", "") or (shipped.read_text("utf-8") if shipped.is_file() else "")
    if not exercise.template:
        raise CatalogueError(f"{module.__file__} has no TEMPLATE: the text of the file that students are given")
    lacks = [f for f in exercise.functions if f"def {f}(" not in exercise.template]
    if lacks:
        raise CatalogueError(f"the TEMPLATE of {module.__file__} has no function {' nor '.join(lacks)}")
    return exercise
