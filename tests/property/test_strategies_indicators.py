"""Step and column forms of every indicator agree on any market, however odd."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    RollingVwapBands,
    Rsi,
    SessionVwap,
    SessionVwapBands,
    Sma,
    SwingStructure,
    VolumeRatio,
)

MAKERS = {
    "sma": lambda n: Sma(n),
    "ema": lambda n: Ema(n),
    "std": lambda n: RollingStd(n),
    "bollinger": lambda n: Bollinger(n),
    "volume": lambda n: VolumeRatio(n),
    "rsi": lambda n: Rsi(n),
    "atr": lambda n: Atr(n),
    "adx": lambda n: Adx(n),
    "vwap": lambda n: SessionVwap(),
    "vwap bands": lambda n: SessionVwapBands(n / 10),
    "rolling vwap": lambda n: RollingVwap(n),
    "rolling vwap bands": lambda n: RollingVwapBands(n, 1.5),
    "macd": lambda n: Macd(n, n + 7, n // 2 + 1),
    "shape": lambda n: CandleShape(),
    "pivots": lambda n: Pivots(n // 2, 1 + n % 3),
    "swings": lambda n: SwingStructure(1 + n % 3, 1 + n % 2, 3 * n),
    "fibonacci": lambda n: Fibonacci(1 + n % 2, 1 + n % 3, 3 * n),
    "pivot points": lambda n: PivotPoints("1m"),
    "opening range": lambda n: OpeningRange(n, 300 * (n % 4)),
}


@st.composite
def markets(draw: st.DrawFn) -> CandleColumns:
    """Random walks with jumps, flat stretches, minutes without volume, gaps in time, and prices of any size."""
    count = draw(st.integers(1, 260))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = 10.0 ** draw(st.integers(-4, 5))
    moves = rng.normal(0, 0.001, count) * (rng.random(count) < draw(st.floats(0.1, 1)))
    moves[rng.random(count) < 0.01] += 0.3
    close = scale * np.exp(np.cumsum(moves))
    opened = np.concatenate(([scale], close[:-1]))
    spread = 1 + np.abs(rng.normal(0, 0.0005, count)) * (rng.random(count) < 0.8)
    volume = rng.exponential(10, count) * (rng.random(count) < draw(st.floats(0.2, 1)))
    steps = np.where(rng.random(count) < 0.02, 400, 1)
    times = 1_748_736_000_000 + draw(st.integers(0, 1439)) * 60_000 + np.cumsum(steps) * 60_000
    return CandleColumns(
        opened, np.maximum(opened, close) * spread, np.minimum(opened, close) / spread, close, volume, times
    )


def whole_columns(indicator: Indicator, data: CandleColumns, end: int | None = None) -> np.ndarray:
    columns = (data.open, data.high, data.low, data.close, data.volume, data.open_time)
    return np.atleast_2d(np.asarray(indicator.over(*(column[:end] for column in columns)), dtype=float))


def stepped_rows(indicator: Indicator, data: CandleColumns) -> np.ndarray:
    columns = (data.open, data.high, data.low, data.close, data.volume, data.open_time)
    steps = [indicator.update(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    return np.atleast_2d(np.asarray(steps, dtype=float).T)


@pytest.mark.parametrize("name", MAKERS)
@given(data=markets(), window=st.integers(2, 40), part=st.floats(0.01, 1))
@settings(max_examples=40, deadline=None)
def test_indicator_forms_agree_on_any_market_and_ignore_what_comes_later(
    name: str, data: CandleColumns, window: int, part: float
) -> None:
    whole = whole_columns(MAKERS[name](window), data)
    stepped = stepped_rows(MAKERS[name](window), data)
    scale = float(np.nanmax(np.abs(stepped), initial=1e-12))
    if name == "macd":  # a difference of two means of the price has the price's last digits
        scale = float(data.close.max())
    np.testing.assert_allclose(stepped, whole, rtol=1e-9, atol=1e-12 * scale)
    cut = max(1, int(part * len(data)))
    np.testing.assert_allclose(
        whole_columns(MAKERS[name](window), data, cut), whole[:, :cut], rtol=1e-9, atol=1e-12 * scale
    )
