"""Write the pages of the site: python docs/site/pages.py build/pages

They are README, docs/ and the tutorials as they stand in the repository, with links between them, and three kinds that
are made from the source: the files with their forwards and backwards side by side, the reference, the exercises.
"""

import html
import importlib
import inspect
import os
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tutorials")]

import reading_order

import minixfmr
from minixfmr.exercises.catalogue import exercises
from minixfmr.exercises.folders import write_new
from minixfmr.trace.page import STYLE, side_by_side, symbols_of
from minixfmr.trace.steps import formula, pairs_of

TEXTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/RESULTS*.md", "docs/*.md", "tutorials/*.ipynb"]
MOVED = {  # what has a page of another name, or is a folder
    "README.md": "index.md",
    "minixfmr/exercises/templates": "exercises/README.md",
    "minixfmr/pretrained": "reference/published_checkpoints.md",
}
PARTS = reading_order.parts()
USERS = {"The gradient checker": "minixfmr.gradcheck", "The exercises": "minixfmr.exercises"}  # of the clinic
CSS = (
    STYLE
    + """
.trace { background: #fff; padding: 4px; margin: 0 0 1.5rem; overflow-x: auto; }
.trace .formula { margin: 6px 0; }
.content:has(.trace) { flex: 1; min-width: 0; width: auto; }
.content:has(.trace) + .toc-drawer { display: none; }
"""
)
MENU = """
```{toctree}
:hidden:
:caption: Learn
:glob:

tutorials/*
```

```{toctree}
:hidden:
:caption: Read the source

docs/reading_order
docs/tracing
source/index
```

```{toctree}
:hidden:
:caption: Check and teach

docs/gradient_checker
docs/coursework
exercises/README
exercises/PLAN
exercises/files
```

```{toctree}
:hidden:
:caption: Use

docs/your_own_data
docs/published_checkpoints
docs/gpu
docs/browser_tab
docs/mpi
reference/index
```

```{toctree}
:hidden:
:caption: Results and project
:glob:

docs/results
benchmarks/*
CONTRIBUTING
CHANGELOG
```
"""


def main(out):
    """Write all pages into the folder out, and what the site needs beside them into the folder static next to it."""
    for pattern in TEXTS:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            write(out / page_of(name), linked(path.read_text(encoding="utf-8"), name, out))
    with (out / "index.md").open("a", encoding="utf-8") as front:
        front.write(MENU)
    with_pairs = [source_page(name, *told, out) for files in PARTS.values() for name, told in files.items()]
    write(out / "source/index.md", source_index([name for name in with_pairs if name]))
    for part, modules in reference_pages().items():
        write(out / f"reference/{file_name(part)}.md", reference_page(part, modules))
    write(out / "reference/index.md", reference_index([file_name(part) for part in reference_pages()]))
    write_exercises(out / "exercises")
    write(out.parent / "static/site.css", CSS)


def file_name(part):
    return re.sub(r"\W+", "_", part.lower())


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


# --- what stands in the repository


def page_of(name):
    """The page about a path of the repository, as a path in the site; None if it has none."""
    if name in MOVED:
        return MOVED[name]
    if re.fullmatch(r"minixfmr/.*(?<!__init__)\.py", name) and not name.startswith("minixfmr/exercises/templates/"):
        return f"source/{name.removeprefix('minixfmr/')[:-3]}.md"
    return name if any(Path(name).match(pattern) for pattern in TEXTS) else None


def linked(text, name, out):
    """The text of a file, with its links as they are from its page; a file that has no page comes along."""

    def moved(match):
        target = Path(os.path.normpath(Path(name).parent / match[1])).as_posix()
        page = page_of(target)
        if page is None and (ROOT / target).is_file():
            page = target
            (out / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / target, out / target)
        return f"]({os.path.relpath(page or target, Path(page_of(name)).parent)}{match[2] or ''})"

    return re.sub(r"\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)", moved, text)


# --- the annotated source


def source_page(name, what, tutorial, out):
    """Write the page of a file. → its name if it has pairs."""
    (script,) = (ROOT / "tutorials").glob(f"{tutorial:02}_*.py")
    page = f"source/{name}.md"
    up = "../" * page.count("/")
    pairs = list(pairs_of(importlib.import_module(f"minixfmr.{name.replace('/', '.')}")))
    rows = ["---", *([] if pairs else ["orphan: true"]), "hide-toc: true", "---", f"# `{name}.py`", ""]
    rows += [
        f"{what[0].upper()}{what[1:]}. Tutorial [{tutorial:02}]({up}tutorials/{script.stem}.ipynb); its place in the"
    ]
    rows += [f"[reading order]({up}docs/reading_order.md).", ""]
    for pair in pairs:
        rows += [f"## `{pair[0].__name__}`", "", "```{raw} html", side_by_side_with_formulas(*pair), "```", ""]
    source = os.path.relpath(ROOT / f"minixfmr/{name}.py", (out / page).parent)
    rows += ["## The file", "", f"```{{literalinclude}} {source}", ":language: python", ":linenos:", "```", ""]
    write(out / page, "\n".join(rows))
    return name if pairs else None


def side_by_side_with_formulas(described, forward, backward):
    halves = [(f"{described.__name__}: forward ↓", formula(described)), ("backward ↑", formula(backward))]
    heads = "".join(
        f'<div><span class="name">{name}</span><code class="formula">{html.escape(told)}</code></div>'
        for name, told in halves
    )
    heads = f'<div class="pair">{heads}</div>' if any(told for _, told in halves) else ""
    codes = side_by_side([(forward.__code__,), (backward.__code__,)], symbols_of([forward, backward]))
    return f'<div class="trace">{heads}{codes}</div>'


def source_index(names):
    listed = "\n".join(names)
    return (
        "# The source, side by side\n\nEach forward beside the backward that answers it, under the formulas of their "
        "docstrings. A name and its gradient have the same colour. `print(minixfmr.trace(model, ids))` shows the same "
        "for a model of yours, with shapes, values, times and memory.\n\n"
        f"```{{toctree}}\n{listed}\n```\n"
    )


# --- the reference


def reference_pages():
    """{part: its modules}: the files of a part, or of the clinic what is for users."""
    pages = {}
    for part, files in PARTS.items():
        clinic = part in reading_order.CLINIC
        if part in USERS or not clinic:
            pages[part] = [USERS[part]] if clinic else [f"minixfmr.{name.replace('/', '.')}" for name in files]
    return pages


def reference_page(part, modules):
    rows = [f"# {part}", "", "```{eval-rst}"]
    for module in modules:
        passed_on = "   :imported-members:" if module in USERS.values() else ""
        rows += [module, "-" * len(module), "", f".. automodule:: {module}", "   :members:", passed_on, ""]
    return "\n".join([*rows, "```", ""])


def reference_index(names):
    """The names that `import minixfmr` offers, and the list of the pages."""
    rows = ["# Reference", "", "What `import minixfmr` offers. Shapes are written with the letters of the"]
    rows += ["[reading order](../docs/reading_order.md).", "", "| name | |", "|---|---|"]
    for name in minixfmr.__all__:
        value = getattr(minixfmr, name)
        first = re.split(r"(?<=\w)[.:;](?= |$)", " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split()))[0]
        told = re.sub(r"([*|_\\])", r"\\\1", first)
        rows.append(f"| {{py:obj}}`{name} <{value.__module__}.{value.__qualname__}>` | {told} |")
    return "\n".join([*rows, "", "```{toctree}", ":hidden:", "", *names, "```", ""])


# --- the exercises


def write_exercises(folder):
    """What `minixfmr exercises --new` writes, and a page that shows the files to fill in."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    known = exercises()
    write_new(folder, known)
    rows = ["# The files to fill in", "", "`minixfmr exercises --new homework` writes them."]
    for name in known:
        rows += ["", f"## `{name}.py`", "", f"```{{literalinclude}} {name}.py", ":language: python", "```"]
    write(folder / "files.md", "\n".join([*rows, ""]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
