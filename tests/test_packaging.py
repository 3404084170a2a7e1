"""What is built and installed: all files, a README that an index can show, types that a checker sees, the command."""

import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import minixfmr
from minixfmr.__main__ import COMMANDS, main

api = pytest.importorskip("hatchling.build", reason="needs minixfmr[test]")
ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SOLD = ("minixfmr", "tests", "tutorials", "docs", "benchmarks")
RELATIVE_LINK = re.compile(r"\]\((?!https?:|#)[^)]*\)")


def files(*folders):
    """The files under these folders, as paths from the root, without what Python leaves there."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    names = (path.relative_to(ROOT).as_posix() for path in found)
    return {name for name in names if not re.search(r"__pycache__|(^|/)\.|\.egg-info|(^|/)runs/", name)}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """{kind: path} of an sdist, a wheel and an editable wheel."""
    folder = tmp_path_factory.mktemp("dist")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.delenv("SOURCE_DATE_EPOCH", raising=False)
        kinds = {"sdist": api.build_sdist, "wheel": api.build_wheel, "editable": api.build_editable}
        paths = {}
        for kind, build in kinds.items():
            (folder / kind).mkdir()
            paths[kind] = folder / kind / build(str(folder / kind))
        return paths


def test_the_wheel_holds_the_package_and_all_of_it(built):
    with zipfile.ZipFile(built["wheel"]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == files("minixfmr")
    assert {"minixfmr/py.typed", "minixfmr/exercises/templates/README.md"} <= names


def test_the_sdist_holds_what_its_tests_read(built):
    with tarfile.open(built["sdist"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    alone = {path.name for path in ROOT.glob("*.md")} | {"Makefile", "LICENSE", "CITATION.cff", "pyproject.toml"}
    assert files(*SOLD) | alone | {".ci/run", "hatch_build.py"} <= names
    assert {name.partition("/")[0] for name in names} <= {*SOLD, *alone, "hatch_build.py", ".ci", ".github",
                                                         ".gitignore", "PKG-INFO"}  # fmt: skip


def test_the_metadata_are_those_of_today(built):
    with zipfile.ZipFile(built["wheel"]) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith("METADATA")]
        metadata = message_from_bytes(wheel.read(name))
    assert metadata["License-Expression"] == "MIT" and metadata["License-File"] == "LICENSE"
    assert not [line for line in metadata.get_all("Classifier") if line.startswith("License")]
    assert metadata["Description-Content-Type"] == "text/markdown"
    description = metadata.get_payload()
    assert "## Two commands" in description and not RELATIVE_LINK.search(description)
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.M)[1]
    assert metadata["Version"] == cited == minixfmr.__version__


@pytest.mark.parametrize("home", [None, "https://example.org/me/minixfmr", "https://example.org/me/minixfmr/"])
def test_readme_on_an_index_has_whole_links_or_none(home, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from hatch_build import for_an_index

    text = "![a picture](docs/a.svg) of [`linear.py`](minixfmr/linear.py), [part](#two) and [all](https://e.org/x)"
    kept = "[part](#two) and [all](https://e.org/x)"
    if home is None:
        assert for_an_index(text) == f" of `linear.py`, {kept}"
    else:
        address = "https://example.org/me/minixfmr"
        assert for_an_index(text, home) == (
            f"![a picture]({address}/raw/HEAD/docs/a.svg) of [`linear.py`]({address}/blob/HEAD/minixfmr/linear.py), "
            f"{kept}"
        )
    assert not RELATIVE_LINK.search(for_an_index((ROOT / "README.md").read_text(encoding="utf-8"), home))


def test_an_editable_installation_shows_its_types(built, tmp_path):
    """mypy runs no import hook of an installer: it finds what a path in site-packages leads to."""
    api = pytest.importorskip("mypy.api", reason="mypy is not installed; pip install mypy does for this")
    venv.create(tmp_path / "venv", symlinks=sys.platform != "win32")
    bin = "Scripts" if sys.platform == "win32" else "bin"
    python = tmp_path / "venv" / bin / "python"
    where = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[-1])"], capture_output=True, text=True
    )
    with zipfile.ZipFile(built["editable"]) as editable:
        editable.extractall(where.stdout.strip())
    program = tmp_path / "program.py"
    program.write_text("import minixfmr\n\nreveal_type(minixfmr.gradcheck)\nminixfmr.Config(vocab_sizes=3)\n")
    options = ["--python-executable", str(python), "--config-file", "", "--cache-dir", str(tmp_path / "cache")]
    out, errors, _ = api.run([*options, "--follow-imports=silent", str(program)])
    assert 'Unexpected keyword argument "vocab_sizes"' in out, out + errors
    assert "import-untyped" not in out and "import-not-found" not in out, out


# --- the command


def test_the_command_is_the_modules(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert PROJECT["scripts"] == {"minixfmr": "minixfmr.__main__:main"}
    assert main(["exercises", "--new", "homework", "--only", "softmax"]) == 0
    assert main(["grade", "homework", "--only", "softmax"]) == 0
    assert "not started" in capsys.readouterr().out
    (tmp_path / "square.py").write_text(
        "def square(x):\n    return x * x, x\n\n\ndef square_backward(dy, x):\n    return dy * x\n"
    )
    assert main(["check", "square.py", "--seed", "1"]) == 1
    assert "square: WRONG" in capsys.readouterr().out
    assert main(["check", "missing.py"]) == 2 and main(["grade", "nowhere"]) == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_tells_what_it_takes_under_its_own_name(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0 and capsys.readouterr().out.startswith(f"usage: minixfmr {command} ")


def test_without_a_command_it_tells_which_there_are(capsys):
    assert main([]) == 2
    help = capsys.readouterr().err
    assert all(f"\n  {command} " in help for command in COMMANDS)
    for arguments, status, said in [(["--version"], 0, minixfmr.__version__), (["mark"], 2, "choose from")]:
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        output = capsys.readouterr()
        assert stop.value.code == status and said in output.out + output.err
