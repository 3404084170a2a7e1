"""Run cases and say how each ended."""

import ast
import contextlib
import functools
import io
import signal
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

import minixfmr

PACKAGE = Path(minixfmr.__file__).parent
HOUSES = PACKAGE, PACKAGE.parent / "tutorials"  # whose sentences are ours
PATIENCE = 10.0  # seconds of the processor, after which a call hangs
ENDS = ("right", "refused", "raw", "wrong", "hung")
DEFECTS = ENDS[2:]


@dataclass
class Case:
    """One call, or one damaged file.

    name: the call, as a reader would write it    run: does it
    check: what run returned → None, or in a few words what is wrong with it
    valid: True: it must be right. False: it must be refused. None: either
    """

    name: str
    run: Callable[[], Any]
    check: Callable[[Any], str | None] = lambda result: None
    valid: bool | None = None


@dataclass
class Tally:
    """How the cases of a part ended."""

    counts: Counter = field(default_factory=Counter)
    doors: Counter = field(default_factory=Counter)  # cases by the first word of their name
    defects: list[str] = field(default_factory=list)

    @property
    def tried(self) -> int:
        return sum(self.counts.values())

    @property
    def clean(self) -> bool:
        return not any(self.counts[end] for end in DEFECTS)


class Hung(BaseException):
    """A call took too long; no Exception, so that nothing inside catches it."""


def cases_of(part: Callable[[numpy.random.Generator], Case], seed: int) -> Iterator[Case]:
    """The cases of a part, each from a generator of its own, so that one can be made again by its number."""
    number = 0
    while True:
        yield part(numpy.random.default_rng([seed, number]))
        number += 1


def run_part(part: Callable, seed: int, seconds: float, at_least: int) -> Tally:
    """Run cases until the time is over, but no fewer than at_least."""
    tally, end = Tally(), time.monotonic() + seconds
    for number, case in enumerate(cases_of(part, seed)):
        if number >= at_least and time.monotonic() > end:
            return tally
        how, words = outcome(case)
        tally.counts[how] += 1
        tally.doors[case.name.split("(")[0]] += 1
        if how in DEFECTS:
            tally.defects.append(f"{how}, case {number}: {case.name}: {words}")
    return tally


def outcome(case: Case) -> tuple[str, str]:
    """(one of ENDS, what happened in a few words)"""
    try:
        with _alarm(PATIENCE), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            result = case.run()
            wrong = "must be refused" if case.valid is False else case.check(result)
    except Hung:
        return "hung", f"no end after {PATIENCE:.0f} s"
    except (Exception, SystemExit) as error:
        words = f"{type(error).__name__}: {error}"
        if not is_ours(error):
            return "raw", words
        return ("wrong", f"must be accepted; {words}") if case.valid else ("refused", words)
    return ("wrong", f"{wrong}; got {_short(result)}") if wrong else ("right", "")


def is_ours(error: BaseException) -> bool:
    """Was it raised by a raise statement of ours, and does it say something?"""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or not str(error).strip():
        return False
    path = Path(trace.tb_frame.f_code.co_filename)
    return any(path.is_relative_to(house) for house in HOUSES) and trace.tb_lineno in _raises(path)


@functools.cache
def _raises(path):
    """The lines of a file's raise statements that say something of their own: `raise` alone hands on what came."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and node.exc is not None:
            lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


@contextlib.contextmanager
def _alarm(seconds):
    """Raise Hung where the processor has computed for so long: not by the clock, for others may be at work as well. By
    the clock much later, for what waits for ever computes nothing."""

    def ring(*_):
        raise Hung

    timers = {signal.ITIMER_VIRTUAL: (signal.SIGVTALRM, seconds), signal.ITIMER_REAL: (signal.SIGALRM, 12 * seconds)}
    before = {number: signal.signal(number, ring) for number, _ in timers.values()}
    for timer, (_, limit) in timers.items():
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for timer, (number, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


def _short(result):
    text = " ".join(repr(result).split())
    return text if len(text) < 200 else text[:200] + " ..."
