"""Requests without a definite answer: never sent twice, never forgotten, always resolved with evidence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.commands import QueryOrder, RefusalKind
from core.enums import AlgoStatus, Leg, OrderService, OrderStatus, Side
from core.records import ExitReason, SignalStatus, TradeState
from tests.unit.executor.fake_venue import doubt
from tests.unit.executor.lab import BTC, D, Lab, refused


def test_entry_in_doubt_that_was_executed_is_found_and_protected() -> None:
    lab = Lab()
    lab.venue.mute = True
    lab.fault(doubt(), leg=Leg.ENTRY, apply=True)
    lab.signal()
    lab.run(6_000)
    assert len(lab.submitted(Leg.ENTRY)) == 1
    assert lab.state() is TradeState.PROTECTED
    assert lab.trade().quantity == lab.venue.position(BTC)
    assert len(lab.rows.fills) == 1


def test_entry_in_doubt_that_never_arrived_is_refused_only_after_proof() -> None:
    lab = Lab()
    lab.fault(doubt(), leg=Leg.ENTRY)
    made = lab.signal()
    assert lab.state() is TradeState.IN_DOUBT
    lab.run(5_000)
    assert lab.state() is TradeState.IN_DOUBT, "the signed request may still be accepted"
    lab.run(10_000)
    assert lab.state() is TradeState.REFUSED
    assert "absent" in lab.rows.intents[1].evidence
    assert len(lab.submitted(Leg.ENTRY)) == 1
    assert len(lab.sent(QueryOrder)) >= 3
    assert lab.rows.signals[made.signal_id].status is SignalStatus.REFUSED


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_entry_in_doubt_that_never_arrived_is_refused_although_a_stranger_traded_meanwhile(side: Side) -> None:
    lab = Lab()
    lab.fault(doubt(), leg=Leg.ENTRY)
    lab.signal()
    lab.run(1_000)
    lab.venue.market_order(BTC, side, D(2), "web_1")
    lab.flush()
    lab.run(20_000)
    assert lab.state() is TradeState.REFUSED
    assert lab.venue.position(BTC) == side.sign * 2
    assert len(lab.submitted(Leg.ENTRY)) == 1
    assert "BTCUSDT: position that is not ours" in lab.titles()


def test_symbol_with_entry_in_doubt_takes_no_other_entry() -> None:
    lab = Lab()
    lab.fault(doubt(), leg=Leg.ENTRY)
    lab.signal()
    lab.signal(number=1)
    assert [d.code for d in lab.rows.denials] == ["position_open"]
    lab.run(20_000)
    lab.signal(number=2)
    lab.run(500)
    assert lab.state(2) is TradeState.PROTECTED


def test_entry_in_doubt_when_stream_tells_the_fill_needs_no_query() -> None:
    lab = Lab()
    lab.fault(doubt(), leg=Leg.ENTRY, apply=True)
    lab.signal()
    lab.run(500)
    assert lab.state() is TradeState.PROTECTED


def test_entry_answer_that_is_lost_after_the_fill_changes_nothing() -> None:
    lab = Lab()
    lab.open_long()
    command = lab.submitted(Leg.ENTRY)[0]
    lab.reply(command, doubt())
    lab.reply(command, refused(RefusalKind.BUSINESS, -2019))
    lab.run(1_000)
    assert lab.state() is TradeState.PROTECTED


def test_entry_in_doubt_that_lookups_hide_is_recognised_from_the_trade_list() -> None:
    lab = Lab()
    lab.venue.mute = True
    lab.fault(doubt(), leg=Leg.ENTRY, apply=True)
    lab.venue.hide_from_lookup.add("ft-1-1-E0")
    lab.signal()
    lab.run(40_000)
    assert lab.trade().quantity == lab.venue.position(BTC) > 0
    assert lab.state() is TradeState.PROTECTED
    assert lab.live_stops() != []
    assert len(lab.submitted(Leg.ENTRY)) == 1


def test_entry_proved_absent_that_fills_late_is_revived_and_protected() -> None:
    lab = Lab()
    lab.fault(doubt(), leg=Leg.ENTRY)
    lab.signal()
    lab.run(20_000)
    assert lab.state() is TradeState.REFUSED
    lab.venue.now_ms = lab.now_ms
    order = lab.submitted(Leg.ENTRY)[0].approved.order
    lab.venue.market_order(BTC, order.side, order.quantity, order.client_order_id)
    lab.flush()
    lab.run(1_000)
    assert lab.state() is TradeState.PROTECTED
    assert len(lab.live_stops()) == 1


def test_entry_refused_is_not_sent_again() -> None:
    lab = Lab()
    lab.fault(refused(RefusalKind.BUSINESS, -2019, "Margin is insufficient."), leg=Leg.ENTRY)
    made = lab.signal()
    lab.run(60_000)
    assert lab.state() is TradeState.REFUSED
    assert len(lab.submitted(Leg.ENTRY)) == 1
    assert lab.rows.signals[made.signal_id].status is SignalStatus.REFUSED
    assert "BTCUSDT: entry refused by the venue" in lab.titles()


def test_entry_refused_for_a_duplicate_id_is_asked_about() -> None:
    lab = Lab()
    lab.venue.mute = True
    lab.fault(refused(RefusalKind.DUPLICATE_ID, -4116), leg=Leg.ENTRY, apply=True)
    lab.signal()
    lab.run(3_000)
    assert lab.state() is TradeState.PROTECTED


def test_entry_refused_key_halts_all_entries_once() -> None:
    lab = Lab()
    lab.fault(refused(RefusalKind.AUTHENTICATION, -2015, "Invalid API-key"), leg=Leg.ENTRY)
    lab.signal()
    lab.signal(number=1)
    assert [d.code for d in lab.rows.denials] == ["halted"]
    assert len([t for t in lab.titles() if "key" in t]) == 1


def test_entry_that_expires_without_a_fill_is_refused() -> None:
    lab = Lab()
    lab.venue.fill_share = D(0)
    lab.signal()
    lab.run(1_000)
    assert lab.state() is TradeState.REFUSED
    lab.venue.fill_share = D(1)
    lab.signal(number=1)
    lab.run(500)
    assert lab.state(2) is TradeState.PROTECTED


def test_entry_partly_filled_protects_what_is_there() -> None:
    lab = Lab()
    lab.venue.fill_share = D("0.5")
    lab.signal()
    lab.run(500)
    assert lab.state() is TradeState.PROTECTED
    assert lab.trade().quantity == lab.venue.position(BTC) > 0
    lab.venue.fill_share = D(1)
    lab.price(BTC, "99.5")
    lab.run(1_000)
    assert lab.state() is TradeState.CLOSED


def test_stop_in_doubt_that_was_placed_is_found_and_not_doubled() -> None:
    lab = Lab()
    lab.venue.mute = True
    lab.fault(doubt(), leg=Leg.STOP, apply=True)
    lab.signal()
    lab.run(5_000)
    assert lab.state() is TradeState.PROTECTED
    assert len(lab.submitted(Leg.STOP)) == 1


def test_stop_in_doubt_that_never_arrived_is_placed_again_in_time() -> None:
    lab = Lab()
    lab.fault(doubt(), leg=Leg.STOP)
    lab.signal()
    lab.run(4_000)
    assert len(lab.live_stops()) == 1
    assert lab.state() is TradeState.PROTECTED
    assert lab.submitted(Leg.CLOSE) == []


def test_stop_request_that_hangs_is_asked_about_in_parallel() -> None:
    lab = Lab()
    lab.venue.mute = True
    lab.fault(None, leg=Leg.STOP, apply=True)
    lab.signal()
    lab.run(3_500)
    assert lab.state() is TradeState.PROTECTED


def test_stop_request_that_hangs_without_effect_leads_to_a_close_in_time() -> None:
    lab = Lab()
    lab.fault(None, leg=Leg.STOP, times=9)
    lab.signal()
    lab.run(5_000)
    assert lab.venue.position(BTC) == 0
    assert lab.trade().exit_reason is ExitReason.STOP_FAILED


@pytest.mark.parametrize("apply", [True, False])
def test_close_in_doubt_is_asked_about_and_repeated_only_while_the_position_stands(apply: bool) -> None:
    lab = Lab()
    lab.open_long()
    lab.venue.mute = True
    lab.fault(doubt(), leg=Leg.CLOSE, apply=apply)
    lab.price(BTC, "99.5", fire=False)
    lab.run(15_000)
    assert lab.venue.position(BTC) == 0
    assert lab.state() is TradeState.CLOSED
    assert len([i for i in lab.venue.accepted if "-C" in i]) == 1


def test_close_that_fills_partly_is_repeated_until_flat() -> None:
    lab = Lab()
    lab.signal(max_holding_ms=2_000)
    lab.run(1_500)
    lab.venue.fill_share = D("0.5")
    lab.run(1_250)
    assert lab.venue.position(BTC) > 0
    lab.venue.fill_share = D(1)
    lab.run(10_000)
    assert lab.venue.position(BTC) == 0
    assert lab.trade().state is TradeState.CLOSED
    assert lab.trade().exit_reason is ExitReason.MAX_HOLDING


def test_order_look_up_answer_about_an_unknown_order_is_ignored() -> None:
    lab = Lab()
    query = QueryOrder(BTC, "ft-1-99-E0", OrderService.PLAIN)
    lab.reply(query, refused(RefusalKind.NOT_FOUND, -2013))
    assert lab.rows.intents == {}


def test_cancel_that_loses_the_race_is_asked_about() -> None:
    lab = Lab()
    lab.venue._expire_bound = lambda symbol: None  # type: ignore[method-assign]
    lab.open_long()
    target = next(a for a in lab.venue.algos if "-T" in a)
    lab.venue.mute = True
    lab.price(BTC, "99.5")
    lab.venue.algos[target] = replace(lab.venue.algos[target], status=AlgoStatus.EXPIRED)
    lab.venue.mute = False
    lab.run(40_000)
    assert lab.state() is TradeState.CLOSED
    assert lab.rows.orders[target].status == AlgoStatus.EXPIRED.value


def test_rows_of_orders_end_with_the_venues_word() -> None:
    lab = Lab()
    lab.open_long()
    lab.price(BTC, "99.5")
    lab.run(1_000)
    statuses = {row.leg: row.status for row in lab.rows.orders.values()}
    assert statuses[Leg.ENTRY] == OrderStatus.FILLED.value
    assert statuses[Leg.STOP] == AlgoStatus.FINISHED.value
    assert statuses[Leg.TARGET] == AlgoStatus.EXPIRED.value
