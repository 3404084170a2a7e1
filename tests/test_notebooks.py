"""The tutorials: script and notebook agree, hold what they printed and drew, and run from top to bottom."""

import importlib.util
import os
import re
from pathlib import Path

import pytest

pytest.importorskip("jupytext", reason="the tutorials need Jupyter: pip install minixfmr[notebooks]")
pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).parent.parent
SPEC = importlib.util.spec_from_file_location("build", ROOT / "tutorials" / "build.py")
build = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(build)

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
    assert len(re.findall(r"^\d\. ", checks[1], re.M)) == 3


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
