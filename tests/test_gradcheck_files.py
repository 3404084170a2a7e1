"""python -m minixfmr.gradcheck: the exit status never says right where something was not seen."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from minixfmr.gradcheck.discovery import items_in
from minixfmr.gradcheck.files import load_file
from minixfmr.gradcheck.profile import Profile

pytestmark = pytest.mark.on_numpy("homework is NumPy")
ROOT = Path(__file__).parent.parent
HEAD = "import numpy as np\n"
CUBE = """
def cube_forward(x):
    return x ** 3, x

def cube_backward(dy, x):
    return 3 * dy * x ** 2
"""


def command(folder, text, *options, name="homework.py"):
    """(exit status, standard output, standard error)"""
    (folder / name).write_text(text if name.endswith("ipynb") else HEAD + textwrap.dedent(text))
    run = [sys.executable, "-m", "minixfmr.gradcheck", name, *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(run, capture_output=True, text=True, cwd=folder, env=environment)
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("change", "status"), [(("", ""), 0), (("3 *", "2 *"), 1), (("return 3", "import os; os._exit(0)"), 3)]
)
def test_a_system_that_does_not_fork_spawns(change, status, tmp_path):
    (tmp_path / "homework.py").write_text(HEAD + CUBE.replace(*change))
    program = "import sys; from minixfmr.gradcheck.__main__ import main; sys.platform = 'darwin'; "
    program += "sys.exit(main(['homework.py']))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == status and "== cube: " in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "status", "says"),
    [
        (CUBE, 0, "== cube: right"),
        (CUBE.replace("3 * dy", "4 * dy"), 1, "== cube: WRONG"),
        ("", 2, "has nothing to check"),
        ("import os; os._exit(0)", 2, "it cannot be run"),
        (CUBE + "\nimport os; os._exit(0)", 2, "ended the process"),
        (CUBE + "\nimport sys; sys.exit(0)", 3, "read it up to there"),
        (CUBE.replace("    return 3", "    import os; os._exit(0); return 3"), 3, "ended the process"),
        (CUBE.replace("    return 3", "    quit(); return 3"), 3, "ended the program"),
        (CUBE + "def softplus_forward(x):\n    return np.log1p(np.exp(x)), x", 3, "no softplus_backward beside it"),
        (CUBE + "def swish_backward(dy, x):\n    return dy", 3, "swish_backward has no forward beside it"),
        (
            CUBE + "class Half:\n    def forward(self, x): return x\n    def backward(self, dy): pass",
            3,
            "not written yet",
        ),
    ],
)
def test_the_exit_status(text, status, says, tmp_path):
    got, out, err = command(tmp_path, text)
    assert got == status, out + err
    assert says in " ".join((out + err).split())
    assert (status == 3) == ("not checked" in out.lower())


def test_one_that_ends_the_process_does_not_hide_the_others(tmp_path):
    ends = CUBE.replace("cube", "ends").replace("    return 3", "    import os; os._exit(0); return 3")
    status, out, _ = command(tmp_path, ends + CUBE.replace("3 * dy", "2 * dy"), "--json")
    told = json.loads(out)
    assert status == 1
    assert {name: r["verdict"] for name, r in told.items()} == {"ends": "NOT CHECKED", "cube": "WRONG"}


def test_a_notebook_without_its_magic(tmp_path):
    cells = ["%matplotlib inline\n!pip list\nimport numpy as np", "%%time\nnonsense(", CUBE.replace("3 * dy", "2 * dy")]
    notebook = {"cells": [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]}
    status, out, _ = command(tmp_path, json.dumps(notebook), name="homework.ipynb")
    assert status == 1
    assert "== cube: WRONG" in out


def test_a_profile_beside_the_file_and_one_in_it(tmp_path):
    text = """
    def mean_forward(A, W):
        return W @ A, (A, W)

    def mean_backward(dZ, cache):
        A, W = cache
        return W.T @ dZ, dZ @ A.T / A.shape[1]

    def gradcheck_inputs(name, rng):
        return rng.standard_normal((4, 7)), rng.standard_normal((3, 4))
    """
    assert command(tmp_path, text)[0] == 1
    assert command(tmp_path, text, "--profile", "deeplearning.ai")[0] == 0
    assert command(tmp_path, text + '\n    gradcheck_profile = {"factor": "examples in columns"}')[0] == 0
    (tmp_path / "pyproject.toml").write_text('[tool.minixfmr.gradcheck]\nfactor = "examples in columns"\n')
    assert command(tmp_path, text)[0] == 0
    (tmp_path / "pyproject.toml").write_text("[tool.minixfmr.gradcheck]\nfactors = 1\n")
    status, _, err = command(tmp_path, text)
    assert status == 2
    assert "'factors' is no setting" in err


def items(folder, text, **profile):
    path = folder / "found.py"
    path.write_text(HEAD + textwrap.dedent(text))
    return {i.name: i for i in items_in(load_file(str(path))[0], Profile(**profile))}


def test_what_looks_like_a_pair_a_loss_or_a_layer_is_found(tmp_path):
    found = items(
        tmp_path,
        """
        from abc import ABC, abstractmethod
        def conv_forward_slow(x): return x, x
        def conv_backward_slow(dy, x): return dy
        def forward_pool(x): return x, x
        def backward_pool(dy, x): return dy
        def swish(x): return x, x
        def swish_backward(dy, x): return dy
        def squash(x): return np.tanh(x)
        def squash_derivative(y): return 1 - y * y
        def hinge_loss(x, y): return x.sum(), x
        def plain_cost(x, y): return x.sum()
        class Base(ABC):
            @abstractmethod
            def forward(self, x): ...
            @abstractmethod
            def backward(self, dy): ...
        class Twice(Base):
            def forward(self, x): return 2 * x
            def backward(self, dy): return 2 * dy
        class Net:
            def loss(self, x, y): return 1.0, {}
        """,
    )
    assert {name: item.kind for name, item in found.items()} == {
        "conv_slow": "pair", "pool": "pair", "swish": "pair", "squash": "pair", "hinge_loss": "loss",
        "Twice": "layer", "Net": "network",
    }  # fmt: skip


def test_layers_of_the_students_other_files(tmp_path):
    (tmp_path / "mylayers.py").write_text(HEAD + CUBE)
    status, out, _ = command(tmp_path, "from mylayers import cube_backward, cube_forward")
    assert (status, "== cube: right" in out) == (0, True)


def test_natural_attention_is_checked_with_made_up_inputs_that_are_named(tmp_path):
    text = """
    def attention_forward(q, k, v):
        s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
        e = np.exp(s - s.max(-1, keepdims=True))
        w = e / e.sum(-1, keepdims=True)
        return w @ v, (q, k, v, w)

    def attention_backward(dy, cache):
        q, k, v, w = cache
        dw = dy @ v.swapaxes(-1, -2)
        ds = w * (dw - (dw * w).sum(-1, keepdims=True)) / np.sqrt(q.shape[-1])
        return ds @ k, ds.swapaxes(-1, -2) @ q, w.swapaxes(-1, -2) @ dy
    """
    status, out, _ = command(tmp_path, text)
    assert status == 0, out
    assert "inputs made up: q 2×5×6, k 2×5×6, v 2×5×6" in out


def test_a_tensor_of_torch_is_named(tmp_path):
    pytest.importorskip("torch")
    text = """
    import torch
    def twice_forward(x):
        return torch.from_numpy(x) * 2, None
    def twice_backward(dy, cache):
        return dy * 2
    """
    status, out, _ = command(tmp_path, text)
    assert status == 3
    assert "returned a torch.Tensor" in out
