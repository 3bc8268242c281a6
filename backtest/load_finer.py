"""Reads candles shorter than a minute: the files `<SYMBOL>-<N>s*` (N divides 60) beside the 1m files, in their forms.

Of several lengths of one symbol the shortest is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from backtest.finer import FinerCandles
from backtest.load import Loaded, possible_rows
from core.errors import ConfigurationError
from simulator.market.archive import Table, read_unchecked
from simulator.market.recorded import ENDINGS

_NAME = re.compile(r"^(?P<symbol>[^-]+)-(?P<seconds>\d{1,2})s(?:[-_.].*)?$")


def with_finer(loaded: Loaded, directory: Path | None, symbols: Iterable[str], *, allow_gaps: bool = False) -> Loaded:
    """Return the candles with the finer ones that `directory` has of `symbols`; a note names each that has none.

    Minutes without finer candles are no fault. Raises ConfigurationError, with file and line, for candles that no
    market can have had, unless `allow_gaps`: then they are left out and noted.
    """
    wanted, notes = set(symbols), list(loaded.notes)
    candles = []
    for one in loaded.candles:
        found = _files(directory, one.symbol) if directory is not None and one.symbol in wanted else None
        if found is not None:
            seconds, paths = found
            notes = [note for note in notes if not any(note.startswith(f"{path.name} ") for path in paths)]
            candles.append(replace(one, finer=_read(paths, seconds * 1_000, allow_gaps, notes)))
            continue
        if one.symbol in wanted:
            notes.append(f"{one.symbol}: no candles of seconds; where a candle touches stop and target the stop counts")
        candles.append(one)
    return replace(loaded, candles=tuple(candles), notes=tuple(notes))


def _files(directory: Path, symbol: str) -> tuple[int, list[Path]] | None:
    """Return the shortest length in seconds that there is of the symbol, and its files."""
    found: dict[int, list[Path]] = {}
    for path in sorted(directory.iterdir()):
        ending = next((ending for ending in ENDINGS if path.name.endswith(ending)), None)
        match = _NAME.match(path.name.removesuffix(ending)) if ending and path.is_file() else None
        if match and match["symbol"].upper() == symbol:
            seconds = int(match["seconds"])
            if seconds == 0 or 60 % seconds:
                raise ConfigurationError(f"{path.name}: candles of {seconds} s do not divide a minute; remove the file")
            found.setdefault(seconds, []).append(path)
    return min(found.items()) if found else None


def _read(paths: list[Path], interval_ms: int, allow_gaps: bool, notes: list[str]) -> FinerCandles:
    tables = [possible_rows(read_unchecked(path), allow_gaps, notes, interval_ms) for path in paths]
    tables.sort(key=lambda table: float(table.values[0][0]))
    decimals = max(table.decimals(index) for table in tables for index in (2, 3))
    times, high, low = (
        np.concatenate([table.column(index, 0 if index == 0 else decimals) for table in tables]) for index in (0, 2, 3)
    )
    _check_order(tables, interval_ms)
    return FinerCandles(interval_ms, decimals, times, low, high)


def _check_order(tables: list[Table], interval_ms: int) -> None:
    for before, after in pairwise(tables):
        if after.values[0][0] < before.values[0][-1] + interval_ms:
            raise after.fault(0, f"this time is also in {before.path.name}: keep one of the two files")
