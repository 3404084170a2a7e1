"""Odd calls and damaged files by the thousand, each with an oracle.

    python -m tests.fuzz                      # both parts, three minutes
    python -m tests.fuzz --part calls --seconds 600 --seed 1
    python -m tests.fuzz --part calls --case 1234      # one case again, with its traceback

A case is right if its result is that of a slow reference, and refused if one of the package's own sentences came.
Everything else is a defect: raw (an exception of something inside), wrong (accepted though wrong, or refused though
right) or hung.
"""
