"""Recorded one-minute candles out of files, played as they are.

Read are the files of one directory (not below it) named `<SYMBOL>-1m*` with the ending .csv, .csv.gz, .zip or .parquet:
the twelve columns of Binance's public archive, with or without header, or six columns (`open_time, open, high, low,
close, volume`). Other files are left alone and noted. What six columns lack is derived: quote volume at the mean of
open, high, low and close, a plausible taker share, and one single trade for each aggregate trade that is played.

A minute without a candle stays empty: no trade, no candle, quotes as they were.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np

from core.errors import ConfigurationError
from simulator.market.archive import Table, read
from simulator.market.catalog import CATALOG, SymbolSpec, spec_for_recorded
from simulator.market.columns import MINUTE_MS, Columns, Grid, join, mean_quote, part_weights, starts, taker_share
from simulator.market.noise import key_of, uniforms_of

WARMUP_CANDLES = 1440
_NAME = re.compile(r"^(?P<symbol>[^-]+)-1m(?:[-_.].*)?$")
ENDINGS = (".csv.gz", ".csv", ".zip", ".parquet")


@dataclass(frozen=True, slots=True)
class Recording:
    """Recorded candles of all symbols of a directory; `notes` says what was left alone, for people."""

    specs: Mapping[str, SymbolSpec]
    grids: Mapping[str, Grid]
    candles: Mapping[str, Columns]
    notes: tuple[str, ...]

    def grid(self, symbol: str) -> Grid:
        return self.grids[symbol]

    def span(self, symbol: str) -> tuple[int, int | None]:
        minutes = self.candles[symbol].minute
        return int(minutes[0]), int(minutes[-1]) + 1

    def columns(self, symbol: str, start_minute: int, end_minute: int) -> Columns:
        return self.candles[symbol].between(start_minute, end_minute)

    @property
    def start_ms(self) -> int:
        """Return where play begins: a day after the last symbol has joined, or half of what there is then, if less."""
        joined = max(int(columns.minute[0]) for columns in self.candles.values())
        end = max(int(columns.minute[-1]) + 1 for columns in self.candles.values())
        return (joined + min(WARMUP_CANDLES, (end - joined) // 2)) * MINUTE_MS

    @property
    def end_ms(self) -> int:
        """Return the end of the last candle of any symbol."""
        return max(int(columns.minute[-1]) + 1 for columns in self.candles.values()) * MINUTE_MS


def load_directory(directory: Path, symbols: Iterable[str] | None = None) -> Recording:
    """Return the recorded candles of `directory`, of all its symbols or of the given ones, in catalogue order.

    Raises ConfigurationError, in one line with file and line, for data that cannot be played.
    """
    wanted = None if symbols is None else list(symbols)
    files, notes = find_files(directory)
    missing = [symbol for symbol in wanted or () if symbol not in files]
    if missing:
        raise ConfigurationError(f"{directory}: no 1m file for {', '.join(missing)}; it has {', '.join(sorted(files))}")
    chosen = wanted if wanted is not None else in_listing_order(files)
    specs: dict[str, SymbolSpec] = {}
    grids: dict[str, Grid] = {}
    candles: dict[str, Columns] = {}
    for symbol in chosen:
        tables = sorted((read(path) for path in files[symbol]), key=lambda table: float(table.values[0][0]))
        specs[symbol], grids[symbol], candles[symbol] = _symbol(symbol, tables)
    return Recording(specs, grids, candles, tuple(notes))


def find_files(directory: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """Return the files of 1m candles by symbol, and notes on the others; raises ConfigurationError without any."""
    if not directory.is_dir():
        raise ConfigurationError(f"{directory}: no such directory of recorded candles; give a directory with 1m files")
    files: dict[str, list[Path]] = {}
    notes: list[str] = []
    for path in sorted(directory.iterdir()):
        ending = next((ending for ending in ENDINGS if path.name.endswith(ending)), None)
        match = _NAME.match(path.name.removesuffix(ending)) if ending and path.is_file() else None
        if match:
            files.setdefault(match["symbol"].upper(), []).append(path)
        elif path.is_file():
            notes.append(f"{path.name} is not a file of 1m candles and is not played")
    if not files:
        raise ConfigurationError(f"{directory}: no <SYMBOL>-1m*.csv, .csv.gz, .zip or .parquet file to play")
    return files, notes


def in_listing_order(files: Mapping[str, object]) -> list[str]:
    """Return the symbols as the exchange lists them: those of the catalogue first."""
    listed = [symbol for symbol in CATALOG if symbol in files]
    return listed + sorted(set(files) - set(listed))


def _symbol(symbol: str, tables: list[Table]) -> tuple[SymbolSpec, Grid, Columns]:
    for before, after in pairwise(tables):
        if after.values[0][0] <= before.values[0][-1]:
            raise after.fault(0, f"this time is also in {before.path.name}: keep one of the two files")
    spec, _ = contract_of(symbol, tables)
    tick, step = spec.instrument.tick_size, spec.instrument.step_size
    quote_decimals = max(table.decimals(index) for table in tables for index in _with_taker(table, 5, 7, 10))
    grid = Grid(tick, step, min(tick * step, Decimal(1).scaleb(-quote_decimals)))
    candles = join([_columns(symbol, table, grid) for table in tables])
    return spec, grid, replace(candles, first_trade=starts(candles.count, 1), first_part=starts(candles.parts, 1))


def contract_of(symbol: str, tables: list[Table]) -> tuple[SymbolSpec, int]:
    """Return the contract that recorded candles are of, and how many decimals their prices have."""
    price_decimals = max(table.decimals(index) for table in tables for index in (1, 2, 3, 4))
    volume_decimals = max(table.decimals(index) for table in tables for index in _with_taker(table, 5, 9))
    typical_price = Decimal(repr(float(np.median(np.concatenate([table.values[4] for table in tables])))))
    typical_volume = Decimal(repr(float(np.mean(np.concatenate([table.values[5] for table in tables])))))
    tick, step = Decimal(1).scaleb(-price_decimals), Decimal(1).scaleb(-volume_decimals)
    spec = spec_for_recorded(symbol, tick, step, typical_price.quantize(tick), typical_volume.quantize(step))
    return spec, price_decimals


def _with_taker(table: Table, *indices: int) -> tuple[int, ...]:
    return tuple(index for index in indices if index < len(table.values))


def _decimals(grid: Decimal) -> int:
    exponent = grid.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def _columns(symbol: str, table: Table, grid: Grid) -> Columns:
    """Return the candles of one file; trade ids are numbered once all files are joined."""
    prices, steps, cell = _decimals(grid.tick), _decimals(grid.step), grid.quote_per_cell
    minute = table.column(0, 0) // MINUTE_MS
    open_, high, low, close = (table.column(index, prices) for index in (1, 2, 3, 4))
    volume = table.column(5, steps)
    parts = np.minimum(np.rint(part_weights(high, low, volume)).astype(np.int64), volume)
    if len(table.values) > 6:
        unit = _decimals(grid.quote_unit)
        quote, count, taker_volume = table.column(7, unit), table.column(8, 0), table.column(9, steps)
        taker_quote = table.column(10, unit)
        parts = np.minimum(parts, count)
    else:
        quote = mean_quote(open_, high, low, close, volume)
        noise = uniforms_of(key_of(symbol, "taker"), minute)
        taker_volume, taker_quote = taker_share(noise, (open_, high, low, close), volume, quote)
        quote, taker_quote, count = quote * cell, taker_quote * cell, parts
    none = np.zeros(len(minute), dtype=np.int64)
    return Columns(
        minute, open_, high, low, close, volume, quote, count, taker_volume, taker_quote, parts, none, none
    )  # fmt: skip
