"""Rows of a batch that change places, as the hypotheses of beam search do, copied no more than they must be."""

import numpy

from .switch import Array, to_device


class Kinship:
    """How many first positions each two rows have in common: where one row takes another's place, only the rest moves.

    Hypotheses of beam search have the prompt in common, and most of what was written since.
    """

    def __init__(self) -> None:
        self._shared = numpy.zeros((0, 0), int)

    def reorder(self, rows: numpy.ndarray, length: int) -> int:
        """Follow the rows to their new places; return from which position on they must be copied.

        rows: (N,) which old row each new one is; length: of all rows so far
        """
        before, here = self._shared, numpy.flatnonzero(rows != numpy.arange(len(rows)))
        since = int(min(before[here, rows[here]], default=length)) if len(before) == len(rows) else 0
        before = before if before.size else numpy.zeros((rows.max() + 1,) * 2, int)
        numpy.fill_diagonal(before, length)
        self._shared = before[numpy.ix_(rows, rows)]
        return since


def moved_rows(buffer: Array, rows: numpy.ndarray, since: int, end: int) -> Array:
    """The buffer (B, H, T, dh) with other rows, of which positions since to end are copied: in place if there are as
    many as before, else a new one."""
    if len(rows) != len(buffer):
        return buffer[to_device(rows)]
    here = numpy.flatnonzero(rows != numpy.arange(len(rows)))
    if here.size and since < end:
        buffer[to_device(here), :, since:end] = buffer[to_device(rows[here]), :, since:end]
    return buffer
