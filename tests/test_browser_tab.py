"""A browser tab: Python without threads and processes, and the interpreter that runs there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYODIDE = Path(os.environ.get("PYODIDE", ROOT / ".venv" / "pyodide" / "node_modules" / "pyodide"))

PROBE = """
import { loadPyodide } from "PYODIDE/pyodide.mjs";
const py = await loadPyodide({ stdout: () => {} });
py.FS.mkdir("/source");
py.FS.mount(py.FS.filesystems.NODEFS, { root: "ROOT" }, "/source");
console.log(await py.runPythonAsync(`
import ast, importlib, json, pathlib, warnings
warnings.simplefilter("error")
NAMES = json.loads('''NAMES''')
files, faults = 0, []
for name in NAMES:
    text = pathlib.Path("/source", name).read_text(encoding="utf-8")
    files += 1
    try:
        tree = ast.parse(text, name)
        compile(tree, name, "exec")
    except (SyntaxError, SyntaxWarning) as error:
        faults.append(f"{name}: {error}")
        continue
    imports = [n for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom)) and not getattr(n, "level", 0)]
    for node in imports:
        for module in [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]:
            if module.split(".")[0] in OUTSIDE:
                continue
            try:
                importlib.import_module(module)
            except ImportError as error:
                faults.append(f"{name}: {error}")
json.dumps({"files": files, "faults": faults})
`));
process.exit(0);
"""
OUTSIDE = ("numpy", "safetensors", "threadpoolctl", "minixfmr")  # its packages come from elsewhere


def test_without_threads_and_processes_the_package_works_in_one(tmp_path):
    """Gradient checks, the checker's command, marking, training and generation; what is not limited there is said."""
    folder = shutil.copytree(ROOT / "tests" / "homework", tmp_path / "mine")
    command = [sys.executable, str(ROOT / "tests" / "browser_tab.py"), str(folder), "take-away"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::SyntaxWarning"}
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == "check_gradients train_and_generate check_file mark_exercises rehearse".split()


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
@pytest.mark.skipif(not PYODIDE.is_dir(), reason="npm's pyodide is not installed: make pyodide")
def test_every_module_compiles_in_pyodide_and_needs_no_module_that_it_lacks():
    names = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "minixfmr").rglob("*.py"))
    program = PROBE.replace("OUTSIDE", repr(OUTSIDE)).replace("NAMES'", json.dumps(names) + "'")
    program = program.replace("PYODIDE", PYODIDE.as_uri()).replace("ROOT", str(ROOT))
    run = subprocess.run(["node", "--input-type=module"], input=program, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert found == {"files": len(names), "faults": []}
