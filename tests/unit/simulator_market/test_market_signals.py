"""The generated market gives a VWAP mean reversion something to do: signals, wins and losses, in a sensible time."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.market.catalog import generated_specs
from simulator.market.columns import Columns
from simulator.market.generator import DAY_MINUTES, GeneratedSource
from tests.unit.simulator_market.markets import NEW_YEAR_MS

DAYS = 10
MIDNIGHT = NEW_YEAR_MS // 60_000


def adx(high: np.ndarray, low: np.ndarray, close: np.ndarray, length: int = 14) -> np.ndarray:
    """Average directional index by Wilder, NaN until it exists."""
    up, down = np.diff(high), -np.diff(low)
    plus = np.where((up > down) & (up > 0), up, 0.0)
    minus = np.where((down > up) & (down > 0), down, 0.0)
    spans = np.maximum(high[1:] - low[1:], np.maximum(abs(high[1:] - close[:-1]), abs(low[1:] - close[:-1])))
    result = np.full(len(high), np.nan)
    sums, index = np.zeros(3), float("nan")
    seed: list[float] = []
    for number, step in enumerate(np.stack([plus, minus, spans], axis=1)):
        sums = sums + step if number < length else sums - sums / length + step
        if number < length - 1:
            continue
        both = sums[0] + sums[1]
        value = 100 * abs(sums[0] - sums[1]) / both if both else 0.0
        seed.append(value)
        if len(seed) == length:
            index = float(np.mean(seed))
        elif len(seed) > length:
            index += (value - index) / length
        result[number + 1] = index
    return result


def bands(candles: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Session VWAP anchored at 00:00 UTC and its volume-weighted standard deviation."""
    typical = (candles.high + candles.low + candles.close) / 3
    shape = (-1, DAY_MINUTES)
    volume = np.cumsum(candles.volume.reshape(shape), axis=1)
    first = np.cumsum((candles.volume * typical).reshape(shape), axis=1)
    second = np.cumsum((candles.volume * typical**2).reshape(shape), axis=1)
    vwap = first / volume
    return vwap.ravel(), np.sqrt(np.maximum(second / volume - vwap**2, 0)).ravel()


def outcomes(candles: Columns, signals: np.ndarray, sides: np.ndarray) -> list[tuple[bool, int]]:
    """Return (target first, minutes) of trades entered at a signal's close, one at a time; the stop wins a tie."""
    found: list[tuple[bool, int]] = []
    free_from = 0
    for at in signals:
        if at < free_from:
            continue
        entry, side = candles.close[at], sides[at]
        against = (candles.low if side > 0 else candles.high)[at + 1 :]
        along = (candles.high if side > 0 else candles.low)[at + 1 :]
        stopped = np.flatnonzero(side * (against - entry * (1 - side * 0.003)) <= 0)
        reached = np.flatnonzero(side * (along - entry * (1 + side * 0.006)) >= 0)
        ends = [hits[0] for hits in (stopped, reached) if len(hits)]
        if not ends:
            break
        took = int(min(ends)) + 1
        found.append((not len(stopped) or stopped[0] > min(ends), took))
        free_from = at + took + 1
    return found


@pytest.mark.parametrize("seed", [2, 7])
def test_vwap_reversion_signals_come_at_one_to_three_percent_of_candles_and_win_and_lose(seed: int) -> None:
    market = GeneratedSource(generated_specs(10), seed=seed, start_ms=NEW_YEAR_MS)
    shares, results = [], []
    for symbol in market.specs:
        candles = market.columns(symbol, MIDNIGHT, MIDNIGHT + DAYS * DAY_MINUTES)
        vwap, deviation = bands(candles)
        calm = adx(candles.high, candles.low, candles.close) < 20
        sides = np.where(candles.close < vwap - 2 * deviation, 1, np.where(candles.close > vwap + 2 * deviation, -1, 0))
        signal = calm & (sides != 0) & (deviation > 0)
        shares.append(float(signal.mean()))
        results.extend(outcomes(candles, np.flatnonzero(signal), sides))
    assert 0.01 < float(np.mean(shares)) < 0.03
    assert 0.006 < min(shares) <= max(shares) < 0.045
    assert len(results) / DAYS > 30
    assert 0.2 < np.mean([won for won, _ in results]) < 0.5
    assert np.median([took for _, took in results]) < 30
    assert np.quantile([took for _, took in results], 0.9) < 180
