"""What a new core takes over from the disk, and what it answers about itself."""

from __future__ import annotations

from decimal import Decimal

import pytest

from core.events import InstrumentsRefreshed, PriceUpdated, StreamKind, StreamState, Tick
from core.restore import RestoredState
from executor.core import TradingCore
from executor.policy import ExecutionPolicy
from tests.unit.executor.lab import BTC, ETH, START_MS, Lab, Listing, trading_config

D = Decimal


def restarted(restored: RestoredState, **policy: bool) -> TradingCore:
    core = TradingCore(
        trading_config(), Listing(BTC, ETH), epoch=2, next_intent=1, restored=restored, policy=ExecutionPolicy(**policy)
    )
    core.handle(Tick(START_MS, START_MS))
    return core


def test_limits_of_the_account_count_on_after_a_restart() -> None:
    core = restarted(RestoredState(peak_equity=D(1_200), day_start_equity=D(1_100), consecutive_losses=3))
    desk = core._desk
    assert (desk.account.peak_equity, desk.account.day_start_equity, desk.days.consecutive_losses) == (1_200, 1_100, 3)


def test_ledger_goes_on_at_its_newest_row_after_a_restart() -> None:
    command = restarted(
        RestoredState(last_income_time_ms=START_MS - 9_000_000, last_trade_ids={BTC: 7})
    )._income.command()
    assert command.start_time_ms == START_MS - 9_000_000


def test_trades_that_were_booked_late_are_not_booked_again_after_a_restart() -> None:
    desk = restarted(RestoredState(booked_trades=frozenset({(BTC, 41)})))._desk
    assert desk.book.is_seen(BTC, 41)
    assert not desk.book.is_seen(ETH, 41)
    assert not desk.book.is_seen(BTC, 42)


def test_signal_of_a_trade_that_is_open_is_not_taken_again_after_a_restart() -> None:
    lab = Lab()
    lab.open_long()
    again = Lab(venue=lab.venue, rows=lab.rows, epoch=2, now_ms=lab.now_ms)
    signal_id = again.core._desk.book.active[1].signal_id
    assert signal_id is not None
    assert signal_id in again.core._desk.known_signals


@pytest.mark.parametrize("writes_steps", [True, False])
@pytest.mark.parametrize("writes_orders", [True, False])
def test_policy_says_what_is_written(writes_steps: bool, writes_orders: bool) -> None:
    out = restarted(RestoredState(), writes_steps=writes_steps, writes_orders=writes_orders)._desk.out
    assert (out._writes_steps, out._writes_orders) == (writes_steps, writes_orders)


def test_core_without_a_set_up_knows_of_none() -> None:
    assert restarted(RestoredState())._desk.setup == {}


def test_trading_is_said_of_the_symbol_that_trades() -> None:
    lab = Lab()
    lab.open_long()
    assert lab.core.is_trading(BTC)
    assert not lab.core.is_trading(ETH)


def test_view_tells_when_the_last_comparison_succeeded() -> None:
    lab = Lab()
    assert lab.core.view().last_reconcile_ms == lab.core._reconciler.last_success_ms is not None


def test_move_of_exactly_the_limit_is_no_halt_and_one_more_is() -> None:
    lab = Lab()
    limit_pct = lab.config.symbols[BTC].volatility_halt_pct
    at_the_limit = D(100) + limit_pct
    lab.core.handle(PriceUpdated(BTC, at_the_limit, lab.now_ms, lab.now_ms))
    assert not lab.core._desk.halts.active()
    lab.core.handle(PriceUpdated(BTC, at_the_limit + D("0.1"), lab.now_ms, lab.now_ms))
    assert [halt.reason for halt in lab.core._desk.halts.active()] == ["volatility"]


def test_contract_that_is_open_can_still_be_left_once_it_is_listed_no_more() -> None:
    lab = Lab()
    lab.open_long()
    lab.core.handle(InstrumentsRefreshed((), lab.now_ms, lab.now_ms))
    known = lab.listing.rows.pop(BTC)
    assert lab.core._desk.instrument_for_exit(BTC) == known


@pytest.mark.parametrize(
    ("kind", "state", "is_compared"),
    [
        (StreamKind.USER, StreamState.READY, True),
        (StreamKind.USER, StreamState.LOST, True),
        (StreamKind.MARKET, StreamState.LOST, True),
        (StreamKind.MARKET, StreamState.READY, False),
    ],
)
def test_stream_that_may_have_missed_something_demands_a_comparison(
    kind: StreamKind, state: StreamState, is_compared: bool
) -> None:
    lab = Lab()
    assert lab.core._desk.wanted_reconcile is None
    lab.stream(kind, state)
    assert (lab.core._desk.wanted_reconcile is not None) is is_compared
