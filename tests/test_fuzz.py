"""A little of `make fuzz`: odd calls and damaged files are right, or refused in one sentence of ours."""

import pytest
from fuzz.__main__ import PARTS
from fuzz.runner import run_part

TRIED = {"calls": 3000, "files": 1000}  # a file costs more than a call


@pytest.mark.parametrize("part", PARTS)
def test_nothing_raw_wrong_or_hung(part):
    tally = run_part(PARTS[part], seed=1, seconds=0, at_least=TRIED[part])
    assert tally.clean, "\n".join(tally.defects[:20])
    assert all(tally.counts[end] for end in ("right", "refused"))
