"""Weights and order counts: windows, headers, 429 and the way to 418."""

from __future__ import annotations

import orjson
import pytest

from simulator.engine.errors import ApiError
from simulator.server.limits import FIRST_BAN_MS, REFUSALS_BEFORE_BAN, Limiter, RateLimits, Throttled
from simulator.server.wire import RawRequest
from tests.unit.simulator_server.support import Desk

MINUTE = 1_790_000_040_000 // 60_000 * 60_000


def charge_until_refused(limiter: Limiter, now_ms: int) -> Throttled:
    for _ in range(10_000):
        try:
            limiter.charge("ip", 100, now_ms)
        except Throttled as error:
            return error
    raise AssertionError("never refused")


def test_weight_is_counted_per_minute_and_address() -> None:
    limiter = Limiter(RateLimits(weight_per_minute=100))
    limiter.charge("a", 60, MINUTE)
    limiter.charge("b", 60, MINUTE)
    with pytest.raises(Throttled):
        limiter.charge("a", 60, MINUTE + 59_999)
    limiter.charge("a", 60, MINUTE + 60_000)
    assert limiter.weight_headers("a", MINUTE + 60_000) == {"X-MBX-USED-WEIGHT-1M": "60"}


def test_too_much_weight_is_429_with_seconds_to_the_next_minute() -> None:
    error = charge_until_refused(Limiter(RateLimits()), MINUTE + 50_500)
    assert (error.code, error.http_status, error.retry_after_s) == (-1003, 429, 10)


def test_an_address_that_keeps_coming_is_banned_longer_each_time() -> None:
    limiter, now_ms = Limiter(RateLimits()), MINUTE
    for ban in range(3):
        errors = [charge_until_refused(limiter, now_ms) for _ in range(REFUSALS_BEFORE_BAN + 1)]
        assert [error.http_status for error in errors] == [429] * REFUSALS_BEFORE_BAN + [418]
        assert errors[-1].retry_after_s == FIRST_BAN_MS * 2**ban // 1000
        assert f"banned until {now_ms + FIRST_BAN_MS * 2**ban}" in errors[-1].message
        with pytest.raises(Throttled, match="Way too many"):
            limiter.charge("ip", 1, now_ms + FIRST_BAN_MS * 2**ban - 1)
        now_ms += FIRST_BAN_MS * 2**ban
        limiter.charge("ip", 1, now_ms)


def test_order_counts_have_two_windows() -> None:
    limiter = Limiter(RateLimits(orders_per_10s=2, orders_per_minute=3))
    limiter.count_order(MINUTE)
    limiter.count_order(MINUTE + 9_999)
    with pytest.raises(ApiError, match="2 orders per 10 SECOND") as caught:
        limiter.count_order(MINUTE + 9_999)
    assert (caught.value.code, caught.value.http_status) == (-1015, 429)
    limiter.count_order(MINUTE + 10_000)
    assert limiter.order_counts(MINUTE + 10_000) == (1, 3)
    with pytest.raises(ApiError, match="3 orders per 1 MINUTE"):
        limiter.count_order(MINUTE + 20_000)
    limiter.count_order(MINUTE + 60_000)


@pytest.mark.parametrize(
    ("path", "query", "weight"),
    [
        ("/fapi/v1/time", "", 1),
        ("/fapi/v1/klines", "symbol=BTCUSDT&interval=1m&limit=99", 1),
        ("/fapi/v1/klines", "symbol=BTCUSDT&interval=1m&limit=100", 2),
        ("/fapi/v1/klines", "symbol=BTCUSDT&interval=1m", 5),
        ("/fapi/v1/klines", "symbol=BTCUSDT&interval=1m&limit=1500", 10),
        ("/fapi/v1/depth", "symbol=BTCUSDT&limit=50", 2),
        ("/fapi/v1/depth", "symbol=BTCUSDT", 10),
        ("/fapi/v1/depth", "symbol=BTCUSDT&limit=1000", 20),
        ("/fapi/v1/premiumIndex", "", 10),
        ("/fapi/v1/ticker/24hr", "", 40),
        ("/fapi/v1/ticker/bookTicker", "symbol=BTCUSDT", 2),
    ],
)
def test_weight_of_an_end_point_shows_in_the_header(desk: Desk, path: str, query: str, weight: int) -> None:
    response = desk.send(RawRequest("GET", path, query))
    assert response.status == 200, response.body
    assert response.headers["X-MBX-USED-WEIGHT-1M"] == str(weight)


def test_orders_cost_no_weight_but_count(desk: Desk) -> None:
    response = desk.refused("POST", "/fapi/v1/order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
    assert response.status == 200
    assert response.headers["X-MBX-USED-WEIGHT-1M"] == "0"
    assert response.headers["X-MBX-ORDER-COUNT-10S"] == "1"
    assert response.headers["X-MBX-ORDER-COUNT-1M"] == "1"


def test_throttled_answer_carries_retry_after() -> None:
    desk = Desk(limits=RateLimits(weight_per_minute=1))
    desk.send(RawRequest("GET", "/fapi/v1/time"))
    response = desk.send(RawRequest("GET", "/fapi/v1/time"))
    assert response.status == 429
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    assert orjson.loads(response.body)["code"] == -1003


def test_exchange_info_announces_the_limits_in_force() -> None:
    desk = Desk(limits=RateLimits(weight_per_minute=9999, orders_per_10s=5, orders_per_minute=50))
    limits = desk.call("GET", "/fapi/v1/exchangeInfo")["rateLimits"]
    assert {(limit["rateLimitType"], limit["interval"]): limit["limit"] for limit in limits} == {
        ("REQUEST_WEIGHT", "MINUTE"): 9999,
        ("ORDERS", "MINUTE"): 50,
        ("ORDERS", "SECOND"): 5,
    }
