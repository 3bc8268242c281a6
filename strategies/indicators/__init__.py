"""Indicators, each written once: `update` advances one candle, `over` runs whole columns, both through one formula."""

from strategies.indicators.averages import (
    Bollinger,
    Ema,
    RollingStd,
    RollingVwap,
    RollingVwapBands,
    Sma,
    VolumeRatio,
)
from strategies.indicators.base import Indicator
from strategies.indicators.levels import Fibonacci, OpeningRange, PivotPoints, Pivots, SwingStructure
from strategies.indicators.momentum import Adx, Atr, Macd, Rsi
from strategies.indicators.session import SessionVwap, SessionVwapBands
from strategies.indicators.shape import CandleShape

__all__ = [
    "Adx",
    "Atr",
    "Bollinger",
    "CandleShape",
    "Ema",
    "Fibonacci",
    "Indicator",
    "Macd",
    "OpeningRange",
    "PivotPoints",
    "Pivots",
    "RollingStd",
    "RollingVwap",
    "RollingVwapBands",
    "Rsi",
    "SessionVwap",
    "SessionVwapBands",
    "Sma",
    "SwingStructure",
    "VolumeRatio",
]
