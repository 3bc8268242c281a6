"""Builds longer candles from 1m candles, equal to the exchange's own. Pure and exact."""

from __future__ import annotations

import numpy as np

from core.candle import INTERVAL_MS, ClosedCandle
from strategies.base import CandleColumns


class Aggregator:
    """Turns closed candles of one symbol, in order, into closed candles of a longer interval; usually from 1m.

    A candle that it joined in the middle of is left out. Where the venue itself has a hole at the end of a candle, it
    is closed by the first 1m candle after it.
    """

    __slots__ = ("_interval", "_joined_ms", "_length_ms", "_minutes", "_start_ms")

    def __init__(self, interval: str) -> None:
        self._interval = interval
        self._length_ms = INTERVAL_MS[interval]
        self._minutes: list[ClosedCandle] = []
        self._start_ms: int | None = None
        self._joined_ms: int | None = None

    def add(self, minute: ClosedCandle) -> list[ClosedCandle]:
        """Take the next 1m candle and return what it closes: nothing, one candle, or two after a hole."""
        closed: list[ClosedCandle] = []
        start = minute.open_time_ms - minute.open_time_ms % self._length_ms
        if self._start_ms is None and start != minute.open_time_ms:
            self._joined_ms = start
        if start == self._joined_ms:
            self._start_ms = start
            return closed
        if self._minutes and start != self._start_ms:
            closed.append(self._close())
        self._start_ms = start
        self._minutes.append(minute)
        if minute.next_open_time_ms == start + self._length_ms:
            closed.append(self._close())
        return closed

    def _close(self) -> ClosedCandle:
        assert self._start_ms is not None
        candle = joined(self._minutes, self._interval, self._start_ms)
        self._minutes = []
        return candle


def joined(minutes: list[ClosedCandle], interval: str, open_time_ms: int) -> ClosedCandle:
    """Return one candle out of consecutive shorter ones: first open, extremes, last close, sums."""
    return ClosedCandle(
        symbol=minutes[0].symbol,
        interval=interval,
        open_time_ms=open_time_ms,
        open=minutes[0].open,
        high=max(minute.high for minute in minutes),
        low=min(minute.low for minute in minutes),
        close=minutes[-1].close,
        volume=sum((minute.volume for minute in minutes[1:]), minutes[0].volume),
        quote_volume=sum((minute.quote_volume for minute in minutes[1:]), minutes[0].quote_volume),
        trade_count=sum(minute.trade_count for minute in minutes),
        taker_buy_volume=sum((minute.taker_buy_volume for minute in minutes[1:]), minutes[0].taker_buy_volume),
        taker_buy_quote_volume=sum(
            (minute.taker_buy_quote_volume for minute in minutes[1:]), minutes[0].taker_buy_quote_volume
        ),
    )


def aggregate_columns(minutes: CandleColumns, interval: str) -> CandleColumns:
    """Return 1m columns as columns of a longer interval: the candles that `Aggregator` closes, in floats."""
    length_ms = INTERVAL_MS[interval]
    starts_at = minutes.open_time - minutes.open_time % length_ms
    firsts = np.flatnonzero(np.diff(starts_at, prepend=-1))
    if len(firsts) and minutes.open_time[0] != starts_at[0]:
        firsts = firsts[1:]
    if not len(firsts):
        empty = np.empty(0)
        return CandleColumns(empty, empty, empty, empty, empty, np.empty(0, dtype=np.int64))
    lasts = np.append(firsts[1:], len(minutes)) - 1
    forming = minutes.open_time[-1] + INTERVAL_MS["1m"] != starts_at[-1] + length_ms
    closed = len(firsts) - int(forming)
    return CandleColumns(
        open=minutes.open[firsts][:closed],
        high=np.maximum.reduceat(minutes.high, firsts)[:closed],
        low=np.minimum.reduceat(minutes.low, firsts)[:closed],
        close=minutes.close[lasts][:closed],
        volume=np.add.reduceat(minutes.volume, firsts)[:closed],
        open_time=starts_at[firsts][:closed],
    )
