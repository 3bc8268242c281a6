"""Half of the seeds that every test run plays: one-way mode, ten packed minutes each. See the other half next door."""

from __future__ import annotations

import pytest

from tests.simulation.campaign import Job, Tally, run_seed

SEEDS = 250
BLOCKS = 5
LONG_SEEDS = 2_000


def play(jobs: list[Job]) -> Tally:
    """Run the jobs and hold that no invariant was broken; the message says how to replay the first that was."""
    tally = Tally()
    for job in jobs:
        tally.add(run_seed(job))
        assert not tally.failing, f"{tally.failing}; replay: {job.replay_command()}"
    return tally


@pytest.mark.slow
@pytest.mark.parametrize("block", range(BLOCKS))
def test_invariants_hold_under_faults_in_one_way_mode(block: int) -> None:
    size = SEEDS // BLOCKS
    tally = play([Job(seed, minutes=10) for seed in range(block * size, (block + 1) * size)])
    assert tally.checks.total() > 400 * size
    assert tally.trades > 5 * size
    assert tally.starts > size


@pytest.mark.extended
def test_invariants_hold_over_many_hours() -> None:
    tally = play([Job(seed) for seed in range(10_000, 10_000 + LONG_SEEDS)])
    assert len(tally.faults) > 20
