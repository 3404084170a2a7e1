"""Whose line is to blame: errors of the code under check as one sentence each, never a traceback of the checker."""

import builtins
import inspect
import linecache
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .report import GradcheckError

PACKAGE = str(Path(__file__).parent.parent)
LIBRARIES = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))


def is_students(filename: str) -> bool:
    """Neither this package nor an installed library nor something made up at run time."""
    path = str(filename)
    return not path.startswith((PACKAGE, *LIBRARIES, "<frozen"))


@contextmanager
def blame(function: Callable | str) -> Iterator[None]:
    """Turn whatever the code under check raises into one sentence with the line that raised it."""
    name = function if isinstance(function, str) else name_of(function)
    try:
        yield
    except GradcheckError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, SyntaxError) and error.filename:
            where = f"{file_of(error.filename)}:{error.lineno}: {(error.text or '').strip()}"
            raise GradcheckError(f"{name}: {error.msg} ({where})") from None
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [f for f in frames if is_students(f.filename)]
        frame = theirs[-1] if theirs else frames[-1]
        code = linecache.getline(frame.filename, frame.lineno or 0).strip()
        where = f" ({file_of(frame.filename)}:{frame.lineno}{': ' + code if code else ''})"
        what = f"ended the program, exit({error})" if isinstance(error, SystemExit) else ""
        told = GradcheckError(f"{name} {what or f'raised {type(error).__name__}: {error}'}{where}")
        told.original = error
        raise told from None


def place_of(function: Callable) -> str:
    """' (homework.py:12)' of a function's def line, or nothing where it has no source."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f" ({file_of(code.co_filename)}:{code.co_firstlineno})" if code else ""


def file_of(filename: str) -> str:
    """homework.py, or In[3] for that cell of a notebook, whose file has a made-up name."""
    shell = getattr(builtins, "get_ipython", lambda: None)()
    cell = shell.compile.format_code_name(filename) if shell else None
    return cell[1] if cell else Path(filename).name


def name_of(function: Callable) -> str:
    """Its name, with its class."""
    return getattr(function, "__qualname__", type(function).__name__).replace("<locals>.", "")
