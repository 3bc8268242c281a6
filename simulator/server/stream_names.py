"""Stream names and the category that serves each (protocol section 7)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from simulator.market.intervals import INTERVALS

_NAME = re.compile(r"(?P<symbol>[^@!]+)@(?P<kind>[a-zA-Z]+)(?P<levels>\d*)(?:_(?P<interval>\w+))?(?:@(?P<speed>\w+))?")
_DEPTH_PERIODS = {None: 250, "100ms": 100, "250ms": 250, "500ms": 500}
_PARTIAL_LEVELS = {"": 0, "5": 5, "10": 10, "20": 20}


class Category(StrEnum):
    """First part of a stream's path. A stream asked for under another category stays silent."""

    PUBLIC = "public"
    MARKET = "market"
    PRIVATE = "private"


class Kind(StrEnum):
    KLINE = "kline"
    MARK_PRICE = "markPrice"
    AGG_TRADE = "aggTrade"
    BOOK_TICKER = "bookTicker"
    DEPTH = "depth"


_PLAIN: dict[tuple[str, str | None], tuple[Category, int]] = {
    (Kind.MARK_PRICE, None): (Category.MARKET, 3_000),
    (Kind.MARK_PRICE, "3s"): (Category.MARKET, 3_000),
    (Kind.MARK_PRICE, "1s"): (Category.MARKET, 1_000),
    (Kind.AGG_TRADE, None): (Category.MARKET, 0),
    (Kind.BOOK_TICKER, None): (Category.PUBLIC, 0),
}
"""Category and period of the streams that take neither an interval nor levels, by kind and speed."""
_MARKS_OF_ALL = {"!markPrice@arr": 3_000, "!markPrice@arr@3s": 3_000, "!markPrice@arr@1s": 1_000}
"""Period of the streams that tell the mark prices of all symbols in one frame."""


@dataclass(frozen=True, slots=True)
class StreamName:
    """A public stream. `symbol` is "" where it tells of all; `period_ms` is the wall time between timed frames,
    `levels` 0 for a depth difference stream."""

    text: str
    category: Category
    kind: Kind
    symbol: str
    interval: str = ""
    period_ms: int = 0
    levels: int = 0


def parse(text: str) -> StreamName | None:
    """Return what `text` names, or None for anything that the exchange does not stream. Names are lower case."""
    if text in _MARKS_OF_ALL:
        return StreamName(text, Category.MARKET, Kind.MARK_PRICE, "", period_ms=_MARKS_OF_ALL[text])
    match = _NAME.fullmatch(text)
    if match is None or match["symbol"] != match["symbol"].lower():
        return None
    symbol, kind, speed = match["symbol"].upper(), match["kind"], match["speed"]
    interval, levels = match["interval"], match["levels"]
    if kind == Kind.DEPTH and interval is None and levels in _PARTIAL_LEVELS and speed in _DEPTH_PERIODS:
        period_ms, count = _DEPTH_PERIODS[speed], _PARTIAL_LEVELS[levels]
        return StreamName(text, Category.PUBLIC, Kind.DEPTH, symbol, period_ms=period_ms, levels=count)
    if kind == Kind.KLINE and not levels and interval in INTERVALS and speed is None:
        return StreamName(text, Category.MARKET, Kind.KLINE, symbol, interval=interval)
    plain = _PLAIN.get((kind, speed))
    if plain is None or levels or interval:
        return None
    category, period_ms = plain
    return StreamName(text, category, Kind(kind), symbol, period_ms=period_ms)
