"""Candles as integer columns: prices in ticks, quantities in steps, times in minutes since the epoch.

Integers make every sum exact and fast; they become Decimals only when a value leaves the market.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

import numpy as np

from simulator.market.catalog import SymbolSpec
from simulator.market.noise import FloatArray, IntArray

MINUTE_MS = 60_000
TRADES_MIN, TRADES_MAX = 8, 16
Row = tuple[int, ...]
"""One candle: the values of `Columns`, in the order of its fields."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What one unit of each integer column is worth. `quote_unit` divides `tick * step`."""

    tick: Decimal
    step: Decimal
    quote_unit: Decimal

    @property
    def quote_per_cell(self) -> int:
        """Quote units in one step traded at one tick."""
        return int(self.tick * self.step / self.quote_unit)

    @classmethod
    def plain(cls, tick: Decimal, step: Decimal) -> Grid:
        """Return the grid whose quote unit is exactly one step at one tick."""
        return cls(tick, step, tick * step)


@dataclass(frozen=True, slots=True)
class Columns:
    """One-minute candles of one symbol, all arrays int64 and equally long.

    `count` is the number of single trades in a candle and `first_trade` the id of its first one; `parts` the number of
    aggregate trades that the market plays for it and `first_part` the id of the first of those.
    """

    minute: IntArray
    open: IntArray
    high: IntArray
    low: IntArray
    close: IntArray
    volume: IntArray
    quote: IntArray
    count: IntArray
    taker_volume: IntArray
    taker_quote: IntArray
    parts: IntArray
    first_trade: IntArray
    first_part: IntArray

    def __len__(self) -> int:
        return len(self.minute)

    def rows(self) -> list[Row]:
        """Return the candles one by one, as plain integers."""
        return list(zip(*(getattr(self, name).tolist() for name in Columns.__slots__), strict=True))

    def between(self, start_minute: int, end_minute: int) -> Columns:
        """Return the candles whose minute lies in [start, end), as views."""
        first, last = np.searchsorted(self.minute, (start_minute, end_minute))
        return Columns(*(getattr(self, name)[first:last] for name in Columns.__slots__))


def join(parts: list[Columns]) -> Columns:
    """Return the blocks one after another."""
    if len(parts) == 1:
        return parts[0]
    return Columns(*(np.concatenate([getattr(part, name) for part in parts]) for name in Columns.__slots__))


class CandleSource(Protocol):
    """Where a market takes its candles from. `columns` may be asked for any span and returns what there is of it."""

    @property
    def specs(self) -> Mapping[str, SymbolSpec]: ...

    def grid(self, symbol: str) -> Grid: ...

    def span(self, symbol: str) -> tuple[int, int | None]:
        """Return the first minute and the minute after the last one (None: it never ends)."""
        ...

    def columns(self, symbol: str, start_minute: int, end_minute: int) -> Columns: ...


def mean_quote(open_: IntArray, high: IntArray, low: IntArray, close: IntArray, volume: IntArray) -> IntArray:
    """Return quote volumes (ticks x steps) for candles that came without: volume at (open+high+low+close)/4, exact."""
    total = open_ + high + low + close
    result: IntArray = volume * (total // 4) + volume * (total % 4) // 4
    return result


def taker_share(
    noise: FloatArray, bars: tuple[IntArray, IntArray, IntArray, IntArray], volume: IntArray, quote: IntArray
) -> tuple[IntArray, IntArray]:
    """Return taker buy volume and its quote volume (ticks x steps) for candles that came without.

    The share is around one half and larger in rising candles; `noise` holds a number in [0, 1) for each. Both the
    bought and the sold part keep a mean price within the candle.
    """
    open_, high, low, close = bars
    body = (close - open_) / np.maximum(high - low, 1)
    share = np.clip(0.5 + 0.18 * body + 0.2 * (noise - 0.5), 0.05, 0.95)
    bought = np.rint(volume * share).astype(np.int64)
    sold = volume - bought
    mean = quote / np.maximum(volume, 1)
    bought_quote = np.rint(bought * mean).astype(np.int64)
    bought_quote = np.maximum(bought_quote, np.maximum(bought * low, quote - sold * high))
    bought_quote = np.minimum(bought_quote, np.minimum(bought * high, quote - sold * low))
    return bought, bought_quote


def part_weights(high: IntArray, low: IntArray, volume: IntArray) -> FloatArray:
    """Return how many aggregate trades to play each candle with: 8 to 16, more in wide ones, 0 without volume."""
    width = (high - low) / np.maximum(low, 1)
    typical = float(np.median(width)) or 1.0
    wanted = np.clip(7.0 + 4.0 * width / typical, TRADES_MIN, TRADES_MAX)
    result: FloatArray = np.where(volume > 0, wanted, 0.0)
    return result


def spread_whole(weights: FloatArray, total: int) -> IntArray:
    """Return whole numbers in proportion to `weights` that sum to exactly `total`."""
    edges = np.rint(np.cumsum(weights) * (total / weights.sum())).astype(np.int64)
    edges[-1] = total
    result: IntArray = np.diff(edges, prepend=0)
    return result


def starts(counts: IntArray, base: int) -> IntArray:
    """Return the id of the first member of each group when ids run on from `base`."""
    result: IntArray = base + np.cumsum(counts) - counts
    return result
