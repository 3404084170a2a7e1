"""English that comes with Python itself: its language reference and the docstrings of its library."""

import ast
import re
import sysconfig
from pathlib import Path
from pydoc_data.topics import topics

REFERENCE = "reference"
SKIPPED = ("test", "idlelib", "lib2to3", "site-packages")


def paragraphs():
    """The paragraphs that are prose, each once, in a few seconds: a list of (where it is from, text), where the first
    is REFERENCE for the language reference, else the name of a package or module, such as "email"."""
    found = [(REFERENCE, text) for name in sorted(topics) for text in _prose(topics[name])]
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted([*library.glob("*.py"), *library.glob("*/*.py")]):
        package = path.relative_to(library).parts[0].removesuffix(".py")
        if package not in SKIPPED:
            found += [(package, text) for docstring in _docstrings(path) for text in _prose(docstring)]
    return list({text: (package, text) for package, text in reversed(found)}.values())[::-1]


def sentences(text):
    """A paragraph in sentences."""
    return re.split(r'(?<=[.:;]) (?=["A-Z])', text)


def _docstrings(path):
    try:
        nodes = ast.walk(ast.parse(path.read_bytes()))
    except (SyntaxError, ValueError):  # one odd file should not stop the rest
        return []
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [ast.get_docstring(node) or "" for node in nodes if isinstance(node, documented)]


def _prose(text):
    """Yield the paragraphs of a text that are prose, in one line each."""
    for paragraph in re.split(r"\n\s*\n", text):
        paragraph = " ".join(paragraph.split()).lstrip("*- ").replace("’", "'")
        letters = sum(c.isalpha() or c in " ,.'\"" for c in paragraph)
        whole = len(paragraph) > 40 and paragraph[0].isupper() and paragraph[-1] in ".:"
        if whole and letters > 0.9 * len(paragraph) and "___" not in paragraph:
            yield paragraph
