"""The generated market: reproducible, possible, and alike a real one in the statistics that strategies feel."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.market.catalog import generated_specs
from simulator.market.columns import Columns
from simulator.market.generator import DAY_MINUTES, GeneratedSource
from tests.unit.simulator_market.markets import NEW_YEAR_MS, equal

MIDNIGHT = NEW_YEAR_MS // 60_000
DAYS = 10


def source(count: int = 10, seed: int = 7, start_ms: int = NEW_YEAR_MS) -> GeneratedSource:
    return GeneratedSource(generated_specs(count), seed=seed, start_ms=start_ms)


@pytest.fixture(scope="module")
def week() -> dict[str, Columns]:
    """Ten days of the ten symbols."""
    market = source()
    return {symbol: market.columns(symbol, MIDNIGHT, MIDNIGHT + DAYS * DAY_MINUTES) for symbol in market.specs}


def moves(columns: Columns) -> np.ndarray:
    return np.diff(np.log(columns.close.astype(float)))


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def test_candles_are_the_same_whenever_and_in_whatever_pieces_they_are_read() -> None:
    once = source().columns("ETHUSDT", MIDNIGHT - 1000, MIDNIGHT + 3000)
    other = source(count=3)
    other.columns("BTCUSDT", MIDNIGHT, MIDNIGHT + 10)
    pieces = [other.columns("ETHUSDT", start, start + 500) for start in range(MIDNIGHT + 2500, MIDNIGHT - 1001, -500)]
    for piece in pieces:
        assert equal(piece, once.between(int(piece.minute[0]), int(piece.minute[-1]) + 1))
    assert sum(len(piece) for piece in pieces) == len(once) == 4000


def test_candles_differ_by_seed_and_symbol() -> None:
    mine = source().columns("BTCUSDT", MIDNIGHT, MIDNIGHT + 60)
    other = source(seed=8).columns("BTCUSDT", MIDNIGHT, MIDNIGHT + 60)
    assert not np.array_equal(mine.close, other.close)


def test_candles_are_possible_and_gapless_for_every_symbol() -> None:
    market = source(count=300)
    for symbol in market.specs:
        candles = market.columns(symbol, MIDNIGHT - 30, MIDNIGHT + DAY_MINUTES)
        assert np.array_equal(candles.minute, np.arange(MIDNIGHT - 30, MIDNIGHT + DAY_MINUTES))
        assert (candles.high >= np.maximum(candles.open, candles.close)).all()
        assert (candles.low <= np.minimum(candles.open, candles.close)).all()
        assert candles.low.min() > 0
        assert candles.volume.min() > 2 * candles.parts.max()
        assert candles.parts.min() >= 8
        assert (candles.count >= candles.parts).all()
        assert (candles.quote >= candles.low * candles.volume).all()
        assert (candles.quote <= candles.high * candles.volume).all()
        # each candle opens within a tick of the close before it, midnight included
        assert np.abs(candles.open[1:] - candles.close[:-1]).max() <= 1


def test_trade_ids_run_on_across_midnight() -> None:
    candles = source().columns("XRPUSDT", MIDNIGHT - 50, MIDNIGHT + 50)
    assert np.array_equal(candles.first_trade[1:], (candles.first_trade + candles.count)[:-1])
    assert np.array_equal(candles.first_part[1:], (candles.first_part + candles.parts)[:-1])


def test_history_reaches_back_at_least_three_days_before_the_start() -> None:
    market = source(start_ms=NEW_YEAR_MS + 123_456)
    first, end = market.span("BTCUSDT")
    assert first <= MIDNIGHT - 3 * DAY_MINUTES
    assert end is None
    assert len(market.columns("BTCUSDT", first, MIDNIGHT)) >= 3 * DAY_MINUTES


def test_price_at_the_start_is_near_the_reference_price() -> None:
    market = source()
    for symbol, spec in market.specs.items():
        close = int(market.columns(symbol, MIDNIGHT, MIDNIGHT + 1).close[0]) * float(spec.instrument.tick_size)
        assert abs(close / float(spec.reference_price) - 1) < 0.03


def test_volatility_clusters_with_a_long_memory(week) -> None:
    for candles in week.values():
        size = np.abs(moves(candles))
        assert 0.12 < correlation(size[:-1], size[1:]) < 0.40
        assert 0.08 < correlation(size[:-10], size[10:]) < 0.35
        assert correlation(size[:-60], size[60:]) > 0.03


def test_returns_have_fat_tails_and_hardly_any_memory(week) -> None:
    for candles in week.values():
        change = moves(candles)
        kurtosis = float(((change - change.mean()) ** 4).mean() / change.var() ** 2)
        assert 5.0 < kurtosis < 40.0
        assert abs(correlation(change[:-1], change[1:])) < 0.06


def test_symbols_move_together_but_not_in_step(week) -> None:
    matrix = np.corrcoef([moves(candles) for candles in week.values()])
    pairs = matrix[np.triu_indices(len(matrix), 1)]
    assert 0.5 < pairs.mean() < 0.85
    assert 0.4 < pairs.min() <= pairs.max() < 0.95


def test_volume_follows_the_width_of_the_candle(week) -> None:
    for candles in week.values():
        width = np.log((candles.high - candles.low + 1) / candles.low)
        assert 0.5 < correlation(np.log(candles.volume), width) < 0.9


def test_volatility_is_of_the_size_that_the_catalogue_states(week) -> None:
    specs = source().specs
    for symbol, candles in week.items():
        assert 0.6 < float(moves(candles).std()) / specs[symbol].volatility < 1.6
        days = candles.close.reshape(DAYS, DAY_MINUTES)
        assert 0.015 < float((days.max(axis=1) / days.min(axis=1) - 1).mean()) < 0.12


def test_market_has_trends_and_ranges(week) -> None:
    """The net move of four hours by the path taken: often next to nothing, and often more than a random walk's.

    A random walk of 240 steps has 0.019 at the 20th percentile and 0.140 at the 90th.
    """
    pooled = []
    for candles in week.values():
        close = np.log(candles.close.astype(float)).reshape(-1, 240)
        path = np.abs(np.diff(close, axis=1)).sum(axis=1)
        pooled.extend(np.abs(close[:, -1] - close[:, 0]) / path)
    assert np.quantile(pooled, 0.2) < 0.04
    assert np.quantile(pooled, 0.9) > 0.17
