"""Run a student's code in this process and leave no trace: what a system without processes has to do."""

import builtins
import contextlib
import importlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

KEPT = frozenset({*sys.stdlib_module_names, "numpy"})  # a student's file of such a name replaces none that is loaded


@contextlib.contextmanager
def visit(folder: Path) -> Iterator[None]:
    """For a `with`: files of the folder are imported anew; afterwards modules, paths, __import__, the working folder
    and the environment are what they were. What is done to NumPy and other modules stays."""
    names = {path.stem for path in folder.glob("*.py")} - KEPT
    outside = {name: module for name, module in sys.modules.items() if name.split(".")[0] in names}
    before = set(sys.modules) - set(outside)
    path, arguments, environment, where = list(sys.path), list(sys.argv), dict(os.environ), os.getcwd()
    original, writes = builtins.__import__, sys.dont_write_bytecode
    for name in outside:
        del sys.modules[name]
    importlib.invalidate_caches()
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        builtins.__import__, sys.dont_write_bytecode = original, writes
        sys.path[:], sys.argv[:] = path, arguments
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(where)
        for name in [name for name in sys.modules if name not in before and _inside(name, folder)]:
            del sys.modules[name]
        sys.modules.update(outside)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """For a `with`: what is printed is thrown away."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _inside(name, folder):
    try:
        return folder in Path(sys.modules[name].__file__ or "").parents
    except AttributeError:  # built in
        return False
    except BaseException:  # what stands in sys.modules may be the student's
        return True
