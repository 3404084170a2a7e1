"""The site's settings. `make docs` writes its pages (pages.py) and then has Sphinx build them."""

import importlib
import re
import sys
from pathlib import Path

from docutils import nodes

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import minixfmr
from minixfmr.trace.steps import pairs_of

project = "minixfmr"
copyright = "The minixfmr maintainers, MIT licence"
release = version = minixfmr.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.linkcode", "sphinx.ext.mathjax"]
highlight_language = "none"  # docstrings hold formulas

nb_execution_mode = "off"  # the notebooks come with their outputs
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3  # links to headings, as on GitHub
autodoc_member_order = "bysource"
add_module_names = False
toc_object_entries_show_parents = "hide"
autodoc_mock_imports = ["cupy", "mpi4py"]

html_theme = "furo"
html_title = "minixfmr"
html_static_path = ["../../build/static"]  # site.css, and MathJax: one file, which draws its letters itself
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
mathjax_path = "mathjax/tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}}  # whose parts would have to be fetched
exclude_patterns = ["exercises/*.py"]


def linkcode_resolve(domain, info):
    """From the reference to the page of a file: to a pair, or else to the whole file."""
    module, name = importlib.import_module(info["module"]), info["fullname"].split(".")[0]
    defined = importlib.import_module(getattr(vars(module).get(name), "__module__", info["module"]))
    paired = {described.__name__ for described, *_ in pairs_of(defined)}
    base = name.removesuffix("_backward")
    place = (base if base in paired else "the-file").lower().replace("_", "-")
    return f"../source/{defined.__name__.removeprefix('minixfmr.').replace('.', '/')}.html#{place}"


def docstring_as_rst(app, what, name, obj, options, lines):
    """Docstrings here are plain text: what is indented or has columns stands as it is, the rest is prose."""
    blocks = re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))
    lines[:] = [row for block in blocks for row in (*_block(block), "")]


def _block(block):
    rows = block.splitlines()
    indented = any(row.startswith(" ") for row in rows) and not rows[0].startswith("- ")
    if indented or any(re.search(r"\S {3,}\S", row) for row in rows):
        return ["::", "", *("    " + row for row in rows)]
    prose = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", block)
    parts = re.split(r"(``.*?``)", prose, flags=re.S)  # code stays as it is
    escaped = [part if part.startswith("``") else re.sub(r"([*|\\]|_(?=\W))", r"\\\1", part) for part in parts]
    return "".join(escaped).splitlines()


def formulas_as_written(app, doctree):
    """Sphinx takes the rows of a matrix for lines of the formula, and breaks it there; MathJax knows better."""
    for node in doctree.findall(nodes.math_block):
        if "\\begin" in node.astext() and not node.get("no-wrap"):
            node["no-wrap"], node.children = True, [nodes.Text(f"\\[{node.astext()}\\]")]


def setup(app):
    app.connect("autodoc-process-docstring", docstring_as_rst)
    app.connect("doctree-read", formulas_as_written)
