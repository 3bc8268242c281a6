"""Until when a tick has nothing to do: each bound, each side of a stop, each reason to look at once."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from core.enums import Direction, Leg
from core.events import MarkPriceUpdated, PriceUpdated
from executor.calm import AT_ONCE, NEVER, Calm, calm_of
from executor.marks import SymbolMarket
from executor.tracked import Phase
from tests.unit.executor.lab import BTC, ETH, Lab

D = Decimal
LATER_MS = 1 << 50


def market(last: str | None, mark: str | None) -> SymbolMarket:
    found = SymbolMarket(5_000)
    if last is not None:
        found.on_price(PriceUpdated(BTC, D(last), 1, 1))
    if mark is not None:
        found.on_mark(MarkPriceUpdated(BTC, D(mark), D(mark), D(0), 0, 1, 1))
    return found


@pytest.mark.parametrize(
    ("now_ms", "venue_ms", "lasts"), [(99, 49, True), (100, 49, False), (99, 50, False), (0, 0, True)]
)
def test_calm_ends_at_either_clock(now_ms: int, venue_ms: int, lasts: bool) -> None:
    assert Calm(100, 50).lasts(now_ms, venue_ms) is lasts


@pytest.mark.parametrize(
    ("last", "mark", "is_below", "is_passed"),
    [
        ("100", "100", True, False),
        ("100", "100", False, False),
        ("99.9", "100", True, True),
        ("99.9", "100", False, False),
        ("100.1", "100", False, True),
        ("100.1", "100", True, False),
        ("100", "99.9", True, True),
        ("100", "99.9", False, False),
        ("100", "100.1", False, True),
        ("100", "100.1", True, False),
        (None, "99.9", True, True),
        ("99.9", None, True, True),
        (None, None, True, False),
    ],
)
def test_calm_ends_when_last_or_mark_is_beyond_a_stop(
    last: str | None, mark: str | None, is_below: bool, is_passed: bool
) -> None:
    calm = Calm(100, 50, ((market(last, mark), D(100), is_below),))
    assert calm.is_passed() is is_passed
    assert calm.lasts(0, 0) is not is_passed


def test_calm_looks_at_every_stop() -> None:
    at_peace, beyond = market("100", "100"), market("90", "90")
    assert Calm(1, 1, ((at_peace, D(100), True), (beyond, D(100), True))).is_passed()


def open_trade(direction: Direction = Direction.LONG, max_holding_ms: int | None = None) -> Lab:
    lab = Lab()
    lab.signal(BTC, direction, max_holding_ms=max_holding_ms)
    lab.run(3_000)
    return lab


@pytest.mark.parametrize(("direction", "is_below"), [(Direction.LONG, True), (Direction.SHORT, False)])
def test_calm_with_a_guarded_trade_watches_the_price_of_its_stop(direction: Direction, is_below: bool) -> None:
    desk = open_trade(direction).core._desk
    calm = calm_of(desk, LATER_MS)
    stop = desk.book.active[1].newest(Leg.STOP)
    assert stop is not None
    assert stop.stop_price is not None
    assert calm.stops == ((desk.market.of(BTC), stop.stop_price, is_below),)
    assert (calm.until_ms, calm.until_venue_ms) == (LATER_MS, desk.days.day_end_ms)


def test_calm_ends_when_the_holding_time_is_over() -> None:
    desk = open_trade(max_holding_ms=90_000).core._desk
    opened_ms = desk.book.active[1].opened_time_ms
    assert opened_ms is not None
    assert calm_of(desk, LATER_MS).until_venue_ms == opened_ms + 90_000
    desk.book.active[1].opened_time_ms = None
    assert calm_of(desk, LATER_MS).until_venue_ms == desk.days.day_end_ms


def test_calm_without_anything_open_lasts_to_the_end_of_the_day_or_of_a_halt() -> None:
    desk = Lab().core._desk
    assert calm_of(desk, 77) == Calm(77, desk.days.day_end_ms)
    desk.halt(ETH, "volatility", "moved", 60_000)
    assert calm_of(desk, 77).until_venue_ms == desk.halts.next_end_ms() != NEVER


@pytest.mark.parametrize("what", ["held", "suspects", "unwinding", "countdown", "stop"])
def test_calm_is_none_while_any_business_is_open(what: str) -> None:
    desk = open_trade().core._desk
    assert calm_of(desk, LATER_MS) is not AT_ONCE
    if what == "countdown":
        desk.policy = replace(desk.policy, countdown_ms=60_000)
    elif what == "stop":
        stop = desk.book.active[1].newest(Leg.STOP)
        assert stop is not None
        stop.phase = Phase.IN_DOUBT
    else:
        getattr(desk, what)["any"] = None
    assert calm_of(desk, LATER_MS) is AT_ONCE
