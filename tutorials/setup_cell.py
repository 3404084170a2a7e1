"""The first cell of each notebook: it installs what is missing, in JupyterLite, on Colab and in a clone."""

import ast
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
HELPERS = [HERE, HERE.parent / "tests"]  # where the tutorials' own modules are

CELL = """\
# Installs what is missing, in JupyterLite, on Colab or in a clone. Where all is there it does nothing.
import sys
from importlib.util import find_spec

if not all(map(find_spec, {modules})):
    if sys.platform == "emscripten":  # JupyterLite
        %pip install --quiet {packages}
    else:
        if not find_spec("plots"):  # the notebook alone, as Colab opens it
{fetch}
        %pip install --quiet "..[{extras}]"
"""
CLONE = """\
            !git clone --quiet --depth 1 {address} minixfmr-source
            %cd -q minixfmr-source/tutorials"""
ALONE = """\
            raise ModuleNotFoundError("plots.py is not beside this notebook: open it in a clone of minixfmr")"""


def setup_cell(script):
    """The cell's code, from what the script and the helpers that it imports need."""
    packages = sorted(needs(script))
    modules = sorted([*packages, "plots"])
    extras = "notebooks,parity" if "torch" in packages else "notebooks"
    address = repository()
    fetch = CLONE.format(address=address) if address else ALONE
    listed = ", ".join(f'"{name}"' for name in modules)
    return CELL.format(modules=f"[{listed}]", packages=" ".join(packages), extras=extras, fetch=fetch).rstrip()


def needs(script, seen=()):
    """The modules from outside that a script imports where it begins, itself or through a helper."""
    outside = set()
    for name in imports(script):
        helper = next((path for path in places(name) if path.exists()), None)
        if helper is None:
            outside |= {name.split(".")[0]} - sys.stdlib_module_names
        elif name not in seen:
            outside |= needs(helper, (*seen, name))
    return outside


def imports(script):
    """The names of the modules that a script imports at its top level."""
    for node in ast.parse(script.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def places(module):
    """Where a helper of this name would be."""
    for folder in HELPERS:
        path = folder.joinpath(*module.split("."))
        yield from (path.with_suffix(".py"), path / "__init__.py")


def repository():
    """The public address of the repository, from pyproject.toml; "" while there is none."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project.get("urls", {}).get("Repository", "")
