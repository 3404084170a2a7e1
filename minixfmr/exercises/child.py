"""The process of one exercise: import the student's file, check it, write the result, and leave.

The job comes on standard input, as JSON; the result goes to a file, since standard output belongs to the student.
"""

import builtins
import importlib
import inspect
import json
import linecache
import os
import sys
import traceback
from pathlib import Path

from .catalogue import EXERCISES
from .checks import NotRight

FORBIDDEN = ("minixfmr", "torch", "jax", "tensorflow", "autograd")


class ForbiddenImport(ImportError):
    """An exercise imported what would solve it."""


def main() -> None:
    """Read the job, do it, and leave the result in its file."""
    job = json.loads(sys.stdin.readline())
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - input() shall fail, not wait
    folder = Path(job["folder"])
    result = grade(job["name"], folder, job["memory"]) | {"uses": _used(job["name"], folder)}
    Path(job["answer"]).write_text(json.dumps(result), encoding="utf-8")
    os._exit(0)  # whatever threads the student's code has left behind


def grade(name: str, folder: Path, memory: float) -> dict:
    """Check the exercise of this name. → state, points, message, report"""
    exercise = EXERCISES[name]
    _limit_memory(memory)
    _guard_imports(folder)
    sys.path.insert(0, str(folder))
    points, report = 0, ""
    try:
        module = importlib.import_module(name)
        for check, worth in zip(exercise.checks, exercise.points, strict=True):
            check(_Student(module, folder))
            points += worth
        return {"state": "right", "points": points, "message": "", "report": ""}
    except NotRight as error:
        report, message = error.report, str(error)
    except MemoryError as error:
        message = f"needs more than {memory:g} MB of memory{_at(error, folder)}"
    except NotImplementedError as error:
        return _not_started(name, error, folder, points)
    except BaseException as error:  # SystemExit too: it comes from the student's file
        message = _sentence(error, folder)
    return {"state": "wrong", "points": points, "message": message, "report": report}


class _Student:
    """The student's module, with functions that are checked to be there."""

    def __init__(self, module, folder):
        self.module, self.folder = module, folder

    def function(self, name, *arguments):
        """The function of this name; raises NotRight if it is missing or does not take these arguments."""
        file = f"{self.module.__name__}.py"
        function = getattr(self.module, name, None)
        if not callable(function):
            raise NotRight(f"{file} has no function {name}")
        try:
            inspect.signature(function).bind(*arguments)
        except TypeError as error:
            raise NotRight(
                f"{self.place(function)}{name} does not take its {len(arguments)} arguments: {error}"
            ) from None
        return function

    def place(self, function):
        """ "file.py:line: " of a function, as far as it can be known."""
        code = getattr(inspect.unwrap(function), "__code__", None)
        return f"{Path(code.co_filename).name}:{code.co_firstlineno}: " if code else ""


def _limit_memory(megabytes):
    """The student's code may take this much beside what the checker has taken already."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + int(megabytes * 2**20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    except (ImportError, OSError, ValueError):  # not every system has such a limit; the one of time holds
        pass


def _guard_imports(folder):
    """Let no file of the folder import what would solve the exercise. It prevents accidents, not malice."""
    original = builtins.__import__

    def guarded(name, globals=None, locals=None, fromlist=(), level=0):
        importer = str((globals or {}).get("__file__", ""))
        if level == 0 and name.split(".")[0] in FORBIDDEN and folder in Path(importer).parents:
            raise ForbiddenImport(name)
        return original(name, globals, locals, fromlist, level)

    builtins.__import__ = guarded


def _used(name, folder):
    """The student's other exercises that this one imported."""
    others = (other for other in EXERCISES if other != name and other in sys.modules)
    return [other for other in others if folder in Path(str(sys.modules[other].__file__)).parents]


def _not_started(name, error, folder, points):
    """What to say where something raised NotImplementedError."""
    frame = _students_frame(error, folder)
    result = {"state": "not started", "points": points, "message": "", "report": ""}
    if frame and Path(frame.filename).name != f"{name}.py":
        return result | {"state": "wrong", "message": f"needs {frame.name} of {Path(frame.filename).name}, not started"}
    if frame and frame.name != EXERCISES[name].functions[0]:
        result["message"] = f"{'forward is right, ' if points else ''}{frame.name} is not started"
    return result


def _sentence(error, folder):
    """What went wrong in the student's code, with the file, the line and its text."""
    if isinstance(error, ForbiddenImport):
        return f"imports {error}, which exercises may not: NumPy is enough{_at(error, folder)}"
    if isinstance(error, SyntaxError) and error.filename:
        text = f", at `{error.text.strip()}`" if error.text else ""
        return f"{Path(error.filename).name}:{error.lineno}: {type(error).__name__}: {error.msg}{text}"
    text = " ".join(str(error).split())
    return f"raises {type(error).__name__}{': ' + text if text else ''}{_at(error, folder)}"


def _at(error, folder):
    frame = _students_frame(error, folder)
    if frame is None:
        return ""
    line = linecache.getline(frame.filename, frame.lineno).strip()
    return f", at {Path(frame.filename).name}:{frame.lineno}: `{line}`"


def _students_frame(error, folder):
    """The innermost line of the student's that the error passed."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if folder in Path(f.filename).parents]
    return frames[-1] if frames else None


if __name__ == "__main__":
    main()
