"""A little of `make fuzz`: odd calls and damaged files are right, or refused in one sentence of ours."""

import pytest
from fuzz.__main__ import PARTS
from fuzz.runner import run_part


@pytest.mark.parametrize("part", PARTS)
def test_nothing_raw_wrong_or_hung(part):
    tally = run_part(PARTS[part], seed=1, seconds=0, at_least=1000)
    assert tally.clean, "\n".join(tally.defects[:20])
    assert all(tally.counts[end] for end in ("right", "refused")) or part == "calls"
