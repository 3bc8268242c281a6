"""Stateful parts that count in UTC days: what happened in a part of today, and what yesterday was."""

from __future__ import annotations

import math

import numpy as np
from numpy import ndarray

from core.candle import DAY_MS
from strategies.indicators.ops import NAN, Number
from strategies.indicators.parts import day_bounds


class DayWindow:
    """Highest high and lowest low of the candles that open in [start, end) of the UTC day, in milliseconds after 00:00.

    Known from the first candle on that opens at `end` or later, until the day is over; else NaN, also on a day that
    has no candle in the window.
    """

    __slots__ = ("_day_end", "_end", "_high", "_low", "_start")

    def __init__(self, start_ms: int, end_ms: int) -> None:
        self._start = start_ms
        self._end = end_ms
        self._day_end = -math.inf
        self._high = self._low = NAN

    def __call__(self, high: Number, low: Number, time_ms: Number) -> Number:
        if high.__class__ is ndarray:
            return self._over(high, low, time_ms)
        offset = time_ms % DAY_MS
        if time_ms >= self._day_end:
            self._day_end = time_ms - offset + DAY_MS
            self._high = self._low = NAN
        if offset >= self._end:
            return self._high, self._low
        if offset >= self._start:
            # The comparisons are false for the NaN of a window that has just begun: it takes its first candle.
            self._high = self._high if self._high >= high else high
            self._low = self._low if self._low <= low else low
        return NAN, NAN

    def _over(self, high: ndarray, low: ndarray, times: ndarray) -> tuple[ndarray, ndarray]:
        if not len(times):
            return np.empty(0), np.empty(0)
        starts, ends = day_bounds(times)
        offset = times % DAY_MS
        inside = (offset >= self._start) & (offset < self._end)
        top = np.fmax.reduceat(np.where(inside, high, NAN), starts)
        bottom = np.fmin.reduceat(np.where(inside, low, NAN), starts)
        after = offset >= self._end
        top, bottom = (np.where(after, np.repeat(day, ends - starts), NAN) for day in (top, bottom))
        return top, bottom


class DayBefore:
    """High, low and close of the UTC day before, the last one that had candles: (high, low, close).

    NaN on the first day of the data, and on the second when the first one does not begin at 00:00.
    """

    __slots__ = ("_before", "_close", "_day_end", "_high", "_is_whole", "_low")

    def __init__(self) -> None:
        self._day_end = -math.inf
        self._is_whole = False
        self._before = (NAN, NAN, NAN)
        self._high = self._low = self._close = NAN

    def __call__(self, high: Number, low: Number, close: Number, time_ms: Number) -> Number:
        if high.__class__ is ndarray:
            return self._over(high, low, close, time_ms)
        if time_ms >= self._day_end:
            offset = time_ms % DAY_MS
            if self._is_whole:
                self._before = self._high, self._low, self._close
            self._is_whole = offset == 0 or self._day_end > 0
            self._day_end = time_ms - offset + DAY_MS
            self._high, self._low = high, low
        elif high > self._high or low < self._low:
            self._high, self._low = max(high, self._high), min(low, self._low)
        self._close = close
        return self._before

    def _over(self, high: ndarray, low: ndarray, close: ndarray, times: ndarray) -> tuple[ndarray, ndarray, ndarray]:
        if not len(times):
            return np.empty(0), np.empty(0), np.empty(0)
        starts, ends = day_bounds(times)
        days = np.stack([np.maximum.reduceat(high, starts), np.minimum.reduceat(low, starts), close[ends - 1]])
        if times[0] % DAY_MS:
            days[:, 0] = NAN
        before = np.concatenate((np.full((3, 1), NAN), days[:, :-1]), axis=1)
        top, bottom, last = np.repeat(before, ends - starts, axis=1)
        return top, bottom, last
