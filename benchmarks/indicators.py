"""What each indicator costs: one candle at a time as live, and over a whole column as in a backtest.

    uv run python -m benchmarks.indicators [--runs 5] [--candles 525600]

The column is a year of one-minute candles, a seeded random walk; the live form advances through a part of it. Medians
of the runs in nanoseconds a candle; one JSON line at the end. The exit code is 1 when a candle costs more than
`LIVE_US_MAX` live.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from strategies.base import CandleColumns
from strategies.indicators import (
    Adx,
    Atr,
    Bollinger,
    CandleShape,
    Ema,
    Fibonacci,
    Indicator,
    Macd,
    OpeningRange,
    PivotPoints,
    Pivots,
    RollingStd,
    RollingVwap,
    Rsi,
    SessionVwap,
    Sma,
    SwingStructure,
    VolumeRatio,
)

LIVE_US_MAX = 5.0
LIVE_CANDLES = 50_000
START_MS = 1_735_689_600_000  # 2025-01-01
MAKERS: dict[str, Callable[[], Indicator]] = {
    "Sma(20)": lambda: Sma(20),
    "Ema(21)": lambda: Ema(21),
    "RollingStd(20)": lambda: RollingStd(20),
    "Bollinger(20)": lambda: Bollinger(20),
    "VolumeRatio(20)": lambda: VolumeRatio(20),
    "RollingVwap(60)": lambda: RollingVwap(60),
    "RollingVwap(1440)": lambda: RollingVwap(1_440),
    "SessionVwap()": SessionVwap,
    "Rsi(14)": lambda: Rsi(14),
    "Macd(12, 26, 9)": Macd,
    "Atr(14)": lambda: Atr(14),
    "Adx(14)": lambda: Adx(14),
    "Pivots(3, 3)": Pivots,
    "Pivots(50, 50)": lambda: Pivots(50, 50),
    "SwingStructure(3, 3)": SwingStructure,
    "Fibonacci(3, 3)": Fibonacci,
    "PivotPoints()": PivotPoints,
    "OpeningRange(30)": OpeningRange,
    "CandleShape()": CandleShape,
}


def market(count: int, seed: int = 7) -> CandleColumns:
    """Return a random walk of one-minute candles."""
    rng = np.random.default_rng(seed)
    close = 50_000 * np.exp(np.cumsum(rng.normal(0, 0.0004, count)))
    opened = np.concatenate((close[:1], close[:-1]))
    spread = 1 + np.abs(rng.normal(0, 0.0002, count))
    return CandleColumns(
        opened,
        np.maximum(opened, close) * spread,
        np.minimum(opened, close) / spread,
        close,
        rng.exponential(10, count),
        START_MS + 60_000 * np.arange(count),
    )


def live_ns(make: Callable[[], Indicator], rows: list[tuple[float, ...]]) -> float:
    """Return nanoseconds a candle, one at a time."""
    update = make().update
    started = time.perf_counter_ns()
    for open_, high, low, close, volume, open_time in rows:
        update(open_, high, low, close, volume, open_time)
    return (time.perf_counter_ns() - started) / len(rows)


def column_ns(make: Callable[[], Indicator], data: CandleColumns) -> float:
    """Return nanoseconds a candle, as a column."""
    indicator = make()
    started = time.perf_counter_ns()
    indicator.over(data.open, data.high, data.low, data.close, data.volume, data.open_time)
    return (time.perf_counter_ns() - started) / len(data)


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--candles", type=int, default=525_600)
    options = parser.parse_args()
    data = market(options.candles)
    names = ("open", "high", "low", "close", "volume", "open_time")
    rows = list(zip(*(getattr(data, name)[:LIVE_CANDLES].tolist() for name in names), strict=True))
    figures = {}
    print(f"{'indicator':22}{'live ns/candle':>16}{'column ns/candle':>18}{'column ms':>11}")
    for name, make in MAKERS.items():
        live = statistics.median(live_ns(make, rows) for _ in range(options.runs))
        column = statistics.median(column_ns(make, data) for _ in range(options.runs))
        figures[name] = {"live_ns": round(live), "column_ns": round(column, 1)}
        print(f"{name:22}{live:16,.0f}{column:18,.1f}{column * len(data) / 1e6:11,.1f}")
    slow = [name for name, one in figures.items() if one["live_ns"] > LIVE_US_MAX * 1_000]
    for name in slow:
        print(f"missed: {name} costs more than {LIVE_US_MAX:g} µs a candle live")
    print(json.dumps({"benchmark": "indicators", "candles": len(data), "runs": options.runs, "figures": figures}))
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
