"""Which funding a recorded day paid: rates that were named, amounts that were booked, times that others tell."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_DOWN, Decimal

import numpy as np
import pytest

from backtest.candles import ReplayCandles, from_units
from backtest.drift_funding import Booking, Rate, funding_of
from simulator.market.catalog import CATALOG
from simulator.market.model import FundingPoint

D = Decimal
T0 = 1_767_225_600_000
MINUTE, HOUR = 60_000, 3_600_000
AT = T0 + 8 * HOUR


def candles(symbol: str = "BTCUSDT", hours: int = 24) -> ReplayCandles:
    minutes = np.arange(hours * 60, dtype=np.int64)
    price = 1_000_000 + minutes
    columns = price, price + 5, price - 5, price + 1
    return from_units(symbol, CATALOG[symbol], 1, T0 + minutes * MINUTE, columns, np.full(len(minutes), 1.0))


OPEN = D("100048.0")
"""Of the minute at 08:00."""


def paid(point: FundingPoint, quantity: str) -> Decimal:
    """What the engine books for that size, the way it rounds."""
    return (-D(quantity) * point.mark_price * point.rate).quantize(D("1E-8"), ROUND_DOWN)


def test_named_rate_is_paid_on_the_open_of_its_minute() -> None:
    found = funding_of([candles()], [Rate("BTCUSDT", AT + 12, D("0.0001"))], [])
    assert found == {"BTCUSDT": (FundingPoint(AT, D("0.0001"), OPEN),)}


@pytest.mark.parametrize(("quantity", "amount"), [("0.037", "-0.36912345"), ("-0.037", "0.36912345")])
@pytest.mark.parametrize("rates", [[], [Rate("BTCUSDT", AT, D("0.0001"))]])
def test_booked_amount_is_what_a_trade_of_that_size_pays_to_the_last_digit(
    quantity: str, amount: str, rates: list[Rate]
) -> None:
    (point,) = funding_of([candles()], rates, [Booking("BTCUSDT", AT + 3_001, D(amount), D(quantity))])["BTCUSDT"]
    assert point.time_ms == AT and point.mark_price == OPEN
    assert paid(point, quantity) == D(amount)
    assert abs(paid(point, str(2 * D(quantity))) - 2 * D(amount)) < D("1E-7")


def test_booked_amount_of_another_size_than_the_entrys_gives_way_to_the_named_rate() -> None:
    half = Booking("BTCUSDT", AT, D("-0.18"), D("0.037"))  # half of it had left before
    (point,) = funding_of([candles()], [Rate("BTCUSDT", AT, D("0.0001"))], [half])["BTCUSDT"]
    assert point.rate == D("0.0001")


def test_booked_amount_that_no_rate_can_explain_pays_nothing() -> None:
    (point,) = funding_of([candles()], [], [Booking("BTCUSDT", AT, D(-900), D("0.037"))])["BTCUSDT"]
    assert point.rate == 0


def test_symbol_of_which_nothing_is_known_has_the_common_times_of_others() -> None:
    others = [Rate("ETHUSDT", T0 + 4 * HOUR, D("0.0002")), Rate("ETHUSDT", AT, D("0.0003"))]
    booked = [Booking("ETHUSDT", T0 + 16 * HOUR, D("-1"), None)]
    found = funding_of([candles(), candles("ETHUSDT")], others, booked)
    assert [(one.time_ms, one.rate) for one in found["BTCUSDT"]] == [(AT, 0), (T0 + 16 * HOUR, 0)]
    assert [(one.time_ms, one.rate) for one in found["ETHUSDT"]] == [
        (T0 + 4 * HOUR, D("0.0002")),
        (AT, D("0.0003")),
        (T0 + 16 * HOUR, 0),
    ]


def test_times_after_the_last_candle_and_days_without_funding_are_left_out() -> None:
    assert funding_of([candles(hours=2)], [Rate("BTCUSDT", AT, D("0.0001"))], []) == {}
    assert funding_of([candles()], [], []) == {}


def test_payment_in_a_gap_is_reckoned_on_the_next_open() -> None:
    whole = candles()
    at = int(np.searchsorted(whole.open_time, AT))
    keep = np.delete(np.arange(len(whole)), [at, at + 1])
    columns = {name: getattr(whole, name)[keep] for name in ("open_time", "open", "high", "low", "close")}
    (point,) = funding_of([replace(whole, **columns)], [Rate("BTCUSDT", AT, D("0.0001"))], [])["BTCUSDT"]
    assert (point.time_ms, point.mark_price) == (AT, D("100048.2"))
