"""The source and the tutorial that derives its gradients point at each other, and both are right."""

import ast
import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
NAME = "11_every_gradient_derived"
SCRIPT = (ROOT / "tutorials" / f"{NAME}.py").read_text(encoding="utf-8")


def chapters():
    """{number: text} of the tutorial's chapters."""
    parts = re.split(r"^# ## (\d+) · .+$", SCRIPT, flags=re.M)
    return dict(zip(map(int, parts[1::2]), parts[2::2], strict=True))


def links(text):
    """(name, path) of each link of the form [`name` in file.py](path), wherever a line of it ends."""
    found = re.findall(r"\[`([\w.]+)`\s+in\s+(\w+\.py)\]\(\.\./([\w/.]+)\)", text.replace("\n# ", "\n"))
    assert all(Path(path).name == file for _, file, path in found)
    return [(name, path) for name, _, path in found]


def definitions(path):
    """{name, with its class in front: docstring} of a file's functions and classes, "" standing for the file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found = {"": ast.get_docstring(tree) or ""}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = ast.get_docstring(node) or ""
            for part in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(part, ast.FunctionDef):
                    found[f"{node.name}.{part.name}"] = ast.get_docstring(part) or ""
    return found


def named(docstring):
    """The chapters that a docstring names."""
    found = re.search(rf"Derived in tutorials/{NAME}, chapters? ([\d, and]+)\.", docstring)
    assert bool(found) == (NAME in docstring), f"not understood: {docstring}"
    return {int(number) for number in re.findall(r"\d+", found[1])} if found else set()


def from_docstrings():
    """{(chapter, name, path)} by the docstrings; that of a file speaks for all of its backward functions."""
    found = set()
    for file in (ROOT / "minixfmr").rglob("*.py"):
        path = file.relative_to(ROOT).as_posix()
        known = definitions(path)
        for name, docstring in known.items():
            meant = [name] if name else [n for n in known if n.endswith("_backward") and "." not in n]
            found |= {(chapter, n, path) for chapter in named(docstring) for n in meant}
    return found


def test_every_chapter_has_its_number_and_a_link():
    assert list(chapters()) == list(range(1, len(chapters()) + 1))
    assert all(links(text) for text in chapters().values())


def test_what_the_tutorial_links_exists_where_it_says():
    for chapter, text in chapters().items():
        for name, path in links(text):
            assert name in definitions(path), f"chapter {chapter} links {name} in {path}"
    for path in re.findall(r"\]\(\.\./([\w/]+\.\w+)\)", SCRIPT):
        assert (ROOT / path).is_file(), path


def test_what_the_notebook_printed_is_still_there():
    cells = json.loads((ROOT / "tutorials" / f"{NAME}.ipynb").read_text(encoding="utf-8"))["cells"]
    printed = "".join("".join(output.get("text", ())) for cell in cells for output in cell.get("outputs", ()))
    found = re.findall(r"^(minixfmr/[\w/]+\.py): ([\w.]+)$", printed, flags=re.M)
    assert len(found) >= len(chapters())
    for path, name in found:
        assert name in definitions(path), f"{path} has no {name}: python tutorials/build.py 11"


def test_docstrings_and_chapters_name_each_other():
    from_tutorial = {(chapter, *link) for chapter, text in chapters().items() for link in links(text)}
    assert from_docstrings() == from_tutorial


def test_every_backward_function_of_the_layers_is_derived():
    derived = {(name, path) for _, name, path in from_docstrings()}
    for file in sorted((ROOT / "minixfmr" / "layers").glob("*.py")):
        path = file.relative_to(ROOT).as_posix()
        for name in definitions(path):
            assert not name.endswith("_backward") or "." in name or (name, path) in derived, f"{path}: {name}"
