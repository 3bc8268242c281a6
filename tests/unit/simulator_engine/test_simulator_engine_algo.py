"""Conditional orders: refusals, triggers, the status walk, trailing, and what happens when the position goes."""

from __future__ import annotations

import pytest

from core.enums import AlgoStatus, OrderStatus, OrderType, PositionSide, Side, TimeInForce, WorkingType
from simulator.engine.events import AlgoEvent
from simulator.engine.orders import AlgoOrder
from simulator.engine.requests import PlaceAlgo
from simulator.engine.state import FIRST_ALGO_ID
from tests.unit.simulator_engine.support import BTC, BUY, ETH, SELL, D, Desk, assert_identity, refusal, words

STOP, STOP_MARKET = OrderType.STOP, OrderType.STOP_MARKET
TAKE, TAKE_MARKET = OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_MARKET
TRAILING = OrderType.TRAILING_STOP_MARKET


def status(desk: Desk, order: AlgoOrder) -> AlgoStatus:
    return desk.exchange.get_algo(order.algo_id).status


def stop(**changes: object) -> PlaceAlgo:
    values = {"symbol": BTC, "side": SELL, "type": STOP_MARKET, "quantity": D(1), "trigger_price": D(990)}
    return PlaceAlgo(**(values | changes))  # type: ignore[arg-type]


CLOSE = {"close_position": True, "quantity": None}
TRAIL = {"type": TRAILING, "trigger_price": None}

REFUSALS: list[tuple[int, PlaceAlgo]] = [
    (-1130, stop(algo_type="VP")),
    (-1116, stop(type=OrderType.MARKET)),
    (-1115, stop(time_in_force=TimeInForce.GTD)),
    (-1102, stop(quantity=None)),
    (-1102, stop(trigger_price=None)),
    (-1102, stop(type=STOP)),
    (-1102, stop(**TRAIL)),
    (-1106, stop(price=D(990))),
    (-1106, stop(**CLOSE, reduce_only=True)),
    (-1106, stop(type=STOP, price=D(990), price_match="QUEUE")),
    (-2007, stop(**TRAIL, callback_rate=D("0.09"))),
    (-2007, stop(**TRAIL, callback_rate=D("10.1"))),
    (-4135, stop(**TRAIL, callback_rate=D(1), activate_price=D(-1))),
    (-4136, stop(**CLOSE, type=STOP, price=D(990))),
    (-4137, stop(close_position=True)),
    (-4015, stop(client_algo_id="?")),
    (-5037, stop(type=STOP, price_match="QUEUE_7")),
    (-5038, stop(price_match="QUEUE")),
    (-5039, stop(self_trade_prevention="NONE")),
    (-1121, stop(symbol="NOSUCH")),
    (-4061, stop(position_side=PositionSide.SHORT)),
    (-4006, stop(trigger_price=D(0))),
    (-4007, stop(trigger_price=D(1_000_001))),
    (-4013, stop(trigger_price=D(9))),
    (-4014, stop(trigger_price=D("990.05"))),
    (-1111, stop(trigger_price=D("990.005"))),
    (-4003, stop(quantity=D(0))),
    (-4183, stop(side=BUY, type=STOP, trigger_price=D(1010), price=D("1060.6"))),
    (-4184, stop(type=STOP, price=D("940.4"))),
    (-4164, stop(quantity=D("0.005"))),
    (-4509, stop(**CLOSE)),
    (-4509, stop(time_in_force=TimeInForce.GTE_GTC)),
    (-2021, stop(trigger_price=D(1000))),
    (-2021, stop(side=BUY)),
    (-2021, stop(type=TAKE_MARKET)),
    (-2021, stop(**TRAIL, callback_rate=D(1), activate_price=D(990))),
    (-2021, stop(**TRAIL, side=BUY, callback_rate=D(1), activate_price=D(1010))),
]


@pytest.mark.parametrize(("code", "request_"), REFUSALS)
def test_bad_conditional_order_is_refused_with_its_code(code: int, request_: PlaceAlgo) -> None:
    desk = Desk()
    with refusal(code):
        desk.exchange.place_algo(request_)
    assert desk.events() == []
    assert desk.exchange.all_algos(BTC) == []


def test_conditional_orders_have_their_own_id_space() -> None:
    desk = Desk()
    order = desk.algo(SELL, STOP_MARKET, "990")
    assert order.algo_id == FIRST_ALGO_ID
    with refusal(-2013):
        desk.exchange.get_order(BTC, order.algo_id)
    with refusal(-2011):
        desk.exchange.cancel_order(BTC, order.algo_id)
    assert desk.exchange.open_orders() == []


@pytest.mark.parametrize(
    ("side", "order_type", "trigger", "before", "at"),
    [
        (BUY, STOP_MARKET, "1010", "1009.9", "1010"),
        (SELL, STOP_MARKET, "990", "990.1", "990"),
        (BUY, TAKE_MARKET, "990", "990.1", "990"),
        (SELL, TAKE_MARKET, "1010", "1009.9", "1010"),
    ],
)
def test_trigger_fires_at_a_touch_on_its_own_side(
    side: Side, order_type: OrderType, trigger: str, before: str, at: str
) -> None:
    desk = Desk()
    order = desk.algo(side, order_type, trigger)
    desk.trade(before)
    assert status(desk, order) is AlgoStatus.NEW
    desk.trade(at)
    assert status(desk, order) is AlgoStatus.FINISHED
    assert desk.position() == side.sign


def test_status_walk_and_links_of_a_triggered_stop() -> None:
    desk = Desk()
    desk.market_order(BUY, "1")
    order = desk.algo(SELL, STOP_MARKET, "990", reduce_only=True, client_algo_id="my-stop")
    desk.events()
    events = desk.trade("989")
    assert words(events) == [
        "ALGO:TRIGGERING",
        "ALGO:TRIGGERED",
        "NEW:NEW",
        "ACCOUNT:ORDER",
        "TRADE:FILLED",
        "ALGO:FINISHED",
    ]
    done = desk.exchange.get_algo(client_algo_id="my-stop")
    plain = desk.exchange.get_order(BTC, done.actual_order_id)
    assert (done.actual_price, done.actual_quantity, done.actual_type) == (D(989), D(1), "MARKET")
    assert done.trigger_time_ms == desk.exchange.now_ms
    assert (plain.client_order_id, plain.type, plain.orig_type) == ("my-stop", OrderType.MARKET, STOP_MARKET)
    assert (plain.stop_price, plain.algo_id, plain.reduce_only) == (D(990), order.algo_id, True)
    assert_identity(desk.exchange)


def test_stop_limit_rests_after_its_trigger_and_finishes_with_its_order() -> None:
    desk = Desk()
    order = desk.algo(BUY, STOP, "1010", price=D(1005))
    desk.trade("1010")
    assert status(desk, order) is AlgoStatus.TRIGGERED
    plain = desk.exchange.open_orders(BTC)[0]
    assert (plain.type, plain.price) == (OrderType.LIMIT, D(1005))
    desk.exchange.cancel_order(BTC, plain.order_id)
    finished = desk.exchange.get_algo(order.algo_id)
    assert (finished.status, finished.actual_quantity) == (AlgoStatus.FINISHED, D(0))


def test_margin_is_asked_for_at_the_trigger_only() -> None:
    desk = Desk()
    order = desk.algo(BUY, STOP_MARKET, "1010", quantity=D(100))
    desk.market_order(SELL, "50", symbol=ETH)
    other = desk.algo(BUY, STOP_MARKET, "1020", quantity=D(100))
    desk.trade("1010")
    desk.trade("1020")
    assert status(desk, order) is AlgoStatus.FINISHED
    rejected = desk.exchange.get_algo(other.algo_id)
    assert (rejected.status, rejected.reject_reason) == (AlgoStatus.REJECTED, "Margin is insufficient.")


def test_reduce_only_trigger_without_position_is_rejected() -> None:
    desk = Desk()
    order = desk.algo(SELL, STOP_MARKET, "990", reduce_only=True)
    desk.trade("980")
    rejected = desk.exchange.get_algo(order.algo_id)
    assert (rejected.status, rejected.reject_reason) == (AlgoStatus.REJECTED, "ReduceOnly Order is rejected.")
    assert desk.position() == 0


def test_mark_price_trigger_ignores_the_last_price() -> None:
    desk = Desk()
    desk.market.marks[BTC] = D(1000)
    order = desk.algo(SELL, STOP_MARKET, "990", working_type=WorkingType.MARK_PRICE)
    desk.trade("980")
    assert status(desk, order) is AlgoStatus.NEW
    desk.market.marks[BTC] = D(990)
    desk.trade("995")
    assert status(desk, order) is AlgoStatus.FINISHED


def test_mark_price_trigger_is_looked_at_when_a_candle_ends() -> None:
    desk = Desk()
    desk.market.marks[BTC] = D(1000)
    order = desk.algo(SELL, STOP_MARKET, "990", working_type=WorkingType.MARK_PRICE)
    desk.market.marks[BTC] = D(985)
    desk.market.close_candle()
    desk.play()
    assert status(desk, order) is AlgoStatus.FINISHED


def test_price_protect_holds_the_trigger_back_while_mark_and_last_differ() -> None:
    desk = Desk()
    desk.market.marks[BTC] = D(1000)
    order = desk.algo(SELL, STOP_MARKET, "940", price_protect=True)
    desk.trade("939")
    assert status(desk, order) is AlgoStatus.NEW
    desk.market.marks[BTC] = D(945)
    desk.trade("938")
    assert status(desk, order) is AlgoStatus.FINISHED


def test_trailing_sell_follows_the_high_and_fires_on_the_callback() -> None:
    desk = Desk()
    desk.market_order(BUY, "1")
    order = desk.algo(SELL, TRAILING, None, callback_rate=D(1), activate_price=D(1010), reduce_only=True)
    desk.trade("990", "1009")
    assert not desk.exchange.get_algo(order.algo_id).is_activated
    desk.trade("1010", "1050", "1040")
    assert desk.exchange.get_algo(order.algo_id).extreme_price == D(1050)
    assert status(desk, order) is AlgoStatus.NEW
    desk.trade("1039.5")
    assert status(desk, order) is AlgoStatus.FINISHED
    assert desk.position() == 0


def test_trailing_buy_without_activation_follows_at_once() -> None:
    desk = Desk()
    order = desk.algo(BUY, TRAILING, None, callback_rate=D(2))
    desk.trade("950", "968.9")
    assert status(desk, order) is AlgoStatus.NEW
    desk.trade("969")
    assert status(desk, order) is AlgoStatus.FINISHED


# closePosition and position-bound orders


def protected(quantity: str = "1") -> tuple[Desk, AlgoOrder, AlgoOrder]:
    desk = Desk()
    desk.market_order(BUY, quantity)
    stop_order = desk.algo(SELL, STOP_MARKET, "990", close_position=True)
    target = desk.algo(SELL, TAKE_MARKET, "1010", close_position=True)
    desk.events()
    return desk, stop_order, target


def test_close_position_closes_whatever_is_there() -> None:
    desk, stop_order, _ = protected()
    desk.market_order(BUY, "2")
    desk.trade("990")
    assert desk.position() == 0
    assert desk.exchange.get_algo(stop_order.algo_id).actual_quantity == D(3)


def test_sibling_expires_when_the_position_is_closed() -> None:
    desk, stop_order, target = protected()
    events = desk.trade("1010")
    assert status(desk, target) is AlgoStatus.FINISHED
    assert status(desk, stop_order) is AlgoStatus.EXPIRED
    last = events[-1]
    assert isinstance(last, AlgoEvent)
    assert last.order.algo_id == stop_order.algo_id
    assert desk.exchange.open_algos() == []


def test_close_position_orders_expire_when_the_position_is_closed_by_hand() -> None:
    desk, stop_order, target = protected()
    desk.market_order(SELL, "1", reduce_only=True)
    assert status(desk, stop_order) is status(desk, target) is AlgoStatus.EXPIRED


def test_close_position_orders_expire_when_the_position_turns_round() -> None:
    desk, stop_order, _ = protected()
    desk.market_order(SELL, "2")
    assert desk.position() == -1
    assert status(desk, stop_order) is AlgoStatus.EXPIRED


def test_bound_order_with_quantity_expires_with_its_position() -> None:
    desk = Desk()
    desk.market_order(BUY, "1")
    order = desk.algo(SELL, STOP_MARKET, "990", time_in_force=TimeInForce.GTE_GTC, reduce_only=True)
    desk.market_order(SELL, "0.5")
    assert status(desk, order) is AlgoStatus.NEW
    desk.market_order(SELL, "0.5")
    assert status(desk, order) is AlgoStatus.EXPIRED


def test_reduce_only_order_that_is_not_bound_outlives_its_position() -> None:
    desk = Desk()
    desk.market_order(BUY, "1")
    order = desk.algo(SELL, STOP_MARKET, "990", reduce_only=True)
    desk.market_order(SELL, "1")
    assert status(desk, order) is AlgoStatus.NEW


def test_second_close_position_of_same_type_and_direction_is_refused() -> None:
    desk, stop_order, _ = protected()
    with refusal(-4130):
        desk.algo(SELL, STOP_MARKET, "980", close_position=True)
    desk.exchange.cancel_algo(stop_order.algo_id)
    desk.algo(SELL, STOP_MARKET, "980", close_position=True)


def test_resting_reduce_only_target_does_not_block_a_close_position_stop() -> None:
    desk = Desk()
    desk.market_order(BUY, "1")
    desk.limit_order(SELL, "1", "1010", reduce_only=True)
    desk.algo(SELL, STOP_MARKET, "990", close_position=True)
    desk.trade("985")
    assert desk.position() == 0
    assert desk.exchange.open_orders() == []


def test_only_the_first_of_two_stops_reached_at_once_closes() -> None:
    desk = Desk()
    desk.market_order(BUY, "1")
    first = desk.algo(SELL, STOP_MARKET, "990", close_position=True)
    second = desk.algo(SELL, STOP_MARKET, "991", reduce_only=True)
    desk.trade("980")
    assert status(desk, first) is AlgoStatus.FINISHED
    assert status(desk, second) is AlgoStatus.REJECTED
    assert desk.position() == 0


def test_hedge_close_position_must_close_its_leg() -> None:
    desk = Desk()
    desk.exchange.set_position_mode(True)
    desk.market_order(BUY, "1", position_side=PositionSide.LONG)
    with refusal(-1106):
        desk.algo(BUY, STOP_MARKET, "1010", close_position=True, position_side=PositionSide.LONG)
    with refusal(-4509):
        desk.algo(BUY, STOP_MARKET, "1010", close_position=True, position_side=PositionSide.SHORT)
    desk.algo(SELL, STOP_MARKET, "990", close_position=True, position_side=PositionSide.LONG)
    desk.trade("989")
    assert desk.position(side=PositionSide.LONG) == 0


# cancelling and looking up


def test_cancel_by_either_id_and_cancel_all() -> None:
    desk = Desk()
    by_id, by_client = desk.algo(SELL, STOP_MARKET, "990"), desk.algo(SELL, STOP_MARKET, "980", client_algo_id="c")
    desk.algo(SELL, STOP_MARKET, "970")
    other = desk.algo(SELL, STOP_MARKET, "970", symbol=ETH)
    assert desk.exchange.cancel_algo(by_id.algo_id).status is AlgoStatus.CANCELED
    assert desk.exchange.cancel_algo(client_algo_id="c").algo_id == by_client.algo_id
    assert len(desk.exchange.cancel_all_algos(BTC)) == 1
    assert [order.algo_id for order in desk.exchange.open_algos()] == [other.algo_id]
    desk.trade("900")
    assert desk.position() == 0


def test_cancel_of_finished_or_unknown_conditional_order_is_refused() -> None:
    desk = Desk()
    order = desk.algo(SELL, STOP_MARKET, "990")
    desk.exchange.cancel_algo(order.algo_id)
    for algo_id in (order.algo_id, 5):
        with refusal(-2011):
            desk.exchange.cancel_algo(algo_id)
    with refusal(-2013):
        desk.exchange.get_algo(5)
    with refusal(-1102):
        desk.exchange.get_algo()


def test_client_algo_id_is_unique_among_open_ones_only() -> None:
    desk = Desk()
    first = desk.algo(SELL, STOP_MARKET, "990", client_algo_id="same")
    with refusal(-4116):
        desk.algo(SELL, STOP_MARKET, "980", client_algo_id="same")
    desk.exchange.cancel_algo(first.algo_id)
    desk.algo(SELL, STOP_MARKET, "980", client_algo_id="same")


def test_plain_cancel_all_leaves_conditional_orders() -> None:
    desk = Desk()
    order = desk.algo(SELL, STOP_MARKET, "990")
    desk.limit_order(BUY, "1", "995")
    desk.exchange.cancel_all(BTC)
    assert status(desk, order) is AlgoStatus.NEW


def test_too_many_conditional_orders_are_refused() -> None:
    desk = Desk(max_algo_orders=2)
    first = desk.algo(SELL, STOP_MARKET, "990")
    desk.algo(SELL, STOP_MARKET, "980", symbol=ETH)
    with refusal(-4045):
        desk.algo(SELL, STOP_MARKET, "970")
    desk.exchange.cancel_algo(first.algo_id)
    resting = desk.algo(BUY, STOP, "1010", price=D(1005))
    desk.trade("1010")
    assert status(desk, resting) is AlgoStatus.TRIGGERED
    desk.algo(SELL, STOP_MARKET, "970")
    with refusal(-4045):
        desk.algo(SELL, STOP_MARKET, "960")


def test_market_order_of_a_trigger_walks_the_book_after_the_trade() -> None:
    desk = Desk()
    desk.market_order(BUY, "1")
    order = desk.algo(SELL, STOP_MARKET, "990", close_position=True)
    desk.trade("960")
    done = desk.exchange.get_algo(order.algo_id)
    assert done.actual_price == D(960)
    assert desk.exchange.get_order(BTC, done.actual_order_id).status is OrderStatus.FILLED


def test_price_match_of_a_triggered_limit_is_taken_at_the_trigger() -> None:
    desk = Desk()
    order = desk.algo(BUY, STOP, "1010", price_match="QUEUE")
    desk.trade("1012")
    assert status(desk, order) is AlgoStatus.TRIGGERED
    assert desk.exchange.open_orders(BTC)[0].price == D(1012)


def test_price_match_without_that_level_rejects_at_the_trigger() -> None:
    desk = Desk()
    order = desk.algo(BUY, STOP, "1010", price_match="QUEUE_5")
    desk.trade("1012")
    assert status(desk, order) is AlgoStatus.REJECTED
    assert desk.exchange.open_orders() == []


def test_triggered_order_is_cancelled_by_its_plain_order_only() -> None:
    desk = Desk()
    order = desk.algo(BUY, STOP, "1010", price=D(1005))
    desk.trade("1010")
    with refusal(-2011):
        desk.exchange.cancel_algo(order.algo_id)
    assert desk.exchange.cancel_all_algos(BTC) == []
    assert len(desk.exchange.open_orders(BTC)) == 1


def test_trailing_notional_is_reckoned_at_the_last_price() -> None:
    desk = Desk()
    with refusal(-4164):
        desk.algo(SELL, TRAILING, None, quantity=D("0.004"), callback_rate=D(1))
    desk.algo(SELL, TRAILING, None, quantity=D("0.005"), callback_rate=D(1))
