"""A market in which the direction of every minute is drawn by lot: what a strategy is worth where nothing can be known.

Each minute's move is mirrored or not, by a fair coin: its size, its range, its volume and its time stay, and with them
the day's rhythm, clusters of volatility and the overall drift (only deviations from the mean move are mirrored). What
is gone is any tie between the past and the direction of the next move. A strategy that lives on such ties does better
on the real market than on nearly all of these.

Signs by lot as a test of a martingale difference: J. H. Kim, "Wild bootstrapping variance ratio tests", Economics
Letters 92, 2006 (two-point distribution). Candles made anew for testing a trading rule: T. Masters, "Permutation and
Randomization Tests for Trading System Development", 2018.
"""

from __future__ import annotations

import numpy as np

from backtest.candles import ReplayCandles, from_units


def drawn_by_lot(candles: ReplayCandles, seed: int) -> ReplayCandles:
    """Return the candles with the direction of every minute drawn by lot. The same seed gives the same market."""
    count = len(candles)
    if not count:
        return candles
    units = [np.log(np.maximum(column, 1)) for column in (candles.open, candles.high, candles.low, candles.close)]
    open_, high, low, close = units
    gap = open_ - np.concatenate((open_[:1], close[:-1]))
    body = close - open_
    mean = float((gap + body).mean())
    flip = np.random.default_rng(seed).random(count) < 0.5
    sign = np.where(flip, -1.0, 1.0)
    new_gap = sign * gap
    new_body = sign * body + np.where(flip, 2 * mean, 0.0)
    start = open_[0] - new_gap[0]
    new_close = start + np.cumsum(new_gap + new_body)
    new_open = new_close - new_body
    above = np.where(flip, open_ - low, high - open_)
    below = np.where(flip, high - open_, open_ - low)
    made = [
        np.rint(np.exp(part)).astype(np.int64) for part in (new_open, new_open + above, new_open - below, new_close)
    ]
    first, top, bottom, last = (np.maximum(part, 1) for part in made)
    top = np.maximum(top, np.maximum(first, last))
    bottom = np.minimum(bottom, np.minimum(first, last))
    return from_units(
        candles.symbol,
        candles.spec,
        candles.decimals,
        candles.open_time,
        (first, top, bottom, last),
        candles.columns.volume,
    )
