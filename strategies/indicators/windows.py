"""Stateful parts that look back over a window or at earlier events: as in `parts`, one form a candle, one a column."""

from __future__ import annotations

from collections import deque
from itertools import accumulate

import numpy as np
from numpy import ndarray

from strategies.indicators.ops import NAN, Number, root
from strategies.indicators.parts import blocks_of


class Delayed:
    """The value `lag` candles ago, at least one; NaN before there was any."""

    __slots__ = ("_lag", "_waiting")

    def __init__(self, lag: int) -> None:
        self._lag = lag
        self._waiting = deque([NAN] * lag)

    def __call__(self, value: Number) -> Number:
        if value.__class__ is ndarray:
            return np.concatenate((np.full(min(self._lag, len(value)), NAN), value[: -self._lag]))
        self._waiting.append(value)
        return self._waiting.popleft()


def _top(first: float, second: float) -> float:
    """Return the larger of two, NaN when one is NaN, as numpy's maximum does."""
    return second if second > first or second != second else first  # noqa: PLR0124 - NaN differs from itself


class RollingMax:
    """Largest of the last `window` values; NaN until there are so many, and while one of them is NaN.

    The smallest is `-RollingMax(window)(-value)`. Blocks as in `RollingSum`: the cost does not grow with the window.
    """

    __slots__ = ("_block", "_head", "_tails", "_window")

    def __init__(self, window: int) -> None:
        self._window = window
        self._block: list[float] = []
        self._tails = [NAN] * window
        self._head = NAN

    def __call__(self, value: Number) -> Number:
        if value.__class__ is ndarray:
            return self._over(value)
        block = self._block
        if len(block) == self._window:
            self._tails = list(accumulate(reversed(block), _top))
            block.clear()
        self._head = _top(self._head, value) if block else value
        block.append(value)
        missing = self._window - len(block)
        return _top(self._tails[missing - 1], self._head) if missing else self._head

    def _over(self, column: ndarray) -> ndarray:
        table = blocks_of(column, self._window)
        heads = np.maximum.accumulate(table, axis=1)
        tails = np.maximum.accumulate(table[:-1, :0:-1], axis=1)[:, ::-1]
        heads[1:, :-1] = np.maximum(heads[1:, :-1], tails)
        heads[0, :-1] = NAN
        return heads.reshape(-1)[: len(column)]


class WeightedMoments:
    """Weighted mean and standard deviation of the last `window` values, as a pair; NaN until there are so many, and
    while their weights sum to zero.

    Blocks and distances as in `RollingMoments`; weights are not negative.
    """

    __slots__ = ("_anchor", "_block", "_sums", "_tails", "_window")

    def __init__(self, window: int) -> None:
        self._window = window
        self._block: list[tuple[float, float]] = []
        self._anchor = 0.0
        self._sums = (0.0, 0.0, 0.0)
        self._tails: list[tuple[float, float, float]] = [(NAN, NAN, NAN)] * window

    def __call__(self, value: Number, weight: Number) -> Number:
        if value.__class__ is ndarray:
            return self._over(value, weight)
        block = self._block
        if len(block) == self._window:
            self._turn(value)
        elif not block:
            self._anchor = value
        distance = value - self._anchor
        moment = weight * distance
        total, first, second = self._sums
        total += weight
        first += moment
        second += moment * distance
        self._sums = total, first, second
        block.append((value, weight))
        missing = self._window - len(block)
        if missing:
            tail = self._tails[missing - 1]
            total += tail[0]
            first += tail[1]
            second += tail[2]
        if total == 0.0:
            return NAN, NAN
        mean = first / total
        return self._anchor + mean, root(second / total - mean * mean)

    def _turn(self, anchor: float) -> None:
        total = first = second = 0.0
        self._tails = tails = []
        for value, weight in reversed(self._block):
            moment = weight * (value - anchor)
            total += weight
            first += moment
            second += moment * (value - anchor)
            tails.append((total, first, second))
        self._block.clear()
        self._anchor = anchor
        self._sums = (0.0, 0.0, 0.0)

    def _over(self, values: ndarray, weights: ndarray) -> tuple[ndarray, ndarray]:
        table, load = blocks_of(values, self._window), blocks_of(weights, self._window)
        anchors = table[:, :1].copy()
        heads, tails = table - anchors, table[:-1, :0:-1] - anchors[1:]
        head_moments, tail_moments = load * heads, load[:-1, :0:-1] * tails
        total, first, second = (
            self._join(head, tail)
            for head, tail in (
                (load, load[:-1, :0:-1]),
                (head_moments, tail_moments),
                (head_moments * heads, tail_moments * tails),
            )
        )
        total[total == 0.0] = NAN
        mean = first / total
        length = len(values)
        deviation = root(second / total - mean * mean)
        return (anchors + mean).reshape(-1)[:length], deviation.reshape(-1)[:length]

    @staticmethod
    def _join(heads: ndarray, tails: ndarray) -> ndarray:
        """Return the sums of windows: what they have of the newer block, plus what of the older one."""
        sums = np.cumsum(heads, axis=1)
        sums[1:, :-1] += np.cumsum(tails, axis=1)[:, ::-1]
        sums[0, :-1] = NAN
        return sums


class LastTwo:
    """The last event, the one before it, and how many candles ago the last was: (last, previous, age).

    An event is a value that is not NaN. One that lies `keep` candles back is forgotten (NaN again), so that the answer
    never depends on where the data began.
    """

    __slots__ = ("_at", "_before", "_before_at", "_keep", "_last", "_last_at")

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._at = 0
        self._last = self._before = NAN
        self._last_at = self._before_at = -keep

    def __call__(self, event: Number) -> Number:
        if event.__class__ is ndarray:
            return self._over(event)
        at = self._at
        self._at = at + 1
        if event == event:  # noqa: PLR0124 - NaN differs from itself
            self._before, self._before_at = self._last, self._last_at
            self._last, self._last_at = event, at
        age = at - self._last_at
        if age >= self._keep:
            return NAN, NAN, NAN
        return self._last, self._before if at - self._before_at < self._keep else NAN, float(age)

    def _over(self, column: ndarray) -> tuple[ndarray, ndarray, ndarray]:
        events = np.flatnonzero(~np.isnan(column))
        places = np.concatenate(([-self._keep, -self._keep], events))
        values = np.concatenate(([NAN, NAN], column[events]))
        count = np.cumsum(~np.isnan(column))
        at = np.arange(len(column))
        age = at - places[count + 1]
        known = age < self._keep
        previous = np.where(known & (at - places[count] < self._keep), values[count], NAN)
        return np.where(known, values[count + 1], NAN), previous, np.where(known, age, NAN)
