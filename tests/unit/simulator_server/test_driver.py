"""The market's clock: wall time to market time, in slices, never skipping."""

from __future__ import annotations

from typing import Any

from core.clock import VirtualClock
from simulator.market.model import KlineClosed, MarketTrade
from simulator.server.driver import LAG_MAX_MS, MarketDriver
from tests.unit.simulator_server.support import START_MS, Desk


class SlowClock(VirtualClock):
    """A clock on which every look costs time, as a slow machine would."""

    def __init__(self, start_ms: int, cost_ms: int) -> None:
        super().__init__(start_ms)
        self._cost_ms = cost_ms

    def monotonic_ns(self) -> int:
        self.advance_to(self.now_ms() + self._cost_ms)
        return super().monotonic_ns()


def driven(desk: Desk, clock: VirtualClock, events: list[Any], **options: Any) -> MarketDriver:
    return MarketDriver(desk.exchange, events.extend, clock, **{"speed": 60.0, **options})


def run_to_present(driver: MarketDriver, desk: Desk) -> int:
    """Do what `run` does until nothing is due; returns the number of slices."""
    slices = 0
    while desk.exchange.now_ms < (target := driver.target_ms()):
        driver.step(target)
        slices += 1
    return slices


def test_market_time_follows_wall_time_times_speed(desk: Desk) -> None:
    clock = VirtualClock(1_000_000)
    driver = driven(desk, clock, [])
    for step in range(1, 50):
        clock.advance_to(1_000_000 + step * 10)
        run_to_present(driver, desk)
        assert desk.exchange.now_ms == START_MS + step * 600


def test_fractional_speeds_do_not_drift(desk: Desk) -> None:
    clock = VirtualClock(0)
    driver = driven(desk, clock, [], speed=0.3)
    for step in range(1, 1001):
        clock.advance_to(step * 7)
        run_to_present(driver, desk)
    assert desk.exchange.now_ms == START_MS + 2100


def test_a_machine_that_cannot_keep_up_gets_a_slower_market_without_holes() -> None:
    slow, fast = Desk(), Desk()
    clock, events, expected = SlowClock(0, cost_ms=20), [], []
    driver = driven(slow, clock, events, speed=1000.0)
    wall_ms = clock.now_ms()
    while slow.exchange.now_ms < START_MS + 61_000:
        target = driver.target_ms()
        assert target - slow.exchange.now_ms <= LAG_MAX_MS * 1000
        driver.step(target)
    played = slow.exchange.now_ms - START_MS
    assert played < (clock.now_ms() - wall_ms) * 1000
    expected = fast.exchange.advance(slow.exchange.now_ms)
    assert events == expected
    kinds = {type(event) for event in events}
    assert kinds == {MarketTrade, KlineClosed}


def test_after_a_stall_the_past_is_given_up_not_rushed_through(desk: Desk) -> None:
    clock = VirtualClock(0)
    driver = driven(desk, clock, [])
    clock.advance_to(3_600_000)
    run_to_present(driver, desk)
    assert desk.exchange.now_ms == START_MS + LAG_MAX_MS * 60
    clock.advance_to(3_600_010)
    run_to_present(driver, desk)
    assert desk.exchange.now_ms == START_MS + (LAG_MAX_MS + 10) * 60


def test_the_market_stops_at_its_end(desk: Desk) -> None:
    clock = VirtualClock(0)
    driver = driven(desk, clock, [], end_ms=START_MS + 5_000)
    for step in range(1, 100):
        clock.advance_to(step * 100)
        run_to_present(driver, desk)
    assert desk.exchange.now_ms == START_MS + 5_000


def test_slices_shrink_when_they_cost_too_much_and_grow_when_cheap(desk: Desk) -> None:
    cheap = driven(desk, VirtualClock(0), [])
    for _ in range(10):
        cheap.step(desk.exchange.now_ms + 10**9)
    grown = desk.exchange.now_ms
    cheap.step(desk.exchange.now_ms + 10**9)
    assert desk.exchange.now_ms - grown == LAG_MAX_MS * 60
    costly_desk = Desk()
    costly = driven(costly_desk, SlowClock(0, cost_ms=50), [])
    for _ in range(20):
        costly.step(costly_desk.exchange.now_ms + 10**9)
    before = costly_desk.exchange.now_ms
    costly.step(before + 10**9)
    assert costly_desk.exchange.now_ms - before == 1
