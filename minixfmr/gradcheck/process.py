"""Run a student's file in a process of its own: whatever it does there, os._exit too, the verdict is ours.

Where a system has no processes, as in a browser tab, the file runs in this one, and that is said.
"""

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .discovery import Item, items_in
from .files import load_file
from .profile import profile_of
from .report import NOT_CHECKED, GradcheckError
from .runner import check_item
from .visit import visit

NO_PROCESS = "no process can be started here ({}), so {} runs in this one: no limit of time, and os._exit ends us too"
LOADING = 120.0  # seconds that a file may take to be read


def results_of(options: Any) -> Iterator[tuple[str, dict]]:
    """(name, result) of every item of a file; a result holds its verdict, its text, and what Report.to_dict says.

    An item that ends the process, or takes too long, is not checked; the others are checked in a new process.
    Raises GradcheckError where the file cannot be run or holds nothing."""
    done: set[str] = set()
    while True:
        stuck = yield from _one_process(options, done)
        if stuck is None:
            return
        name, why = stuck
        done.add(name)
        yield name, _not_checked(f"{name} {why}")


def _one_process(options, done):
    """None when all is done, else (the name of the item that the process did not survive, why)."""
    sys.stdout.flush()
    try:
        process, ours = _start(options, done)
    except (OSError, ImportError, AttributeError, RuntimeError) as error:
        print(NO_PROCESS.format(error, options.file), file=sys.stderr)
        yield from _here(options)
        return None
    current, limit = "", LOADING
    try:
        while True:
            try:
                if not ours.poll(limit):
                    why = f"took longer than {limit:.0f} s: give smaller inputs, or a larger time limit (seconds)"
                    break
                kind, *rest = ours.recv()
            except EOFError:
                why = "ended the process (os._exit, or a crash): take that out, so that it can be called"
                break
            if kind == "done":
                return None
            if kind == "error":
                raise GradcheckError(rest[0])
            if kind == "start":
                current, limit = rest
            else:
                done.add(rest[0])
                yield rest[0], rest[1]
    finally:
        process.kill()
        process.join()
    if not current:
        raise GradcheckError(f"{options.file} {why}; it cannot be run")
    return current, why


def _start(options, done):
    """A process that has begun, and where its messages come in."""
    import multiprocessing  # where it is used: not every system can

    # only Linux forks safely: on a Mac, BLAS and others may hang in the copy
    context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(options, theirs, frozenset(done)), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _here(options):
    """The results, computed in this process."""
    with visit(Path(options.file).resolve().parent):
        messages = _messages(options, ())
        while True:
            with contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext():
                kind, *rest = next(messages)
            if kind == "done":
                return
            if kind == "error":
                raise GradcheckError(rest[0])
            if kind == "result":
                yield rest[0], rest[1]


def _work(options, pipe, done):
    """In the process of the student's file."""
    if options.json:
        os.dup2(2, 1)  # what homework prints is no part of the JSON
    for message in _messages(options, done):
        pipe.send(message)


def _messages(options, done):
    """("start", name, seconds), ("result", name, result) of each item, then ("done",); or ("error", why)."""
    try:
        module, problems = load_file(options.file)
        course = vars(module).get("gradcheck_profile")
        profile = profile_of(course) if course is not None else options.course
        items = _chosen(options, items_in(module, profile))
    except GradcheckError as error:
        yield "error", str(error)
        return
    hooks = [h for m in dict.fromkeys([module, *(i.module for i in items)]) if (h := vars(m).get("gradcheck_inputs"))]
    for item in items:
        if item.name not in done:
            yield "start", item.name, profile.seconds
            result = _checked(item, hooks, profile, options)
            sys.stdout.flush()
            yield "result", item.name, result
    if problems and not options.only:
        name = os.path.basename(options.file)
        yield "result", name, _not_checked("; ".join(problems))
    yield ("done",)


def _chosen(options, items: list[Item]) -> list[Item]:
    known = [item.name for item in items]
    asked = [item for item in items if not options.only or {item.name, *item.asked} & set(options.only)]
    if not asked:
        only = f" named {', '.join(options.only)}" if options.only else ""
        has = f"; it has {', '.join(known)}" if known else ""
        raise GradcheckError(
            f"{options.file} has nothing to check{only}{has}: write name_forward and name_backward, or a class "
            "with forward and backward"
        )
    return asked


def _checked(item, hooks, profile, options):
    if item.problem:
        return _not_checked(item.problem)
    start = time.monotonic()
    try:
        tolerance = options.tolerance if options.tolerance is not None else profile.tolerance
        report = check_item(item, hooks, profile, options.seed, tolerance)
    except GradcheckError as error:
        return _not_checked(str(error))
    except Exception as error:  # of the checker itself: no traceback of ours reaches a user
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{os.path.basename(where.filename)}:{where.lineno}"
        return _not_checked(f"the checker itself failed on {item.name}, {type(error).__name__}: {error} ({place})")
    return report.to_dict() | {"text": str(report), "seconds": round(time.monotonic() - start, 3)}


def _not_checked(why):
    return {"ok": False, "verdict": NOT_CHECKED, "error": why, "text": f"not checked: {why}"}
