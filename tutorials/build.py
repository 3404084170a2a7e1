"""Run the tutorials and write them as notebooks, with what they print and draw.

    python tutorials/build.py            all of them: about half an hour
    python tutorials/build.py 01 05      those whose names begin so

The scripts (jupytext's percent format) are what is edited; each notebook beside them is made from its script. With
QUICK=1 in the environment a tutorial runs on less data, as the tests do; nothing is written then.
"""

import argparse
import base64
import io
import os
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

HERE = Path(__file__).parent
SCRIPTS = sorted(HERE.glob("[0-9][0-9]_*.py"))


def read(script):
    """The notebook of a script, without outputs."""
    notebook = jupytext.read(script, fmt="py:percent")
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata.clear()
    return notebook


def run(notebook):
    """Run all cells from top to bottom in a kernel of their own. Raises nbclient's CellExecutionError if one fails."""
    options = {
        "timeout": 1800,
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


def smaller(picture):
    """A PNG in base64 with 128 colours at most, which is a third of its size and looks the same."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB").quantize(128)
    file = io.BytesIO()
    image.save(file, "png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of their names, such as 01 (default: all)")
    names = parser.parse_args().names
    scripts = [script for script in SCRIPTS if not names or script.name.startswith(tuple(names))]
    if not scripts:
        print(f"build.py: error: none begins with {' or '.join(names)}: {[s.name for s in SCRIPTS]}", file=sys.stderr)
        return 2
    for script in scripts:
        began = time.perf_counter()
        notebook = run(read(script))
        print(f"{script.name}: {time.perf_counter() - began:.0f} s", flush=True)
        if not os.environ.get("QUICK"):
            nbformat.write(notebook, script.with_suffix(".ipynb"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
