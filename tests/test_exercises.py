"""The exercises: untouched, solved, wrong in many ways, and hostile."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mistakes
import numpy as np
import pytest

from minixfmr import gradcheck_function
from minixfmr.exercises.__main__ import check, main
from minixfmr.exercises.catalogue import EXERCISES
from minixfmr.exercises.checks import NotRight
from minixfmr.exercises.child import _Student

ROOT = Path(__file__).parent.parent
BLANK, SOLVED = ROOT / "tutorials" / "exercises", ROOT / "tests" / "homework"
NAMES = list(EXERCISES)


@pytest.fixture
def folder(tmp_path):
    """A student's folder, all solved."""
    return shutil.copytree(SOLVED, tmp_path / "student", ignore=shutil.ignore_patterns("__pycache__"))


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def run(folder, capsys, *options):
    """Exit status and {exercise: result} of the command with --json."""
    status = main([str(folder), "--json", *options])
    out = capsys.readouterr().out
    return status, json.loads(out)["exercises"]


def message(folder, name, text, **limits):
    """What the command says of this text as the student's file."""
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return check(name, folder, **limits)["message"]


# --- the whole command


def test_an_untouched_folder_is_not_started(capsys):
    before = contents(BLANK)
    assert main([str(BLANK)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[:-1]] == [
        [name, "not", "started", f"0/{sum(EXERCISES[name].points)}"] for name in NAMES
    ]
    assert lines[-1].split() == ["0/100"]
    assert contents(BLANK) == before


def test_a_solved_folder_is_right_and_stays_as_it_is(folder, capsys):
    before = contents(folder)
    assert main([str(folder), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {name: r["state"] for name, r in result["exercises"].items()} == dict.fromkeys(NAMES, "right")
    assert result["points"] == result["possible"] == 100
    assert contents(folder) == before


HOSTILE = {
    "softmax": ("while True:\n    pass\n", "endless loop"),
    "cross_entropy": ("import os\nos._exit(0)\n", "ended itself with status 0"),
    "linear": ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "crashed (SIGSEGV)"),
    "embedding": (
        "import numpy as np\ndef embedding_forward(ids, table):\n    return np.ones(2**33), None\n",
        "needs more than 500 MB of memory, at embedding.py:3: `return np.ones(2**33), None`",
    ),
    "layer_norm": ("def layer_norm_forward(x\n", "layer_norm.py:1: SyntaxError: '(' was never closed"),
    "gelu": ("from minixfmr import layers\n", "imports minixfmr, which exercises may not"),
    "dropout": ("import sys\nsys.exit('bye')\n", "raises SystemExit: bye, at dropout.py:2: `sys.exit('bye')`"),
}


def test_a_hostile_file_costs_only_its_own_exercise(folder, capfd):
    for name, (text, _) in HOSTILE.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    noise = "print('{}')\nimport os\nos.write(1, b'noise')\n" + (SOLVED / "attention.py").read_text(encoding="utf-8")
    (folder / "attention.py").write_text(noise, encoding="utf-8")
    (folder / "adamw.py").unlink()
    before = contents(folder)
    names = [*HOSTILE, "attention", "multi_head_attention", "encoder_block", "adamw", "greedy_decoding"]
    status, results = run(folder, capfd, "--timeout", "5", "--memory", "500", "--only", *names)
    assert status == 1
    for name, (_, part) in HOSTILE.items():
        assert (results[name]["state"], results[name]["points"]) == ("wrong", 0)
        assert part in results[name]["message"]
    for name in ("attention", "multi_head_attention", "greedy_decoding"):
        assert results[name]["state"] == "right"
    assert results["adamw"]["state"] == "not started"
    assert results["adamw"]["message"] == "file missing"
    said = results["encoder_block"]["message"]
    assert said.startswith("layer_norm.py:1: SyntaxError")
    assert contents(folder) == before


def test_the_command_runs_anywhere_as_a_module(folder, tmp_path):
    command = [sys.executable, "-m", "minixfmr.exercises", str(folder), "--only", "gelu", "softmax"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[:2] for line in done.stdout.splitlines()[:-1]] == [["softmax", "right"], ["gelu", "right"]]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "nowhere does not exist: give the folder with the exercises\n"),
        ([__file__], f"{__file__} is not a folder: give the folder with the exercises\n"),
        ([".", "--only", "softmin"], f"there is no exercise 'softmin': choose from {', '.join(NAMES)}\n"),
    ],
)
def test_a_wrong_command_is_one_sentence(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err == sentence


# --- wrong answers, each named


def test_partial_points_for_a_right_forward(folder, capsys):
    text = (SOLVED / "softmax.py").read_text(encoding="utf-8")
    (folder / "softmax.py").write_text(text.replace("weighted - y * row", "weighted"), encoding="utf-8")
    text = (SOLVED / "linear.py").read_text(encoding="utf-8")
    text = text[: text.index("    x, weight = cache")] + "    raise NotImplementedError\n"
    (folder / "linear.py").write_text(text, encoding="utf-8")
    assert main([str(folder), "--verbose", "--only", "softmax", "linear"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"^softmax +wrong +2/5 +\S", out, re.M)
    assert re.search(r"^linear +not started +2/5 +forward is right, linear_backward is not started$", out, re.M)
    assert "analytic" in out  # the table


FORWARD = "def gelu_forward(x):\n    "
RIGHT = (SOLVED / "gelu.py").read_text(encoding="utf-8")
BACKWARD = "def gelu_backward(dout, cache):\n    "


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("import numpy as np\n", "gelu.py has no function gelu_forward"),
        ("def gelu_forward(x, p):\n    return x\n", "gelu.py:1: gelu_forward does not take its 1 arguments: "),
        (FORWARD + "y = x\n", "gelu.py:1: gelu_forward returned nothing, expected a tuple (y, cache)"),
        (FORWARD + "return x\n", "gelu.py:1: gelu_forward returned a ndarray, expected a tuple (y, cache)"),
        (FORWARD + "return 'y', x\n", "y is a str, expected an array of numbers"),
        (FORWARD + "return None, x\n", "y is None: is a return missing?"),
        (FORWARD + "return x[0], x\n", "y has shape (5, 6), expected (2, 5, 6)"),
        (FORWARD + "return x > 0, x\n", "y has dtype bool, expected float64"),
        (FORWARD + "return x * float('nan'), x\n", "y is wrong: nan at (0, 0, 0), expected "),
        (FORWARD + "return x.missing, x\n", "raises AttributeError: 'numpy.ndarray' object has no attribute 'missing', "
         "at gelu.py:2: `return x.missing, x`"),
        (FORWARD + "x += 1\n    return x, x\n", "gelu_forward changes x, which it was given: work on a copy"),
        (RIGHT[: RIGHT.index("def gelu_grad")], "gelu.py has no function gelu_backward"),
        (RIGHT + BACKWARD + "dx = 1\n", "gelu_backward returned nothing: return the gradient of x (gelu.py:"),
        (RIGHT + BACKWARD + "return dout[0]\n", "dx is of shape (5, 6), not (2, 5, 6)"),
        (RIGHT + BACKWARD + "return dout, dout\n", "gelu_backward returned 2 gradients for 1 float inputs (x)"),
        (RIGHT + BACKWARD + "return dout @ dout\n", "gelu_backward raised ValueError: matmul"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_in_one_sentence(text, sentence, tmp_path):
    (tmp_path / "gelu.py").write_text(text, encoding="utf-8")
    said = in_process(tmp_path, "gelu")
    assert sentence in said
    assert "\n" not in said


def in_process(folder, name):
    """The message of grade, without its process: fast, and with no guard that would stay behind."""
    from minixfmr.exercises import child

    keep, path = child._limit_memory, list(sys.path)
    guard = child._guard_imports
    child._limit_memory = child._guard_imports = lambda *_: None
    sys.modules.pop(name, None)
    try:
        return child.grade(name, folder, 0)["message"]
    finally:
        child._limit_memory, child._guard_imports = keep, guard
        sys.modules.pop(name, None)
        sys.path[:] = path


def test_an_unstarted_file_that_another_needs_is_named(folder):
    shutil.copy(BLANK / "attention.py", folder / "attention.py")
    result = check("multi_head_attention", folder)
    assert result["state"] == "wrong"
    assert result["message"] == "needs attention_forward of attention.py, not started"


def test_a_block_names_the_file_that_spoils_it(folder, capsys):
    path = folder / "feed_forward.py"
    path.write_text(path.read_text(encoding="utf-8").replace("(h > 0)", "(h < 0)"), encoding="utf-8")
    _, results = run(folder, capsys, "--only", "feed_forward", "encoder_block", "layer_norm")
    assert results["layer_norm"]["state"] == "right"
    assert results["encoder_block"]["message"].endswith("(it uses feed_forward.py, not right itself)")


@pytest.mark.parametrize("line", ["import torch", "import minixfmr.layers as m", "from jax import numpy"])
def test_a_solution_cannot_be_imported_by_accident(folder, line):
    name = line.split()[1].split(".")[0]
    said = message(folder, "gelu", f"def gelu_forward(x):\n    {line}\n")
    assert re.match(rf"imports {name}.*, which exercises may not: NumPy is enough, at gelu.py:2: `{line}`", said)


def wrong(mistake, folder):
    """What a check says of a mutated solution; None if nothing."""
    student = _Student(mistakes.load(mistake, folder), folder)
    try:
        with np.errstate(all="ignore"):
            for step in EXERCISES[mistake if isinstance(mistake, str) else mistake.file].checks:
                step(student)
    except NotRight as error:
        return str(error)
    except (ValueError, IndexError, TypeError) as error:
        return repr(error)
    return None


@pytest.mark.parametrize("mistake", mistakes.RESULTS, ids=lambda m: m.file)
def test_a_wrong_result_is_found(mistake, tmp_path):
    assert wrong(mistake, tmp_path)


def dictionaries_are_checked():
    def forward(p):
        return 2 * p["x"], None

    try:
        return not gradcheck_function(forward, lambda dout, _: {"x": dout}, {"x": np.ones(3)}).ok
    except (ValueError, AttributeError, TypeError):
        return False


ONE_EACH = list({m.file: m for m in mistakes.MISTAKES if m.cause in mistakes.GRADIENTS and "." not in m.file}.values())


@pytest.mark.parametrize("mistake", ONE_EACH, ids=lambda m: m.file)
def test_a_wrong_gradient_is_found(mistake, tmp_path):
    if mistake.file.endswith("block") and not dictionaries_are_checked():
        pytest.skip("gradcheck_function does not take dictionaries")
    assert wrong(mistake, tmp_path)


# --- the files


def functions(path):
    """{name: its parameters as written} of the file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: ast.unparse(node.args) for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_folder_holds_every_exercise_and_its_readme():
    assert {p.stem for p in BLANK.glob("*.py")} == set(NAMES)
    readme = (BLANK / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)\.py` \| .* \| (\d*) \| (\d*) ?\|$", readme, re.M)
    assert [(name, *(int(p) for p in points if p)) for name, *points in rows] == [
        (name, *exercise.points) for name, exercise in EXERCISES.items()
    ]
    assert sum(sum(exercise.points) for exercise in EXERCISES.values()) == 100


@pytest.mark.parametrize("name", NAMES)
def test_an_exercise_asks_for_what_its_solution_has_and_shows_none_of_it(name):
    blank, solved = functions(BLANK / f"{name}.py"), functions(SOLVED / f"{name}.py")
    assert blank == {key: solved[key] for key in blank}
    assert set(EXERCISES[name].functions) <= set(blank)
    text = (BLANK / f"{name}.py").read_text(encoding="utf-8")
    body = [line.strip() for line in (SOLVED / f"{name}.py").read_text(encoding="utf-8").splitlines()]
    for line in body:
        if line.startswith(("def ", "import ", "from ", '"""', "return")) or len(line) < 12:
            continue
        assert line.split("  #")[0] not in text
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            kinds = [type(statement) for statement in node.body]
            assert kinds == [ast.Expr, ast.Raise]
        else:
            assert isinstance(node, ast.Expr | ast.Import)
    assert len(text.splitlines()) <= 60
