"""The exercises: templates, marking a folder and a class, what graders read, a teacher's own exercise."""

import ast
import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from minixfmr.exercises import Limits, Marker
from minixfmr.exercises.__main__ import main
from minixfmr.exercises.catalogue import TEMPLATES, CatalogueError, exercises
from minixfmr.exercises.formats import class_csv, gradescope

ROOT = Path(__file__).parent.parent
SOLVED = ROOT / "tests" / "homework"
EXERCISES = exercises()
NAMES = list(EXERCISES)


@pytest.fixture
def folder(tmp_path):
    """A student's folder, all solved."""
    return shutil.copytree(SOLVED, tmp_path / "student", ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture(scope="module")
def marker():
    with Marker(Limits(2, 500), explain=False) as marker:
        yield marker


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def change(folder, name, *pairs):
    path = folder / f"{name}.py"
    text = path.read_text(encoding="utf-8")
    for old, new in pairs:
        assert text.count(old) == 1
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def as_json(folder, capsys, *options):
    """Exit status and what the command prints with --json."""
    status = main([str(folder), "--json", *options])
    return status, json.loads(capsys.readouterr().out)


# --- the whole command


def test_a_new_folder_is_not_started(tmp_path, capsys):
    new = tmp_path / "course" / "new"
    assert main(["--new", str(new)]) == 0
    assert "17 files, 100 points" in capsys.readouterr().out
    before = contents(new)
    assert {path.name for path in before} == {f"{name}.py" for name in NAMES} | {"README.md", "PLAN.md"}
    assert main([str(new)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[: len(NAMES)]] == [
        [name, "not", "started", f"0/{sum(EXERCISES[name].points)}"] for name in NAMES
    ]
    assert lines[len(NAMES)].split() == ["0/100"]
    assert lines[-1] == "next: softmax, scores to probabilities; tutorial 01 goes with it"
    assert contents(new) == before


def test_nothing_is_overwritten(tmp_path, capsys):
    (tmp_path / "gelu.py").write_text("mine")
    assert main(["--new", str(tmp_path)]) == 2
    assert "has gelu.py already, and nothing is overwritten" in capsys.readouterr().err
    assert contents(tmp_path) == {tmp_path / "gelu.py": b"mine"}


def test_a_solved_folder_is_right_and_stays_as_it_is(folder, capsys):
    before = contents(folder)
    status, found = as_json(folder, capsys)
    assert status == 0
    assert {name: r["state"] for name, r in found["exercises"].items()} == dict.fromkeys(NAMES, "right")
    assert found["points"] == found["possible"] == 100
    assert found["exercises"]["softmax"]["forward"] == {"state": "right", "points": 2, "possible": 2}
    assert found["exercises"]["softmax"]["backward"] == {"state": "right", "points": 3, "possible": 3}
    assert contents(folder) == before


def test_the_command_runs_anywhere_as_a_module(folder):
    command = [sys.executable, "-m", "minixfmr.exercises", str(folder), "--only", "gelu", "softmax"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert [line.split()[:2] for line in done.stdout.splitlines()[:2]] == [["softmax", "right"], ["gelu", "right"]]
    assert "●" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "nowhere does not exist: give the folder with the exercises\n"),
        ([__file__], f"{__file__} is not a folder: give the folder with the exercises\n"),
        ([".", "--only", "softmin"], f"there is no exercise 'softmin': choose from {', '.join(NAMES)}\n"),
        ([], "give a folder with exercises, or --new FOLDER to start with, or --all FOLDER for a class\n"),
        (["--all", str(SOLVED)], f"{SOLVED} holds exercises itself: --all takes the folder with a folder for each"),
        ([str(SOLVED), "--only", "gelu", "--gradescope", "/nowhere/r.json"], "/nowhere/r.json cannot be written: "),
    ],
)
def test_a_wrong_command_is_one_sentence(arguments, sentence, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(sentence)


def test_partial_points_for_a_right_forward(folder, capsys):
    change(folder, "softmax", ("weighted - y * row", "weighted"))
    text = (SOLVED / "linear.py").read_text(encoding="utf-8")
    text = text[: text.index("    x, weight = cache")] + "    raise NotImplementedError\n"
    (folder / "linear.py").write_text(text, encoding="utf-8")
    assert main([str(folder), "--verbose", "--only", "softmax", "linear"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"^softmax +wrong +2/5 +\S", out, re.M)
    assert re.search(r"^linear +not started +2/5 +forward is right, linear_backward is not started$", out, re.M)
    assert re.search(r"^WRONG x ", out, re.M)  # the table
    assert "◐ softmax  ◐ linear" in out
    assert "next: softmax" in out


def test_hints_come_in_steps(folder, capsys):
    change(folder, "softmax", ("weighted - y * row", "weighted"))
    said = [as_json(folder, capsys, "--only", "softmax", "--hint", level)[1] for level in "123"]
    first, second, third = (found["exercises"]["softmax"]["message"] for found in said)
    assert first == "dx is not right"
    assert third not in second != first
    assert "row" in third and "row" not in first


# --- what is wrong, in a sentence

FORWARD = "def gelu_forward(x):\n    "
RIGHT = (SOLVED / "gelu.py").read_text(encoding="utf-8")
BACKWARD = "def gelu_backward(dout, cache):\n    "


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("import numpy as np\n", "gelu.py has no function gelu_forward"),
        ("gelu_forward = 3\n", "gelu.py has no function gelu_forward"),
        ("def gelu_forward(x, p):\n    return x\n", "gelu.py:1: gelu_forward does not take its 1 arguments: "),
        (FORWARD + "y = x\n", "gelu.py:1: gelu_forward returned nothing, expected a tuple (y, saved)"),
        (FORWARD + "return x\n", "gelu.py:1: gelu_forward returned a ndarray, expected a tuple (y, saved)"),
        (FORWARD + "return 'y', x\n", "y is a str, expected an array of numbers"),
        (FORWARD + "return None, x\n", "y is None: is a return missing?"),
        (FORWARD + "return x[0], x\n", "y has shape (5, 6), expected (2, 5, 6)"),
        (FORWARD + "return x > 0, x\n", "y has dtype bool, expected float64"),
        (FORWARD + "return x.astype('f4'), x\n", "y has dtype float32, expected float64"),
        (FORWARD + "return x * float('nan'), x\n", "y is wrong: nan at (0, 0, 0), expected "),
        (FORWARD + "return x.missing, x\n", "raises AttributeError: 'numpy.ndarray' object has no attribute 'missing', "
         "at gelu.py:2: `return x.missing, x`"),
        (FORWARD + "x += 1\n    return x, x\n", "gelu_forward changes x, which it was given: work on a copy"),
        (RIGHT[: RIGHT.index("def gelu_grad")], "gelu.py has no function gelu_backward"),
        (RIGHT + BACKWARD + "dx = 1\n", "gelu_backward returned nothing: return the gradient of x"),
        (RIGHT + BACKWARD + "return dout[0]\n", "dx has shape (5, 6), expected (2, 5, 6)"),
        (RIGHT + BACKWARD + "return dout, dout\n", "gelu_backward returned 2 gradients, expected 1: of x"),
        (RIGHT + BACKWARD + "return dout @ dout\n", "raises ValueError: matmul"),
        (RIGHT + BACKWARD + "dout *= 0\n    return dout\n", "gelu_backward changes dy, which it was given"),
        ("def gelu_forward(x\n", "gelu.py:1: SyntaxError: '(' was never closed"),
        ("import torch\n", "imports torch, which exercises may not: NumPy is enough, at gelu.py:1: `import torch`"),
        ("import minixfmr.layers\n", "imports minixfmr.layers, which exercises may not: NumPy is enough, at gelu.py:1"),
        (FORWARD + "import numpy\n    return numpy.ones(2**36), x\n", "needs more than 500 MB of memory, at gelu.py:3"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_in_one_sentence(marker, text, sentence, tmp_path):
    (tmp_path / "gelu.py").write_text(text, encoding="utf-8")
    said = marker.mark(EXERCISES["gelu"], tmp_path).message
    assert sentence in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("name", "old", "new", "sentence"),
    [
        ("adamw", "return parameter, m, v", "return parameter", "adamw_step returned ndarray, expected a tuple"),
        ("adamw", "m = beta1 * m + (1 - beta1) * grad", "m += grad", "adamw_step changes m, which it was given"),
        ("greedy_decoding", "return ids", "return tuple(ids)", "greedy_decode returned tuple, expected a list of ints"),
        ("greedy_decoding", "np.array(ids)", "ids[-1]", "next_logits was given int64 of shape (), expected integers"),
        ("greedy_decoding", "range(max_new_tokens)", "range(max_new_tokens + 1)", "the ids are [1, "),
        ("encoder_block", "return dx, dp", "return dx, {}", "dp lacks w_q, w_k, w_v, w_o, w1"),
        ("encoder_block", "return dx, dp", "return dx, None", "dp is None, expected a dictionary"),
        ("cross_attention", "return dx, dmemory,", "return dmemory, dx,", "dx: this is dmemory: mind the order"),
        ("dropout", "x.shape) >= p", "x.shape[-1]) >= p", "whole rows or columns of y are 0: each element is drawn"),
        ("attention", "np.tril(", "np.triu(", "look_ahead_mask"),
    ],
)
def test_other_exercises_are_told_in_a_sentence_too(marker, folder, name, old, new, sentence):
    change(folder, name, (old, new))
    assert sentence in marker.mark(EXERCISES[name], folder).message


def test_an_unstarted_file_that_another_needs_is_named(marker, folder):
    shutil.copy(TEMPLATES / "attention.py", folder / "attention.py")
    result = marker.mark(EXERCISES["multi_head_attention"], folder)
    assert result.state == "wrong"
    assert result.message == "needs attention_forward of attention.py, not started"


def test_a_block_names_the_file_that_spoils_it(folder, capsys):
    change(folder, "feed_forward", ("(h > 0)", "(h < 0)"))
    _, found = as_json(folder, capsys, "--quick", "--only", "feed_forward", "encoder_block", "layer_norm")
    assert found["exercises"]["layer_norm"]["state"] == "right"
    assert found["exercises"]["encoder_block"]["message"].endswith("(it uses feed_forward.py, not right itself)")


def test_where_no_mistake_fits_the_gradient_checker_is_asked(folder):
    change(folder, "layer_norm", ("dn = dout * weight", "dn = dout * weight * n.shape[-1] ** 0.5"))
    with Marker(Limits(10, 1000)) as marker:
        result = marker.mark(EXERCISES["layer_norm"], folder)
    assert result.points == 3
    assert result.report and result.message


# --- graders


def test_json_stays_clean_whatever_is_printed(folder):
    for name in ("softmax", "gelu"):
        path = folder / f"{name}.py"
        path.write_text("import os\nprint('}{')\nos.write(1, b'noise')\nos.write(2, b'noise')\n" + path.read_text())
    command = [sys.executable, "-m", "minixfmr.exercises", str(folder), "--json", "--only", "softmax", "gelu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    found = json.loads(done.stdout)
    assert (found["points"], found["version"]) == (10, "0.1.0")


def test_gradescope_gets_its_file(folder, tmp_path, capsys):
    change(folder, "softmax", ("weighted - y * row", "weighted"))
    (folder / "gelu.py").unlink()
    out = tmp_path / "results.json"
    assert main([str(folder), "--only", "softmax", "gelu", "linear", "adamw", "--gradescope", str(out)]) == 1
    assert capsys.readouterr().out == ""
    found = json.loads(out.read_text())
    assert set(found) == {"score", "output", "visibility", "tests"}
    keys = {"name", "number", "score", "max_score", "status", "output", "output_format", "visibility"}
    assert all(set(test) == keys for test in found["tests"])
    assert [(t["name"], t["score"], t["max_score"], t["status"]) for t in found["tests"]] == [
        ("softmax: forward", 2, 2, "passed"),
        ("softmax: backward", 0, 3, "failed"),
        ("linear: forward", 2, 2, "passed"),
        ("linear: backward", 3, 3, "passed"),
        ("gelu: forward", 0, 2, "failed"),
        ("gelu: backward", 0, 3, "failed"),
        ("adamw: step", 5, 5, "passed"),
    ]
    assert found["score"] == sum(t["score"] for t in found["tests"])
    assert "file missing" in found["tests"][4]["output"]


@pytest.fixture
def school(tmp_path):
    """A class: one right, one a level too deep, one two levels and with a Mac's rubbish, one empty, one that loops."""
    school = tmp_path / "school"
    names = ("linear.py", "softmax.py", "gelu.py")
    for place in ("anna", "ben/submission", "cem/a/b", "=1+1", "eve"):
        (school / place).mkdir(parents=True)
        for name in names if place != "eve" else ():
            shutil.copy(SOLVED / name, school / place)
    (school / "cem" / "__MACOSX").mkdir()
    change(school / "cem" / "a" / "b", "softmax", ("weighted - y * row", "weighted"))
    change(school / "=1+1", "softmax", ("weighted - y * row", "weighted"))
    (school / "=1+1" / "linear.py").write_text("raise ValueError('=cmd()')")
    return school


def test_a_class_is_marked(school, tmp_path, capsys):
    out = tmp_path / "class.csv"
    command = ["--all", str(school), "--only", "softmax", "linear", "gelu", "--csv", str(out), "--quick"]
    assert main(command) == 1
    said = capsys.readouterr().out
    assert re.search(r"^anna +15/15$", said, re.M)
    assert re.search(r"^ben +15/15  \(the exercises were found in submission\)$", said, re.M)
    assert re.search(r"^cem +12/15  \(the exercises were found in a/b\)$", said, re.M)
    assert re.search(r"^eve +0/15  \(no exercise was found here\)$", said, re.M)
    assert re.search(r"^  2 of 5  softmax: ", said, re.M)
    assert re.search(r"^  1 of 5  linear: raises ValueError", said, re.M)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["student"] for row in rows] == ["'=1+1", "anna", "ben", "cem", "eve"]
    assert [row["points"] for row in rows] == ["7", "15", "15", "12", "0"]
    assert rows[3]["softmax"] == "2"
    assert rows[2]["note"] == "the exercises were found in submission"


def test_one_folder_may_be_a_level_too_deep_as_well(school, capsys):
    status, found = as_json(school / "ben", capsys, "--only", "softmax", "linear", "gelu")
    assert (status, found["points"]) == (0, 15)
    assert main([str(school / "eve"), "--only", "gelu"]) == 0
    assert capsys.readouterr().out.startswith("no exercise was found here\n")


def test_formats_of_nothing():
    assert class_csv({}, {}) == "student,points,possible,note,wrong\n"
    assert gradescope([], [])["tests"] == []


# --- a teacher's own exercise

SWISH = '''"""A ReLU with a slope of its own."""

import numpy as np

from minixfmr.exercises import Mistake, Pair

TEMPLATE = """import numpy as np


def swish_forward(x, beta):
    raise NotImplementedError


def swish_backward(dy, saved):
    raise NotImplementedError
"""


def right(x, beta):
    return x / (1 + np.exp(-beta * x))


EXERCISE = Pair(
    "swish",
    "x beta",
    points=(4, 8),
    right=right,
    cases=lambda rng: {"": (rng.standard_normal((3, 4)), rng.uniform(0.5, 2, 4))},
    mistakes=(
        (Mistake("beta forgotten", "beta is not used", lambda x, beta: right(x, 1)),),
        (
            Mistake(
                "the second term forgotten",
                "x stands in the product twice, so there are two terms",
                lambda dy, x, beta: {"x": dy / (1 + np.exp(-beta * x))},
            ),
        ),
    ),
)
'''
SOLUTION = """import numpy as np
def swish_forward(x, beta):
    s = 1 / (1 + np.exp(-beta * x))
    return x * s, (x, beta, s)
def swish_backward(dy, saved):
    x, beta, s = saved
    return dy * (s + beta * x * s * (1 - s)), (dy * x * x * s * (1 - s)).sum(0)
"""


def test_a_teachers_own_exercise_is_one_file(tmp_path, capsys):
    own, student = tmp_path / "own", tmp_path / "student"
    own.mkdir()
    (own / "swish.py").write_text(SWISH)
    with_own = ["--exercises", str(own)]
    assert main(["--new", str(student), *with_own]) == 0
    assert "18 files, 112 points" in capsys.readouterr().out
    assert "| extra |  |  | `swish.py` | 12 |" in (student / "PLAN.md").read_text()
    assert "112 in all" in (student / "README.md").read_text()
    path = student / "swish.py"
    path.write_text(SOLUTION)
    status, found = as_json(student, capsys, *with_own)
    assert (status, found["points"], found["possible"]) == (0, 12, 112)
    path.write_text(SOLUTION.replace("s + beta * x * s * (1 - s)", "s"))
    _, found = as_json(student, capsys, *with_own, "--only", "swish")
    assert found["exercises"]["swish"]["cause"] == "the second term forgotten"
    path.write_text(SOLUTION.replace("-beta * x", "-x"))
    _, found = as_json(student, capsys, *with_own, "--only", "swish")
    assert found["exercises"]["swish"]["message"] == "y: beta is not used"


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("swish.py", "1 / 0", "swish.py does not load: ZeroDivisionError"),
        ("swish.py", "x = 1", "swish.py has no EXERCISE: "),
        ("swish.py", SWISH.replace("TEMPLATE", "TEXT"), "swish.py has no TEMPLATE: "),
        ("swish.py", SWISH.replace("def swish_backward", "def other"), "has no function swish_backward"),
        ("my-swish.py", SWISH, "my-swish.py cannot be an exercise: "),
    ],
)
def test_a_file_that_is_no_exercise_is_named(tmp_path, name, text, sentence):
    (tmp_path / name).write_text(text)
    with pytest.raises(CatalogueError, match=re.escape(sentence)):
        exercises(tmp_path)


# --- the templates


def functions(text):
    """{name: how many parameters} of a file."""
    tree = ast.parse(text)
    return {node.name: len(node.args.args) for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("name", NAMES)
def test_a_template_asks_for_what_its_solution_has_and_shows_none_of_it(name):
    text = EXERCISES[name].template
    solved = (SOLVED / f"{name}.py").read_text(encoding="utf-8")
    blank, full = functions(text), functions(solved)
    assert blank == {key: full[key] for key in blank}
    assert set(EXERCISES[name].functions) <= set(blank)
    assert not re.search(r"\bdout\b|\bcache\b", text)
    for line in (line.strip().replace("dout", "dy") for line in solved.splitlines()):
        if line.startswith(("def ", "import ", "from ", '"""', "return")) or len(line) < 12:
            continue
        assert line.split("  #")[0] not in text
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            assert [type(statement) for statement in node.body] == [ast.Expr, ast.Raise]
        else:
            assert isinstance(node, ast.Expr | ast.Import)
    assert len(text.splitlines()) <= 60


def test_points_and_words_are_said_once(tmp_path):
    assert sum(sum(exercise.points) for exercise in EXERCISES.values()) == 100
    main(["--new", str(tmp_path / "new")])
    readme = (tmp_path / "new" / "README.md").read_text()
    assert re.findall(r"^\| `(\w+)\.py`", readme, re.M) == NAMES
    assert readme.count("dout") == readme.count("cache") == 1
    plan = (tmp_path / "new" / "PLAN.md").read_text()
    assert sorted(re.findall(r"`(\w+)\.py`", plan)) == sorted(NAMES)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--new", "a", "--all", "b"], "--new and --all do not go together: give one of them"),
        (["a", "--all", "b"], "--all and FOLDER do not go together"),
        (["a", "--csv", "c"], "--csv goes with --all"),
        (["--all", "a", "--gradescope"], "--gradescope marks one folder, and does not go with --all"),
        (["a", "--train", "--json"], "--json tells results, and does not go with --train"),
        (["--train"], "--train takes the folder with your exercises too"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments, sentence, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(sentence)


def test_what_is_no_folder_and_names_that_look_alike_are_told(school, capsys):
    (school / "fay.zip").write_text("")
    (school / "anna\x1b").mkdir()
    assert main(["--all", str(school), "--only", "gelu", "--quick"]) == 0
    out, err = capsys.readouterr()
    assert err == "not marked, as they are no folders: fay.zip\n"
    assert re.search(r"^anna +5/5$", out, re.M) and re.search(r"^anna \(2\) +0/5", out, re.M)
