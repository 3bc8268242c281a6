"""REST end points over a real market and engine: answers, refusals, formats."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import orjson
import pytest

from simulator.server.gateway import ROUTES
from simulator.server.wire import RawRequest
from tests.unit.simulator_server.support import KEY, START_MS, SYMBOLS, WALL_MS, Desk

ORDER, ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"
BUY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
RESTING = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}


def stop(desk: Desk, **more: Any) -> dict[str, Any]:
    trigger = desk.market.last_price("BTCUSDT") * Decimal("0.98")
    return {
        "algoType": "CONDITIONAL",
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "STOP_MARKET",
        "triggerPrice": format(trigger.quantize(Decimal("0.1")), "f"),
        "closePosition": "true",
        **more,
    }


def resting(desk: Desk, **more: Any) -> dict[str, Any]:
    price = (desk.market.last_price("BTCUSDT") * Decimal("0.97")).quantize(Decimal("0.1"))
    return {**RESTING, "price": format(price, "f"), **more}


def test_unknown_path_or_method_is_404_json(desk: Desk) -> None:
    for request in (RawRequest("GET", "/fapi/v1/nothing"), RawRequest("PATCH", ORDER), RawRequest("GET", "/")):
        response = desk.send(request)
        assert response.status == 404
        assert orjson.loads(response.body)["code"] == -5000


def test_time_is_the_gateways_wall_clock_and_market_times_are_the_markets(desk: Desk) -> None:
    assert desk.call("GET", "/fapi/v1/time") == {"serverTime": WALL_MS}
    assert desk.call("GET", "/fapi/v1/premiumIndex", symbol="BTCUSDT")["time"] == START_MS
    assert desk.call("GET", "/fapi/v1/depth", symbol="BTCUSDT", limit=5)["E"] == START_MS


def test_exchange_info_filters_equal_the_instruments(desk: Desk) -> None:
    info = desk.call("GET", "/fapi/v1/exchangeInfo")
    assert [row["symbol"] for row in info["symbols"]] == list(SYMBOLS)
    row = info["symbols"][0]
    instrument = desk.market.specs["BTCUSDT"].instrument
    filters = {rule["filterType"]: rule for rule in row["filters"]}
    assert Decimal(filters["PRICE_FILTER"]["tickSize"]) == instrument.tick_size
    assert Decimal(filters["LOT_SIZE"]["stepSize"]) == instrument.step_size
    assert Decimal(filters["MARKET_LOT_SIZE"]["maxQty"]) == instrument.market_max_quantity
    assert Decimal(filters["MIN_NOTIONAL"]["notional"]) == instrument.min_notional
    assert Decimal(filters["PERCENT_PRICE"]["multiplierUp"]) == instrument.multiplier_up
    assert Decimal(row["triggerProtect"]) == instrument.trigger_protect


def test_klines_have_history_from_the_first_second_and_end_with_the_forming_candle(desk: Desk) -> None:
    desk.play(30_000)
    rows = desk.call("GET", "/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=1500)
    assert len(rows) == 1500
    opens = [row[0] for row in rows]
    assert opens == list(range(opens[0], opens[0] + 1500 * 60_000, 60_000))
    assert rows[-1][0] == START_MS and rows[-1][6] == START_MS + 59_999
    assert all(len(row) == 12 for row in rows)


@pytest.mark.parametrize(
    ("path", "parameters", "code"),
    [
        ("/fapi/v1/klines", {"symbol": "NOPEUSDT", "interval": "1m"}, -1121),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT"}, -1102),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m", "startTime": 2, "endTime": 1}, -1023),
        ("/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": 7}, -4021),
        ("/fapi/v1/aggTrades", {"symbol": "BTCUSDT", "startTime": 1, "endTime": 3_600_002}, -1127),
        ("/fapi/v1/premiumIndex", {"symbol": "btcusdt"}, -1121),
        ("/fapi/v1/openOrders", {"symbol": "NOPE"}, -1121),
        ("/fapi/v1/order", {"symbol": "BTCUSDT"}, -1102),
        ("/fapi/v1/order", {"symbol": "BTCUSDT", "orderId": 99}, -2013),
        ("/fapi/v1/algoOrder", {}, -1102),
        ("/fapi/v1/userTrades", {"symbol": "BTCUSDT", "fromId": 1, "startTime": 1}, -1128),
        ("/fapi/v1/allOrders", {"symbol": "BTCUSDT", "startTime": 1, "endTime": 8 * 86_400_000}, -4165),
    ],
)
def test_bad_queries_have_the_venues_codes(desk: Desk, path: str, parameters: dict[str, Any], code: int) -> None:
    assert desk.error("GET", path, **parameters) == (400, code)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"side": "HOLD"}, -1117),
        ({"type": "ICEBERG"}, -1116),
        ({"type": "STOP_MARKET"}, -4120),
        ({"timeInForce": "DAY", "type": "LIMIT"}, -1115),
        ({"positionSide": "UP"}, -4060),
        ({"newOrderRespType": "FULL"}, -1136),
        ({"newClientOrderId": "x" * 37}, -4015),
        ({"quantity": "1e-05"}, -1100),
        ({"quantity": "0.0101"}, -1111),
        ({"reduceOnly": "maybe"}, -1130),
        ({"symbol": "NOPEUSDT"}, -1121),
        ({"selfTradePreventionMode": "X"}, -5039),
    ],
)
def test_bad_orders_have_the_venues_codes(desk: Desk, change: dict[str, Any], code: int) -> None:
    assert desk.error("POST", ORDER, **{**BUY, **change}) == (400, code)
    assert desk.call("GET", "/fapi/v1/allOrders", symbol="BTCUSDT") == []


def test_acks_carry_no_average_price_but_queries_do(desk: Desk) -> None:
    ack = desk.call("POST", ORDER, **BUY, newOrderRespType="RESULT")
    assert ack["status"] == "FILLED"
    assert {"avgPrice", "cumQuote", "cumBase"} & set(ack) == set()
    found = desk.call("GET", ORDER, symbol="BTCUSDT", orderId=ack["orderId"])
    assert Decimal(found["avgPrice"]) > 0
    assert Decimal(found["cumQuote"]) == Decimal(found["avgPrice"]) * Decimal(found["executedQty"])


def test_ack_of_a_market_order_is_new_unless_the_result_is_asked_for(desk: Desk) -> None:
    assert desk.call("POST", ORDER, **BUY)["status"] == "NEW"
    assert desk.call("GET", "/fapi/v3/positionRisk")[0]["positionAmt"] == "0.010"


def test_a_limit_order_lives_from_placing_to_cancelling(desk: Desk) -> None:
    placed = desk.call("POST", ORDER, **resting(desk, newClientOrderId="a.b:c/1"))
    assert placed["clientOrderId"] == "a.b:c/1"
    by_client = {"symbol": "BTCUSDT", "origClientOrderId": "a.b:c/1"}
    assert desk.call("GET", "/fapi/v1/openOrder", **by_client)["orderId"] == placed["orderId"]
    assert [row["orderId"] for row in desk.call("GET", "/fapi/v1/openOrders")] == [placed["orderId"]]
    assert desk.call("DELETE", ORDER, **by_client)["status"] == "CANCELED"
    assert desk.error("DELETE", ORDER, **by_client) == (400, -2011)
    assert desk.error("GET", "/fapi/v1/openOrder", **by_client) == (400, -2013)
    assert desk.call("GET", "/fapi/v1/openOrders", symbol="BTCUSDT") == []


def test_cancelling_all_spares_the_other_service(desk: Desk) -> None:
    desk.call("POST", ORDER, **BUY)
    desk.call("POST", ORDER, **resting(desk))
    algo = desk.call("POST", ALGO, **stop(desk))
    assert desk.call("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")["code"] == 200
    assert desk.call("GET", "/fapi/v1/openOrders") == []
    assert [row["algoId"] for row in desk.call("GET", "/fapi/v1/openAlgoOrders")] == [algo["algoId"]]
    assert desk.call("DELETE", "/fapi/v1/algoOpenOrders", symbol="BTCUSDT")["code"] == 200
    assert desk.call("GET", "/fapi/v1/openAlgoOrders") == []
    assert desk.call("GET", "/fapi/v1/allAlgoOrders", symbol="BTCUSDT")[0]["algoStatus"] == "CANCELED"


def test_conditional_orders_have_ids_and_answers_of_their_own(desk: Desk) -> None:
    desk.call("POST", ORDER, **BUY)
    placed = desk.call("POST", ALGO, **stop(desk, clientAlgoId="stop-1"))
    assert placed["algoStatus"] == "NEW" and placed["closePosition"] is True
    assert desk.error("GET", ORDER, symbol="BTCUSDT", orderId=placed["algoId"]) == (400, -2013)
    found = desk.call("GET", ALGO, clientAlgoId="stop-1")
    assert found["actualOrderId"] == "" and found["algoId"] == placed["algoId"]
    cancelled = desk.call("DELETE", ALGO, algoId=placed["algoId"])
    assert cancelled == {"algoId": placed["algoId"], "clientAlgoId": "stop-1", "code": "200", "msg": "success"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"algoType": "TWAP"}, -1130),
        ({"type": "LIMIT"}, -1116),
        ({"workingType": "INDEX"}, -4031),
        ({"quantity": "0.01"}, -4137),
        ({"side": "BUY"}, -4509),
        ({"triggerPrice": "900000"}, -2021),
    ],
)
def test_bad_conditional_orders_have_the_venues_codes(desk: Desk, change: dict[str, Any], code: int) -> None:
    desk.call("POST", ORDER, **BUY)
    assert desk.error("POST", ALGO, **{**stop(desk), **change}) == (400, code)


def test_account_views_agree_after_a_fill(desk: Desk) -> None:
    desk.call("POST", ORDER, **BUY)
    account = desk.call("GET", "/fapi/v3/account")
    balance = desk.call("GET", "/fapi/v3/balance")[0]
    trade = desk.call("GET", "/fapi/v1/userTrades", symbol="BTCUSDT")[0]
    income = desk.call("GET", "/fapi/v1/income")
    assert Decimal(account["totalWalletBalance"]) == Decimal(10_000) - Decimal(trade["commission"])
    assert balance["balance"] == account["totalWalletBalance"] == account["assets"][0]["walletBalance"]
    assert sum(Decimal(row["income"]) for row in income) == Decimal(balance["balance"])
    assert account["positions"][0]["positionAmt"] == "0.010"
    assert {row["incomeType"] for row in income} == {"TRANSFER", "COMMISSION"}
    only = desk.call("GET", "/fapi/v1/income", incomeType="COMMISSION", symbol="BTCUSDT")
    assert [row["tradeId"] for row in only] == [str(trade["id"])]


def test_user_trades_can_be_read_by_order_and_from_an_id(desk: Desk) -> None:
    orders = [desk.call("POST", ORDER, **BUY)["orderId"] for _ in range(3)]
    trades = desk.call("GET", "/fapi/v1/userTrades", symbol="BTCUSDT")
    assert [row["orderId"] for row in trades] == orders
    second = desk.call("GET", "/fapi/v1/userTrades", symbol="BTCUSDT", orderId=orders[1])
    assert [row["orderId"] for row in second] == [orders[1]]
    later = desk.call("GET", "/fapi/v1/userTrades", symbol="BTCUSDT", fromId=trades[1]["id"], limit=1)
    assert later == [trades[1]]


def test_settings_are_set_and_read_back(desk: Desk) -> None:
    assert desk.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=5)["leverage"] == 5
    assert desk.call("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")["code"] == 200
    assert desk.error("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED") == (400, -4046)
    config = desk.call("GET", "/fapi/v1/symbolConfig", symbol="BTCUSDT")
    assert (config[0]["leverage"], config[0]["marginType"]) == (5, "ISOLATED")
    assert desk.error("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=999) == (400, -4028)
    assert desk.call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true")["code"] == 200
    assert desk.call("GET", "/fapi/v1/positionSide/dual") == {"dualSidePosition": True}
    assert desk.call("GET", "/fapi/v1/accountConfig")["dualSidePosition"] is True
    assert desk.error("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true") == (400, -4059)
    assert desk.error("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="CROSS") == (400, -1130)


def test_leverage_bracket_is_one_object_for_a_symbol_and_a_list_for_all(desk: Desk) -> None:
    one = desk.call("GET", "/fapi/v1/leverageBracket", symbol="BTCUSDT")
    every = desk.call("GET", "/fapi/v1/leverageBracket")
    assert every[0] == one
    for before, after in pairwise(one["brackets"]):
        growth = after["notionalFloor"] * (after["maintMarginRatio"] - before["maintMarginRatio"])
        assert after["cum"] == pytest.approx(before["cum"] + growth)


def test_hedge_mode_needs_a_position_side_and_keeps_two_legs(desk: Desk) -> None:
    desk.call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true")
    assert desk.error("POST", ORDER, **BUY) == (400, -4061)
    desk.call("POST", ORDER, **BUY, positionSide="LONG")
    desk.call("POST", ORDER, **{**BUY, "side": "SELL", "quantity": "0.02"}, positionSide="SHORT")
    rows = desk.call("GET", "/fapi/v3/positionRisk", symbol="BTCUSDT")
    assert {row["positionSide"]: row["positionAmt"] for row in rows} == {"LONG": "0.010", "SHORT": "-0.020"}


def test_tickers_agree_with_the_market(desk: Desk) -> None:
    desk.play(90_000)
    last = desk.market.last_price("BTCUSDT")
    assert Decimal(desk.call("GET", "/fapi/v2/ticker/price", symbol="BTCUSDT")["price"]) == last
    quotes = desk.call("GET", "/fapi/v1/ticker/bookTicker", symbol="BTCUSDT")
    assert Decimal(quotes["bidPrice"]) < Decimal(quotes["askPrice"])
    day = desk.call("GET", "/fapi/v1/ticker/24hr", symbol="BTCUSDT")
    assert Decimal(day["lastPrice"]) == last
    assert Decimal(day["lowPrice"]) <= Decimal(day["weightedAvgPrice"]) <= Decimal(day["highPrice"])
    assert len(desk.call("GET", "/fapi/v1/ticker/24hr")) == len(SYMBOLS)
    assert len(desk.call("GET", "/fapi/v1/premiumIndex")) == len(SYMBOLS)


def test_aggregate_trades_continue_from_an_id(desk: Desk) -> None:
    desk.play(60_000)
    rows = desk.call("GET", "/fapi/v1/aggTrades", symbol="BTCUSDT", limit=10)
    again = desk.call("GET", "/fapi/v1/aggTrades", symbol="BTCUSDT", fromId=rows[4]["a"], limit=3)
    assert again == rows[4:7]


def test_funding_end_points_answer(desk: Desk) -> None:
    rows = desk.call("GET", "/fapi/v1/fundingRate", symbol="BTCUSDT", limit=3)
    assert len(rows) == 3
    assert [row["fundingTime"] % (8 * 3_600_000) for row in rows] == [0, 0, 0]
    assert {row["symbol"] for row in desk.call("GET", "/fapi/v1/fundingRate")} == set(SYMBOLS)
    assert desk.call("GET", "/fapi/v1/fundingInfo")[0]["fundingIntervalHours"] == 8


def test_small_look_ups_answer(desk: Desk) -> None:
    assert desk.call("GET", "/fapi/v1/ping") == {}
    assert desk.call("GET", "/fapi/v1/multiAssetsMargin") == {"multiAssetsMargin": False}
    assert desk.call("GET", "/fapi/v1/commissionRate", symbol="BTCUSDT")["takerCommissionRate"] == "0.000500"
    assert {row["rateLimitType"] for row in desk.call("GET", "/fapi/v1/rateLimit/order")} == {"ORDERS"}


def test_an_internal_error_is_500_with_1000_and_loses_no_service(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(desk.exchange, "balances", broken)
    response = desk.refused("GET", "/fapi/v3/balance")
    assert response.status == 500
    assert orjson.loads(response.body) == {
        "code": -1000,
        "msg": "An unknown error occurred while processing the request.",
    }
    assert desk.call("GET", "/fapi/v1/ping") == {}


def test_every_private_route_refuses_a_stranger(desk: Desk) -> None:
    public = {"NONE"}
    for route in ROUTES.values():
        if route.security.name not in public:
            assert desk.send(RawRequest(route.method, route.path)).status == 401, route.path


def test_listen_key_is_stable_until_closed(desk: Desk) -> None:
    first = desk.call("POST", "/fapi/v1/listenKey")["listenKey"]
    assert desk.call("POST", "/fapi/v1/listenKey")["listenKey"] == first
    assert desk.call("PUT", "/fapi/v1/listenKey")["listenKey"] == first
    desk.wall_ms += 59 * 60_000
    assert desk.call("PUT", "/fapi/v1/listenKey")["listenKey"] == first
    desk.wall_ms += 60 * 60_000
    assert desk.error("PUT", "/fapi/v1/listenKey") == (400, -1125)
    second = desk.call("POST", "/fapi/v1/listenKey")["listenKey"]
    assert second != first
    assert desk.call("DELETE", "/fapi/v1/listenKey") == {}
    assert desk.error("PUT", "/fapi/v1/listenKey") == (400, -1125)
    assert KEY not in second
