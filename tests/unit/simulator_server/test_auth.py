"""Key, time and signature: who may pass, and which fault wins."""

from __future__ import annotations

import hashlib
import hmac

import orjson
import pytest

from simulator.server.wire import RawRequest
from tests.unit.simulator_server.support import KEY, SECRET, WALL_MS, Desk, signed

BALANCE = "/fapi/v3/balance"


def answer(
    desk: Desk, query: str, *, api_key: str | None = KEY, body: str = "", method: str = "GET"
) -> tuple[int, int]:
    path = BALANCE if method == "GET" else "/fapi/v1/leverage"
    response = desk.send(RawRequest(method, path, query, body, api_key))
    decoded = orjson.loads(response.body)
    return response.status, decoded["code"] if isinstance(decoded, dict) and "code" in decoded else 0


def test_signed_request_with_right_key_time_and_signature_passes(desk: Desk) -> None:
    assert answer(desk, signed({"timestamp": WALL_MS})) == (200, 0)


@pytest.mark.parametrize(("api_key", "code"), [(None, -2014), ("", -2014), ("other", -2015)])
def test_key_missing_or_unknown_is_refused_with_401(desk: Desk, api_key: str | None, code: int) -> None:
    assert answer(desk, signed({"timestamp": WALL_MS}), api_key=api_key) == (401, code)


@pytest.mark.parametrize(
    ("offset_ms", "window", "expected"),
    [
        (999, None, 0),
        (1000, None, -1021),
        (-5000, None, 0),
        (-5001, None, -1021),
        (-59_000, 60_000, 0),
        (-300, 200, -1021),
        (0, 60_001, -1130),
        (0, 0, -1130),
    ],
)
def test_timestamp_is_accepted_exactly_within_the_window(
    desk: Desk, offset_ms: int, window: int | None, expected: int
) -> None:
    parameters = {"timestamp": WALL_MS + offset_ms} | ({} if window is None else {"recvWindow": window})
    assert answer(desk, signed(parameters))[1] == expected


def test_the_two_time_faults_have_their_own_texts(desk: Desk) -> None:
    early = desk.send(RawRequest("GET", BALANCE, signed({"timestamp": WALL_MS + 2000}), api_key=KEY)).body
    late = desk.send(RawRequest("GET", BALANCE, signed({"timestamp": WALL_MS - 9000}), api_key=KEY)).body
    assert b"1000ms ahead of the server's time" in early
    assert b"outside of the recvWindow" in late


def test_missing_timestamp_and_missing_signature_are_named(desk: Desk) -> None:
    no_time = desk.send(RawRequest("GET", BALANCE, signed({"recvWindow": 5000}), api_key=KEY))
    no_signature = desk.send(RawRequest("GET", BALANCE, f"timestamp={WALL_MS}", api_key=KEY))
    assert (no_time.status, orjson.loads(no_time.body)["code"]) == (400, -1102)
    assert b"'timestamp'" in no_time.body
    assert orjson.loads(no_signature.body)["code"] == -1102
    assert b"'signature'" in no_signature.body


def test_wrong_secret_or_changed_parameter_is_refused(desk: Desk) -> None:
    assert answer(desk, signed({"timestamp": WALL_MS}, secret="wrong")) == (400, -1022)
    tampered = signed({"recvWindow": 5000, "timestamp": WALL_MS}).replace("recvWindow=5000", "recvWindow=6000")
    assert answer(desk, tampered) == (400, -1022)


def test_signature_covers_the_raw_text_not_its_decoded_form(desk: Desk) -> None:
    raw = f"x=a%3Ab%2f&timestamp={WALL_MS}"  # lower-case escape: a re-encoding would differ
    signature = hmac.new(SECRET.encode(), raw.encode(), hashlib.sha256).hexdigest()
    assert answer(desk, f"{raw}&signature={signature.upper()}") == (200, 0)


def test_signature_over_query_and_body_joined_without_separator(desk: Desk) -> None:
    query, body = "symbol=BTCUSDT&leverage=7", f"timestamp={WALL_MS}"
    signature = hmac.new(SECRET.encode(), (query + body).encode(), hashlib.sha256).hexdigest()
    assert answer(desk, query, body=f"{body}&signature={signature}", method="POST") == (200, 0)
    assert desk.exchange.symbol_config("BTCUSDT")[0].leverage == 7


def test_form_body_alone_is_accepted_and_query_wins_over_body(desk: Desk) -> None:
    body = signed({"symbol": "BTCUSDT", "leverage": 9, "timestamp": WALL_MS})
    assert answer(desk, "", body=body, method="POST") == (200, 0)
    query, body = "leverage=11", f"symbol=BTCUSDT&leverage=12&timestamp={WALL_MS}"
    signature = hmac.new(SECRET.encode(), (query + body).encode(), hashlib.sha256).hexdigest()
    assert answer(desk, query, body=f"{body}&signature={signature}", method="POST") == (200, 0)
    assert desk.exchange.symbol_config("BTCUSDT")[0].leverage == 11


def test_faults_win_in_the_order_key_time_signature_parameters(desk: Desk) -> None:
    everything_wrong = f"timestamp={WALL_MS - 99_999}&signature=00"
    assert answer(desk, everything_wrong, api_key="other", method="POST")[1] == -2015
    assert answer(desk, everything_wrong, method="POST")[1] == -1021
    assert answer(desk, f"timestamp={WALL_MS}&signature=00", method="POST")[1] == -1022
    assert answer(desk, signed({"timestamp": WALL_MS}), method="POST")[1] == -1102


def test_key_only_end_points_need_no_signature(desk: Desk) -> None:
    assert desk.send(RawRequest("POST", "/fapi/v1/listenKey", api_key=KEY)).status == 200
    assert desk.send(RawRequest("POST", "/fapi/v1/listenKey")).status == 401
