"""The query that we sign: the very text that the SDK would have written."""

from __future__ import annotations

import pytest
from binance_common.utils import encoded_string
from hypothesis import given
from hypothesis import strategies as st

from exchange.binance.rest import query_of

NAMES = ["symbol", "side", "positionSide", "newClientOrderId", "recvWindow", "timestamp"]


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=12)))
def test_query_of_any_values_is_what_the_sdk_would_write(params: dict[str, str]) -> None:
    assert query_of(params) == encoded_string(params)


@pytest.mark.parametrize("value", ["a&b=c", "a b", "ä", "50%", "x/y+z=", "-0.001_~", ""])
def test_query_of_awkward_values_is_what_the_sdk_would_write(value: str) -> None:
    assert query_of({"symbol": "BTCUSDT", "newClientOrderId": value}) == encoded_string(
        {"symbol": "BTCUSDT", "newClientOrderId": value}
    )
