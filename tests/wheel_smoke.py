"""What somebody does who has installed the wheel and nothing else: python -I wheel_smoke.py, in an empty folder."""

import subprocess
import sys
from pathlib import Path

import numpy

import minixfmr


def run(*arguments, status):
    done = subprocess.run([sys.executable, "-I", "-m", "minixfmr", *arguments], capture_output=True, text=True)
    assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def main():
    assert minixfmr.__version__ in run("--version", status=0)
    run("exercises", "--new", "homework", status=0)
    templates = {path.name for path in Path("homework").iterdir()}
    assert {"README.md", "PLAN.md", "softmax.py", "adamw.py"} <= templates and len(templates) >= 17
    assert "not started" in run("grade", "homework", "--only", "softmax", status=0)
    Path("square.py").write_text(
        "def square(x):\n    return x * x, x\n\n\ndef square_backward(dy, x):\n    return dy * x\n"
    )
    assert "WRONG" in run("check", "square.py", status=1)
    model = minixfmr.DecoderOnly(minixfmr.Config(vocab_size=20, d_model=8, num_heads=2, d_ff=16))
    report = minixfmr.gradcheck(minixfmr.layers.LayerNorm(6, dtype="float64"), numpy.ones((2, 6)) * numpy.arange(6))
    assert report.ok, report
    ids = minixfmr.generate(model, numpy.array([[3, 4]]), max_new_tokens=3)
    minixfmr.save(model, "model")
    assert (minixfmr.generate(minixfmr.load("model"), numpy.array([[3, 4]]), max_new_tokens=3) == ids).all()
    print(f"{minixfmr.__version__} works on Python {sys.version.split()[0]} with NumPy {numpy.__version__}")


if __name__ == "__main__":
    main()
