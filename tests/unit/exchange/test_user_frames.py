"""No private message can crash the stream: it is read, ignored on purpose, or reported as unknown."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events import OrderUpdated, UnknownVenueMessage
from exchange.binance.user_frames import decode_user

ORDER: dict[str, Any] = {
    "s": "BTCUSDT",
    "c": "ft-1-1-E0",
    "S": "BUY",
    "o": "MARKET",
    "f": "GTC",
    "q": "0.100",
    "p": "0",
    "ap": "84146.5",
    "x": "TRADE",
    "X": "FILLED",
    "i": 4129479931,
    "l": "0.100",
    "z": "0.100",
    "L": "84146.50",
    "n": "3.36586",
    "N": "USDT",
    "T": 1742585119595,
    "t": 310194316,
    "m": False,
    "R": False,
    "ot": "MARKET",
    "ps": "BOTH",
    "cp": False,
    "rp": "0",
}
MESSAGE: dict[str, Any] = {"e": "ORDER_TRADE_UPDATE", "E": 1742585119596, "T": 1742585119595, "o": ORDER}


def test_order_update_is_read() -> None:
    event = decode_user(MESSAGE, 5)
    assert isinstance(event, OrderUpdated)
    assert event.report.average_price == Decimal("84146.5")


@pytest.mark.parametrize("missing", ["s", "c", "S", "q", "x", "X", "i", "z", "T", "ps", "L"])
def test_order_update_without_a_needed_field_is_unknown_and_names_it(missing: str) -> None:
    order = {key: value for key, value in ORDER.items() if key != missing}
    event = decode_user(MESSAGE | {"o": order}, 5)
    assert isinstance(event, UnknownVenueMessage)
    assert repr(missing) in event.kind
    assert event.event_time_ms == MESSAGE["E"]


def test_order_update_without_fee_fields_has_a_fee_of_zero() -> None:
    order = {key: value for key, value in ORDER.items() if key not in ("n", "N")}
    event = decode_user(MESSAGE | {"o": order}, 5)
    assert isinstance(event, OrderUpdated)
    assert event.report.fill is not None
    assert (event.report.fill.fee, event.report.fill.fee_asset) == (Decimal(0), "")


def test_expiry_reason_is_read_as_number_or_text() -> None:
    for spelling in ("6", 6):
        event = decode_user(MESSAGE | {"o": ORDER | {"er": spelling, "x": "EXPIRED", "X": "EXPIRED"}}, 5)
        assert isinstance(event, OrderUpdated)
        assert event.report.expiry_reason == 6
        assert event.report.fill is None


@pytest.mark.parametrize("data", [None, [], "text", 5, {}, {"e": 7}, {"e": "BRAND_NEW", "E": 1}, {"e": "MARGIN_CALL"}])
def test_anything_else_is_unknown(data: Any) -> None:
    assert isinstance(decode_user(data, 5), UnknownVenueMessage)


def test_unknown_kind_is_named_but_bounded() -> None:
    event = decode_user({"e": "X" * 500, "E": "12"}, 5)
    assert isinstance(event, UnknownVenueMessage)
    assert len(event.kind) == 64
    assert event.event_time_ms == 12


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from(sorted(ORDER)), JSON)
def test_any_garbled_field_is_a_report_or_unknown(field: str, value: Any) -> None:
    assert isinstance(decode_user(MESSAGE | {"o": ORDER | {field: value}}, 5), OrderUpdated | UnknownVenueMessage)


@given(st.sampled_from(["ORDER_TRADE_UPDATE", "ALGO_UPDATE", "ACCOUNT_UPDATE", "ACCOUNT_CONFIG_UPDATE"]), JSON, JSON)
def test_any_garbled_message_never_raises(kind: str, inner: Any, time_ms: Any) -> None:
    for key in ("o", "a", "ac", "ai"):
        decode_user({"e": kind, "E": time_ms, "T": time_ms, key: inner}, 5)
