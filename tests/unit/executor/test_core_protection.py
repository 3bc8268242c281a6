"""Protection is a lease: whatever happens to a stop, the position gets another one or is closed, in bounded time."""

from __future__ import annotations

import pytest

from core.commands import FetchOpenAlgoOrders, QueryOrder, RefusalKind, Refused
from core.enums import AlgoStatus, Direction, Leg, OrderType, TimeInForce
from core.records import ExitReason, TradeState
from core.signal import ExitPlan
from executor import protection
from tests.unit.executor.lab import BTC, ETH, D, Lab, refused

REFUSALS = [
    refused(RefusalKind.BUSINESS, -4131),
    refused(RefusalKind.BUSINESS, -1111),
    refused(RefusalKind.BUSINESS, -4164),
    refused(RefusalKind.BUSINESS, -2019),
    refused(RefusalKind.BUSINESS, -9999),
    refused(RefusalKind.THROTTLED, -1003),
    refused(RefusalKind.CLOCK, -1021),
]


@pytest.mark.parametrize("answer", REFUSALS, ids=lambda answer: str(answer.code))
def test_stop_refused_always_closes_at_market_in_time_halts_and_alerts(answer: Refused) -> None:
    lab = Lab()
    lab.fault(answer, leg=Leg.STOP, times=99)
    lab.signal()
    lab.run(5_000)
    assert lab.venue.position(BTC) == 0
    assert lab.trade().exit_reason is ExitReason.STOP_FAILED
    assert len(lab.submitted(Leg.STOP)) == 5
    assert lab.rows.halts[BTC, "stop_failed"].active
    assert "BTCUSDT: no stop, closing at market" in lab.titles()
    lab.signal(number=1)
    assert lab.rows.denials[-1].code == "halted"
    lab.signal(ETH)
    lab.venue.rules.clear()
    lab.run(500)
    assert lab.rows.denials[-1].symbol == BTC


@pytest.mark.parametrize("answer", REFUSALS, ids=lambda answer: str(answer.code))
def test_stop_refused_once_is_tried_again(answer: Refused) -> None:
    lab = Lab()
    lab.fault(answer, leg=Leg.STOP)
    lab.signal()
    lab.run(1_500)
    assert lab.state() is TradeState.PROTECTED
    assert len(lab.live_stops()) == 1


def test_stop_refused_because_conditional_orders_moved_halts_every_symbol() -> None:
    lab = Lab()
    lab.fault(refused(RefusalKind.BUSINESS, -4120), leg=Leg.STOP, times=99)
    lab.signal()
    lab.run(5_000)
    assert lab.venue.position(BTC) == 0
    lab.signal(ETH)
    assert lab.rows.denials[-1].code == "halted"


def test_stop_that_would_trigger_exits_at_market_at_once() -> None:
    lab = Lab()
    lab.fault(refused(RefusalKind.WOULD_TRIGGER, -2021), leg=Leg.STOP)
    lab.signal()
    lab.run(250)
    assert lab.venue.position(BTC) == 0
    lab.run(1_000)
    assert lab.trade().exit_reason is ExitReason.STOP
    assert len(lab.submitted(Leg.STOP)) == 1


def test_stop_price_already_passed_is_not_placed_but_left_at_market() -> None:
    lab = Lab()
    lab.hold_events = True
    lab.signal()
    lab.quote(BTC, D("99"))
    lab.venue.prices[BTC] = D("99")
    lab.hold_events = False
    lab.run(1_000)
    assert lab.submitted(Leg.STOP) == []
    assert lab.trade().exit_reason is ExitReason.STOP


def test_target_that_would_trigger_takes_profit_at_market() -> None:
    lab = Lab()
    lab.fault(refused(RefusalKind.WOULD_TRIGGER, -2021), leg=Leg.TARGET)
    lab.signal()
    lab.run(1_000)
    assert lab.trade().exit_reason is ExitReason.TARGET
    assert lab.venue.position(BTC) == 0


def test_target_refused_keeps_the_stop_and_is_given_up_after_five_tries() -> None:
    lab = Lab()
    lab.fault(refused(RefusalKind.BUSINESS, -1), leg=Leg.TARGET, times=99)
    lab.signal()
    lab.run(60_000)
    assert len(lab.submitted(Leg.TARGET)) == 5
    assert lab.state() is TradeState.PROTECTED
    assert lab.trade().flagged == "no target"
    assert "BTCUSDT: position goes on without a target" in lab.titles()
    assert len(lab.live_stops()) == 1


@pytest.mark.parametrize("status", [AlgoStatus.CANCELED, AlgoStatus.EXPIRED, AlgoStatus.REJECTED])
def test_stop_ended_by_others_is_replaced(status: AlgoStatus) -> None:
    lab = Lab()
    lab.open_long()
    lab.venue.end_algo(lab.live_stops()[0], status)
    lab.flush()
    assert lab.state() is TradeState.FILLED
    lab.run(1_000)
    assert lab.state() is TradeState.PROTECTED
    assert len(lab.live_stops()) == 1
    assert len(lab.submitted(Leg.STOP)) == 2


def test_stop_removed_again_and_again_closes_the_position() -> None:
    lab = Lab()
    lab.open_long()
    for _ in range(3):
        lab.venue.end_algo(lab.live_stops()[0], AlgoStatus.CANCELED)
        lab.flush()
        lab.run(1_000)
    assert lab.venue.position(BTC) == 0
    assert lab.trade().exit_reason is ExitReason.STOP_FAILED


def test_stop_that_vanished_silently_is_found_missing_by_the_lease_check() -> None:
    lab = Lab()
    lab.open_long()
    del lab.venue.algos[lab.live_stops()[0]]
    lab.run(35_000)
    assert len(lab.live_stops()) == 1
    assert lab.state() is TradeState.PROTECTED


def test_stop_that_only_the_list_hides_is_kept() -> None:
    lab = Lab()
    lab.open_long()
    lab.venue.hide_from_list.add(lab.live_stops()[0])
    lab.run(95_000)
    assert len(lab.submitted(Leg.STOP)) == 1
    assert lab.state() is TradeState.PROTECTED


def test_stop_that_only_lookups_hide_is_kept() -> None:
    lab = Lab()
    lab.open_long()
    lab.venue.hide_from_lookup.add(lab.live_stops()[0])
    lab.run(95_000)
    assert len(lab.submitted(Leg.STOP)) == 1
    assert lab.state() is TradeState.PROTECTED
    assert not [c for c in lab.sent(QueryOrder) if c.client_order_id == lab.live_stops()[0]]


def test_lease_is_verified_every_thirty_seconds() -> None:
    lab = Lab()
    lab.open_long()
    before = len(lab.sent(FetchOpenAlgoOrders))
    lab.run(61_000)
    assert len(lab.sent(FetchOpenAlgoOrders)) - before == 2


def test_stop_stuck_while_triggering_is_closed_at_market() -> None:
    lab = Lab()
    lab.open_long()
    lab.venue._set_algo(lab.live_stops()[0], AlgoStatus.TRIGGERING)
    lab.flush()
    assert lab.state() is TradeState.CLOSING
    lab.run(2_500)
    assert lab.venue.position(BTC) > 0
    lab.run(1_500)
    assert lab.venue.position(BTC) == 0
    assert lab.trade().exit_reason is ExitReason.STOP


def test_stop_that_does_not_fire_beyond_its_price_is_closed_at_market() -> None:
    lab = Lab()
    lab.open_long()
    lab.price(BTC, "99.5", fire=False)
    lab.run(2_500)
    assert lab.venue.position(BTC) > 0
    lab.run(1_500)
    assert lab.venue.position(BTC) == 0
    assert "BTCUSDT: protective order does not work" in lab.titles()


def test_price_that_returns_in_time_restarts_the_watch() -> None:
    lab = Lab()
    lab.open_long()
    for _ in range(3):
        lab.price(BTC, "99.5", fire=False)
        lab.run(2_000)
        lab.price(BTC, "100", fire=False)
        lab.run(500)
    assert lab.venue.position(BTC) > 0


def test_triggered_stop_that_fills_partly_is_finished_at_market() -> None:
    lab = Lab()
    lab.open_long()
    lab.venue.fill_share = D("0.5")
    lab.price(BTC, "99.5")
    lab.venue.fill_share = D(1)
    assert lab.venue.position(BTC) > 0
    lab.run(6_000)
    assert lab.venue.position(BTC) == 0
    assert lab.trade().exit_reason is ExitReason.STOP
    assert lab.trade().state is TradeState.CLOSED


def test_close_refused_outside_the_band_is_repeated_as_limit_at_its_edge() -> None:
    lab = Lab()
    lab.signal(max_holding_ms=1_000)
    lab.fault(refused(RefusalKind.BUSINESS, -4131), leg=Leg.CLOSE)
    lab.run(5_000)
    second = lab.submitted(Leg.CLOSE)[1].approved.order
    assert (second.type, second.time_in_force, second.price) == (OrderType.LIMIT, TimeInForce.IOC, D("95.3"))
    assert lab.venue.position(BTC) == 0


def test_close_refused_because_nothing_is_left_counts_as_success() -> None:
    lab = Lab()
    lab.signal(max_holding_ms=2_000)
    lab.run(1_500)
    lab.venue.mute = True
    lab.venue.market_order(BTC, lab.submitted(Leg.STOP)[0].approved.order.side, lab.venue.position(BTC), "hand")
    lab.run(10_000)
    assert lab.state() is TradeState.CLOSED
    assert lab.venue.position(BTC) == 0
    assert lab.core.view().corrections == 0


def test_close_that_keeps_failing_alerts_and_never_stops_trying() -> None:
    lab = Lab()
    lab.signal(max_holding_ms=1_000)
    lab.fault(refused(RefusalKind.THROTTLED, -1008), leg=Leg.CLOSE, times=20)
    lab.run(120_000)
    assert "BTCUSDT: closing takes long" in lab.titles()
    assert lab.venue.position(BTC) == 0


def test_close_obeys_the_venues_retry_time() -> None:
    lab = Lab()
    lab.signal(max_holding_ms=1_000)
    lab.fault(Refused(RefusalKind.THROTTLED, -1003, "slow down", retry_after_s=20.0), leg=Leg.CLOSE)
    lab.run(10_000)
    assert len(lab.submitted(Leg.CLOSE)) == 1
    lab.run(15_000)
    assert lab.venue.position(BTC) == 0


@pytest.mark.parametrize(
    ("direction", "filled_at", "stop", "target"),
    [
        (Direction.LONG, "100.1", "99.8", "100.7"),
        (Direction.LONG, "99.8", "99.6", "100.3"),
        (Direction.SHORT, "100.1", "100.4", "99.5"),
        (Direction.SHORT, "99.9", "100.1", "99.4"),
    ],
)
def test_stop_and_target_are_fractions_of_the_price_that_was_paid(
    direction: Direction, filled_at: str, stop: str, target: str
) -> None:
    """The market has moved since the decision: the loss at the stop is still the planned one."""
    lab = Lab()
    lab.venue.prices[BTC] = D(filled_at)
    lab.signal(BTC, direction)
    lab.quote(BTC, D(filled_at))
    lab.run(1_000)
    legs = {algo.type: algo.trigger_price for algo in lab.venue.algos.values() if not algo.status.is_terminal}
    assert legs == {OrderType.STOP_MARKET: D(stop), OrderType.TAKE_PROFIT_MARKET: D(target)}


def test_stop_at_a_stated_price_stays_there_whatever_was_paid() -> None:
    lab = Lab()
    lab.venue.prices[BTC] = D("100.5")
    lab.signal(BTC, exits=ExitPlan(stop_price=D("98.2"), target_price=D("103.4")))
    lab.quote(BTC, D("100.5"))
    lab.run(1_000)
    legs = {algo.type: algo.trigger_price for algo in lab.venue.algos.values() if not algo.status.is_terminal}
    assert legs == {OrderType.STOP_MARKET: D("98.2"), OrderType.TAKE_PROFIT_MARKET: D("103.4")}


@pytest.mark.parametrize(
    ("direction", "price", "is_taken"),
    [
        (Direction.LONG, "100.6", True),
        (Direction.LONG, "100.5", False),
        (Direction.SHORT, "99.4", True),
        (Direction.SHORT, "99.5", False),
    ],
)
def test_target_that_the_price_has_reached_is_taken_at_market(direction: Direction, price: str, is_taken: bool) -> None:
    lab = Lab()
    lab.fault(refused(RefusalKind.BUSINESS, -1111), leg=Leg.TARGET)
    lab.signal(BTC, direction)
    lab.run(250)
    assert len(lab.submitted(Leg.TARGET)) == 1
    lab.price(BTC, price)
    lab.run(lab.core._desk.policy.target_retry_ms + 500)
    if is_taken:
        assert lab.trade().exit_reason is ExitReason.TARGET
        assert lab.venue.position(BTC) == 0
        assert len(lab.submitted(Leg.TARGET)) == 1
    else:
        assert lab.state() is TradeState.PROTECTED
        assert len(lab.submitted(Leg.TARGET)) == 2


def test_target_is_not_tried_again_before_its_time() -> None:
    lab = Lab()
    lab.fault(refused(RefusalKind.BUSINESS, -1111), leg=Leg.TARGET, times=2)
    lab.open_long()
    retry_ms = lab.core._desk.policy.target_retry_ms
    lab.run(retry_ms - 1_000)
    assert len(lab.submitted(Leg.TARGET)) == 1
    lab.run(1_500)
    assert len(lab.submitted(Leg.TARGET)) == 2


@pytest.mark.parametrize(
    ("direction", "price", "is_past"),
    [
        (Direction.LONG, "99.7", False),
        (Direction.LONG, "99.6", True),
        (Direction.SHORT, "100.3", False),
        (Direction.SHORT, "100.4", True),
    ],
)
def test_price_is_beyond_a_stop_only_when_it_has_passed_it(direction: Direction, price: str, is_past: bool) -> None:
    lab = Lab()
    lab.signal(BTC, direction)
    lab.run(1_000)
    desk = lab.core._desk
    trade = desk.book.active[1]
    stop = trade.newest(Leg.STOP)
    assert stop is not None
    lab.quote(BTC, D(price))
    assert protection.is_beyond(desk, trade, stop) is is_past
    stop.stop_price = None
    assert protection.is_beyond(desk, trade, stop) is False


def test_old_last_price_gives_way_to_the_mark() -> None:
    lab = Lab()
    lab.open_long()
    desk = lab.core._desk
    trade, market = desk.book.active[1], desk.market.of(BTC)
    market.mark_price = D("101.5")
    assert market.last_received_ms is not None
    desk.now_ms = market.last_received_ms + protection.FRESH_PRICE_MS
    assert protection._current_price(desk, trade) == 100
    desk.now_ms += 1
    assert protection._current_price(desk, trade) == D("101.5")
