"""The tutorials: script and notebook agree, hold what they printed and drew, and run from top to bottom."""

import importlib.util
import os
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("jupytext", reason="the tutorials need Jupyter: pip install minixfmr[notebooks]")
pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).parent.parent
SPEC = importlib.util.spec_from_file_location("build", ROOT / "tutorials" / "build.py")
build = importlib.util.module_from_spec(SPEC)
sys.path.insert(0, str(ROOT / "tutorials"))
SPEC.loader.exec_module(build)
import setup_cell

pytestmark = pytest.mark.notebook
each_script = pytest.mark.parametrize("script", build.SCRIPTS, ids=lambda script: script.stem)
NEEDS = {"08_published_checkpoints": ["torch", "transformers"]}


@each_script
def test_the_notebook_is_the_script_with_its_outputs(script):
    written = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    nbformat.validate(written)
    cells = [(cell.cell_type, cell.source) for cell in written.cells]
    assert cells == [(cell.cell_type, cell.source) for cell in build.read(script).cells], "run tutorials/build.py"
    code = [cell for cell in written.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs), "a tutorial has a picture"
    assert script.with_suffix(".ipynb").stat().st_size < 1 << 20


@each_script
def test_a_tutorial_ends_with_three_checks_and_something_to_break(script):
    text = "\n".join(cell.source for cell in build.read(script).cells if cell.cell_type == "markdown")
    checks = re.search(r"^## Check\n(.*?)^## Break\n(.+)", text, re.M | re.S)
    assert checks, "ends with the headings Check and Break"
    questions = re.split(r"^\d\. ", checks[1], flags=re.M)[1:]
    assert len(questions) == 3
    for question in questions:
        asked, folded, answer = question.partition("<details><summary>Answer</summary>\n\n")
        assert asked.strip() and folded and re.fullmatch(r"\s+\S.*\n\n\s+</details>\s*", answer, re.S), question


@each_script
def test_a_tutorial_says_at_its_top_how_long_it_takes(script):
    top = build.read(script).cells[0].source
    assert re.search(r"\b(seconds?|minutes?)\b", top), top


@each_script
def test_a_tutorial_runs_in_a_clean_kernel(script, monkeypatch):
    for module in NEEDS.get(script.stem, ()):
        pytest.importorskip(module)
    monkeypatch.setenv("QUICK", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    build.run(build.read(script))


def test_new_words_keep_the_outputs_and_new_code_does_not():
    old = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("a"), nbformat.v4.new_code_cell("x = 1  # one")]
    )
    old.cells[1].update(execution_count=1, outputs=[nbformat.v4.new_output("stream", text="printed")])
    new = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("b"), nbformat.v4.new_code_cell("x = 1  # two")]
    )
    reworded = build.reword(new, old)
    assert [cell.source for cell in reworded.cells] == ["b", "x = 1  # two"]
    assert reworded.cells[1].outputs == old.cells[1].outputs and reworded.cells[1].execution_count == 1
    for source in ("x = 2  # one", None):
        cells = [nbformat.v4.new_code_cell(source)] if source else []
        with pytest.raises(ValueError, match="run the tutorial"):
            build.reword(nbformat.v4.new_notebook(cells=cells), old)


class Shell:
    """Stands in for IPython: writes down what a cell asks of it."""

    def __init__(self):
        self.asked = []

    def run_line_magic(self, name, line):
        self.asked.append(f"%{name} {line}")

    def system(self, line):
        self.asked.append(f"!{line}")


def set_up(code, there, platform, monkeypatch):
    """What the first cell of a notebook asks of IPython where only these modules can be found."""
    transform = pytest.importorskip("IPython.core.inputtransformer2").TransformerManager().transform_cell
    shell = Shell()
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name in there or None)
    try:
        exec(transform(code), {"get_ipython": lambda: shell})
    finally:
        monkeypatch.undo()
    return shell.asked


def test_the_first_cell_installs_what_is_missing_and_only_then(monkeypatch):
    derived = next(script for script in build.SCRIPTS if script.name.startswith("11"))
    notebook = build.read(derived)
    assert [cell.cell_type for cell in notebook.cells[:2]] == ["markdown", "code"], "title first"
    code = notebook.cells[1].source
    everything = {"matplotlib", "minixfmr", "numpy", "plots", "sympy"}
    assert set_up(code, everything, "linux", monkeypatch) == []
    assert set_up(code, everything, "emscripten", monkeypatch) == []
    assert set_up(code, everything - {"sympy"}, "linux", monkeypatch) == ['%pip install --quiet "..[notebooks]"']
    in_a_tab = set_up(code, {"plots", "numpy"}, "emscripten", monkeypatch)
    assert in_a_tab == ["%pip install --quiet matplotlib minixfmr numpy sympy"]

    monkeypatch.setattr(setup_cell, "repository", lambda: "https://example.org/minixfmr")
    code = setup_cell.setup_cell(derived)
    alone = set_up(code, {"numpy"}, "linux", monkeypatch)
    assert [line.split()[0] for line in alone] == ["!git", "%cd", "%pip"] and "https://example.org/minixfmr" in alone[0]
    monkeypatch.setattr(setup_cell, "repository", lambda: "")
    code = setup_cell.setup_cell(derived)
    with pytest.raises(ModuleNotFoundError, match="in a clone"):
        set_up(code, {"numpy"}, "linux", monkeypatch)


def test_what_a_notebook_needs_is_found_through_its_helpers():
    scripts = {script.name[:2]: setup_cell.needs(script) for script in build.SCRIPTS}
    assert scripts["01"] == {"numpy", "matplotlib", "minixfmr"}
    assert {"num2words", "tokenizers"} <= scripts["04"], "through corpus.py"
    assert {"torch", "transformers"} <= scripts["08"]


def test_the_site_for_a_browser_tab_has_all_that_its_notebooks_import(tmp_path):
    """make lite checks its own files when it has built them; here, what it puts in."""
    import lite

    lite.contents(tmp_path / "files")
    here = {path.name for path in (tmp_path / "files" / "tutorials").iterdir()}
    for name in lite.TUTORIALS:
        script = ROOT / "tutorials" / f"{name}.py"
        assert setup_cell.needs(script) <= {"matplotlib", "minixfmr", "numpy", "sympy"}, "Pyodide has no others"
        helpers = {f"{n}.py" for n in setup_cell.imports(script) if (ROOT / "tutorials" / f"{n}.py").is_file()}
        assert helpers <= here
    notebook = nbformat.read(tmp_path / "files" / "exercises.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert (tmp_path / "files" / "exercises" / "softmax.py").is_file()
    assert "files/exercises/softmax.py is not listed" in lite.problems(tmp_path), "present, yet no page shows it"
    assert len(lite.problems(tmp_path / "files")) > 10
