"""Small markets for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from random import Random

import numpy as np

from simulator.market.catalog import generated_specs
from simulator.market.columns import CandleSource, Columns
from simulator.market.market import Market
from simulator.market.path import Bar, Print
from simulator.market.tape import Tape

NEW_YEAR_MS = 1_767_225_600_000  # 2026-01-01 00:00 UTC
MINUTE_MS = 60_000
DAY_MS = 86_400_000


def small_market(count: int = 3, *, seed: int = 7, start_ms: int = NEW_YEAR_MS + 5 * 3_600_000) -> Market:
    return Market.generated(generated_specs(count), seed=seed, start_ms=start_ms)


def tape_of(source: CandleSource, symbol: str, seed: int = 1) -> Tape:
    return Tape(source.specs[symbol], source, seed, 0, Random(0))


def built(bar: Bar, trades: Iterable[Print]) -> dict[str, int | tuple[int, ...]]:
    """Return the candle that results from `trades`, by the names of `wanted`."""
    made = list(trades)
    prices = [one.price for one in made]
    bought = [one for one in made if one.taker_buys]
    return {
        "ohlc": (prices[0], max(prices), min(prices), prices[-1]),
        "volume": sum(one.quantity for one in made),
        "quote": sum(one.quantity * one.price for one in made),
        "taker_volume": sum(one.quantity for one in bought),
        "taker_quote": sum(one.quantity * one.price for one in bought),
        "ids": (made[0].first_id, made[-1].last_id),
    }


def wanted(bar: Bar) -> dict[str, int | tuple[int, ...]]:
    return {
        "ohlc": (bar.open, bar.high, bar.low, bar.close),
        "volume": bar.volume,
        "quote": bar.quote,
        "taker_volume": bar.taker_volume,
        "taker_quote": bar.taker_quote,
        "ids": (bar.first_trade, bar.first_trade + bar.trade_count - 1),
    }


def equal(one: Columns, other: Columns) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in Columns.__slots__)


HEADER_12 = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)


def six(minute: int, open_: str = "10.0", high: str = "10.5", low: str = "9.5", close: str = "10.2") -> str:
    return f"{NEW_YEAR_MS + minute * MINUTE_MS},{open_},{high},{low},{close},100"


def twelve(minute: int, quote: str = "1000.00", taker: str = "40", taker_quote: str = "400.00", count: int = 12) -> str:
    opened = NEW_YEAR_MS + minute * MINUTE_MS
    return f"{opened},10.0,10.5,9.5,10.2,100,{opened + 59_999},{quote},{count},{taker},{taker_quote},0"


def write(path: Path, lines: Iterable[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path
