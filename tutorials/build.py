"""Run the tutorials and write them as notebooks, with what they print and draw.

    python tutorials/build.py            all of them: about half an hour
    python tutorials/build.py 01 05      those whose names start with 01 or 05
    python tutorials/build.py --words    runs nothing: brings text and comments up to date and keeps all outputs

The scripts (jupytext's percent format) are what you edit; the notebook beside each is made from it. With QUICK=1 in the
environment a tutorial runs on less data, as the tests do, and nothing is written. Each notebook begins with a cell that
installs what is missing, which the scripts lack (setup_cell.py beside this file writes it).
"""

import argparse
import ast
import base64
import io
import itertools
import os
import re
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image
from setup_cell import setup_cell

HERE = Path(__file__).parent
SCRIPTS = sorted(HERE.glob("[0-9][0-9]_*.py"))
SETUP = "setup"  # the id of the cell that installs what is missing


def read(script):
    """The notebook of a script, without outputs."""
    notebook = jupytext.read(script, fmt="py:percent")
    first = notebook.cells.index(code_cells(notebook)[0])
    notebook.cells.insert(first, nbformat.v4.new_code_cell(setup_cell(script)))
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for number, cell in enumerate(notebook.cells):
        cell.id = SETUP if number == first else f"cell-{number - (number > first)}"
        cell.metadata.clear()
    return notebook


def run(notebook):
    """Run all cells from top to bottom in a kernel of their own. Raises nbclient's CellExecutionError if one fails."""
    options = {
        "timeout": 7200,
        "kernel_name": "python3",
        "coalesce_streams": True,
        "extra_arguments": ["--log-level=ERROR"],
    }
    NotebookClient(notebook, **options, resources={"metadata": {"path": str(HERE)}}).execute()
    for cell in notebook.cells:
        cell.metadata.clear()  # when it ran
        for output in cell.get("outputs", ()):
            picture = output.get("data", {}).get("image/png")
            if picture:
                output["data"]["image/png"] = smaller(picture)
    return notebook


def reword(notebook, written):
    """Give a notebook without outputs those of the one written before. Raises ValueError if their code differs in more
    than comments, docstrings and imports, since the outputs would no longer be true."""
    notebook.metadata = written.metadata
    pairs = list(itertools.zip_longest(code_cells(notebook), code_cells(written)))
    changed = [str(number) for number, (new, old) in enumerate(pairs, 1) if program(new) != program(old)]
    if changed:
        raise ValueError(f"code cell {', '.join(changed)} computes something else now: run the tutorial")
    for new, old in pairs:
        new.outputs = old.outputs
    for count, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), 1):
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
    return notebook


def code_cells(notebook):
    """The cells of the script: all that hold code but the one that installs what is missing."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.get("id") != SETUP]


def program(cell):
    """What a cell computes: its code without comments, docstrings and imports, for a name may have moved to another
    file; and the number of its lines, which a report may show."""
    if cell is None:
        return None
    tree = ast.parse(cell.source)
    imports = ast.Import | ast.ImportFrom
    tree.body = [node for node in tree.body if not isinstance(node, imports)]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    lines = [line for line in cell.source.splitlines() if not re.match(r"(from|import) ", line)]
    return ast.dump(tree), len(lines)


def smaller(picture):
    """A PNG in base64, reduced to 128 colours: a third of the size, and it looks the same."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB").quantize(128)
    file = io.BytesIO()
    image.save(file, "png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="how their names start, such as 01 (default: all)")
    parser.add_argument("--words", action="store_true", help="run nothing, update text and comments, keep the outputs")
    options = parser.parse_args()
    names = options.names
    scripts = [script for script in SCRIPTS if not names or script.name.startswith(tuple(names))]
    if not scripts:
        print(f"build.py: error: none starts with {' or '.join(names)}: {[s.name for s in SCRIPTS]}", file=sys.stderr)
        return 2
    return write_words(scripts) if options.words else write_runs(scripts)


def write_words(scripts):
    """1 if a notebook could not be brought up to date without running it, else 0."""
    failed = 0
    for script in scripts:
        path = script.with_suffix(".ipynb")
        try:
            nbformat.write(reword(read(script), nbformat.read(path, as_version=4)), path)
        except ValueError as error:
            print(f"{script.name}: {error}: python tutorials/build.py {script.name[:2]}", file=sys.stderr)
            failed = 1
    return failed


def write_runs(scripts):
    for script in scripts:
        began = time.perf_counter()
        notebook = run(read(script))
        print(f"{script.name}: {time.perf_counter() - began:.0f} s", flush=True)
        if not os.environ.get("QUICK"):
            nbformat.write(notebook, script.with_suffix(".ipynb"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
