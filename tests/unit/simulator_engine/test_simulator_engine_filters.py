"""Every refusal of a plain order, with the venue's code, and which one wins."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.enums import OrderType, PositionSide, SymbolStatus, TimeInForce
from simulator.engine.exchange import Exchange
from simulator.engine.requests import PlaceOrder
from tests.unit.simulator_engine.support import BTC, BUY, SELL, D, Desk, ScriptedMarket, Spec, instrument, refusal

GTC = TimeInForce.GTC


def limit(**changes: object) -> PlaceOrder:
    values = {"quantity": D(1), "price": D(990), "time_in_force": GTC} | changes
    return PlaceOrder(**({"symbol": BTC, "side": BUY, "type": OrderType.LIMIT} | values))  # type: ignore[arg-type]


def market(**changes: object) -> PlaceOrder:
    return PlaceOrder(**({"symbol": BTC, "side": BUY, "type": OrderType.MARKET, "quantity": D(1)} | changes))  # type: ignore[arg-type]


REFUSALS: list[tuple[int, PlaceOrder]] = [
    (-1102, limit(price=None)),
    (-1102, limit(quantity=None)),
    (-1102, limit(time_in_force=None)),
    (-1102, market(quantity=None)),
    (-1102, limit(time_in_force=TimeInForce.GTD)),
    (-1106, market(price=D(1000))),
    (-1106, market(time_in_force=GTC)),
    (-1106, limit(price_match="QUEUE")),
    (-1115, limit(time_in_force=TimeInForce.GTE_GTC)),
    (-1116, market(type=OrderType.LIQUIDATION)),
    (-1116, market(type=OrderType.UNKNOWN)),
    (-1136, market(response_type="FULL")),
    (-5037, limit(price=None, price_match="OPPONENT_20")),
    (-5038, market(price_match="QUEUE")),
    (-5039, limit(self_trade_prevention="NONE")),
    (-5040, limit(time_in_force=TimeInForce.GTD, good_till_ms=1)),
    (-4015, limit(client_order_id="blank inside")),
    (-4015, limit(client_order_id="x" * 37)),
    (-1121, limit(symbol="NOSUCH")),
    (-4061, limit(position_side=PositionSide.LONG)),
    (-4001, limit(price=D(0))),
    (-4013, limit(price=D("9.9"))),
    (-4002, limit(price=D("1000000.1"))),
    (-1111, limit(price=D("990.001"))),
    (-4014, limit(price=D("990.05"))),
    (-4003, limit(quantity=D(0))),
    (-4003, market(quantity=D(-1))),
    (-1111, limit(quantity=D("1.0001"))),
    (-4005, limit(quantity=D("1000.001"))),
    (-4005, market(quantity=D("120.001"))),
    (-4016, limit(price=D("1050.1"))),
    (-4024, limit(side=SELL, price=D("949.9"))),
    (-4164, limit(quantity=D("0.005"))),
    (-4164, market(quantity=D("0.004"))),
    (-2022, market(reduce_only=True)),
    (-2019, limit(quantity=D(210), price=D(1000))),
    (-2019, market(quantity=D(120), side=SELL, symbol="ETHUSDT")),
    (-2027, limit(quantity=D(260), price=D(1000))),
]


@pytest.mark.parametrize(("code", "request_"), REFUSALS)
def test_bad_order_is_refused_with_its_code_and_leaves_nothing(code: int, request_: PlaceOrder) -> None:
    desk = Desk(deposit=D(5000) if request_.symbol == "ETHUSDT" else D(10_000))
    with refusal(code):
        desk.exchange.place_order(request_)
    assert desk.events() == []
    assert desk.exchange.all_orders(BTC) == []


@pytest.mark.parametrize(
    "order_type",
    [
        OrderType.STOP,
        OrderType.STOP_MARKET,
        OrderType.TAKE_PROFIT,
        OrderType.TAKE_PROFIT_MARKET,
        OrderType.TRAILING_STOP_MARKET,
    ],
)
def test_conditional_type_on_the_plain_route_is_refused(order_type: OrderType) -> None:
    with refusal(-4120):
        Desk().exchange.place_order(market(type=order_type))


@pytest.mark.parametrize(
    ("code", "request_"),
    [
        (-1102, limit(symbol="NOSUCH", price=None)),
        (-1121, limit(symbol="NOSUCH", position_side=PositionSide.LONG)),
        (-4061, limit(position_side=PositionSide.LONG, quantity=D(0))),
        (-4014, limit(price=D("990.05"), quantity=D(999))),
        (-2022, market(reduce_only=True, quantity=D(120))),
    ],
)
def test_first_check_in_the_fixed_order_wins(code: int, request_: PlaceOrder) -> None:
    with refusal(code):
        Desk().exchange.place_order(request_)


def test_boundary_values_are_accepted() -> None:
    desk = Desk(deposit=D(100_000_000))
    desk.exchange.place_order(limit(price=D("1050")))
    desk.exchange.place_order(limit(side=SELL, price=D("950"), quantity=D("0.006")))
    desk.exchange.place_order(limit(price=D(10), quantity=D("0.5")))
    desk.exchange.place_order(market(quantity=D(100)))
    assert desk.position() == D("101") - D("0.006")


def test_step_of_market_orders_is_its_own() -> None:
    exchange = Exchange(
        ScriptedMarket({BTC: Spec(instrument(market_step_size=D("0.01"), market_min_quantity=D("0.01")))})
    )
    exchange.place_order(limit(quantity=D("1.005")))
    with refusal(-4023):
        exchange.place_order(market(quantity=D("1.005")))
    with refusal(-4004):
        exchange.place_order(market(quantity=D("0.005")))


def test_too_many_open_orders_are_refused() -> None:
    exchange = Exchange(ScriptedMarket({BTC: Spec(instrument(max_open_orders=3))}))
    for _ in range(3):
        exchange.place_order(limit())
    with refusal(-2025):
        exchange.place_order(limit())


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (SymbolStatus.CLOSE, -4141),
        (SymbolStatus.PENDING_TRADING, -1122),
        (SymbolStatus.SETTLING, -4140),
        (SymbolStatus.TRADING_HALT, -4140),
    ],
)
def test_symbol_that_is_not_trading_takes_no_entry(status: SymbolStatus, code: int) -> None:
    exchange = Exchange(ScriptedMarket({BTC: Spec(instrument(status=status))}))
    with refusal(code):
        exchange.place_order(limit())


def test_settling_symbol_still_lets_a_position_out() -> None:
    desk = Desk()
    desk.market_order(BUY, "1")
    desk.market.specs[BTC].instrument = instrument(status=SymbolStatus.SETTLING)
    desk.market_order(SELL, "1", reduce_only=True)
    assert desk.position() == 0


@pytest.mark.parametrize("look_up", [Exchange.get_order, Exchange.cancel_order])
def test_look_up_without_any_id_is_a_missing_parameter(look_up: Callable[..., object]) -> None:
    with refusal(-1102):
        look_up(Desk().exchange, BTC)


def test_query_of_unknown_order_is_refused() -> None:
    with refusal(-2013):
        Desk().exchange.get_order(BTC, 1)
