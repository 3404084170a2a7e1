"""The page for teachers is true: its exercise is one, its cells pass for a right function and fail for a wrong one."""

import re
from pathlib import Path

import pytest

from minixfmr.exercises.catalogue import exercises

CELLS = re.findall(
    r"```python\n(.*?)```", (Path(__file__).parent.parent / "docs" / "coursework.md").read_text("utf-8"), re.S
)


def test_the_exercise_of_the_page_is_one(tmp_path):
    (tmp_path / "swish.py").write_text(CELLS[0], encoding="utf-8")
    exercise = exercises(tmp_path)["swish"]
    assert exercise.points == (2, 4)
    assert set(exercise.functions) == {"swish_forward", "swish_backward"}


def test_cells_pass_for_the_right_function_and_fail_for_a_wrong_one():
    names = {}
    for cell in CELLS[1:]:
        exec(cell, names)
    exec(CELLS[1].replace(" - (dy * y).sum(-1, keepdims=True)", ""), names)
    for cell in CELLS[2:]:
        with pytest.raises(AssertionError, match="gradients disagree"):
            exec(cell, names)
