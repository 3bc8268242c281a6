"""Answers of another shape are never taken for success, and odd spellings of numbers are read by value."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.commands import (
    CancelOrder,
    FetchBalances,
    FetchPositionMode,
    FetchPositions,
    IdentifyOrder,
    QueryOrder,
    SetLeverage,
    SetMarginType,
    SetPositionMode,
    VenueCommand,
)
from core.enums import AlgoStatus, MarginType, OrderService, OrderStatus, OrderType, PositionMode, PositionSide
from core.orders import OrderReport
from exchange.binance.mapping import (
    algo_order_report,
    leverage_brackets,
    newest_time_ms,
    order_report,
    payload_of,
    position_report,
)
from exchange.binance.wire import WireError, decode_json
from tests.unit.exchange.builders import algo_order, plain_order, submit

ORDER: dict[str, Any] = {
    "orderId": 22542179,
    "symbol": "BTCUSDT",
    "status": "NEW",
    "clientOrderId": "ft-1-1-E0",
    "price": "0",
    "origQty": "0.010",
    "executedQty": "0",
    "type": "MARKET",
    "origType": "MARKET",
    "reduceOnly": False,
    "closePosition": False,
    "side": "BUY",
    "positionSide": "BOTH",
    "updateTime": 1566818724722,
}
ALGO: dict[str, Any] = {
    "algoId": 2146760,
    "clientAlgoId": "ft-1-1-S0",
    "orderType": "STOP_MARKET",
    "symbol": "BTCUSDT",
    "side": "SELL",
    "positionSide": "BOTH",
    "quantity": "0",
    "algoStatus": "NEW",
    "triggerPrice": "59000.10",
    "closePosition": True,
    "reduceOnly": False,
    "updateTime": 1750485492076,
}

WRONG_SHAPES: list[Any] = [None, "", 0, [], {}, {"code": 200, "msg": "success"}, {"code": -2019, "msg": "no"}]


@pytest.mark.parametrize("body", WRONG_SHAPES, ids=repr)
@pytest.mark.parametrize(
    "command",
    [
        submit(plain_order()),
        submit(algo_order()),
        QueryOrder("BTCUSDT", "ft-1-1-E0", OrderService.PLAIN),
        QueryOrder("BTCUSDT", "ft-1-1-S0", OrderService.ALGO),
        IdentifyOrder("BTCUSDT", 42),
        CancelOrder("BTCUSDT", "ft-1-1-E0", OrderService.PLAIN),
        SetLeverage("BTCUSDT", 5),
        FetchPositionMode(),
    ],
    ids=lambda command: type(command).__name__,
)
def test_payload_of_another_shape_is_an_error(command: VenueCommand, body: Any) -> None:
    with pytest.raises(WireError):
        payload_of(command, body)


@pytest.mark.parametrize("missing", sorted(ORDER.keys() - {"price", "reduceOnly", "closePosition", "origType"}))
def test_order_without_a_needed_field_is_an_error(missing: str) -> None:
    row = {key: value for key, value in ORDER.items() if key != missing}
    with pytest.raises(WireError, match=missing):
        order_report(row, "ACK")


@pytest.mark.parametrize("missing", sorted(ALGO.keys() - {"quantity", "triggerPrice", "reduceOnly", "closePosition"}))
def test_algo_order_without_a_needed_field_is_an_error(missing: str) -> None:
    row = {key: value for key, value in ALGO.items() if key != missing}
    with pytest.raises(WireError, match=missing):
        algo_order_report(row)


def test_words_invented_later_become_unknown() -> None:
    report = order_report(ORDER | {"type": "SOMETHING", "status": "PENDING_CANCEL"}, "QUERY")
    assert (report.type, report.status) == (OrderType.UNKNOWN, OrderStatus.UNKNOWN)
    assert algo_order_report(ALGO | {"algoStatus": "PAUSED"}).status is AlgoStatus.UNKNOWN


def test_ack_without_average_price_has_none() -> None:
    assert order_report(ORDER, "ACK").average_price is None
    assert order_report(ORDER | {"avgPrice": "0.00000"}, "QUERY").average_price is None
    assert order_report(ORDER | {"avgPrice": "1.5"}, "QUERY").average_price == Decimal("1.5")


@pytest.mark.parametrize("spelling", ["7.0E-4", "0.0007", "0.00070000"])
def test_decimals_are_read_by_value(spelling: str) -> None:
    assert algo_order_report(ALGO | {"triggerPrice": spelling}).trigger_price == Decimal("0.0007")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1,5", "abc"])
def test_numbers_that_are_none_are_an_error(value: str) -> None:
    with pytest.raises(WireError):
        order_report(ORDER | {"origQty": value}, "ACK")


def test_cancel_counts_only_for_the_order_that_was_meant() -> None:
    plain_cancel = CancelOrder("BTCUSDT", "ft-1-1-E0", OrderService.PLAIN)
    assert payload_of(plain_cancel, ORDER | {"status": "CANCELED"}) is None
    with pytest.raises(WireError):
        payload_of(plain_cancel, ORDER | {"clientOrderId": "someone-else"})
    algo_cancel = CancelOrder("BTCUSDT", "ft-1-1-S0", OrderService.ALGO)
    reply = {"algoId": 1, "clientAlgoId": "ft-1-1-S0", "code": "200", "msg": "success"}
    assert payload_of(algo_cancel, reply) is None


def test_settings_are_confirmed_by_their_own_answer() -> None:
    assert payload_of(SetLeverage("X", 5), {"leverage": 5, "maxNotionalValue": "1", "symbol": "X"}) is None
    with pytest.raises(WireError):
        payload_of(SetLeverage("X", 5), {"leverage": 20, "maxNotionalValue": "1", "symbol": "X"})
    for command in (SetMarginType("X", MarginType.ISOLATED), SetPositionMode(PositionMode.HEDGE)):
        assert payload_of(command, {"code": 200, "msg": "success"}) is None


@pytest.mark.parametrize(("value", "mode"), [(True, PositionMode.HEDGE), ("false", PositionMode.ONEWAY)])
def test_position_mode_is_read(value: Any, mode: PositionMode) -> None:
    assert payload_of(FetchPositionMode(), {"dualSidePosition": value}) is mode


@pytest.mark.parametrize(
    ("side", "amount", "quantity"),
    [("BOTH", "-2", "-2"), ("LONG", "2", "2"), ("SHORT", "2", "-2"), ("SHORT", "-2", "-2")],
)
def test_position_quantity_is_signed_by_its_leg(side: str, amount: str, quantity: str) -> None:
    row = {
        "symbol": "X",
        "positionSide": side,
        "positionAmt": amount,
        "entryPrice": "1",
        "unRealizedProfit": "0",
        "updateTime": 5,
        "markPrice": "1.1",
        "liquidationPrice": "0",
    }
    report = position_report(row)
    assert (report.position_side, report.quantity) == (PositionSide(side), Decimal(quantity))
    assert report.liquidation_price is None


def test_lists_are_read_whole_or_not_at_all() -> None:
    assert payload_of(FetchPositions(), []) == ()
    with pytest.raises(WireError):
        payload_of(FetchBalances(), [{"asset": "USDT", "balance": "1"}])


def test_leverage_brackets_keep_numbers_exact_and_accept_a_bare_object() -> None:
    body = decode_json(
        b'{"symbol":"X","notionalCoef":1.5,"brackets":[{"bracket":1,"initialLeverage":75,"notionalCap":10000,'
        b'"notionalFloor":0,"maintMarginRatio":0.0065,"cum":0.1}]}'
    )
    ((step,),) = leverage_brackets(body).values()
    assert (step.maintenance_margin_rate, step.maintenance_amount) == (Decimal("0.0065"), Decimal("0.1"))
    assert leverage_brackets([body]) == leverage_brackets(body)


def test_newest_time_is_found_in_every_payload() -> None:
    report = order_report(ORDER, "ACK")
    assert newest_time_ms(report) == ORDER["updateTime"]
    assert newest_time_ms((report, order_report(ORDER | {"updateTime": 7}, "ACK"))) == ORDER["updateTime"]
    assert newest_time_ms(None) == 0


@given(st.dictionaries(st.sampled_from(sorted(ORDER)), st.none() | st.integers() | st.text(max_size=5) | st.booleans()))
def test_order_with_any_field_garbled_is_a_report_or_a_wire_error(changes: dict[str, Any]) -> None:
    with contextlib.suppress(WireError):
        assert isinstance(order_report(ORDER | changes, "ACK"), OrderReport)
