"""Equity at the close of every minute, from the trades and the candles. Floats: this is for curves and ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backtest.candles import MINUTE_MS, ReplayCandles
from backtest.trades import BacktestTrade
from core.candle import DAY_MS

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EquityCurve:
    """`time_ms` is the end of each minute; `equity` wallet plus open results, `exposure` the open notional."""

    time_ms: IntArray
    equity: FloatArray
    exposure: FloatArray

    def daily(self) -> tuple[IntArray, FloatArray]:
        """Return the UTC days (start, ms) and the equity at the end of each."""
        days = (self.time_ms - 1) // DAY_MS
        last = np.flatnonzero(np.diff(days, append=days[-1] + 1)) if len(days) else np.empty(0, dtype=np.int64)
        return days[last] * DAY_MS, self.equity[last]


def equity_curve(
    trades: Sequence[BacktestTrade], candles: Sequence[ReplayCandles], deposit: float, start_ms: int, end_ms: int
) -> EquityCurve:
    """Return the curve over the minutes from `start_ms` (before the first trade) to `end_ms`.

    A fee counts from the minute of its fill on (half of a trade's fees at the entry, half at the exit), funding from
    the exit on, an open position at the close of each minute; where a minute has no candle, at the last one before.
    """
    start = start_ms
    count = (end_ms - start) // MINUTE_MS
    booked = np.zeros(count + 1)
    open_result, exposure = np.zeros(count), np.zeros(count)
    by_symbol = {one.symbol: one for one in candles}
    closes = {symbol: _on_axis(one, start, count) for symbol, one in by_symbol.items()}
    for trade in trades:
        first = (trade.entry_time_ms - start) // MINUTE_MS
        end = count if trade.exit_time_ms is None else (trade.exit_time_ms - start) // MINUTE_MS
        quantity, sign = float(trade.quantity), trade.direction.sign
        close = closes[trade.symbol][first:end]
        open_result[first:end] += sign * quantity * (close - float(trade.entry_price))
        exposure[first:end] += quantity * close
        entry_fee = float(trade.fee) if trade.exit_time_ms is None else float(trade.fee) / 2
        booked[first] -= entry_fee
        booked[end] += float(trade.pnl) + entry_fee
    time_ms = start + MINUTE_MS * np.arange(1, count + 1, dtype=np.int64)
    return EquityCurve(time_ms, deposit + np.cumsum(booked[:count]) + open_result, exposure)


def _on_axis(candles: ReplayCandles, start: int, count: int) -> FloatArray:
    """Return the close of every minute of the axis; the last known one where there is none, the first before that."""
    if len(candles) == count and candles.open_time[0] == start:
        return candles.columns.close
    at = np.searchsorted(candles.open_time, start + MINUTE_MS * np.arange(count, dtype=np.int64), side="right") - 1
    return candles.columns.close[np.maximum(at, 0)]
