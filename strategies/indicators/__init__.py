"""Indicators, each written once: `update` advances one candle, `over` runs whole columns, both through one formula."""

from strategies.indicators.averages import Bollinger, Ema, RollingStd, Sma, VolumeRatio
from strategies.indicators.base import Indicator
from strategies.indicators.momentum import Adx, Atr, Rsi
from strategies.indicators.session import SessionVwap

__all__ = ["Adx", "Atr", "Bollinger", "Ema", "Indicator", "RollingStd", "Rsi", "SessionVwap", "Sma", "VolumeRatio"]
