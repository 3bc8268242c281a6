"""Aggregates of exact candles and of columns are the same candles, holes included."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.candle import INTERVAL_MS
from strategies.aggregate import Aggregator, aggregate_columns
from tests.unit.strategies.support import MINUTE, START, columns, walk


@given(
    seed=st.integers(0, 10**6),
    count=st.integers(0, 200),
    offset=st.integers(0, 70),
    holes=st.floats(0, 0.3),
    interval=st.sampled_from(["3m", "5m", "15m", "30m", "1h"]),
)
@settings(max_examples=50, deadline=None)
def test_aggregator_and_columns_build_the_same_candles(seed, count, offset, holes, interval) -> None:
    rng = random.Random(seed)
    minutes = [one for one in walk(count, seed=seed, start=START + offset * MINUTE) if rng.random() >= holes]
    aggregator = Aggregator(interval)
    built = [one for minute in minutes for one in aggregator.add(minute)]
    whole = aggregate_columns(columns(minutes), interval)
    assert whole.open_time.tolist() == [one.open_time_ms for one in built]
    for name in ("open", "high", "low", "close", "volume"):
        np.testing.assert_allclose(getattr(whole, name), [float(getattr(one, name)) for one in built], rtol=1e-12)
    for one in built:
        inside = [m for m in minutes if 0 <= m.open_time_ms - one.open_time_ms < INTERVAL_MS[interval]]
        assert (one.open, one.close) == (inside[0].open, inside[-1].close)
        assert (one.high, one.low) == (max(m.high for m in inside), min(m.low for m in inside))
        assert one.volume == sum(m.volume for m in inside)
