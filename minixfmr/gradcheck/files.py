"""Read a student's file: a Python file, or the code cells of a notebook."""

import importlib.util
import json
import linecache
import sys
import types
from pathlib import Path

from .blame import blame
from .report import GradcheckError


def load_file(path: str) -> tuple[types.ModuleType, list[str]]:
    """(module, what of it could not be run); its own folder is searched for what it imports.

    A file that ends itself with sys.exit is read up to there. Raises GradcheckError where it cannot be run."""
    file = Path(path).resolve()
    if not file.is_file():
        raise GradcheckError(f"{path} is not a file: give the path of a Python file, such as homework.py")
    if file.suffix not in (".py", ".ipynb"):
        raise GradcheckError(f"{path} is not a Python file: its name must end with .py, or .ipynb")
    module = types.ModuleType(file.stem)
    module.__file__ = str(file)
    sys.modules[file.stem] = module  # so that the source can be found
    sys.path.insert(0, str(file.parent))
    sys.argv = [str(file)]
    if file.suffix == ".ipynb":
        return module, _run_notebook(module, file)
    return module, _run_file(module, file)


def _run_file(module, file):
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module.__spec__, module.__loader__ = spec, spec.loader
    try:
        with blame(file.name):
            spec.loader.exec_module(module)
    except GradcheckError as error:
        if isinstance(getattr(error, "original", None), SystemExit):
            return [f"what stands below in {file.name}: {error}; the checker read it up to there"]
        raise
    return []


def _run_notebook(module, file):
    try:
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise GradcheckError(f"{file.name} is no notebook: {type(error).__name__}: {error}") from None
    problems = []
    for number, source in enumerate(sources, 1):
        name, source = f"<In[{number}]>", _without_magic(source)
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        try:
            with blame(f"In[{number}]"):
                exec(compile(source, name, "exec"), vars(module))
        except GradcheckError as error:
            problems.append(f"cell {number}: {error}")
    return problems


def _without_magic(source):
    """The cell without %magic, !shell and ?help lines; nothing of a %%cell."""
    if source.lstrip().startswith("%%"):
        return "\n" * source.count("\n")
    lines = source.splitlines(keepends=True)
    magic = [line.lstrip().startswith(("%", "!", "?")) or line.rstrip().endswith("?") for line in lines]
    return "".join(
        line[: len(line) - len(line.lstrip())] + "pass\n" if m else line for line, m in zip(lines, magic, strict=True)
    )
