"""Kline intervals: where each candle begins and ends, and larger candles out of one-minute ones.

Intervals up to `1d` and `3d` are aligned to the UTC epoch, `1w` to Monday, `1M` to the calendar month.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np

from core.candle import DAY_MS, INTERVAL_MS
from simulator.market.columns import MINUTE_MS, Columns, Row
from simulator.market.noise import IntArray

WEEK_MS = 7 * DAY_MS
_MONDAY_MS = 4 * DAY_MS  # the epoch was a Thursday
_FIXED_MS = {**INTERVAL_MS, "3d": 3 * DAY_MS, "1w": WEEK_MS}
INTERVALS = (*INTERVAL_MS, "3d", "1w", "1M")


def open_time(interval: str, time_ms: int) -> int:
    """Return the open time of the `interval` candle that holds `time_ms`; KeyError for an unknown interval."""
    if interval == "1M":
        moment = datetime.fromtimestamp(time_ms // 1000, UTC)
        return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()) * 1000
    length = _FIXED_MS[interval]
    offset = _MONDAY_MS if interval == "1w" else 0
    return time_ms - (time_ms - offset) % length


def next_open_time(interval: str, time_ms: int) -> int:
    """Return the open time of the candle after the one that holds `time_ms`."""
    opened = open_time(interval, time_ms)
    if interval != "1M":
        return opened + _FIXED_MS[interval]
    return open_time("1M", opened + 32 * DAY_MS)


def open_time_before(interval: str, opened: int, count: int) -> int:
    """Return the open time of the candle `count` candles before the one that opens at `opened`."""
    if interval != "1M":
        return opened - count * _FIXED_MS[interval]
    for _ in range(count):
        opened = open_time("1M", opened - 1)
    return opened


def bucket_of(interval: str, minutes: IntArray) -> IntArray:
    """Return the open minute of the `interval` candle of each minute."""
    if interval == "1M":
        days = (minutes // (DAY_MS // MINUTE_MS)).astype("datetime64[D]")
        return days.astype("datetime64[M]").astype("datetime64[m]").astype(np.int64)
    length = _FIXED_MS[interval] // MINUTE_MS
    offset = _MONDAY_MS // MINUTE_MS if interval == "1w" else 0
    result: IntArray = minutes - (minutes - offset) % length
    return result


def aggregate(columns: Columns, interval: str) -> Columns:
    """Return the candles of a larger interval: first open, highest high, lowest low, last close, summed volumes."""
    if interval == "1m" or not len(columns):
        return columns
    bucket = bucket_of(interval, columns.minute)
    first = np.flatnonzero(np.diff(bucket, prepend=bucket[0] - 1))
    last = np.append(first[1:], len(bucket)) - 1

    def total(values: IntArray) -> IntArray:
        result: IntArray = np.add.reduceat(values, first)
        return result

    return Columns(
        minute=bucket[first],
        open=columns.open[first],
        high=np.maximum.reduceat(columns.high, first),
        low=np.minimum.reduceat(columns.low, first),
        close=columns.close[last],
        volume=total(columns.volume),
        quote=total(columns.quote),
        count=total(columns.count),
        taker_volume=total(columns.taker_volume),
        taker_quote=total(columns.taker_quote),
        parts=total(columns.parts),
        first_trade=columns.first_trade[first],
        first_part=columns.first_part[first],
    )


def merge(row: Row | None, later: Iterable[Row]) -> Row | None:
    """Return one candle out of `row` and those after it; None if there are none. Rows without trades bring no ids."""
    for after in later:
        if row is None:
            row = after
            continue
        first = row if row[7] else after
        row = (
            row[0],
            row[1],
            max(row[2], after[2]),
            min(row[3], after[3]),
            after[4],
            *(one + other for one, other in zip(row[5:11], after[5:11], strict=True)),
            first[11],
            first[12],
        )
    return row
