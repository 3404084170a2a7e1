"""README and docs: what they show runs, what they quote is the source, what they link to is there."""

import ast
import gzip
import importlib.util
import os
import random
import re
import shutil
import site
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import reading_order

import minixfmr

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "minixfmr"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)

# a long command is shortened by an option of its own; the first pattern that fits counts
TINY = " --epochs 1 --layers 1 --d-model 16 --num-heads 2 --d-ff 16 --vocab-size 60 --overwrite"
SHORTENED = {
    r"make translate": ' ARGS="--numbers 300 --epochs 1 --layers 1 --d-model 16 --num-heads 2 --d-ff 16"',
    r"make test": ' ARGS="tests/test_module.py"',
    r"make (test-(parity|all|docs)|docs)": " --dry-run",  # install much, or take long
    r"bin/python -m pytest": " tests/test_module.py",
    r"python -m venv .venv": " --upgrade --without-pip",  # there it is
    r'pip install -e ".\[[\w,]+\]"': " --dry-run --no-deps",
    r"tutorials/translate.py(?=.* --finetune)": " --epochs 1 --overwrite",
    r"tutorials/translate.py(?=.* --(pairs|source) )": TINY,
    r"tutorials/translate.py(?!.*--(translate|evaluate))": f"{TINY} --numbers 300",
    r"-m minixfmr.exercises (\w+|--all.*)": " --only softmax",
    r'pip install ".\[cuda\d+\]"': " --dry-run --no-deps",  # CuPy is large
}


def blocks(page, language):
    """The code blocks of a page in that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


def commands(block):
    """The command lines of a block, without remarks and line breaks, shortened where they are long."""
    for line in block.replace("\\\n", " ").splitlines():
        command = re.sub(r"\s+# .*", "", line).strip()
        yield command + next((s for kind, s in SHORTENED.items() if re.search(rf"{kind}(?![-\w])", command)), "")


# --- what it says


def test_the_front_door_is_short():
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) <= 170
    assert sum(map(reading_order.lines, reading_order.SHORT)) <= 900
    assert reading_order.SHORT[0] == next(iter(reading_order.ORDER["Layers"])) == "layers/linear"


@pytest.mark.parametrize("path", reading_order.TABLES, ids=lambda path: path.name)
def test_tables_and_quotations_are_those_of_the_source(path):
    assert reading_order.up_to_date(path) == path.read_text(encoding="utf-8"), "run tutorials/reading_order.py"


def test_the_pair_that_readme_shows_is_the_source():
    """Said again without the machinery that wrote it there."""
    source = (PACKAGE / "layers" / "normalization.py").read_text(encoding="utf-8")
    (block,) = [block for block in blocks(PAGES[0], "python") if "def " in block]
    pair = block.strip().split("\n\n\n")
    assert len(pair) == 2 and all(function in source for function in pair)
    assert [re.search(r"def (\w+)", function)[1] for function in pair] == ["layer_norm", "layer_norm_backward"]


def test_the_reading_order_is_complete():
    told = sorted(name for files in reading_order.parts().values() for name in files)
    there = [p.relative_to(PACKAGE).with_suffix("") for p in PACKAGE.rglob("*.py") if p.name != "__init__.py"]
    assert told == sorted(p.as_posix() for p in there if p.parent.as_posix() not in reading_order.NOT_READ)
    assert all(what for files in reading_order.parts().values() for what, _ in files.values())


def test_a_file_of_the_shelf_is_read_after_those_that_it_imports():
    """All but the machine room and the descendants, which come last, and linear, which is the easiest to start with."""
    shelf = ("Layers", "The three architectures", "Training", "Generation")
    order = [name for part in shelf for name in reading_order.ORDER[part]]
    early = set()
    for name in order:
        path = PACKAGE / f"{name}.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level and node.module:
                base = [path, *path.parents][node.level]
                other = (base / node.module.replace(".", "/")).relative_to(PACKAGE).as_posix()
                if other in order and order.index(other) > order.index(name):
                    early.add((name, other))
    assert early == {("layers/linear", "module")}


@each_page
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            name, _, heading = target.partition("#")
            linked = page.parent / name if name else page
            assert linked.exists(), target
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.M) if heading else []
            assert not heading or heading in [re.sub(r"[^\w-]", "", h.lower().replace(" ", "-")) for h in headings]


def test_the_diagram_is_drawn_by_its_script_and_its_files_exist():
    spec = importlib.util.spec_from_file_location("transformer", ROOT / "docs" / "transformer.py")
    transformer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(transformer)
    drawn = (ROOT / "docs" / "transformer.svg").read_text(encoding="utf-8")
    assert transformer.drawing() == drawn, "run docs/transformer.py"
    links = re.findall(r'<a href="([^"]+)">([^<]+)</a>', drawn)
    files = re.sub("<[^>]+>", "", " ".join(re.findall(r'class="file"[^>]*>(.*?)</text>', drawn)))
    assert sorted(text for _, text in links) == sorted(re.findall(r"[\w/]+\.py", files)), "each file is a link"
    for target, text in links:
        assert target.endswith(f"/{text}") and (ROOT / "docs" / target).exists(), target


# --- what it shows


def test_the_python_of_readme_trains_translates_and_loads_again(tmp_path):
    shown = [block for block in blocks(PAGES[0], "python") if "def " not in block]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-c", "\n".join(shown)]
    done = subprocess.run(
        run, cwd=tmp_path, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=60
    )
    assert done.returncode == 0, done.stderr
    promised = re.search(r"print\(\*\(.*# (.*)$", shown[0], re.M)[1]
    assert done.stdout.splitlines()[-1] == promised == "<s> zwei und vierzig </s>"


@each_page
def test_the_names_in_python_blocks_exist(page):
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "minixfmr":
                assert hasattr(minixfmr, node.attr), node.attr
    for name in re.findall(r"`minixfmr\.(\w+)[(`]", page.read_text(encoding="utf-8")):
        assert hasattr(minixfmr, name), name


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the repository with a .venv as make builds it, which finds the libraries of the one that runs this."""
    for extra in ("tokenizers", "num2words", "sacrebleu", "matplotlib", "tqdm"):
        pytest.importorskip(extra, reason="needs minixfmr[tutorials]")
    clone = tmp_path_factory.mktemp("clone") / "minixfmr"
    ignored = shutil.ignore_patterns(".*", "runs", "__pycache__", "*.ipynb", "*.egg-info", "build")
    shutil.copytree(ROOT, clone, ignore=ignored)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=clone, check=True)
    (packages,) = (clone / ".venv").glob("lib/python*/site-packages")
    (packages / "found.pth").write_text("\n".join([str(clone), *site.getsitepackages()]))
    pip = clone / ".venv" / "bin" / "pip"
    pip.write_text('#!/bin/sh\nexec python -m pip "$@"\n')
    pip.chmod(0o755)
    for extra in ("tutorials", "test"):
        (clone / ".venv" / extra).touch()
    write_files(clone)
    return clone


def write_files(clone):
    """The files of their own that users bring."""
    rng = random.Random(0)
    words = {"red": "rot", "green": "grün", "blue": "blau", "old": "alt", "new": "neu", "house": "Haus"}
    sources = [" ".join(rng.choices(list(words), k=rng.randint(1, 4))) for _ in range(120)]
    targets = [" ".join(words[w] for w in s.split()) for s in sources]
    (clone / "pairs.tsv").write_text("".join(f"{s}\t{t}\n" for s, t in zip(sources, targets, strict=True)))
    for split in ("train", "val", "test_2016_flickr"):
        for language, lines in (("en", sources), ("de", targets)):
            with gzip.open(clone / f"{split}.{language}.gz", "wt", encoding="utf-8") as file:
                file.write("\n".join(lines))
    (clone / "class" / "anna").mkdir(parents=True)
    for path in ("homework.py", "class/anna/softmax.py"):
        shutil.copy(clone / "tests" / "homework" / "softmax.py", clone / path)


@pytest.mark.long
@each_page
def test_every_command_works_in_a_fresh_shell(page, clone):
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment |= {"D": ".", "PYTHONUTF8": "1", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}  # no network
    shutil.rmtree(clone / "homework", ignore_errors=True)  # another page may have made it
    for block in blocks(page, "sh"):
        script = "\n".join(commands(block))
        own = re.match("python|pip", script)  # these are for an environment that is active
        fresh = f". .venv/bin/activate\n{script}" if own else script
        done = subprocess.run(["bash", "-ec", fresh], cwd=clone, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    if page.name == "your_own_data.md":
        (program,) = blocks(page, "python")
        run = [".venv/bin/python", "-c", program]
        done = subprocess.run(run, cwd=clone, env=environment, capture_output=True, text=True)
        assert done.returncode == 0 and len(done.stdout.splitlines()) == 2, f"{program}\n{done.stderr[-2000:]}"


@each_page
def test_inline_commands_are_there(page):
    """make targets, modules, scripts and extras that are named in the running text."""
    text = page.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
    assert {name for names in re.findall(r"\.\[([\w,]+)\]", text) for name in names.split(",")} <= set(extras)
    for module in re.findall(r"python -m ((?:minixfmr|benchmarks)[\w.]*)", text):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
    for script in re.findall(r"python ((?:tutorials|docs)/\w+\.py)", text):
        assert (ROOT / script).exists(), script
