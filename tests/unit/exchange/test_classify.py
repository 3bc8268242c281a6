"""Every shape in which a request can fail, and what it means: the table that the order saga stands on."""

from __future__ import annotations

import json

import pytest
import requests
from binance_common.errors import (
    BadRequestError,
    ClientError,
    ForbiddenError,
    NetworkError,
    NotFoundError,
    RateLimitBanError,
    ServerError,
    TooManyRequestsError,
    UnauthorizedError,
)
from urllib3.connection import HTTPConnection
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError

from core.commands import InDoubt, RefusalKind, Refused
from exchange.binance.classify import FILTER_CODES, classify, refusal

K = RefusalKind
SIGNED_URL = "/fapi/v1/order?symbol=BTCUSDT&signature=CANARYSIGNATURE"


def network(cause: Exception) -> NetworkError:
    error = NetworkError(error_message=f"Network error: HTTPConnectionPool: {SIGNED_URL}")
    error.__cause__ = cause
    return error


def refused_connection() -> requests.ConnectionError:
    reason = NewConnectionError(HTTPConnection("127.0.0.1"), "Connection refused")
    return requests.ConnectionError(MaxRetryError(None, SIGNED_URL, reason))  # type: ignore[arg-type]


CERTAIN = [
    (BadRequestError("Margin is insufficient.", -2019), K.BUSINESS, -2019),
    (BadRequestError("Precision is over the maximum.", -1111), K.BUSINESS, -1111),
    (BadRequestError("Filter failure", -1013), K.BUSINESS, -1013),
    (BadRequestError("Notional must be no smaller", -4164), K.BUSINESS, -4164),
    (BadRequestError("Order type not supported for this endpoint.", -4120), K.BUSINESS, -4120),
    (BadRequestError("Order's position side does not match", -4061), K.BUSINESS, -4061),
    (BadRequestError("Due to the order could not be executed as maker", -5022), K.BUSINESS, -5022),
    (BadRequestError("Unknown order sent.", -2011), K.NOT_FOUND, -2011),
    (BadRequestError("Order does not exist.", -2013), K.NOT_FOUND, -2013),
    (BadRequestError("ClientOrderId is duplicated.", -4116), K.DUPLICATE_ID, -4116),
    (BadRequestError("Order would immediately trigger.", -2021), K.WOULD_TRIGGER, -2021),
    (BadRequestError("ReduceOnly Order is rejected.", -2022), K.REDUCE_ONLY, -2022),
    (BadRequestError("ReduceOnly Order Failed.", -4118), K.REDUCE_ONLY, -4118),
    (BadRequestError("Timestamp for this request is outside of the recvWindow.", -1021), K.CLOCK, -1021),
    (BadRequestError("Timestamp outside the engine's window.", -5028), K.CLOCK, -5028),
    (BadRequestError("Signature for this request is not valid.", -1022), K.AUTHENTICATION, -1022),
    (UnauthorizedError("Invalid API-key, IP, or permissions for action", -2015), K.AUTHENTICATION, -2015),
    (UnauthorizedError("API-key format invalid.", -2014), K.AUTHENTICATION, -2014),
    (NotFoundError("Path /x, Method GET is invalid", -5000), K.BUSINESS, -5000),
    (TooManyRequestsError("Too many requests", -1003, retry_after=7), K.THROTTLED, -1003),
    (TooManyRequestsError("Too many new orders", -1015, retry_after=None), K.THROTTLED, -1015),
    (RateLimitBanError("Way too much request weight used", -1003, retry_after=120), K.BANNED, -1003),
    (network(requests.ConnectTimeout("slow")), K.LOCAL, 0),
    (network(refused_connection()), K.LOCAL, 0),
]

UNKNOWN = [
    BadRequestError("Internal error", -1001),
    BadRequestError("An unknown error occurred", -1000),
    BadRequestError("Unexpected response", -1006),
    BadRequestError("Timeout waiting for response from backend server.", -1007),
    BadRequestError("Server is currently overloaded", -1008),
    BadRequestError("A code invented tomorrow", -9999),
    BadRequestError(None, None),  # 400 with an HTML body
    UnauthorizedError(None, None),
    ForbiddenError(None, None),  # the web firewall's HTML
    NotFoundError(None, None),
    ClientError("Timeout waiting for response from backend server."),  # 408
    ClientError(None),
    ServerError("Server error: 500", 500),
    ServerError("Server error: 502", 502),
    ServerError("Server error: 503", 503),
    ServerError("Server error: 504", 504),
    network(requests.ReadTimeout("late")),
    network(requests.ConnectionError(ProtocolError("Connection aborted."))),
    network(requests.TooManyRedirects("Exceeded 0 redirects.")),
    network(requests.exceptions.ChunkedEncodingError("cut")),
    network(requests.exceptions.SSLError("broken")),
    NetworkError("no cause"),
    json.JSONDecodeError("Expecting value", "<html>", 0),
    AttributeError("'list' object has no attribute 'get'"),
    KeyError("anything"),
]


@pytest.mark.parametrize(("error", "kind", "code"), CERTAIN, ids=lambda value: str(value)[:40])
def test_classify_certain_refusal_names_kind_and_code(error: Exception, kind: RefusalKind, code: int) -> None:
    verdict = classify(error)
    assert isinstance(verdict, Refused)
    assert (verdict.kind, verdict.code) == (kind, code)


@pytest.mark.parametrize("error", UNKNOWN, ids=lambda value: repr(value)[:60])
def test_classify_everything_else_is_in_doubt(error: Exception) -> None:
    assert isinstance(classify(error), InDoubt)


@pytest.mark.parametrize("error", [*(row[0] for row in CERTAIN), *UNKNOWN], ids=lambda value: repr(value)[:60])
def test_classify_never_passes_a_signed_address_on(error: Exception) -> None:
    assert "CANARY" not in str(classify(error))


def test_classify_keeps_retry_after() -> None:
    verdict = classify(TooManyRequestsError("slow down", -1003, retry_after=7))
    assert isinstance(verdict, Refused)
    assert verdict.retry_after_s == 7.0


def test_classify_ban_text_without_header_becomes_seconds() -> None:
    text = "Way too many requests; IP(1.2.3.4) banned until 1700000120000. Please use the websocket."
    verdict = classify(RateLimitBanError(text, -1003), now_ms=1_700_000_000_000)
    assert isinstance(verdict, Refused)
    assert verdict.retry_after_s == 120.0


def test_classify_ban_without_any_time_has_none() -> None:
    verdict = classify(RateLimitBanError("banned", -1003), now_ms=1)
    assert isinstance(verdict, Refused)
    assert verdict.retry_after_s is None


@pytest.mark.parametrize("code", sorted(FILTER_CODES))
def test_refusal_of_every_filter_code_is_certain(code: int) -> None:
    verdict = refusal(code, "filter")
    assert isinstance(verdict, Refused)
    assert verdict.kind is RefusalKind.BUSINESS
