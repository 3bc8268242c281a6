"""Which ticks may be left out, to the millisecond: none before it is due, and none that is."""

from __future__ import annotations

import pytest

from core.events import PriceUpdated, Tick
from core.restore import RestoredState
from executor.calm import AT_ONCE, NEVER
from executor.core import TradingCore
from executor.policy import ExecutionPolicy
from executor.pulse import Pulse
from tests.unit.executor.lab import BTC, ETH, START_MS, D, Lab, Listing, trading_config

POLICY = ExecutionPolicy(
    mark_every_ms=20_000, account_stat_every_ms=60_000, account_stat_gap_ms=7_000, account_stat_venue_ms=40_000
)


def at_rest(*, is_open: bool = True, policy: ExecutionPolicy = POLICY) -> Lab:
    """Return a lab in which the last thing that happened was a tick that valued."""
    lab = Lab(policy=policy)
    if is_open:
        lab.open_long()
    lab.run(3_000)
    lab.core.pulse._mark_at_ms = 0
    lab.feed(Tick(lab.now_ms, lab.now_ms))
    return lab


def fresh() -> TradingCore:
    return TradingCore(trading_config(), Listing(BTC, ETH), epoch=1, next_intent=1, restored=RestoredState())


def test_core_that_knows_no_time_yet_leaves_no_tick_out() -> None:
    pulse = fresh().pulse
    assert not pulse.let_pass(START_MS, START_MS)
    assert pulse.due_ms() == 0
    assert pulse.calm() is AT_ONCE
    assert not pulse.is_passed()


def test_ticks_pass_until_the_one_that_is_due() -> None:
    lab = at_rest()
    pulse, desk = lab.core.pulse, lab.core._desk
    due_ms = pulse.due_ms()
    assert due_ms == min(pulse._mark_at_ms, lab.core._reconciler.due_ms(desk), pulse._stat_at_ms())
    assert lab.now_ms < due_ms < lab.now_ms + 30_000
    assert pulse.let_pass(due_ms - 1, due_ms - 1)
    assert (desk.now_ms, desk.venue_ms) == (due_ms - 1, due_ms - 1)
    assert not pulse.let_pass(due_ms, due_ms)


def test_ticks_pass_that_would_value_an_account_without_trades_anew() -> None:
    lab = at_rest(is_open=False)
    pulse = lab.core.pulse
    assert pulse.is_nothing_open is True
    mark_ms = pulse._mark_at_ms
    pulse._stat_ms = mark_ms
    lab.core._reconciler._next_ms = NEVER
    pulse.known = None
    assert pulse.let_pass(mark_ms, lab.now_ms)
    assert pulse._mark_at_ms == mark_ms + POLICY.mark_every_ms


def test_tick_that_values_what_is_open_does_not_pass() -> None:
    lab = at_rest()
    pulse = lab.core.pulse
    assert pulse.is_nothing_open is False
    lab.core._reconciler._next_ms = NEVER
    pulse.known = None
    pulse._stat_ms = pulse._mark_at_ms
    assert not pulse.let_pass(pulse._mark_at_ms, lab.now_ms)


def test_tick_with_a_valuation_asked_for_does_not_pass() -> None:
    lab = at_rest()
    lab.core._desk.stat_due = True
    assert lab.core.pulse.due_ms() == 0
    assert not lab.core.pulse.let_pass(lab.now_ms, lab.now_ms)
    lab.feed(Tick(lab.now_ms, lab.now_ms))
    assert lab.core._desk.stat_due is False


def test_tick_after_a_price_beyond_a_stop_is_due_at_once() -> None:
    lab = at_rest()
    pulse = lab.core.pulse
    assert pulse.due_ms() > lab.now_ms
    assert not pulse.is_passed()
    lab.core.handle(PriceUpdated(BTC, D("99.6"), lab.now_ms, lab.now_ms))
    assert pulse.is_passed()
    assert pulse.due_ms() == 0
    assert not pulse.let_pass(lab.now_ms, lab.now_ms)
    pulse.known = None
    assert not pulse.is_passed(), "not known any more"


def test_calm_of_a_trade_at_rest_is_what_the_core_says() -> None:
    lab = at_rest()
    assert lab.core.pulse.calm().until_ms == lab.core._reconciler.due_ms(lab.core._desk)
    assert len(lab.core.pulse.calm().stops) == 1


@pytest.mark.parametrize(
    ("waited_ms", "venue_waited_ms", "is_time"),
    [
        (59_999, 39_999, False),
        (60_000, 0, True),
        (6_999, 40_000, False),
        (7_000, 40_000, True),
        (7_000, 39_999, False),
    ],
)
def test_account_is_written_after_a_while_or_when_a_minute_of_the_market_has_passed(
    waited_ms: int, venue_waited_ms: int, is_time: bool
) -> None:
    lab = at_rest()
    pulse, desk = lab.core.pulse, lab.core._desk
    pulse._stat_ms, pulse._stat_venue_ms = desk.now_ms - waited_ms, desk.venue_ms - venue_waited_ms
    assert pulse._is_stat_time() is is_time


def test_time_of_the_next_writing_on_one_clock_is_the_first_at_which_it_is_time() -> None:
    lab = at_rest()
    pulse, desk = lab.core.pulse, lab.core._desk
    for stat_ms, venue_ms in ((0, 0), (0, -35_000), (0, -40_000), (0, 30_000)):
        pulse._stat_ms, pulse._stat_venue_ms = desk.now_ms + stat_ms, desk.venue_ms + venue_ms
        at_ms = pulse._stat_at_ms()
        now_ms, desk.now_ms, desk.venue_ms = desk.now_ms, at_ms - 1, at_ms - 1
        assert not pulse._is_stat_time()
        desk.now_ms = desk.venue_ms = at_ms
        assert pulse._is_stat_time()
        desk.now_ms = desk.venue_ms = now_ms


def test_account_that_was_never_valued_is_written_as_soon_as_it_is_known() -> None:
    lab = Lab(policy=POLICY, ready=False)
    pulse, desk = Pulse(lab.core._desk, lab.core._reconciler), lab.core._desk
    desk.account.wallet = None
    assert pulse._stat_at_ms() == NEVER
    assert not pulse._is_stat_time()
    desk.account.wallet = D(100)
    assert pulse._stat_at_ms() == 0
    assert pulse._is_stat_time()
