"""The other half of the seeds that every test run plays: hedge mode, and hours of trading in both modes."""

from __future__ import annotations

import pytest

from tests.simulation.campaign import HOUR, Job
from tests.simulation.test_campaign_one_way import play

SEEDS = 200
BLOCKS = 4
HOURS = 30


@pytest.mark.slow
@pytest.mark.parametrize("block", range(BLOCKS))
def test_invariants_hold_under_faults_in_hedge_mode(block: int) -> None:
    size = SEEDS // BLOCKS
    tally = play([Job(2_000 + seed, 10, hedge=True) for seed in range(block * size, (block + 1) * size)])
    assert tally.checks.total() > 400 * size


@pytest.mark.slow
def test_invariants_hold_over_hours() -> None:
    tally = play([Job(5_100 + seed, HOUR, hedge=bool(seed % 2)) for seed in range(HOURS)])
    assert tally.checks.total() > 1_000 * HOURS
    assert tally.trades > 20 * HOURS


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "hedge"), [(5_023, True), (20_089, False), (20_299, False)])
def test_position_read_before_a_late_answer_corrects_nothing(seed: int, hedge: bool) -> None:
    play([Job(seed, HOUR, hedge=hedge)])
