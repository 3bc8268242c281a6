"""Longer candles equal the exchange's own, and what `Aggregator` does at holes and at its start."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from strategies.aggregate import Aggregator, aggregate_columns, joined
from tests.unit.strategies.support import MINUTE, START, candle, columns, recorded, walk


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ADAUSDT", "SUIUSDT"])
def test_aggregate_of_recorded_3m_equals_the_exchanges_15m(shared_data, symbol) -> None:
    short = recorded(shared_data / f"klines/um_3m_2025-03_04/{symbol}-3m.csv.gz", "3m")
    theirs = {c.open_time_ms: c for c in recorded(shared_data / f"klines/um_15m_2025-03_04/{symbol}-15m.csv.gz", "15m")}
    aggregator = Aggregator("15m")
    built = [one for minute in short for one in aggregator.add(minute)]
    compared = [one for one in built if one.open_time_ms in theirs]
    assert len(compared) > 2_500
    for one in compared:
        assert (one.open, one.high, one.low, one.close, one.volume) == (
            (other := theirs[one.open_time_ms]).open,
            other.high,
            other.low,
            other.close,
            other.volume,
        )


def test_aggregate_sums_are_exact_decimals() -> None:
    minutes = walk(5)
    whole = joined(minutes, "5m", START)
    assert whole.volume == sum(one.volume for one in minutes)
    assert whole.quote_volume == sum(one.quote_volume for one in minutes)
    assert whole.trade_count == sum(one.trade_count for one in minutes)
    assert (whole.open, whole.close) == (minutes[0].open, minutes[-1].close)


def test_aggregate_joined_in_the_middle_leaves_that_candle_out() -> None:
    aggregator = Aggregator("5m")
    built = [one for minute in walk(14)[2:] for one in aggregator.add(minute)]
    assert [one.open_time_ms for one in built] == [START + 5 * MINUTE]


def test_aggregate_closes_with_its_last_minute_and_not_before() -> None:
    aggregator = Aggregator("3m")
    assert [len(aggregator.add(candle(index))) for index in range(7)] == [0, 0, 1, 0, 0, 1, 0]


def test_aggregate_with_a_hole_at_its_end_closes_at_the_next_minute() -> None:
    aggregator = Aggregator("3m")
    assert not aggregator.add(candle(0, "1"))
    first, second = [*aggregator.add(candle(5, "3", high="4"))]
    assert (first.open_time_ms, first.close) == (START, Decimal(1))
    assert (second.open_time_ms, second.high) == (START + 3 * MINUTE, Decimal(4))


def test_aggregate_columns_of_nothing_is_nothing() -> None:
    assert len(aggregate_columns(columns([]), "5m")) == 0
    assert len(aggregate_columns(columns(walk(4)), "5m")) == 0
    assert np.array_equal(aggregate_columns(columns(walk(5)), "5m").open_time, [START])
