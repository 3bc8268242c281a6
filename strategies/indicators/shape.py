"""The shape of one candle."""

# ruff: noqa: PLR0917 - the six columns of a candle are passed by position: it is the quickest way, and runs per candle
from __future__ import annotations

from strategies.indicators.base import Indicator
from strategies.indicators.ops import NAN, Number, larger, ratio, smaller


class CandleShape(Indicator):
    """Body and wicks as fractions of the candle's range: (body, upper_wick, lower_wick), together 1.

    NaN for a candle without range. The body's side is that of close - open.
    """

    def formula(
        self, open: Number, high: Number, low: Number, close: Number, volume: Number, open_time: Number
    ) -> Number:
        span = high - low
        top, bottom = larger(open, close), smaller(open, close)
        return ratio(top - bottom, span, NAN), ratio(high - top, span, NAN), ratio(bottom - low, span, NAN)
