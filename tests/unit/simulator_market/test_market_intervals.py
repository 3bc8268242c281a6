"""Interval borders, and larger candles out of smaller ones."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from simulator.market.columns import Columns
from simulator.market.intervals import (
    INTERVALS,
    aggregate,
    bucket_of,
    merge,
    next_open_time,
    open_time,
    open_time_before,
)
from tests.unit.simulator_market.markets import NEW_YEAR_MS, small_market


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("interval", "opened", "following"),
    [
        ("1m", "2026-02-11T13:47", "2026-02-11T13:48"),
        ("3m", "2026-02-11T13:45", "2026-02-11T13:48"),
        ("1h", "2026-02-11T13:00", "2026-02-11T14:00"),
        ("8h", "2026-02-11T08:00", "2026-02-11T16:00"),
        ("1d", "2026-02-11", "2026-02-12"),
        ("1w", "2026-02-09", "2026-02-16"),
        ("1M", "2026-02-01", "2026-03-01"),
    ],
)
def test_interval_borders_follow_the_calendar(interval: str, opened: str, following: str) -> None:
    time_ms = ms("2026-02-11T13:47:31.500")
    assert open_time(interval, time_ms) == ms(opened)
    assert next_open_time(interval, time_ms) == ms(following)
    assert open_time_before(interval, ms(following), 1) == ms(opened)
    assert open_time(interval, ms(opened)) == ms(opened)


@pytest.mark.parametrize("interval", INTERVALS)
def test_bucket_of_arrays_equals_open_time(interval: str) -> None:
    minutes = np.arange(NEW_YEAR_MS // 60_000, NEW_YEAR_MS // 60_000 + 90_000, 777)
    assert bucket_of(interval, minutes).tolist() == [
        open_time(interval, m * 60_000) // 60_000 for m in minutes.tolist()
    ]


def test_unknown_interval_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        open_time("7m", NEW_YEAR_MS)


def test_merge_takes_ids_from_the_first_row_that_has_trades() -> None:
    flat = (5, 10, 10, 10, 10, 0, 0, 0, 0, 0, 0, -1, -1)
    traded = (6, 11, 13, 9, 12, 7, 80, 3, 4, 45, 2, 100, 50)
    assert merge(None, [flat, traded]) == (5, 10, 13, 9, 12, 7, 80, 3, 4, 45, 2, 100, 50)
    assert merge(traded, [(7, 12, 12, 8, 8, 1, 8, 1, 0, 0, 1, 103, 52)]) == (
        6, 11, 13, 8, 8, 8, 88, 4, 4, 45, 3, 100, 50,
    )  # fmt: skip
    assert merge(None, []) is None


def recorded(path: Path) -> dict[int, tuple[float, ...]]:
    with gzip.open(path, "rt") as lines:
        next(lines)
        return {int(f[0]) // 60_000: tuple(float(x) for x in f[1:6]) for f in (line.split(",") for line in lines)}


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "ADAUSDT", "LINKUSDT"])
def test_three_minute_candles_summed_equal_the_venue_s_own_fifteen_minute_candles(
    shared_data: Path, symbol: str
) -> None:
    small = recorded(shared_data / "klines" / "um_3m_2025-03_04" / f"{symbol}-3m.csv.gz")
    large = recorded(shared_data / "klines" / "um_15m_2025-03_04" / f"{symbol}-15m.csv.gz")
    minutes = np.array(sorted(small), dtype=np.int64)
    values = [np.array([round(small[m][part] * 10**5) for m in minutes.tolist()], dtype=np.int64) for part in range(5)]
    none = np.zeros(len(minutes), dtype=np.int64)
    summed = aggregate(Columns(minutes, *values, none, none, none, none, none, none, none), "15m")
    compared = 0
    for row in summed.rows()[1:-1]:
        if row[0] in large:
            compared += 1
            assert row[1:6] == tuple(round(value * 10**5) for value in large[row[0]])
    assert compared > 2500


@pytest.mark.parametrize("interval", INTERVALS[1:])
def test_larger_klines_are_the_sum_of_the_minutes(interval: str) -> None:
    market = small_market(1, start_ms=NEW_YEAR_MS + 5 * 3_600_000 + 47 * 60_000)
    for _ in market.advance(market.start_ms + 130_500):
        pass
    view = market.klines("BTCUSDT", interval, None, None, 2)[-1]
    minutes = market.klines("BTCUSDT", "1m", view.open_time_ms, None, 100_000)
    assert view.open_time_ms <= minutes[0].open_time_ms
    assert (view.open, view.close) == (minutes[0].open, minutes[-1].close)
    assert view.high == max(one.high for one in minutes)
    assert view.low == min(one.low for one in minutes)
    for name in ("volume", "quote_volume", "trade_count", "taker_buy_volume", "taker_buy_quote_volume"):
        assert getattr(view, name) == sum(getattr(one, name) for one in minutes)
    assert (view.first_trade_id, view.last_trade_id) == (minutes[0].first_trade_id, minutes[-1].last_trade_id)
    assert not view.closed
    assert market.forming("BTCUSDT", interval) == view
