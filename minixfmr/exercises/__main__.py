"""Check a folder of exercises and give points.

    python -m minixfmr.exercises my_folder                     # one line an exercise: not started, wrong or right
    python -m minixfmr.exercises my_folder --only softmax --verbose
    python -m minixfmr.exercises my_folder --json              # points alone, for an autograder

Each exercise runs in a process of its own with limits of time and memory, so that an endless loop or a crash costs
only that one. Nothing is written into the folder.
Exit status: 0 if nothing that was started is wrong, 1 if something is, 2 if the command itself makes no sense.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from .catalogue import EXERCISES

PACKAGES = str(Path(__file__).resolve().parents[2])  # where the child finds minixfmr, installed or not


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = _options(arguments)
    folder = Path(options.folder).resolve()
    names = [name for name in EXERCISES if not options.only or name in options.only]
    results = {}
    for name in names:
        results[name] = result = check(name, folder, options.timeout, options.memory)
        blame = [f"{used}.py" for used in result["uses"] if results.get(used, {}).get("state") == "wrong"]
        if result["state"] == "wrong" and blame:
            result["message"] += f" (it uses {' and '.join(blame)}, not right itself)"
        if not options.json:
            _print_line(name, result, options.verbose)
    points, possible = (sum(r[key] for r in results.values()) for key in ("points", "possible"))
    if options.json:
        keys = ("state", "points", "possible", "message")
        exercises = {name: {key: r[key] for key in keys} for name, r in results.items()}
        print(json.dumps({"points": points, "possible": possible, "exercises": exercises}, indent=2))
    else:
        print(f"{'':38}{points:3}/{possible}")
    return int(any(r["state"] == "wrong" for r in results.values()))


def check(name: str, folder: Path, timeout: float = 60, memory: int = 2048) -> dict:
    """Check one exercise in a process of its own. → state, points, possible, message, report, uses"""
    possible = sum(EXERCISES[name].points)
    result = {"state": "wrong", "points": 0, "possible": possible, "message": "", "report": "", "uses": []}
    if not (folder / f"{name}.py").is_file():
        return result | {"state": "not started", "message": "file missing"}
    with tempfile.TemporaryDirectory() as scratch:  # the student's code runs here, not in the folder
        answer = Path(scratch) / "answer.json"
        job = {"name": name, "folder": str(folder), "answer": str(answer), "memory": memory}
        status = _run(json.dumps(job), scratch, timeout)
        if status is None:
            return result | {"message": f"was still running after {timeout:g} seconds: an endless loop?"}
        try:
            return result | json.loads(answer.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return result | {"message": _how_it_ended(status)}


def _run(job, scratch, timeout):
    """Run the child on the job. → its exit status, or None if time ran out"""
    environment = {name: value for name, value in os.environ.items() if name != "MINIXFMR_BACKEND"}
    paths = [PACKAGES, *filter(None, [environment.get("PYTHONPATH")])]
    environment |= {
        "PYTHONPATH": os.pathsep.join(paths),
        "OPENBLAS_NUM_THREADS": "1",  # each of its threads would take its share of the memory limit
        "OMP_NUM_THREADS": "1",
    }
    # -B: no __pycache__ in the folder. -P: the working folder is not searched for modules.
    child = subprocess.Popen(
        [sys.executable, "-B", "-P", "-m", "minixfmr.exercises.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=scratch,
        env=environment,
        start_new_session=True,  # a process group of its own, to be ended as a whole
    )
    try:
        child.communicate(job.encode(), timeout)
        return child.returncode
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(child)


def _end(child):
    """End the child and whatever it started."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    except (ProcessLookupError, PermissionError):  # nothing is left of the group
        pass
    child.wait()


def _how_it_ended(status):
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        return f"the process crashed ({name})"
    return f"the process ended itself with status {status} before it was checked"


def _print_line(name, result, verbose):
    line = f"{name:24}{result['state']:14}{result['points']:3}/{result['possible']:<3}  {result['message']}"
    print(line.rstrip(), flush=True)
    if verbose and result["report"]:
        print("\n" + result["report"] + "\n")


def _options(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m minixfmr.exercises",
        description="Check a folder of exercises: a copy of tutorials/exercises that a student filled in.",
        epilog="Exit status: 0 if nothing that was started is wrong, 1 if something is, 2 for a wrong command.",
    )
    parser.add_argument("folder", help="the student's folder")
    parser.add_argument("--json", action="store_true", help="print points as JSON, and nothing else")
    parser.add_argument("--timeout", type=_positive, default=60, metavar="SECONDS", help="for each exercise (60)")
    parser.add_argument("--memory", type=_positive, default=2048, metavar="MB", help="for each exercise (2048)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="check these exercises alone")
    parser.add_argument("--verbose", action="store_true", help="print the table of gradients too")
    options = parser.parse_args(arguments)
    if not Path(options.folder).exists():
        parser.exit(2, f"{options.folder} does not exist: give the folder with the exercises\n")
    if not Path(options.folder).is_dir():
        parser.exit(2, f"{options.folder} is not a folder: give the folder with the exercises\n")
    for name in options.only or []:
        if name not in EXERCISES:
            parser.exit(2, f"there is no exercise {name!r}: choose from {', '.join(EXERCISES)}\n")
    return options


def _positive(text):
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return value


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
