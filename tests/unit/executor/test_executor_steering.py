"""A trade at rest is not looked at: a look would change nothing then. Its totals are those of a new count."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from executor import steering
from executor.desk import Desk
from executor.trade import Trade
from tests.simulation.campaign import Job, run_seed


def _picture(desk: Desk, trade: Trade) -> str:
    return f"{trade} {desk.out.batches} {len(desk.inflight)} {desk.suspects} {desk.halts.active()} {desk.signals}"


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[bool, int]]:
    """Look at every trade in spite of its rest, and compare; counts the answers."""
    counts = {True: 0, False: 0}
    is_at_rest = steering.is_at_rest

    def checked(desk: Desk, trade: Trade) -> bool:
        rests = is_at_rest(desk, trade)
        totals = (trade.entered, trade.exited, trade.leaves, trade.lacks_fills)
        trade.recount()
        assert totals == (trade.entered, trade.exited, trade.leaves, trade.lacks_fills)
        counts[rests] += 1
        if rests:
            before = _picture(desk, trade)
            steering._steer(desk, trade)
            assert _picture(desk, trade) == before
        return rests

    monkeypatch.setattr(steering, "is_at_rest", checked)
    yield counts


@pytest.mark.parametrize(("seed", "hedge"), [(3, False), (4, True)])
def test_steer_of_a_trade_at_rest_would_change_nothing(looks: dict[bool, int], seed: int, hedge: bool) -> None:
    run_seed(Job(seed, 16, hedge))
    assert looks[True] > 100
    assert looks[False] > 100
