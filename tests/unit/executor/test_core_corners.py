"""Rare corners: lost rows, impossible events, forgotten trades, delisted instruments."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.commands import RefusalKind
from core.enums import AlgoStatus, Direction, Leg, Side
from core.events import AccountConfigChanged
from core.records import ExitReason, TradeState
from executor import book, desk
from executor.policy import ExecutionPolicy
from executor.restoring import restore_trades
from tests.unit.executor.fake_venue import doubt
from tests.unit.executor.lab import BTC, ETH, D, Lab, refused, trading_config


def test_restart_while_closing_goes_on_closing() -> None:
    lab = Lab()
    lab.signal(max_holding_ms=2_000)
    lab.run(1_500)
    lab.fault(refused(RefusalKind.THROTTLED, -1003), leg=Leg.CLOSE, times=99)
    lab.run(1_000)
    lab.rows.orders["ft-1-1-C0"] = replace(lab.rows.orders["ft-1-1-C0"], status="SENDING")
    again = lab.restart()
    again.venue.rules.clear()
    again.run(20_000)
    assert again.venue.position(BTC) == 0
    assert again.trade().state is TradeState.CLOSED


def test_restart_after_foreign_fills_restores_their_part() -> None:
    lab = Lab()
    lab.open_long()
    lab.venue.market_order(BTC, Side.BUY, D("0.5"), "web_1")
    lab.venue.market_order(BTC, Side.SELL, D("0.2"), "web_2")
    lab.flush()
    before = lab.trade()
    again = lab.restart()
    again.run(2_000)
    after = again.trade()
    assert (after.quantity, after.entry_price, after.fees) == (before.quantity, before.entry_price, before.fees)
    assert after.exit_reason is before.exit_reason
    assert again.core.view().corrections == 0


def test_restart_with_an_intent_whose_order_row_is_lost_asks_for_the_order() -> None:
    lab = Lab()
    lab.venue.mute = True
    lab.fault(doubt(), leg=Leg.ENTRY, apply=True)
    lab.signal()
    lab.rows.orders.clear()
    again = lab.restart(away_ms=1_000)
    again.venue.mute = False
    again.run(3_000)
    assert again.state() is TradeState.PROTECTED
    assert len(again.submitted(Leg.ENTRY)) == 1


def test_restart_before_the_sweep_was_done_finishes_it() -> None:
    lab = Lab()
    lab.venue._expire_bound = lambda symbol: None  # type: ignore[method-assign]
    lab.fault(refused(RefusalKind.THROTTLED), where=lambda c: type(c).__name__ == "CancelOrder", times=99)
    lab.open_long()
    lab.price(BTC, "100.7")
    lab.run(500)
    assert lab.trade().state is TradeState.CLOSED
    assert lab.state() is TradeState.CLOSING
    trades_before = [row.trades for row in lab.rows.performance.values()]
    again = lab.restart()
    again.venue.rules.clear()
    again.signal(number=8)
    assert again.rows.denials[-1].code == "order_unresolved"
    again.run(5_000)
    assert all(a.status.is_terminal for a in again.venue.algos.values())
    assert again.state() is TradeState.CLOSED
    assert [row.trades for row in again.rows.performance.values()] == trades_before


def test_restored_rows_of_others_are_no_orders_of_ours() -> None:
    lab = Lab()
    lab.open_long()
    row = next(iter(lab.rows.orders.values()))
    lab.rows.orders["web_1"] = replace(row, client_order_id="web_1")
    (trade,) = restore_trades(lab.rows.restore(), "USDT", lab.now_ms)
    assert "web_1" not in trade.orders


def test_impossible_event_halts_the_symbol_and_demands_a_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab()
    lab.open_long()
    trade = lab.core._desk.book.active[1]
    trade.state = TradeState.REFUSED
    trade.entry.phase = type(trade.entry.phase).LIVE  # type: ignore[union-attr]
    trade.state = TradeState.INTENT
    lab.run(250)
    assert "BTCUSDT: impossible order event" in lab.titles()
    assert lab.rows.halts[BTC, "illegal_transition"].active


def test_delisted_instrument_is_protected_and_left_by_its_last_filters() -> None:
    lab = Lab()
    lab.hold_events = True
    lab.signal(max_holding_ms=5_000)
    del lab.listing.rows[BTC]
    lab.hold_events = False
    lab.run(1_000)
    assert len(lab.live_stops()) == 1
    lab.run(10_000)
    assert lab.venue.position(BTC) == 0
    lab.signal(number=1)
    assert lab.rows.denials[-1].code == "symbol_unknown"


def test_delisted_instrument_that_was_never_seen_is_given_up_without_crashing() -> None:
    lab = Lab()
    lab.open_long()
    for algo in lab.live_stops():
        lab.venue.end_algo(algo, AlgoStatus.CANCELED)
    again = lab.restart()
    del again.listing.rows[BTC]
    again.core._desk.last_instruments.clear()
    again.run(5_000)
    assert "BTCUSDT: no stop, closing at market" in again.titles()
    assert again.rows.halts[BTC, "stop_failed"].active


def test_old_trades_are_forgotten_and_their_ids_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "SEEN_MAX", 3)
    monkeypatch.setattr(desk, "KNOWN_SIGNALS_MAX", 2)
    lab = Lab(policy=ExecutionPolicy(recent_trades_max=2))
    for number in range(4):
        lab.signal(number=number)
        lab.run(500)
        lab.price(BTC, "100.7" if number % 2 == 0 else "99.0")
        lab.run(1_000)
        lab.price(BTC, "100")
        lab.now_ms += 700_000
        lab.run(1_500)
    assert len(lab.rows.positions) == 4
    assert [t.intent_id for t in lab.core._desk.book.recent()] == [4, 3]
    assert lab.core._desk.book.by_client_id("ft-1-1-E0") is None
    lab.run(60_000)
    assert lab.core.view().corrections == 0
    assert D(10_000) + sum((f.realized_pnl - f.fee for f in lab.rows.fills.values()), D(0)) == lab.venue.wallet


def test_leverage_event_of_a_symbol_that_is_not_ours_is_ignored() -> None:
    lab = Lab()
    lab.feed(AccountConfigChanged("DOGEUSDT", 7, None, lab.now_ms, lab.now_ms))
    lab.feed(AccountConfigChanged(None, None, True, lab.now_ms, lab.now_ms))
    assert lab.core.view().blocked == {}


def test_stop_on_the_wrong_side_does_not_adopt_a_foreign_position() -> None:
    lab = Lab()
    lab.signal(BTC, Direction.SHORT)
    lab.run(500)
    stop = lab.venue.algos[lab.live_stops()[0]]
    lab.venue.algos = {"ft-1-9-S0": replace(stop, client_order_id="ft-1-9-S0", symbol=ETH)}
    lab.venue.market_order(ETH, Side.SELL, D(1), "web_1")
    lab.venue.algos["ft-1-9-S0"] = replace(lab.venue.algos["ft-1-9-S0"], side=Side.SELL)
    lab.flush()
    lab.run(40_000)
    assert not [row for row in lab.rows.positions.values() if row.strategy == "adopted"]
    assert lab.venue.algos["ft-1-9-S0"].status is AlgoStatus.CANCELED
    assert lab.venue.position(ETH) == -1


def test_order_of_ours_that_the_book_lost_is_taken_back() -> None:
    lab = Lab()
    lab.open_long()
    stop = lab.live_stops()[0]
    trade = lab.core._desk.book.active[1]
    del trade.orders[stop]
    del lab.core._desk.book._by_client[stop]
    trade.state = TradeState.PROTECTED
    trade.timers.stop_retry_at_ms = lab.now_ms + 60_000
    lab.core._desk.wanted_reconcile = "test"
    lab.run(1_000)
    assert stop in trade.orders
    assert lab.live_stops() == [stop]
    assert "order found at the venue" in trade.flagged


def test_exit_reason_of_a_position_closed_by_market_is_the_request() -> None:
    lab = Lab()
    lab.signal(max_holding_ms=1_000)
    lab.run(2_000)
    assert lab.trade().exit_reason is ExitReason.MAX_HOLDING


@pytest.mark.parametrize(("limit", "before", "after"), [(None, None, None), (2, 2, 1), (1, 1, 0)])
def test_room_for_entries_is_what_the_limit_on_positions_leaves(
    limit: int | None, before: int | None, after: int | None
) -> None:
    lab = Lab(config=trading_config(max_open_positions=limit))
    assert lab.core.entries_possible() == before
    lab.open_long()
    assert lab.core.entries_possible() == after
