"""The volume-weighted average price of the UTC day."""

# ruff: noqa: PLR0917 - the six columns of a candle are passed by position: it is the quickest way, and runs per candle
from __future__ import annotations

from typing import ClassVar

from strategies.indicators.base import Indicator
from strategies.indicators.ops import Number
from strategies.indicators.parts import DayMoments


class SessionVwap(Indicator):
    """Volume-weighted average price since 00:00 UTC and the volume-weighted standard deviation around it: (vwap, sd).

    Over the typical price (high + low + close) / 3; sd² = Σ(v·p²) / Σv - vwap². In the day's first candle sd is 0;
    both are NaN until the day has seen volume.
    """

    day_anchored: ClassVar[bool] = True

    def __init__(self) -> None:
        self._day = DayMoments()

    def formula(
        self, open: Number, high: Number, low: Number, close: Number, volume: Number, open_time: Number
    ) -> Number:
        return self._day((high + low + close) / 3.0, volume, open_time)


class SessionVwapBands(SessionVwap):
    """Session VWAP with bands `deviations` standard deviations away: (vwap, upper, lower)."""

    def __init__(self, deviations: float = 2.0) -> None:
        super().__init__()
        self._deviations = deviations

    def formula(
        self, open: Number, high: Number, low: Number, close: Number, volume: Number, open_time: Number
    ) -> Number:
        vwap, sd = self._day((high + low + close) / 3.0, volume, open_time)
        reach = self._deviations * sd
        return vwap, vwap + reach, vwap - reach
