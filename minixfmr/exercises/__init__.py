"""Exercises: a Transformer to be written by students, and a marker that trusts nothing they hand in.

    python -m minixfmr.exercises --new my_folder               # templates, a README, a plan for two weeks
    python -m minixfmr.exercises my_folder                     # not started, wrong with a reason, or right
    python -m minixfmr.exercises --all folder_of_a_class

catalogue/: an exercise a file    exercise.py: what one is made of    marking.py, session.py, compare.py, reasons.py:
the judge    process.py: its processes    child/: what runs in them, with the student's code    formats.py: for graders
"""

from .compare import NotRight
from .exercise import Check, Exercise, Mistake, Pair, Seed, Session
from .marking import Marker, Part, Result
from .process import Limits

__all__ = [
    "Check",
    "Exercise",
    "Limits",
    "Marker",
    "Mistake",
    "NotRight",
    "Pair",
    "Part",
    "Result",
    "Seed",
    "Session",
]
