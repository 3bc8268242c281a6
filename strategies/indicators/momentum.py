"""Strength of moves: RSI, ATR and ADX by J. Welles Wilder ("New Concepts in Technical Trading Systems", 1978), MACD by
Gerald Appel ("Technical Analysis: Power Tools for Active Investors", 2005)."""

# ruff: noqa: PLR0917 - the six columns of a candle are passed by position: it is the quickest way, and runs per candle
from __future__ import annotations

from strategies.indicators.base import Indicator, check_window, forgotten_after
from strategies.indicators.ops import Number, choose, larger, ratio, smaller
from strategies.indicators.parts import Previous, Smoothed, wilder


class Rsi(Indicator):
    """Relative strength index of the close, 0 to 100; 100 when nothing ever fell.

    As in `ta`, the smoothing (alpha = 1 / window) starts at zero with the first candle instead of with a mean.
    """

    def __init__(self, window: int = 14) -> None:
        self.warmup = max(window, forgotten_after(1.0 / check_window("Rsi", window)))
        self._previous = Previous()
        self._gain = Smoothed(1.0 / window, seed=1, ready=window)
        self._loss = Smoothed(1.0 / window, seed=1, ready=window)

    def formula(
        self, open: Number, high: Number, low: Number, close: Number, volume: Number, open_time: Number
    ) -> Number:
        change = close - self._previous(close)
        gain = self._gain(choose(change > 0.0, change, 0.0))
        loss = self._loss(choose(change < 0.0, -change, 0.0))
        return 100.0 - ratio(100.0, 1.0 + ratio(gain, loss, float("inf")), 0.0)


class Atr(Indicator):
    """Average true range in price units: Wilder's mean of max(high, last close) - min(low, last close)."""

    def __init__(self, window: int = 14) -> None:
        self.warmup = max(window, forgotten_after(1.0 / check_window("Atr", window)))
        self._previous = Previous()
        self._mean = wilder(window)

    def formula(
        self, open: Number, high: Number, low: Number, close: Number, volume: Number, open_time: Number
    ) -> Number:
        last = self._previous(close)
        return self._mean(larger(high, last) - smaller(low, last))


class Adx(Indicator):
    """Average directional index, 0 to 100: how one-sided the moves are, whatever their side.

    Wilder's DX is 100·|+DI - -DI| / (+DI + -DI). Both DI share the true range as denominator, so it cancels out and is
    not computed. A candle moves up, down or (inside, or equal on both sides) not at all. NaN for 2·window - 1 candles.
    """

    def __init__(self, window: int = 14) -> None:
        self.warmup = max(2 * window, forgotten_after(1.0 / check_window("Adx", window), stages=2))
        self._high = Previous()
        self._low = Previous()
        # The first candle has no candle before it; DX begins when both means do, `window` candles later.
        self._rise = wilder(window, skip=1)
        self._fall = wilder(window, skip=1)
        self._mean = wilder(window, skip=window)

    def formula(
        self, open: Number, high: Number, low: Number, close: Number, volume: Number, open_time: Number
    ) -> Number:
        up = high - self._high(high)
        down = self._low(low) - low
        rise = self._rise(choose((up > down) & (up > 0.0), up, 0.0))
        fall = self._fall(choose((down > up) & (down > 0.0), down, 0.0))
        del up, down  # columns that nobody needs any more: their memory serves the next ones
        return self._mean(100.0 * ratio(abs(rise - fall), rise + fall, 0.0))


class Macd(Indicator):
    """Moving average convergence divergence of the close, in price units: (macd, signal, histogram).

    macd is EMA(fast) - EMA(slow), signal its EMA over `signal` candles, histogram their difference; as in `ta`, every
    mean starts at its first value. macd is NaN for slow - 1 candles, the others for slow + signal - 2.
    """

    def __init__(self, fast: int = 12, slow: int = 26, signal: int = 9) -> None:
        alphas = [2.0 / (check_window("Macd", window) + 1) for window in (fast, slow, signal)]
        if fast >= slow:
            raise ValueError(f"Macd: the fast window must be shorter than the slow one (got {fast} and {slow})")
        self.warmup = max(slow + signal, forgotten_after(min(alphas), stages=2))
        self._fast = Smoothed(alphas[0], seed=1, ready=slow)
        self._slow = Smoothed(alphas[1], seed=1, ready=slow)
        self._signal = Smoothed(alphas[2], seed=1, ready=signal, skip=slow - 1)

    def formula(
        self, open: Number, high: Number, low: Number, close: Number, volume: Number, open_time: Number
    ) -> Number:
        macd = self._fast(close) - self._slow(close)
        signal = self._signal(macd)
        return macd, signal, macd - signal
