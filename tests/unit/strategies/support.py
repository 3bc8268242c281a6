"""Candles, sources and writers for the tests of the strategies."""

from __future__ import annotations

import csv
import gzip
import random
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np

from core.candle import INTERVAL_MS, ClosedCandle
from core.errors import RuntimeFailure
from core.events import CandleClosed
from core.records import Record
from strategies.base import CandleColumns

MINUTE = 60_000
DAY = 86_400_000
START = 1_748_736_000_000  # 2025-06-01 00:00 UTC


def candle(
    index: int, close: str = "100", *, symbol: str = "BTCUSDT", start: int = START, **fields: str
) -> ClosedCandle:
    """A 1m candle `index` minutes after `start`; prices default to `close`, volume to 1."""
    price = {name: Decimal(fields.get(name, close)) for name in ("open", "high", "low")}
    volume = Decimal(fields.get("volume", "1"))
    return ClosedCandle(symbol, "1m", start + index * MINUTE, **price, close=Decimal(close), volume=volume)


def closed(one: ClosedCandle) -> CandleClosed:
    return CandleClosed(one, one.next_open_time_ms, one.next_open_time_ms + 7, 42)


def walk(count: int, *, seed: int = 1, symbol: str = "BTCUSDT", start: int = START) -> list[ClosedCandle]:
    """A random walk of 1m candles with sound extremes and lively volume; quiet minutes included."""
    rng = random.Random(seed)
    price, candles = 10_000, []
    for index in range(count):
        moves = [0] if rng.random() < 0.05 else [rng.randint(-12, 12) for _ in range(4)]
        path = [price]
        for move in moves:
            path.append(max(1_000, path[-1] + move))
        opened, price = path[0], path[-1]
        cents = [Decimal(value) / 100 for value in (opened, max(path), min(path), price)]
        volume = Decimal(rng.randint(0, 5_000)) / 1000 if len(moves) > 1 else Decimal(0)
        candles.append(
            ClosedCandle(symbol, "1m", start + index * MINUTE, *cents, volume, volume * cents[3], len(moves))
        )
    return candles


def columns(candles: Sequence[ClosedCandle]) -> CandleColumns:
    prices = [[float(getattr(one, name)) for one in candles] for name in ("open", "high", "low", "close", "volume")]
    return CandleColumns(*map(np.array, prices), np.array([one.open_time_ms for one in candles], dtype=np.int64))


def rows(data: CandleColumns) -> list[tuple[float, float, float, float, float, int]]:
    names = ("open", "high", "low", "close", "volume", "open_time")
    return list(zip(*(getattr(data, name).tolist() for name in names), strict=True))


def head(data: CandleColumns, start: int, end: int) -> CandleColumns:
    names = ("open", "high", "low", "close", "volume", "open_time")
    return CandleColumns(*(getattr(data, name)[start:end] for name in names))


def recorded(path: Path, interval: str = "1m", limit: int | None = None) -> list[ClosedCandle]:
    """Candles of a recorded six- or twelve-column file."""
    symbol = path.name.split("-")[0]
    candles = []
    with gzip.open(path, "rt") as file:
        for line in csv.reader(file):
            if line[0].isdigit():
                candles.append(ClosedCandle(symbol, interval, int(line[0]), *map(Decimal, line[1:6])))
            if limit is not None and len(candles) >= limit:
                break
    return candles


class Writer:
    """Keeps what was submitted."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def submit(self, records: Sequence[Record]) -> None:
        self.records += records

    async def commit(self, records: Sequence[Record]) -> None:
        self.records += records

    def of(self, kind: type[Record]) -> list[Record]:
        return [record for record in self.records if isinstance(record, kind)]


class History:
    """A venue that knows candles (1m, and longer ones by joining them) up to `now`, and may fail."""

    def __init__(self, candles: Sequence[ClosedCandle], now: int) -> None:
        self.by_key: dict[tuple[str, str], list[ClosedCandle]] = {}
        for one in candles:
            self.by_key.setdefault((one.symbol, one.interval), []).append(one)
        self.now = now
        self.failures = 0
        self.hidden: set[int] = set()
        self.requests: list[tuple[str, str, int | None, int | None, int]] = []

    def venue_time_ms(self) -> int:
        return self.now

    async def candles(
        self, symbol: str, interval: str, start_time_ms: int | None, end_time_ms: int | None, limit: int
    ) -> list[ClosedCandle]:
        self.requests.append((symbol, interval, start_time_ms, end_time_ms, limit))
        if self.failures:
            self.failures -= 1
            raise RuntimeFailure("history cannot be read: try again")
        end = self.now if end_time_ms is None else end_time_ms
        found = [
            one
            for one in self.by_key.get((symbol, interval), [])
            if (start_time_ms or 0) <= one.open_time_ms <= end
            and one.open_time_ms + INTERVAL_MS[interval] <= self.now
            and one.open_time_ms not in self.hidden
        ]
        return found[:limit]
