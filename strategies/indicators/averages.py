"""Means and deviations of the close and of the volume."""

# ruff: noqa: PLR0917 - the six columns of a candle are passed by position: it is the quickest way, and runs per candle
from __future__ import annotations

from strategies.indicators.base import Indicator, check_window, forgotten_after
from strategies.indicators.ops import NAN, Number, ratio
from strategies.indicators.parts import RollingMoments, RollingSum, Smoothed
from strategies.indicators.windows import WeightedMoments


class Sma(Indicator):
    """Simple moving average of the last `window` closes."""

    def __init__(self, window: int) -> None:
        self.warmup = check_window("Sma", window)
        self._window = window
        self._sum = RollingSum(window)

    def formula(
        self, open: Number, high: Number, low: Number, close: Number, volume: Number, open_time: Number
    ) -> Number:
        return self._sum(close) / self._window


class Ema(Indicator):
    """Exponential moving average of the close, alpha = 2 / (window + 1), started at the first close as in `ta`."""

    def __init__(self, window: int) -> None:
        alpha = 2.0 / (check_window("Ema", window) + 1)
        self.warmup = max(window, forgotten_after(alpha))
        self._smoothed = Smoothed(alpha, seed=1, ready=window)

    def formula(
        self, open: Number, high: Number, low: Number, close: Number, volume: Number, open_time: Number
    ) -> Number:
        return self._smoothed(close)


class RollingStd(Indicator):
    """Population standard deviation of the last `window` closes."""

    def __init__(self, window: int) -> None:
        self.warmup = check_window("RollingStd", window, least=2)
        self._moments = RollingMoments(window)

    def formula(
        self, open: Number, high: Number, low: Number, close: Number, volume: Number, open_time: Number
    ) -> Number:
        return self._moments(close)[1]


class Bollinger(Indicator):
    """Bollinger bands of the close: (middle, upper, lower, width).

    Middle is the mean of the last `window` closes, the bands lie `deviations` population standard deviations away;
    width is (upper - lower) / middle as a fraction. (J. Bollinger, "Bollinger on Bollinger Bands", 2001.)
    """

    def __init__(self, window: int = 20, deviations: float = 2.0) -> None:
        self.warmup = check_window("Bollinger", window, least=2)
        self._deviations = deviations
        self._moments = RollingMoments(window)

    def formula(
        self, open: Number, high: Number, low: Number, close: Number, volume: Number, open_time: Number
    ) -> Number:
        middle, deviation = self._moments(close)
        reach = self._deviations * deviation
        return middle, middle + reach, middle - reach, ratio(2.0 * reach, middle, NAN)


class VolumeRatio(Indicator):
    """Volume of the candle over the mean volume of the last `window` candles, this one included; NaN without volume."""

    def __init__(self, window: int = 20) -> None:
        self.warmup = check_window("VolumeRatio", window)
        self._window = window
        self._sum = RollingSum(window)

    def formula(
        self, open: Number, high: Number, low: Number, close: Number, volume: Number, open_time: Number
    ) -> Number:
        return ratio(volume * self._window, self._sum(volume), NAN)


class RollingVwap(Indicator):
    """Volume-weighted average price of the last `window` candles and the deviation around it: (vwap, sd).

    Over the typical price (high + low + close) / 3, deviation as in `SessionVwap`; both are NaN without volume.
    """

    def __init__(self, window: int) -> None:
        self.warmup = check_window("RollingVwap", window)
        self._moments = WeightedMoments(window)

    def formula(
        self, open: Number, high: Number, low: Number, close: Number, volume: Number, open_time: Number
    ) -> Number:
        return self._moments((high + low + close) / 3.0, volume)


class RollingVwapBands(RollingVwap):
    """Rolling VWAP with bands `deviations` standard deviations away: (vwap, upper, lower)."""

    def __init__(self, window: int, deviations: float = 2.0) -> None:
        super().__init__(window)
        self._deviations = deviations

    def formula(
        self, open: Number, high: Number, low: Number, close: Number, volume: Number, open_time: Number
    ) -> Number:
        vwap, sd = self._moments((high + low + close) / 3.0, volume)
        reach = self._deviations * sd
        return vwap, vwap + reach, vwap - reach
