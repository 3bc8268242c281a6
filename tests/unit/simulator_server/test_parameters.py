"""Parameters are read by type; every fault has the venue's code and names the parameter."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.engine.errors import ApiError
from simulator.server.parameters import Parameters, only_one


def code_of(read: Callable[[], Any]) -> int:
    with pytest.raises(ApiError) as caught:
        read()
    return caught.value.code


def test_values_are_percent_decoded_as_utf8() -> None:
    parameters = Parameters("newClientOrderId=a.b%3Ac%2F1&symbol=%E5%B8%81USDT&empty=&x=1+2")
    assert parameters.text("newClientOrderId") == "a.b:c/1"
    assert parameters.text("symbol") == "币USDT"
    assert parameters.text("x") == "1 2"
    assert "empty" in parameters
    assert "absent" not in parameters


def test_same_name_twice_in_one_part_is_refused() -> None:
    assert code_of(lambda: Parameters("a=1&a=2")) == -1101


def test_query_wins_over_body() -> None:
    assert Parameters("a=1", "a=2&b=3").text("a") == "1"


@pytest.mark.parametrize("text", ["", "a=", "a=x", "a=1.5", "a=0x10", "a=1e3"])
def test_required_integer_absent_empty_or_malformed_is_1102(text: str) -> None:
    assert code_of(lambda: Parameters(text).required_integer("a")) == -1102


@pytest.mark.parametrize("text", ["1e-05", "-1", "+1", "1E-7", "0x1", "1.", ".5", "NaN", "Infinity", "1,5", "1 "])
def test_decimal_in_any_other_than_plain_form_is_1100(text: str) -> None:
    parameters = Parameters("quantity=" + text.replace("+", "%2B"))
    assert code_of(lambda: parameters.decimal("quantity")) == -1100


@given(st.decimals(min_value=0, max_value=10**12, places=8, allow_nan=False))
def test_plain_decimals_are_read_exactly(value: Decimal) -> None:
    assert Parameters(f"q={value:f}").decimal("q") == value


def test_optional_parameters_absent_are_none_and_empty_are_1105() -> None:
    parameters = Parameters("a=&b=&c=")
    assert parameters.decimal("x") is None
    assert parameters.integer("x") is None
    assert code_of(lambda: parameters.text("a")) == -1105
    assert code_of(lambda: parameters.decimal("b")) == -1105


def test_booleans_in_any_case_and_nothing_else() -> None:
    assert Parameters("a=TRUE").boolean("a") is True
    assert Parameters("a=false").boolean("a") is False
    assert Parameters("").boolean("a", True) is True
    assert code_of(lambda: Parameters("a=1").boolean("a")) == -1130


def test_words_are_limited_with_their_own_refusal() -> None:
    assert Parameters("side=BUY").word("side", ("BUY",)) == "BUY"
    assert code_of(lambda: Parameters("side=HOLD").word("side", ("BUY",), (-1117, "Invalid side."))) == -1117
    assert code_of(lambda: Parameters("m=x").word("m", ("y",))) == -1130


@pytest.mark.parametrize(("text", "is_fine"), [("a" * 36, True), ("a" * 37, False), ("a b", False), ("A.:/_-9", True)])
def test_client_ids_follow_the_venues_pattern(text: str, is_fine: bool) -> None:
    parameters = Parameters(f"id={text}")
    if is_fine:
        assert parameters.client_id("id") == text
    else:
        assert code_of(lambda: parameters.client_id("id")) == -4015


def test_limit_has_default_and_cap() -> None:
    assert Parameters("").limit(500, 1500) == 500
    assert Parameters("limit=9999").limit(500, 1500) == 1500
    assert code_of(lambda: Parameters("limit=0").limit(500, 1500)) == -1130


def test_start_after_end_is_refused() -> None:
    assert Parameters("startTime=1&endTime=2").span() == (1, 2)
    assert code_of(lambda: Parameters("startTime=3&endTime=2").span()) == -1023


def test_none_of_several_alternatives_is_1102_naming_them() -> None:
    only_one(orderId=1, origClientOrderId=None)
    with pytest.raises(ApiError, match="'origClientOrderId' or 'orderId'"):
        only_one(origClientOrderId=None, orderId=None)
