"""The stateful parts that indicators are built of: the candle before, smoothed means, rolling and daily sums.

Each part is called with one float a candle, in order, and keeps what it needs (constant cost: no part looks back over
its window more than once a window); or with a whole column, which it answers without touching its state. So a formula
written with parts serves both, and only the parts hold an algorithm twice. Both forms add in the same order: rolling
and daily parts agree to the last bit, smoothed ones to about 1e-15 (their column form works in blocks).
"""

from __future__ import annotations

import math
from itertools import accumulate, pairwise

import numpy as np
from numpy import ndarray

from core.candle import DAY_MS
from strategies.indicators.ops import NAN, Number, root


class Previous:
    """The value one candle ago; NaN at the first."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = NAN

    def __call__(self, value: Number) -> Number:
        if value.__class__ is ndarray:
            return np.concatenate(([NAN], value[:-1]))
        last = self._last
        self._last = value
        return last


class Smoothed:
    """Exponentially smoothed mean, y = y·(1 - alpha) + x·alpha. The first `skip` values are not looked at.

    `seed` values are averaged to start with (1: start at the first value, as `ta` does for EMA and RSI; `window`: as
    Wilder did). NaN until `ready` values were seen.
    """

    __slots__ = ("_alpha", "_count", "_keep", "_ready", "_seed", "_skip", "_sum", "_value")

    def __init__(self, alpha: float, *, seed: int, ready: int, skip: int = 0) -> None:
        self._alpha = alpha
        self._keep = 1.0 - alpha
        self._seed = seed
        self._ready = ready
        self._skip = skip
        self._count = -skip
        self._sum = 0.0
        self._value = NAN

    def __call__(self, value: Number) -> Number:
        if value.__class__ is ndarray:
            return self._over(value)
        if self._count >= self._ready:
            smoothed = self._value = self._keep * self._value + self._alpha * value
            return smoothed
        return self._begin(value)

    def _begin(self, value: float) -> float:
        self._count += 1
        if self._count <= 0:
            return NAN
        if self._count <= self._seed:
            self._sum += value
            self._value = self._sum / self._count
        else:
            self._value = self._keep * self._value + self._alpha * value
        return self._value if self._count >= self._ready else NAN

    def _over(self, column: ndarray) -> ndarray:
        first = self._skip + self._seed - 1
        if first >= len(column):
            return np.full(len(column), NAN)
        seed = float(np.cumsum(column[self._skip : first + 1])[-1]) / self._seed
        smoothed = np.empty(len(column))
        smoothed[:first] = NAN
        smoothed[first] = seed
        later = smoothed[first + 1 :]
        np.multiply(column[first + 1 :], self._alpha, out=later)
        decay(later, self._keep, seed)
        smoothed[: self._skip + self._ready - 1] = NAN
        return smoothed


def wilder(window: int, skip: int = 0) -> Smoothed:
    """Wilder's smoothing: alpha = 1 / window, started with the mean of the first `window` values."""
    return Smoothed(1.0 / window, seed=window, ready=window, skip=skip)


_ROWS_AT_ONCE = 64
"""So many rows of a table are made beside it: they stay in the processor's cache."""


def decay(values: ndarray, keep: float, start: float) -> None:
    """Turn each x[i] into y[i] = keep·y[i-1] + x[i] with y[-1] = start, in place, for 0 < keep < 1.

    The column is cut into about sqrt(n) blocks that advance side by side, one numpy step for all of them; then each
    block's end is carried into the next. Cost is linear, some 5 ns a value: time goes into memory, so nothing of the
    column's length is made beside the one table, which has the values of a step next to each other.
    """
    length = len(values)
    rows = max(1, math.isqrt(length))
    blocks = -(-length // rows)
    whole = length // rows
    full = values[: whole * rows].reshape(whole, rows)
    table = np.zeros((rows, blocks))
    table[:, :whole] = full.T
    table[: length - whole * rows, whole:] = values[whole * rows :, None]
    product = np.empty(blocks)
    for before, after in pairwise(table):
        np.multiply(before, keep, out=product)
        np.add(after, product, out=after)
    across = keep**rows
    carried = np.fromiter(accumulate(table[-1].tolist(), lambda y, x: across * y + x, initial=start), float)[:-1]
    shares = keep ** np.arange(1, rows + 1)
    for row in range(0, rows, _ROWS_AT_ONCE):
        table[row : row + _ROWS_AT_ONCE] += np.multiply.outer(shares[row : row + _ROWS_AT_ONCE], carried)
    full[...] = table[:, :whole].T
    values[whole * rows :] = table[: length - whole * rows, whole:].reshape(-1)


class RollingSum:
    """Sum of the last `window` values; NaN until there are so many, and while one of them is NaN.

    Candles are cut into blocks of `window`. A window is the tail of one block and the head of the next, so both sums
    only ever grow: nothing is subtracted, no error builds up (the block scheme of van Herk, Gil and Werman).
    """

    __slots__ = ("_block", "_head", "_tails", "_window")

    def __init__(self, window: int) -> None:
        self._window = window
        self._block: list[float] = []
        self._tails = [NAN] * window
        self._head = 0.0

    def __call__(self, value: Number) -> Number:
        if value.__class__ is ndarray:
            return self._over(value)
        block = self._block
        if len(block) == self._window:
            self._tails = list(accumulate(reversed(block)))
            block.clear()
            self._head = value
        else:
            self._head = self._head + value if block else value
        block.append(value)
        missing = self._window - len(block)
        return self._head + self._tails[missing - 1] if missing else self._head

    def _over(self, column: ndarray) -> ndarray:
        table = blocks_of(column, self._window)
        heads = np.cumsum(table, axis=1)
        heads[1:, :-1] += np.cumsum(table[:-1, :0:-1], axis=1)[:, ::-1]
        heads[0, :-1] = NAN
        return heads.reshape(-1)[: len(column)]


class RollingMoments:
    """Mean and population standard deviation of the last `window` values, as a pair; NaN until there are so many.

    Blocks as in `RollingSum`. Values count as distances from the first value of the newer block, which lies inside
    the window: squares stay small, so prices around 100,000 keep a deviation of a cent.
    """

    __slots__ = ("_anchor", "_block", "_first", "_firsts", "_second", "_seconds", "_window")

    def __init__(self, window: int) -> None:
        self._window = window
        self._block: list[float] = []
        self._anchor = self._first = self._second = 0.0
        self._firsts = [NAN] * window
        self._seconds = [NAN] * window

    def __call__(self, value: Number) -> Number:
        if value.__class__ is ndarray:
            return self._over(value)
        block = self._block
        if len(block) == self._window:
            self._turn(value)
        elif not block:
            self._anchor = value
        distance = value - self._anchor
        block.append(value)
        first = self._first = self._first + distance
        second = self._second = self._second + distance * distance
        missing = self._window - len(block)
        if missing:
            first += self._firsts[missing - 1]
            second += self._seconds[missing - 1]
        mean = first / self._window
        variance = second / self._window - mean * mean
        return self._anchor + mean, root(variance)

    def _turn(self, anchor: float) -> None:
        distances = [value - anchor for value in reversed(self._block)]
        self._firsts = list(accumulate(distances))
        self._seconds = list(accumulate([distance * distance for distance in distances]))
        self._block.clear()
        self._anchor = anchor
        self._first = self._second = 0.0

    def _over(self, column: ndarray) -> tuple[ndarray, ndarray]:
        table = blocks_of(column, self._window)
        anchors = table[:, :1].copy()
        distances = table - anchors
        tails = table[:-1, :0:-1] - anchors[1:]
        first = np.cumsum(distances, axis=1)
        second = np.cumsum(distances * distances, axis=1)
        first[1:, :-1] += np.cumsum(tails, axis=1)[:, ::-1]
        second[1:, :-1] += np.cumsum(tails * tails, axis=1)[:, ::-1]
        first[0, :-1] = NAN
        mean = first / self._window
        variance = second / self._window - mean * mean
        length = len(column)
        return (anchors + mean).reshape(-1)[:length], root(variance).reshape(-1)[:length]


def blocks_of(column: ndarray, window: int) -> ndarray:
    """Return the column as rows of `window` values, the last row filled up with zeros."""
    rows = max(1, -(-len(column) // window))
    padded = np.zeros(rows * window)
    padded[: len(column)] = column
    return padded.reshape(rows, window)


class DayMoments:
    """Weighted mean and standard deviation since 00:00 UTC, as a pair; NaN while the weights sum to zero.

    Over the sums w, w·d and w·d² with d the distance from the day's first value: the same variance as with d measured
    from zero, without losing its digits to the size of the price.
    """

    __slots__ = ("_anchor", "_day_end", "_first", "_second", "_weight")

    def __init__(self) -> None:
        self._day_end = -math.inf
        self._anchor = self._weight = self._first = self._second = 0.0

    def __call__(self, value: Number, weight: Number, time_ms: Number) -> Number:
        if value.__class__ is ndarray:
            return self._over(value, weight, time_ms)
        if time_ms >= self._day_end:
            self._day_end = time_ms - time_ms % DAY_MS + DAY_MS
            self._anchor = value
            self._weight = self._first = self._second = 0.0
        distance = value - self._anchor
        moment = weight * distance
        total = self._weight = self._weight + weight
        first = self._first = self._first + moment
        second = self._second = self._second + moment * distance
        if total == 0.0:
            return NAN, NAN
        mean = first / total
        variance = second / total - mean * mean
        return self._anchor + mean, root(variance)

    def _over(self, values: ndarray, weights: ndarray, times: ndarray) -> tuple[ndarray, ndarray]:
        if not len(values):
            return np.empty(0), np.empty(0)
        starts, ends = day_bounds(times)
        anchors = np.repeat(values[starts], ends - starts)
        distances = values - anchors
        moments = weights * distances
        total = _sum_within(weights, starts, ends)
        first = _sum_within(moments, starts, ends)
        moments *= distances
        del distances  # its memory serves the next column: fresh memory costs more than the arithmetic
        second = _sum_within(moments, starts, ends)
        total[total == 0.0] = NAN
        mean = np.divide(first, total, out=first)
        variance = np.divide(second, total, out=second)
        variance -= np.multiply(mean, mean, out=moments)
        anchors += mean
        return anchors, root(variance)


def day_bounds(times: ndarray) -> tuple[ndarray, ndarray]:
    """Return the first index of each UTC day in a non-empty, ascending column of open times, and the index after its
    last."""
    midnights = np.arange(times[0] // DAY_MS + 1, times[-1] // DAY_MS + 1) * DAY_MS
    changes = np.unique(np.searchsorted(times, midnights))
    return np.concatenate(([0], changes)), np.concatenate((changes, [len(times)]))


def _sum_within(column: ndarray, starts: ndarray, ends: ndarray) -> ndarray:
    sums = np.empty(len(column))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        column[start:end].cumsum(out=sums[start:end])
    return sums
