"""Levels that a chart is read by: pivots, swings, Fibonacci retracements, pivot points, the opening range.

Nothing here knows the future: a pivot is told `right` candles after it, when the candles on its right are closed.
"""

# ruff: noqa: PLR0917 - the six columns of a candle are passed by position: it is the quickest way, and runs per candle
from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from core.candle import DAY_MS, INTERVAL_MS
from strategies.indicators.base import Indicator, check_window
from strategies.indicators.days import DayBefore, DayWindow
from strategies.indicators.ops import NAN, Number, choose
from strategies.indicators.windows import Delayed, LastTwo, RollingMax

MINUTE_MS = 60_000
DAY_MINUTES = DAY_MS // MINUTE_MS
FIBONACCI = (0.236, 0.382, 0.5, 0.618, 0.786)


class _Peak:
    """The value `right` candles ago where it was a peak, else NaN: above the `left` values before it, not below the
    `right` ones after it. Of equal neighbours the first counts. A trough of x is minus a peak of -x."""

    __slots__ = ("_after", "_before", "_centre", "_past")

    def __init__(self, left: int, right: int) -> None:
        self._centre = Delayed(right)
        self._past = Delayed(1)
        self._before = RollingMax(left)
        self._after = RollingMax(right)

    def __call__(self, value: Number) -> Number:
        centre = self._centre(value)
        before = self._before(self._past(centre))
        return choose((centre > before) & (centre >= self._after(value)), centre, NAN)


class Pivots(Indicator):
    """Price of the pivot that this candle confirms, else NaN: (pivot_high, pivot_low).

    The candle `right` candles ago is a pivot high when its high is above the highs of the `left` candles before it and
    not below those of the `right` candles after it; a pivot low likewise.
    """

    def __init__(self, left: int = 3, right: int = 3) -> None:
        self.warmup = check_window("Pivots", left) + check_window("Pivots", right) + 1
        self._high = _Peak(left, right)
        self._low = _Peak(left, right)

    def formula(
        self, open: Number, high: Number, low: Number, close: Number, volume: Number, open_time: Number
    ) -> Number:
        return self._high(high), -self._low(-low)


class SwingStructure(Indicator):
    """Last swings and what they make of the market: (swing_high, swing_low, highs, lows, trend).

    A swing is a pivot as in `Pivots`. `highs` is +1 when the last swing high is higher than the one before (HH), -1
    when lower (LH), 0 when equal; `lows` is +1 for a higher low (HL), -1 for a lower one (LL). `trend` is +1 for HH
    with HL, -1 for LH with LL, else 0. NaN while swings are missing: one confirmed `memory` candles ago is forgotten.
    """

    def __init__(self, left: int = 3, right: int = 3, memory: int = 500) -> None:
        self.warmup = check_window("SwingStructure", memory, least=2) + Pivots(left, right).warmup - 1
        self._high = _Peak(left, right)
        self._low = _Peak(left, right)
        self._highs = LastTwo(memory)
        self._lows = LastTwo(memory)

    def formula(
        self, open: Number, high: Number, low: Number, close: Number, volume: Number, open_time: Number
    ) -> Number:
        top, top_before, _ = self._highs(self._high(high))
        bottom, bottom_before, _ = self._lows(-self._low(-low))
        highs, lows = _sign(top - top_before), _sign(bottom - bottom_before)
        falling = choose((highs < 0.0) & (lows < 0.0), -1.0, 0.0 * (highs + lows))
        return top, bottom, highs, lows, choose((highs > 0.0) & (lows > 0.0), 1.0, falling)


class Fibonacci(Indicator):
    """Retracements of the last leg between a swing low and a swing high: (leg, level, level, ...).

    `leg` is +1 when the high is the newer of the two, -1 when the low is; level r lies r times the leg's length back
    from its end, for the given `ratios` (0.236, 0.382, 0.5, 0.618 and 0.786: five levels). All NaN while there is no
    leg: a swing is missing or forgotten (`memory` as in `SwingStructure`), both were confirmed by one candle, or the
    high is not above the low.
    """

    def __init__(self, left: int = 3, right: int = 3, memory: int = 500, ratios: Sequence[float] = FIBONACCI) -> None:
        self.warmup = check_window("Fibonacci", memory, least=2) + Pivots(left, right).warmup - 1
        self._ratios = tuple(ratios)
        self._high = _Peak(left, right)
        self._low = _Peak(left, right)
        self._highs = LastTwo(memory)
        self._lows = LastTwo(memory)

    def formula(
        self, open: Number, high: Number, low: Number, close: Number, volume: Number, open_time: Number
    ) -> Number:
        top, _, top_age = self._highs(self._high(high))
        bottom, _, bottom_age = self._lows(-self._low(-low))
        leg = choose(top > bottom, _sign(bottom_age - top_age), NAN)
        leg = choose(leg != 0.0, leg, NAN)
        end, length = choose(leg > 0.0, top, bottom), (top - bottom) * leg
        return leg, *(end - ratio * length for ratio in self._ratios)


class PivotPoints(Indicator):
    """Classic pivot points of the UTC day before: (pivot, r1, s1, r2, s2, r3, s3).

    With H, L, C of that day: P = (H + L + C) / 3, R1 = 2P - L, S1 = 2P - H, R2 = P + (H - L), S2 = P - (H - L),
    R3 = H + 2(P - L), S3 = L - 2(H - P). `interval` is that of the strategy's candles: it says how many of them reach
    back to yesterday. NaN until the data hold a whole day before.
    """

    day_anchored: ClassVar[bool] = True

    def __init__(self, interval: str = "1m") -> None:
        step = INTERVAL_MS.get(interval, 2 * DAY_MS)
        if step > DAY_MS:
            raise ValueError(f"PivotPoints: interval must be one of up to a day, such as 1m (got {interval!r})")
        self.warmup = 2 * DAY_MS // step
        self._day = DayBefore()

    def formula(
        self, open: Number, high: Number, low: Number, close: Number, volume: Number, open_time: Number
    ) -> Number:
        top, bottom, last = self._day(high, low, close, open_time)
        pivot = (top + bottom + last) / 3.0
        span = top - bottom
        return (
            pivot,
            2.0 * pivot - bottom,
            2.0 * pivot - top,
            pivot + span,
            pivot - span,
            top + 2.0 * (pivot - bottom),
            bottom - 2.0 * (top - pivot),
        )


class OpeningRange(Indicator):
    """Highest and lowest price of the first `minutes` of the UTC day, or from `start_minute` on: (high, low).

    NaN until these minutes are over, then unchanged until midnight; NaN all day when they had no candle.
    """

    day_anchored: ClassVar[bool] = True

    def __init__(self, minutes: int = 30, start_minute: int = 0) -> None:
        end = check_window("OpeningRange", minutes) + start_minute
        if start_minute < 0 or end >= DAY_MINUTES:
            raise ValueError(f"OpeningRange: must lie within one UTC day (got {minutes} minutes from {start_minute})")
        self._window = DayWindow(start_minute * MINUTE_MS, end * MINUTE_MS)

    def formula(
        self, open: Number, high: Number, low: Number, close: Number, volume: Number, open_time: Number
    ) -> Number:
        return self._window(high, low, open_time)


def _sign(number: Number) -> Number:
    """Return +1, -1 or 0; NaN stays NaN."""
    return choose(number > 0.0, 1.0, choose(number < 0.0, -1.0, number))
