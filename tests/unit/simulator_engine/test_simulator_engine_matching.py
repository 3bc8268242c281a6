"""How orders meet the market: takers walk the book, resting orders wait to be traded through."""

from __future__ import annotations

import pytest

from core.enums import OrderStatus, OrderType, TimeInForce
from simulator.engine.events import AccountEvent, OrderEvent
from simulator.engine.requests import PlaceOrder
from tests.unit.simulator_engine.support import BTC, BUY, SELL, D, Desk, refusal, words


def fills(desk: Desk) -> list[tuple[str, str]]:
    return [(str(trade.price), str(trade.quantity)) for trade in desk.exchange.user_trades(BTC)]


def test_market_order_larger_than_first_level_gets_one_fill_a_level() -> None:
    desk = Desk()
    desk.market.book([("999", "5")], [("1000", "1"), ("1000.5", "2"), ("1001", "9")])
    order = desk.market_order(BUY, "4")
    assert fills(desk) == [("1000", "1"), ("1000.5", "2"), ("1001", "1")]
    assert order.status is OrderStatus.FILLED
    assert order.average_price == D("1000.5")


def test_market_order_beyond_the_whole_book_expires_with_reason_nine() -> None:
    desk = Desk()
    desk.market.book([("999", "5")], [("1000", "1")])
    order = desk.market_order(BUY, "4")
    last = desk.events()[-1]
    assert isinstance(last, OrderEvent)
    assert (order.status, order.executed_quantity, last.expiry_reason) == (OrderStatus.EXPIRED, D(1), 9)


def test_market_order_stops_at_the_take_bound() -> None:
    desk = Desk()
    desk.market.book([("999", "5")], [("1049", "1"), ("1051", "5")])
    order = desk.market_order(BUY, "3")
    assert (order.executed_quantity, order.status) == (D(1), OrderStatus.EXPIRED)


def test_market_order_whose_best_price_is_out_of_bounds_is_refused() -> None:
    desk = Desk()
    desk.market.book([("949", "5")], [("1051", "5")])
    for side in (BUY, SELL):
        with refusal(-4131):
            desk.market_order(side, "1")


def test_market_order_on_an_empty_side_is_refused() -> None:
    desk = Desk()
    desk.market.books[BTC] = ([(D(999), D(5))], [])
    with refusal(-1112):
        desk.market_order(BUY, "1")


def test_resting_order_is_not_filled_by_a_touch() -> None:
    desk = Desk()
    buy, sell = desk.limit_order(BUY, "1", "990"), desk.limit_order(SELL, "1", "1010")
    desk.trade("990", "1010")
    assert desk.exchange.get_order(BTC, buy.order_id).status is OrderStatus.NEW
    assert desk.exchange.get_order(BTC, sell.order_id).status is OrderStatus.NEW


def test_resting_order_traded_through_fills_at_its_own_price_as_maker() -> None:
    desk = Desk()
    order = desk.limit_order(BUY, "1", "990")
    desk.trade("989.9")
    trade = desk.exchange.user_trades(BTC)[0]
    assert (trade.price, trade.is_maker, trade.commission) == (D(990), True, D("0.198"))
    assert desk.exchange.get_order(BTC, order.order_id).status is OrderStatus.FILLED
    assert desk.position() == 1


def test_resting_sell_traded_through_fills() -> None:
    desk = Desk()
    desk.limit_order(SELL, "2", "1010")
    desk.trade("1010.1")
    assert desk.position() == -2


def test_resting_order_fills_partially_when_volume_is_short() -> None:
    desk = Desk()
    order = desk.limit_order(BUY, "5", "990")
    desk.trade("989", quantity="2")
    partial = desk.exchange.get_order(BTC, order.order_id)
    assert (partial.status, partial.executed_quantity) == (OrderStatus.PARTIALLY_FILLED, D(2))
    desk.trade("989", quantity="100")
    assert desk.exchange.get_order(BTC, order.order_id).status is OrderStatus.FILLED
    assert desk.exchange.open_orders() == []


def test_resting_orders_share_a_trades_volume_by_price_then_time() -> None:
    desk = Desk()
    late_worse = desk.limit_order(BUY, "3", "990")
    first = desk.limit_order(BUY, "3", "991")
    second = desk.limit_order(BUY, "3", "991")
    desk.trade("980", quantity="7")
    done = [desk.exchange.get_order(BTC, o.order_id).executed_quantity for o in (first, second, late_worse)]
    assert done == [D(3), D(3), D(1)]


def test_crossing_limit_takes_up_to_its_price_and_rests_the_remainder() -> None:
    desk = Desk()
    desk.market.book([("999", "5")], [("1000", "1"), ("1000.5", "1"), ("1002", "9")])
    order = desk.limit_order(BUY, "4", "1001")
    assert fills(desk) == [("1000", "1"), ("1000.5", "1")]
    assert order.status is OrderStatus.PARTIALLY_FILLED
    view = desk.exchange.positions(BTC)[0]
    assert view.bid_notional == 2 * D(1001)


def test_ioc_remainder_expires_with_reason_two() -> None:
    desk = Desk()
    desk.market.book([("999", "5")], [("1000", "1")])
    order = desk.limit_order(BUY, "4", "1000", time_in_force=TimeInForce.IOC)
    last = desk.events()[-1]
    assert isinstance(last, OrderEvent)
    assert (order.status, order.executed_quantity, last.expiry_reason) == (OrderStatus.EXPIRED, D(1), 2)


def test_fok_that_cannot_fill_is_refused_without_a_trace() -> None:
    desk = Desk()
    desk.market.book([("999", "5")], [("1000", "1")])
    with refusal(-5021):
        desk.limit_order(BUY, "4", "1000", time_in_force=TimeInForce.FOK)
    assert desk.events() == []
    assert desk.exchange.all_orders(BTC) == []


def test_fok_that_fits_fills() -> None:
    desk = Desk()
    desk.market.book([("999", "5")], [("1000", "1"), ("1000.5", "3")])
    order = desk.limit_order(BUY, "4", "1000.5", time_in_force=TimeInForce.FOK)
    assert order.status is OrderStatus.FILLED


def test_post_only_that_would_take_is_refused_without_a_trace() -> None:
    desk = Desk()
    with refusal(-5022):
        desk.limit_order(BUY, "1", "1000.1", time_in_force=TimeInForce.GTX)
    assert desk.events() == []
    assert desk.limit_order(BUY, "1", "1000", time_in_force=TimeInForce.GTX).status is OrderStatus.NEW


def test_gtd_order_expires_at_its_time() -> None:
    desk = Desk()
    now_ms = desk.exchange.now_ms
    good_till_ms = (now_ms + 700_000) // 1000 * 1000
    order = desk.limit_order(BUY, "1", "990", time_in_force=TimeInForce.GTD, good_till_ms=good_till_ms)
    desk.exchange.advance(good_till_ms - 1)
    assert desk.exchange.get_order(BTC, order.order_id).status is OrderStatus.NEW
    events = desk.exchange.advance(now_ms + 800_000)
    assert words(list(events)) == ["EXPIRED:EXPIRED"]
    assert events[0].time_ms == good_till_ms


def test_fill_tells_account_before_order_at_one_time() -> None:
    desk = Desk()
    desk.market_order(BUY, "1")
    events = desk.events()
    assert words(events) == ["NEW:NEW", "ACCOUNT:ORDER", "TRADE:FILLED"]
    assert isinstance(events[1], AccountEvent)
    assert isinstance(events[2], OrderEvent)
    assert events[1].time_ms == events[2].time_ms == desk.exchange.now_ms


def test_ack_answers_with_the_order_as_accepted() -> None:
    desk = Desk()
    ack = desk.exchange.place_order(PlaceOrder(BTC, BUY, OrderType.MARKET, quantity=D(1)))
    assert (ack.status, ack.executed_quantity) == (OrderStatus.NEW, D(0))
    assert desk.exchange.get_order(BTC, ack.order_id).status is OrderStatus.FILLED


def test_cancel_ends_a_resting_order_and_frees_its_margin() -> None:
    desk = Desk()
    before = desk.exchange.account().balance.available_balance
    order = desk.limit_order(BUY, "1", "990", client_order_id="mine")
    assert desk.exchange.account().balance.available_balance == before - D("49.5")
    cancelled = desk.exchange.cancel_order(BTC, client_id="mine")
    assert (cancelled.order_id, cancelled.status) == (order.order_id, OrderStatus.CANCELED)
    assert desk.exchange.account().balance.available_balance == before
    assert desk.trade("900") and desk.position() == 0


@pytest.mark.parametrize("which", ["finished", "unknown", "other symbol"])
def test_cancel_of_nothing_open_is_refused(which: str) -> None:
    desk = Desk()
    order = desk.market_order(BUY, "1") if which == "finished" else desk.limit_order(BUY, "1", "990")
    with refusal(-2011):
        if which == "other symbol":
            desk.exchange.cancel_order("ETHUSDT", order.order_id)
        else:
            desk.exchange.cancel_order(BTC, order.order_id if which == "finished" else 999)


def test_cancel_all_takes_plain_orders_of_one_symbol_only() -> None:
    desk = Desk()
    desk.limit_order(BUY, "1", "990")
    desk.limit_order(BUY, "1", "980")
    other = desk.limit_order(BUY, "1", "990", symbol="ETHUSDT")
    assert len(desk.exchange.cancel_all(BTC)) == 2
    assert [order.order_id for order in desk.exchange.open_orders()] == [other.order_id]


def test_client_id_is_unique_among_open_orders_only() -> None:
    desk = Desk()
    desk.limit_order(BUY, "1", "990", client_order_id="again")
    with refusal(-4116):
        desk.limit_order(BUY, "1", "980", client_order_id="again")
    desk.exchange.cancel_order(BTC, client_id="again")
    second = desk.limit_order(BUY, "1", "980", client_order_id="again")
    assert desk.exchange.get_order(BTC, client_id="again").order_id == second.order_id


@pytest.mark.parametrize(
    ("mode", "maker", "taker"),
    [
        ("EXPIRE_MAKER", OrderStatus.EXPIRED_IN_MATCH, OrderStatus.FILLED),
        ("EXPIRE_TAKER", OrderStatus.NEW, OrderStatus.EXPIRED_IN_MATCH),
        ("EXPIRE_BOTH", OrderStatus.EXPIRED_IN_MATCH, OrderStatus.EXPIRED_IN_MATCH),
    ],
)
def test_own_order_inside_the_spread_is_never_traded_with(mode: str, maker: OrderStatus, taker: OrderStatus) -> None:
    desk = Desk()
    desk.market.book([("990", "5")], [("1010", "5")])
    resting = desk.limit_order(SELL, "1", "1000")
    order = desk.market_order(BUY, "1", self_trade_prevention=mode)
    assert desk.exchange.get_order(BTC, resting.order_id).status is maker
    assert order.status is taker


def test_price_match_takes_the_price_from_the_book() -> None:
    desk = Desk()
    desk.market.book([("990", "5"), ("989", "5")], [("1010", "5")])
    request = {"time_in_force": TimeInForce.GTC, "quantity": D(1), "response_type": "RESULT"}
    queued = desk.exchange.place_order(PlaceOrder(BTC, BUY, OrderType.LIMIT, price_match="QUEUE", **request))  # type: ignore[arg-type]
    taking = desk.exchange.place_order(PlaceOrder(BTC, BUY, OrderType.LIMIT, price_match="OPPONENT", **request))  # type: ignore[arg-type]
    assert (queued.price, queued.status) == (D(990), OrderStatus.NEW)
    assert (taking.price, taking.status) == (D(1010), OrderStatus.FILLED)
    with refusal(-5041):
        desk.exchange.place_order(PlaceOrder(BTC, BUY, OrderType.LIMIT, price_match="QUEUE_5", **request))  # type: ignore[arg-type]


def test_returned_orders_do_not_change_afterwards() -> None:
    desk = Desk()
    order = desk.limit_order(BUY, "1", "990")
    event = desk.events()[0]
    desk.trade("980")
    assert order.status is OrderStatus.NEW
    assert isinstance(event, OrderEvent)
    assert event.order.status is OrderStatus.NEW


def test_large_order_reaches_the_deeper_levels_of_the_book() -> None:
    desk = Desk()
    asks = [(str(1000 + n / 10), "0.5") for n in range(150)]
    desk.market.book([("999", "5")], asks)
    order = desk.market_order(BUY, "60")
    assert order.status is OrderStatus.FILLED
    assert len(desk.exchange.user_trades(BTC)) == 120
    assert desk.exchange.user_trades(BTC)[-1].price == D("1011.9")


def test_order_larger_than_all_levels_that_are_kept_expires() -> None:
    desk = Desk()
    desk.market.book([("999", "5")], [(str(1000 + n / 100), "0.01") for n in range(1200)])
    order = desk.market_order(BUY, "11")
    assert (order.status, order.executed_quantity) == (OrderStatus.EXPIRED, D(10))
