"""Build a JupyterLite site: three tutorials and the exercises in a browser tab, with nothing installed.

    python tutorials/lite.py [FOLDER]        default: build/lite

The site is static files that any web server can serve (python -m http.server -d build/lite). Its kernel, Pyodide with
NumPy, comes from a public address when a notebook is opened: JupyterLite has it so, and the wheels are too large to
ship. minixfmr's own wheel is built here and lies in the site.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import nbformat

HERE = Path(__file__).parent
TUTORIALS = ["01_attention_by_hand", "02_your_gradient_checked", "11_every_gradient_derived"]
HELPERS = ["plots.py"]
SETUP = """\
try:
    import minixfmr
except ModuleNotFoundError:
    %pip install --quiet minixfmr"""
MARK = """\
from minixfmr.exercises.__main__ import main

main(["exercises"])"""
WORDS = """\
# Exercises

The folder *exercises* beside this notebook has {count} files to fill in, forward and backward, and PLAN.md says what to
do when. Open one from the list of files at the left, write, save, and run the cells below: they say what is right, what
is wrong and why.

A tab has no processes, so your code runs in the marker's own. An endless loop has to be ended by *Restart Kernel*."""


def contents(folder):
    """Write what the site shows into the folder: tutorials, what they import, and the exercises with a notebook that
    marks them."""
    from minixfmr.exercises.catalogue import exercises
    from minixfmr.exercises.folders import write_new

    (folder / "tutorials").mkdir(parents=True)
    for name in [*(f"{name}.ipynb" for name in TUTORIALS), *HELPERS]:
        shutil.copy(HERE / name, folder / "tutorials")
    known = exercises()
    write_new(folder / "exercises", known)
    cells = [
        nbformat.v4.new_markdown_cell(WORDS.format(count=len(known))),
        nbformat.v4.new_code_cell(SETUP),
        nbformat.v4.new_code_cell(MARK),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    nbformat.write(notebook, folder / "exercises.ipynb")


def build(site):
    """Build the site, and return the problems found in it."""
    with tempfile.TemporaryDirectory() as scratch:
        lite = Path(scratch)
        contents(lite / "files")
        run("pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(lite / "pypi"), str(HERE.parent), folder=lite)
        smaller = ("--no-sourcemaps", "--no-unused-shared-packages")
        run("jupyterlite_core", "build", "--contents", "files", "--output-dir", str(site), *smaller, folder=lite)
    return problems(site)


def run(*command, folder):
    subprocess.run([sys.executable, "-m", *command], check=True, cwd=folder)


def problems(site):
    """What a site lacks: pages, files, and the package's wheel where the kernel looks for it."""
    wanted = ["lab/index.html", "notebooks/index.html", "files/exercises.ipynb", "files/exercises/softmax.py"]
    wanted += [f"files/tutorials/{name}" for name in [*(f"{name}.ipynb" for name in TUTORIALS), *HELPERS]]
    lacking = [f"{name} is missing" for name in wanted if not (site / name).is_file()]
    pages = [json.loads(page.read_text()) for page in site.glob("api/contents/**/all.json")]
    listed = {entry["path"] for page in pages for entry in page["content"]}
    lacking += [f"{name} is not listed" for name in wanted if name.startswith("files/") and name[6:] not in listed]
    return lacking + wheel_problems(site)


def wheel_problems(site):
    """Whether the wheel is in the site's index and holds what a tab needs."""
    index = site / "pypi" / "all.json"
    releases = json.loads(index.read_text())["minixfmr"]["releases"] if index.is_file() else {}
    names = [file["filename"] for files in releases.values() for file in files]
    if len(names) != 1 or not (site / "pypi" / names[0]).is_file():
        return [f"pypi/all.json must name one wheel of minixfmr that is there, it names {names}"]
    inside = zipfile.ZipFile(site / "pypi" / names[0]).namelist()
    needed = ["minixfmr/__init__.py", "minixfmr/exercises/here.py", "minixfmr/exercises/templates/softmax.py"]
    return [f"{name} is not in the wheel" for name in needed if name not in inside]


def main():
    site = Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent / "build" / "lite").resolve()
    lacking = build(site)
    for problem in lacking:
        print(f"lite.py: {problem}", file=sys.stderr)
    if not lacking:
        size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
        print(f"{site}: {size >> 20} MiB; python -m http.server -d {site} serves it")
    return int(bool(lacking))


if __name__ == "__main__":
    sys.exit(main())
