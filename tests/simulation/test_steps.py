"""Steps that may be left out: while all is at rest nothing but prices changes, and none of them changes anything."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest

from simulator.market.model import MarketTrade
from tests.simulation.campaign import HOUR, Job
from tests.simulation.market import WalkMarket
from tests.simulation.steps import FAR_STEPS, Steps
from tests.simulation.world import START_MS, World

D = Decimal
STEP_MS = 2_000
SYMBOLS = ("AAAUSDT", "BBBUSDT")
Bands = Mapping[str, tuple[Decimal, Decimal]]


def _market(seed: int = 5) -> WalkMarket:
    return WalkMarket(SYMBOLS, seed, START_MS, STEP_MS)


def _walk(market: WalkMarket, steps: int) -> list[tuple[Decimal, ...]]:
    prices = []
    for number in range(steps):
        assert all(type(event) is MarketTrade for event in market.advance(START_MS + (number + 1) * STEP_MS))
        prices.append(tuple(market.last_price(symbol) for symbol in SYMBOLS))
    return prices


def test_looking_ahead_changes_no_price() -> None:
    looked = _market()
    looked.rest({SYMBOLS[0]: (D(1), D(10_000))}, START_MS + 50 * STEP_MS)
    assert _walk(looked, 100) == _walk(_market(), 100)


def test_the_first_step_on_an_end_of_a_band_is_found() -> None:
    path = [prices[0] for prices in _walk(_market(), 200)]
    high = max(path[:100])
    market = _market()
    at_ms, is_left = market.rest({SYMBOLS[0]: (D(1), high)}, START_MS + 200 * STEP_MS)
    assert is_left
    assert at_ms == START_MS + (path.index(high) + 1) * STEP_MS
    assert market.rest({SYMBOLS[0]: (D(1), D(10_000))}, START_MS + 200 * STEP_MS) == (START_MS + 200 * STEP_MS, False)


def test_trades_of_a_rest_are_not_told_and_all_others_are() -> None:
    market = _market()
    market.rest({}, START_MS + 3 * STEP_MS)
    assert [event.time_ms for event in market.advance(START_MS + 4 * STEP_MS)] == [START_MS + 4 * STEP_MS] * 2
    market.rest({}, START_MS + 9 * STEP_MS)
    assert list(market.advance(START_MS + 5 * STEP_MS)) == []
    market.end_rest()
    assert len(list(market.advance(START_MS + 6 * STEP_MS))) == 2


def _told_at_all_steps(market: WalkMarket, bands: Bands, until_ms: int) -> tuple[int, bool]:
    found = _REST(market, bands, until_ms)
    market.end_rest()
    return found


_REST = WalkMarket.rest


@pytest.mark.parametrize(("seed", "hedge"), [(11, False), (12, True), (13, False)])
def test_a_world_whose_exchange_sees_every_trade_has_the_same_history(
    monkeypatch: pytest.MonkeyPatch, seed: int, hedge: bool
) -> None:
    job = Job(seed, minutes=20, hedge=hedge)
    without = job.run(trace=True)[0]
    monkeypatch.setattr(WalkMarket, "rest", _told_at_all_steps)
    with_all = job.run(trace=True)[0]
    assert without.log == with_all.log
    assert without.disk.rows == with_all.disk.rows


def test_a_world_rests_and_never_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step that follows a rest is at most so far away; nearly all that happens is met by finer ones."""
    gaps: list[int] = []
    step = Steps._step

    def noted(steps: Steps) -> None:
        world: World = steps._world
        is_real = world.now_ms == steps._at_ms and not world.is_resting
        step(steps)
        if is_real:
            gaps.append(steps._at_ms - world.now_ms)

    monkeypatch.setattr(Steps, "_step", noted)
    world, _ = Job(21, minutes=HOUR).run()
    assert not world.violations
    assert set(gaps) <= {STEP_MS * count for count in range(1, FAR_STEPS + 1)}
    assert gaps.count(STEP_MS * FAR_STEPS) > 100
    assert gaps.count(STEP_MS) > 100
