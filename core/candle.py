"""Candles. A closed candle and one still forming are different types, so they cannot be mixed up."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from core.frozen import quick_init

INTERVAL_MS: dict[str, int] = {
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
}
"""Interval name to its length in milliseconds; the ones aligned to the UTC epoch."""

DAY_MS = 86_400_000


@quick_init
@dataclass(frozen=True, slots=True)
class ClosedCandle:
    """A final candle. Times are UTC epoch milliseconds; `close_time_ms` is the last one inside it.

    Volumes: `volume` and `taker_buy_volume` in base asset, the two quote volumes in quote asset.
    """

    symbol: str
    interval: str
    open_time_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal = Decimal(0)
    trade_count: int = 0
    taker_buy_volume: Decimal = Decimal(0)
    taker_buy_quote_volume: Decimal = Decimal(0)

    @property
    def close_time_ms(self) -> int:
        return self.open_time_ms + INTERVAL_MS[self.interval] - 1

    @property
    def next_open_time_ms(self) -> int:
        return self.open_time_ms + INTERVAL_MS[self.interval]


def floor_to_interval(time_ms: int, interval: str) -> int:
    """Return the open time of the `interval` candle that holds `time_ms`."""
    return time_ms - time_ms % INTERVAL_MS[interval]
