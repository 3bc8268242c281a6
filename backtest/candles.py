"""The candles of one symbol in a replay: exact prices as whole numbers, the same values as floats for indicators."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from backtest.finer import FinerCandles
from core.instrument import Rounding
from simulator.market.catalog import SymbolSpec
from strategies.base import CandleColumns

IntArray = NDArray[np.int64]

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class ReplayCandles:
    """One-minute candles, ascending. Prices are whole multiples of 10^-`decimals`; `open_time` is UTC milliseconds.

    `columns` holds the same candles as floats. `spec` is the contract that they belong to. `finer` are candles of
    seconds where there are any.
    """

    symbol: str
    spec: SymbolSpec
    decimals: int
    open_time: IntArray
    open: IntArray
    high: IntArray
    low: IntArray
    close: IntArray
    columns: CandleColumns
    finer: FinerCandles | None = None
    unit: Decimal = field(init=False, repr=False)
    """What one unit of the integer columns is worth."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", Decimal(1).scaleb(-self.decimals))

    def __len__(self) -> int:
        return len(self.open_time)

    def price(self, units: int) -> Decimal:
        """Return a price of the integer columns as a Decimal."""
        return units * self.unit

    def units(self, price: Decimal, rounding: Rounding) -> int:
        """Return a price in units of the integer columns, rounded in the named direction where it lies between."""
        whole = price.scaleb(self.decimals).to_integral_value(rounding)
        return int(whole) if _LEAST < whole < _MOST else int(min(max(whole, _LEAST), _MOST))

    def first_beyond(self, start: int, falling: int, rising: int) -> int | None:
        """Return the first candle from `start` on that touches one of two prices (low at or below `falling`, high at
        or above `rising`), or None."""
        low, high, count, width = self.low, self.high, len(self.low), _FIRST_WINDOW
        while start < count:
            end = start + width
            touched = (low[start:end] <= falling) | (high[start:end] >= rising)
            at = int(touched.argmax())
            if touched[at]:
                return start + at
            start, width = end, width * _GROWTH
        return None


_FIRST_WINDOW = 128
_GROWTH = 4
_MOST = Decimal(2**62)
_LEAST = -_MOST


def from_units(  # noqa: PLR0917
    symbol: str,
    spec: SymbolSpec,
    decimals: int,
    open_time: IntArray,
    prices: tuple[IntArray, IntArray, IntArray, IntArray],
    volume: NDArray[np.float64],
) -> ReplayCandles:
    """Return candles made of integer prices (open, high, low, close); the floats are the nearest doubles."""
    open_, high, low, close = (column / 10.0**decimals for column in prices)
    columns = CandleColumns(open_, high, low, close, volume, open_time)
    return ReplayCandles(symbol, spec, decimals, open_time, *prices, columns)
