"""Each command becomes exactly the request that the protocol sheet asks for, with numbers as plain text."""

from __future__ import annotations

from decimal import Decimal

import pytest

from core.commands import (
    CancelOrder,
    FetchBalances,
    FetchCommissionRate,
    FetchFills,
    FetchIncome,
    FetchLeverageBrackets,
    FetchOpenAlgoOrders,
    FetchOpenOrders,
    FetchPositionMode,
    FetchPositions,
    FetchSymbolConfig,
    IdentifyOrder,
    QueryOrder,
    SetCountdownCancel,
    SetLeverage,
    SetMarginType,
    SetPositionMode,
    VenueCommand,
)
from core.enums import (
    MarginType,
    OrderService,
    OrderType,
    PositionMode,
    PositionSide,
    Priority,
    Side,
    TimeInForce,
    WorkingType,
)
from exchange.binance.calls import call_for, klines
from tests.unit.exchange.builders import algo_order, plain_order, submit


def test_market_entry_sends_quantity_only_and_asks_for_the_result() -> None:
    call = call_for(submit(plain_order()))
    assert (call.method, call.path, call.weight, call.orders) == ("POST", "/fapi/v1/order", 0, 1)
    assert call.priority is Priority.ENTRY
    assert call.params == {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "positionSide": "BOTH",
        "type": "MARKET",
        "quantity": "0.010",
        "newClientOrderId": "ft-1-1-E0",
        "newOrderRespType": "RESULT",
    }


def test_limit_order_sends_price_and_time_in_force() -> None:
    order = plain_order(type=OrderType.LIMIT, price=Decimal("1E+2"), time_in_force=TimeInForce.GTX)
    params = call_for(submit(order)).params
    assert (params["price"], params["timeInForce"]) == ("100", "GTX")
    assert "newOrderRespType" not in params


def test_one_way_exit_is_reduce_only_and_hedge_exit_never_is() -> None:
    one_way = call_for(submit(plain_order(side=Side.SELL, reduce_only=True), Priority.EXIT))
    assert one_way.params["reduceOnly"] == "true"
    hedge = call_for(submit(plain_order(side=Side.SELL, position_side=PositionSide.LONG), Priority.EXIT))
    assert "reduceOnly" not in hedge.params
    assert hedge.params["positionSide"] == "LONG"


@pytest.mark.parametrize("quantity", [Decimal("1E-7"), Decimal("0.00001"), Decimal("1E+3")])
def test_numbers_never_carry_an_exponent(quantity: Decimal) -> None:
    sent = call_for(submit(plain_order(quantity=quantity))).params["quantity"]
    assert "E" not in sent.upper()
    assert Decimal(sent) == quantity


def test_protective_stop_closes_the_position_without_quantity_or_reduce_only() -> None:
    call = call_for(submit(algo_order(reduce_only=True, quantity=Decimal(1)), Priority.EXIT))
    assert (call.method, call.path) == ("POST", "/fapi/v1/algoOrder")
    assert call.params == {
        "algoType": "CONDITIONAL",
        "symbol": "BTCUSDT",
        "side": "SELL",
        "positionSide": "BOTH",
        "type": "STOP_MARKET",
        "triggerPrice": "59000.10",
        "workingType": "CONTRACT_PRICE",
        "clientAlgoId": "ft-1-1-S0",
        "closePosition": "true",
    }


def test_conditional_order_with_quantity_may_be_reduce_only_and_price_protected() -> None:
    order = algo_order(
        close_position=False,
        quantity=Decimal("0.5"),
        reduce_only=True,
        price_protect=True,
        working_type=WorkingType.MARK_PRICE,
    )
    params = call_for(submit(order)).params
    assert params["quantity"] == "0.5"
    assert params["reduceOnly"] == "true"
    assert params["priceProtect"] == "TRUE"
    assert params["workingType"] == "MARK_PRICE"
    assert "closePosition" not in params


@pytest.mark.parametrize(
    ("command", "method", "path", "params", "weight"),
    [
        (
            CancelOrder("BTCUSDT", "id", OrderService.PLAIN),
            "DELETE",
            "/fapi/v1/order",
            {"symbol": "BTCUSDT", "origClientOrderId": "id"},
            1,
        ),
        (CancelOrder("BTCUSDT", "id", OrderService.ALGO), "DELETE", "/fapi/v1/algoOrder", {"clientAlgoId": "id"}, 1),
        (
            QueryOrder("BTCUSDT", "id", OrderService.PLAIN),
            "GET",
            "/fapi/v1/order",
            {"symbol": "BTCUSDT", "origClientOrderId": "id"},
            1,
        ),
        (IdentifyOrder("BTCUSDT", 42), "GET", "/fapi/v1/order", {"symbol": "BTCUSDT", "orderId": "42"}, 1),
        (QueryOrder("BTCUSDT", "id", OrderService.ALGO), "GET", "/fapi/v1/algoOrder", {"clientAlgoId": "id"}, 1),
        (FetchPositions(), "GET", "/fapi/v3/positionRisk", {}, 5),
        (FetchPositions("X"), "GET", "/fapi/v3/positionRisk", {"symbol": "X"}, 5),
        (FetchOpenOrders(), "GET", "/fapi/v1/openOrders", {}, 40),
        (FetchOpenOrders("X"), "GET", "/fapi/v1/openOrders", {"symbol": "X"}, 1),
        (FetchOpenAlgoOrders(), "GET", "/fapi/v1/openAlgoOrders", {}, 40),
        (FetchOpenAlgoOrders("X"), "GET", "/fapi/v1/openAlgoOrders", {"symbol": "X"}, 1),
        (FetchBalances(), "GET", "/fapi/v3/balance", {}, 5),
        (FetchSymbolConfig(), "GET", "/fapi/v1/symbolConfig", {}, 5),
        (FetchLeverageBrackets(), "GET", "/fapi/v1/leverageBracket", {}, 1),
        (FetchCommissionRate("X"), "GET", "/fapi/v1/commissionRate", {"symbol": "X"}, 20),
        (FetchPositionMode(), "GET", "/fapi/v1/positionSide/dual", {}, 30),
        (
            SetPositionMode(PositionMode.HEDGE),
            "POST",
            "/fapi/v1/positionSide/dual",
            {"dualSidePosition": "true"},
            1,
        ),
        (
            SetPositionMode(PositionMode.ONEWAY),
            "POST",
            "/fapi/v1/positionSide/dual",
            {"dualSidePosition": "false"},
            1,
        ),
        (SetLeverage("X", 5), "POST", "/fapi/v1/leverage", {"symbol": "X", "leverage": "5"}, 1),
        (
            SetMarginType("X", MarginType.ISOLATED),
            "POST",
            "/fapi/v1/marginType",
            {"symbol": "X", "marginType": "ISOLATED"},
            1,
        ),
        (
            SetCountdownCancel("X", 30_000),
            "POST",
            "/fapi/v1/countdownCancelAll",
            {"symbol": "X", "countdownTime": "30000"},
            10,
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str | int | dict) else "",
)
def test_command_becomes_its_request(
    command: VenueCommand, method: str, path: str, params: dict[str, str], weight: int
) -> None:
    call = call_for(command)
    assert (call.method, call.path, call.params, call.weight) == (method, path, params, weight)
    assert call.signed
    assert call.orders == 0


@pytest.mark.parametrize("command", [FetchFills("X"), FetchIncome(0)])
def test_paged_commands_have_no_single_request(command: VenueCommand) -> None:
    with pytest.raises(ValueError, match="page by page"):
        call_for(command)


@pytest.mark.parametrize(
    ("limit", "weight"), [(1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (1001, 10), (1500, 10)]
)
def test_klines_weight_follows_the_limit(limit: int, weight: int) -> None:
    assert klines("X", "1m", None, None, limit).weight == weight
