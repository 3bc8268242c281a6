"""Faults of requests: what took effect, and what the client gets to see."""

from __future__ import annotations

import orjson
import pytest

from simulator.faults.rest import SINGLE_LOOKUPS
from tests.unit.simulator_faults.support import BTC, ORDER, D, FaultyVenue

POST = "POST /fapi/v1/order"
ORDERS = "/fapi/v1/order"


@pytest.fixture
def venue() -> FaultyVenue:
    return FaultyVenue()


@pytest.mark.parametrize(
    ("kind", "values", "is_applied"),
    [
        ("apply_then_drop", {}, True),
        ("hang", {}, True),
        ("hang", {"detail": "not_applied"}, False),
        ("noapply_then_drop", {}, False),
    ],
)
def test_request_without_an_answer(venue: FaultyVenue, kind: str, values: dict[str, str], is_applied: bool) -> None:
    venue.inject(kind, target=POST, amount=7_000, **values)
    answer = venue.send("POST", ORDERS, **ORDER)
    assert answer.response is None
    assert answer.delay_ms == (7_000 if kind == "hang" else 0)
    assert venue.position() == (D("0.010") if is_applied else 0)


@pytest.mark.parametrize(
    ("kind", "amount", "is_applied"),
    [("apply_then_status", None, True), ("apply_then_status", 502, True), ("noapply_then_status", 504, False)],
)
def test_server_error_does_not_tell_whether_the_order_took_effect(
    venue: FaultyVenue, kind: str, amount: int | None, is_applied: bool
) -> None:
    venue.inject(kind, target=POST, amount=amount)
    answer = venue.send("POST", ORDERS, **ORDER)
    assert answer.response is not None and answer.response.status == (amount or 503)
    assert b"Unknown error" in answer.response.body
    assert venue.position() == (D("0.010") if is_applied else 0)


def test_an_order_that_was_applied_unseen_is_told_on_the_stream(venue: FaultyVenue) -> None:
    session = venue.user_stream()
    venue.inject("apply_then_drop", target=POST)
    venue.send("POST", ORDERS, **ORDER)
    assert any(b"ORDER_TRADE_UPDATE" in frame for frame in session.outgoing)


@pytest.mark.parametrize(
    ("code", "status"), [(-2019, 400), (-1008, 503), (-1007, 408), (-2015, 401), (-1003, 429), (-4120, 400)]
)
def test_refusal_of_any_code_comes_with_its_http_status(venue: FaultyVenue, code: int, status: int) -> None:
    venue.inject("refuse", target=POST, amount=code)
    assert venue.error("POST", ORDERS, **ORDER) == (status, code)
    assert venue.position() == 0
    venue.call("POST", ORDERS, **ORDER)


def test_overload_spares_what_only_takes_risk_away(venue: FaultyVenue) -> None:
    venue.call("POST", ORDERS, **ORDER)
    mark = D(venue.call("GET", "/fapi/v1/premiumIndex", symbol=BTC)["markPrice"])
    trigger = format((mark * D("0.97")).quantize(D("0.1")), "f")
    stop = {"algoType": "CONDITIONAL", "symbol": BTC, "side": "SELL", "type": "STOP_MARKET", "clientAlgoId": "s-1"}
    venue.inject("refuse", amount=-1008, for_ms=60_000, count=100)
    assert venue.error("POST", ORDERS, **ORDER) == (503, -1008)
    venue.call("POST", "/fapi/v1/algoOrder", triggerPrice=trigger, closePosition="true", **stop)
    venue.call("DELETE", "/fapi/v1/algoOrder", clientAlgoId="s-1")
    venue.call("POST", ORDERS, **{**ORDER, "side": "SELL", "reduceOnly": "true"})
    venue.injector.clear()
    assert venue.position() == 0


@pytest.mark.parametrize(
    ("position_side", "side", "is_spared"),
    [("LONG", "SELL", True), ("SHORT", "BUY", True), ("LONG", "BUY", False), ("SHORT", "SELL", False)],
)
def test_overload_spares_orders_against_a_leg(
    venue: FaultyVenue, position_side: str, side: str, is_spared: bool
) -> None:
    venue.inject("refuse", target=POST, amount=-1008)
    _, code = venue.error("POST", ORDERS, **{**ORDER, "positionSide": position_side, "side": side})
    assert (code == -1008) is not is_spared  # a spared one meets the account's one-way mode instead


def test_late_request_is_applied_after_its_way_even_though_the_client_saw_an_error(venue: FaultyVenue) -> None:
    venue.inject("late_apply", target=POST, amount=1_500)
    assert venue.send("POST", ORDERS, **ORDER).response is None
    venue.wait(1_499)
    assert venue.position() == 0
    venue.wait(1)
    assert venue.position() == D("0.010")
    venue.wait(5_000)
    assert venue.position() == D("0.010")


def test_request_that_is_later_than_its_window_is_refused_by_the_exchange(venue: FaultyVenue) -> None:
    venue.inject("late_apply", target=POST, amount=6_000)
    venue.send("POST", ORDERS, recvWindow=5000, **ORDER)
    venue.wait(6_000)
    assert venue.position() == 0


def test_slow_answer_is_the_sound_one(venue: FaultyVenue) -> None:
    venue.inject("slow_first_byte", target=POST, amount=300)
    answer = venue.send("POST", ORDERS, **ORDER)
    assert answer.delay_ms == 300 and answer.response is not None
    assert orjson.loads(answer.response.body)["symbol"] == BTC


@pytest.mark.parametrize("kind", ["body_html", "body_truncated", "body_empty", "body_shape"])
def test_spoiled_body_comes_with_200_after_the_order_took_effect(venue: FaultyVenue, kind: str) -> None:
    venue.inject(kind, target=POST)
    answer = venue.send("POST", ORDERS, **ORDER)
    assert answer.response is not None and answer.response.status == 200
    body = answer.response.body
    if kind == "body_shape":
        assert orjson.loads(body) == {}
    else:
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(body)
    assert (answer.response.headers.get("Content-Type") == "text/html") is (kind == "body_html")
    assert venue.position() == D("0.010")


def test_redirect_points_to_the_same_place_and_applies_nothing(venue: FaultyVenue) -> None:
    venue.inject("redirect", target=POST)
    answer = venue.send("POST", ORDERS, **ORDER)
    assert answer.response is not None and answer.response.status == 307
    assert answer.response.headers["Location"].startswith("/fapi/v1/order?symbol=BTCUSDT")
    assert venue.position() == 0


@pytest.mark.parametrize(("kind", "status"), [("throttle", 429), ("ban", 418)])
def test_throttle_and_ban_say_for_how_long_and_end_then(venue: FaultyVenue, kind: str, status: int) -> None:
    venue.inject(kind, for_ms=30_000)
    venue.wait(10_500)
    answer = venue.send("GET", "/fapi/v3/account")
    assert answer.response is not None and answer.response.status == status
    assert answer.response.headers["Retry-After"] == "20"
    assert orjson.loads(answer.response.body)["code"] == -1003
    venue.wait(19_500)
    venue.call("GET", "/fapi/v3/account")


def test_single_look_ups_miss_a_young_order_while_lists_show_it(venue: FaultyVenue) -> None:
    venue.inject("query_lag_single", for_ms=60_000, amount=5_000)
    limit = {"symbol": BTC, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010", "price": "60000"}
    order_id = venue.call("POST", ORDERS, **limit)["orderId"]
    assert venue.error("GET", ORDERS, symbol=BTC, orderId=order_id) == (400, -2013)
    assert venue.error("GET", "/fapi/v1/openOrder", symbol=BTC, orderId=order_id) == (400, -2013)
    assert [row["orderId"] for row in venue.call("GET", "/fapi/v1/openOrders")] == [order_id]
    venue.wait(5_001)
    assert venue.call("GET", ORDERS, symbol=BTC, orderId=order_id)["orderId"] == order_id


def test_lists_miss_young_orders_and_trades_while_single_look_ups_show_them(venue: FaultyVenue) -> None:
    order_id = venue.call("POST", ORDERS, **ORDER)["orderId"]
    venue.wait(10_000)
    venue.inject("query_lag_list", for_ms=60_000, amount=5_000)
    stop = {"algoType": "CONDITIONAL", "symbol": BTC, "side": "SELL", "type": "STOP_MARKET", "closePosition": "true"}
    trigger = format(venue.market.last_price(BTC).quantize(D(1)) - 5_000, "f")
    algo_id = venue.call("POST", "/fapi/v1/algoOrder", triggerPrice=trigger, **stop)["algoId"]
    venue.call("POST", ORDERS, **ORDER)
    assert venue.call("GET", "/fapi/v1/openAlgoOrders") == []
    assert [row["orderId"] for row in venue.call("GET", "/fapi/v1/userTrades", symbol=BTC)] == [order_id]
    assert venue.call("GET", "/fapi/v1/algoOrder", algoId=algo_id)["algoId"] == algo_id
    assert "/fapi/v1/algoOrder" in SINGLE_LOOKUPS
    venue.wait(5_001)
    assert len(venue.call("GET", "/fapi/v1/openAlgoOrders")) == 1


def test_bent_gateway_clock_refuses_a_sound_timestamp(venue: FaultyVenue) -> None:
    venue.inject("clock_skew", for_ms=1_000, amount=90_000)
    assert venue.error("GET", "/fapi/v3/account") == (400, -1021)
    assert venue.call("GET", "/fapi/v1/time")["serverTime"] == venue.now_ms + 90_000
    venue.wait(1_000)
    venue.call("GET", "/fapi/v3/account")
