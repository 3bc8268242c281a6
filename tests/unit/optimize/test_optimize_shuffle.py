"""Markets drawn by lot: what stays of the real one, and what does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backtest.optimize.shuffle import drawn_by_lot
from tests.unit.optimize.support import candles


def moves(one: object) -> np.ndarray:
    return np.diff(np.log(candles().close if one is None else one.close))  # type: ignore[attr-defined]


def test_drawn_by_lot_keeps_sizes_times_and_volumes_and_changes_directions() -> None:
    real = candles()
    made = drawn_by_lot(real, 1)
    before, after = moves(real), moves(made)
    assert np.array_equal(made.open_time, real.open_time)
    assert np.array_equal(made.columns.volume, real.columns.volume)
    drift = 2 * abs(before.mean())
    grid = 2 / real.close.min()
    assert np.abs(np.abs(after) - np.abs(before)).max() <= drift + grid
    mirrored = (np.sign(after) != np.sign(before))[np.abs(before) > 1e-4].mean()
    assert 0.45 < mirrored < 0.55


def test_drawn_by_lot_makes_candles_that_can_be() -> None:
    made = drawn_by_lot(candles(), 2)
    assert (made.low <= np.minimum(made.open, made.close)).all()
    assert (made.high >= np.maximum(made.open, made.close)).all()
    assert (made.low > 0).all()
    assert np.allclose(made.columns.close * 10**made.decimals, made.close)


def test_drawn_by_lot_with_a_seed_is_always_the_same() -> None:
    assert np.array_equal(drawn_by_lot(candles(), 3).close, drawn_by_lot(candles(), 3).close)
    assert not np.array_equal(drawn_by_lot(candles(), 3).close, drawn_by_lot(candles(), 4).close)


def test_drawn_by_lot_leaves_nothing_of_a_pattern() -> None:
    def memory(one: object) -> float:
        found = moves(one)
        return float(np.corrcoef(np.sign(found[:-1]), np.sign(found[1:]))[0, 1])

    zigzag = candles().close + 600 * (np.arange(len(candles())) % 2)
    real = replace(candles(), close=zigzag, open=np.concatenate((zigzag[:1], zigzag[:-1])))
    assert memory(real) < -0.1
    assert abs(memory(drawn_by_lot(real, 5))) < 0.05
