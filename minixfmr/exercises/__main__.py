"""Write exercises, mark a folder of them, mark a class.

    python -m minixfmr.exercises --new my_folder               # templates, a README, a plan for two weeks
    python -m minixfmr.exercises my_folder                     # one line an exercise, and a map
    python -m minixfmr.exercises my_folder --only softmax --verbose
    python -m minixfmr.exercises my_folder --json              # for an autograder; --gradescope for its results.json
    python -m minixfmr.exercises --all class_folder            # a table of a class, and what it gets wrong most
    python -m minixfmr.exercises my_folder --train             # your functions train a Transformer

Exit status: 0 if nothing that was started is wrong, 1 if something is, 2 if the command itself makes no sense.
"""

import argparse
import json
import signal
import sys
from pathlib import Path

from .catalogue import CatalogueError, exercises
from .folders import FolderError, locate, others, students, write_new
from .formats import (
    as_json,
    class_csv,
    class_table,
    gradescope,
    line,
    progress_map,
    student_name,
    tally,
    totals,
)
from .marking import Marker
from .process import Limits, UserError, WorkshopError

GRADESCOPE = Path("/autograder/results")


def main(arguments: list[str] | None = None, prog: str = "python -m minixfmr.exercises") -> int:
    """Run the command, called prog in its help; return its exit status."""
    parser = _parser(prog)
    options = parser.parse_args(arguments)
    try:
        _check_options(options)
        known = exercises(options.exercises and _folder(options.exercises))
        chosen = _chosen(known, options.only)
        if options.new:
            return _new(Path(options.new), chosen)
        if options.all:
            return _all(_folder(options.all), chosen, options)
        if options.train:
            from .train import train

            folder, remark = locate(_folder(options.folder), known)
            print(remark + "\n" if remark else "", end="")
            return train(folder, options.memory)
        return _one(_folder(options.folder), chosen, options)
    except (FolderError, CatalogueError, UserError, WorkshopError) as error:
        print(error, file=sys.stderr)
        return 2


def _check_options(options):
    """Raise FolderError for options of which one would be ignored."""
    modes = [name for name in ("new", "all", "train") if getattr(options, name)]
    if len(modes) > 1 or (options.folder and modes and modes != ["train"]):
        together = " and ".join([*(f"--{name}" for name in modes), *(["FOLDER"] if options.folder else [])])
        raise FolderError(f"{together} do not go together: give one of them")
    if not modes and not options.folder:
        raise FolderError("give a folder with exercises, or --new FOLDER to start with, or --all FOLDER for a class")
    if options.train and not options.folder:
        raise FolderError("--train takes the folder with your exercises too")
    if options.csv and not options.all:
        raise FolderError("--csv goes with --all: it is the table of a class")
    for name in ("gradescope", "verbose"):
        if getattr(options, name) and modes:
            raise FolderError(f"--{name} marks one folder, and does not go with --{modes[0]}")
    if options.json and modes and not options.all:
        raise FolderError(f"--json tells results, and does not go with --{modes[0]}")


def _new(folder, chosen):
    names = write_new(folder, chosen)
    points = sum(sum(exercise.points) for exercise in chosen.values())
    print(
        f"{folder}: {len(names)} files, {points} points. PLAN.md says what to do when; start with any of them and run"
    )
    print(f"    python -m minixfmr.exercises {folder}")
    return 0


def _one(folder, chosen, options):
    folder, remark = locate(folder, chosen)
    quiet = options.json or options.gradescope is not None
    if remark:
        print(remark, file=sys.stderr if quiet else sys.stdout)
    results = []
    with _marker(options) as marker:
        for result in marker.folder(folder, chosen.values()):
            results.append(result)
            if not quiet:
                _print(result, options)
    if options.json:
        print(json.dumps(as_json(results, marker.missing, options.hint), indent=2))
    elif not quiet:
        points, possible = totals(results)
        print(f"{'':38}{points:3}/{possible}")
        print("\n" + progress_map(results, chosen))
    if options.gradescope is not None:
        _write(options.gradescope, json.dumps(gradescope(results, marker.missing, options.hint), indent=2))
    marker.workshop.tell_missing()
    return int(any(r.state == "wrong" for r in results))


def _print(result, options):
    print(line(result, options.hint), flush=True)
    if options.verbose and result.report and options.hint == 3:
        print("\n" + result.report + "\n")


def _all(folder, chosen, options):
    if any((folder / f"{name}.py").is_file() for name in chosen):
        raise FolderError(f"{folder} holds exercises itself: --all takes the folder with a folder for each student")
    marked: dict[str, list] = {}
    notes: dict[str, str] = {}
    quiet = options.json
    with _marker(options) as marker:
        for path in students(folder):
            student = student_name(path.name, marked)
            place, notes[student] = locate(path, chosen)
            marked[student] = list(marker.folder(place, chosen.values()))
            if not quiet:
                points, possible = totals(marked[student])
                remark = f"  ({notes[student]})" if notes[student] else ""
                print(f"{student:24} {points:3}/{possible}{remark}", flush=True)
    if beside := others(folder):
        names = ", ".join(student_name(name, ()) for name in beside[:10]) + (" ..." if len(beside) > 10 else "")
        print(f"not marked, as they are no folders: {names}", file=sys.stderr)
    if not marked:
        raise FolderError(f"{folder} has no folders in it: --all takes the folder with a folder for each student")
    if quiet:
        print(json.dumps({s: as_json(r, marker.missing, options.hint) for s, r in marked.items()}, indent=2))
    else:
        print("\n" + class_table(marked) + "\n\n" + tally(marked))
    if options.csv:
        _write(options.csv, class_csv(marked, notes))
    marker.workshop.tell_missing()
    return int(any(r.state == "wrong" for results in marked.values() for r in results))


def _marker(options):
    return Marker(Limits(options.timeout, options.memory, options.user), explain=not options.quick)


def _write(path, text):
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise FolderError(f"{path} cannot be written: {error.strerror}") from None


def _folder(name):
    path = Path(name)
    if not path.exists():
        raise FolderError(f"{name} does not exist: give the folder with the exercises")
    if not path.is_dir():
        raise FolderError(f"{name} is not a folder: give the folder with the exercises")
    return path.resolve()


def _chosen(known, only):
    for name in only or []:
        if name not in known:
            raise FolderError(f"there is no exercise {name!r}: choose from {', '.join(known)}")
    return {name: exercise for name, exercise in known.items() if not only or name in only}


def _parser(prog):
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Write exercises, mark a folder that a student filled in, mark a class.",
        epilog="Exit status: 0 if nothing that was started is wrong, 1 if something is, 2 for a wrong command.",
    )
    parser.add_argument("folder", nargs="?", help="the student's folder")
    parser.add_argument("--new", metavar="FOLDER", help="write templates and a plan there")
    parser.add_argument("--all", metavar="FOLDER", help="mark each folder in it: a class")
    parser.add_argument("--train", action="store_true", help="let the functions of the folder train a Transformer")
    parser.add_argument("--exercises", metavar="FOLDER", help="exercises of your own, a file each, beside ours")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these exercises alone")
    parser.add_argument("--json", action="store_true", help="print results as JSON, and nothing else")
    default = str(GRADESCOPE / "results.json") if GRADESCOPE.is_dir() else "results.json"
    parser.add_argument("--gradescope", nargs="?", const=default, metavar="FILE", help=f"write its JSON ({default})")
    parser.add_argument("--csv", metavar="FILE", help="with --all: the table as CSV too")
    parser.add_argument("--hint", type=int, choices=(1, 2, 3), default=3, help="1: which array, 2: which line, 3: what")
    parser.add_argument("--quick", action="store_true", help="name the usual mistakes only, search no further")
    parser.add_argument("--timeout", type=_positive, default=10, metavar="SECONDS", help="for each exercise (10)")
    parser.add_argument("--memory", type=_positive, default=2048, metavar="MB", help="for each exercise (2048)")
    parser.add_argument("--as", dest="user", default="", metavar="USER", help="run students' code as this user")
    parser.add_argument("--verbose", action="store_true", help="print the table of gradients too")
    return parser


def _positive(text):
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return value


def _ended(number, frame):
    sys.exit(128 + number)  # through the contexts, which end the children


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without these letters is no reason to stop
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _ended)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
