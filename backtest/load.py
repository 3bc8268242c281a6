"""Reads recorded candles for a replay and refuses what cannot be trusted, with file and line.

The files are those of the embedded exchange (`simulator.market.recorded`): `<SYMBOL>-1m*` with the ending .csv,
.csv.gz, .zip or .parquet, six or twelve columns, and the contract is made of them in the same way, so that a replay
and a run on the same folder trade the same instrument. Candles of a database are checked in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backtest.candles import MINUTE_MS, ReplayCandles, from_units
from core.errors import ConfigurationError
from simulator.market.archive import Table, faults, read_unchecked
from simulator.market.recorded import contract_of, find_files, in_listing_order
from utils.timefmt import short

FAULTS_SHOWN = 5
EVEN_STEPS = 8
"""So many equal steps of more than a minute in a row are another interval."""
_FUNDING_FILE = re.compile(r"[^- ]+-funding[^ ]*\.csv")
"""What `backtest.funding` reads is not left out."""
LONG_NUMBER = 1e6
"""Above it the doubles may lack digits, so the texts are kept."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Candles by symbol; `notes` tells people what was left out or is missing, `source` where they are from."""

    candles: tuple[ReplayCandles, ...]
    notes: tuple[str, ...]
    source: str


def load(
    directory: Path,
    symbols: Sequence[str] | None = None,
    *,
    start_ms: int | None = None,
    end_ms: int | None = None,
    allow_gaps: bool = False,
) -> Loaded:
    """Return the candles of `directory` within [start_ms, end_ms), of all its symbols or of the given ones.

    Gaps, duplicates, disorder and impossible candles raise ConfigurationError with file and line, unless `allow_gaps`:
    then what no market can have had is left out and everything is noted.
    """
    found, notes = find_files(directory)
    notes = [note for note in notes if not _FUNDING_FILE.match(note)]
    missing = [symbol for symbol in symbols or () if symbol not in found]
    if missing:
        raise ConfigurationError(f"{directory}: no 1m file for {', '.join(missing)}; it has {', '.join(sorted(found))}")
    chosen = list(symbols) if symbols is not None else in_listing_order(found)
    candles = []
    for symbol in chosen:
        tables = sorted((possible_rows(read_unchecked(path), allow_gaps, notes) for path in found[symbol]), key=_first)
        candles.append(_candles(symbol, tables, (start_ms, end_ms), allow_gaps, notes))
    return Loaded(tuple(candles), tuple(notes), str(directory))


def load_tables(tables: Mapping[str, Table], source: str, *, allow_gaps: bool = False) -> Loaded:
    """Return the candles of one table a symbol, by the rules of `load`; `source` is where they are from."""
    notes: list[str] = []
    candles = [
        _candles(symbol, [possible_rows(table, allow_gaps, notes)], (None, None), allow_gaps, notes)
        for symbol, table in tables.items()
    ]
    return Loaded(tuple(candles), tuple(notes), source)


def table_of(name: str, columns: Sequence[Sequence[str]]) -> Table:
    """Return the table of texts: open_time (UTC milliseconds), open, high, low, close, volume, one sequence each.

    `name` stands for the file in what is told of a row.
    """
    values = [np.array(column, dtype=np.float64) for column in columns]
    is_long = max((float(column.max(initial=0.0)) for column in values[1:]), default=0.0) > LONG_NUMBER
    return Table(Path(name), values, [list(row) for row in zip(*columns, strict=True)] if is_long else None, 0)


def possible_rows(table: Table, allow_gaps: bool, notes: list[str], interval_ms: int = MINUTE_MS) -> Table:
    """Return the rows that a market can have had; the first other one is refused, or with `allow_gaps` noted."""
    bad = np.zeros(len(table.values[0]), dtype=bool)
    for rows, what in faults(table, interval_ms):
        fault = table.fault(int(np.argmax(rows)), what)
        if not allow_gaps:
            raise fault
        notes.append(f"{fault}; {int(rows.sum())} such rows left out")
        bad |= rows
    if bad.all():
        raise ConfigurationError(f"{table.path.name}: no row is a possible candle; fetch it again")
    if interval_ms == MINUTE_MS:
        _check_interval(table)
    if not bad.any():
        return table
    kept = np.flatnonzero(~bad)
    times = table.values[0][kept]
    return table.rows(kept[np.concatenate(([True], times[1:] > np.maximum.accumulate(times)[:-1]))])


def _check_interval(table: Table) -> None:
    """Refuse candles of a longer interval, in the whole table or in a part: gaps never follow so evenly."""
    steps = np.diff(table.values[0])
    longer = np.concatenate(([False], (steps[1:] == steps[:-1]) & (steps[1:] > MINUTE_MS)))
    ends = np.flatnonzero(np.diff(longer, append=False))  # a stretch of even steps from the odd to the next
    for before, last in zip(ends[::2].tolist(), ends[1::2].tolist(), strict=False):
        if last - before + 1 >= EVEN_STEPS:
            minutes = int(steps[last]) // MINUTE_MS
            raise table.fault(before, f"from here on candles are {minutes} minutes apart: only 1m candles are replayed")


def _first(table: Table) -> float:
    return float(table.values[0][0])


def _candles(
    symbol: str, tables: list[Table], span: tuple[int | None, int | None], allow_gaps: bool, notes: list[str]
) -> ReplayCandles:
    spec, decimals = contract_of(symbol, tables)
    times = np.concatenate([table.column(0, 0) for table in tables])
    first = 0 if span[0] is None else int(np.searchsorted(times, span[0]))
    last = len(times) if span[1] is None else int(np.searchsorted(times, span[1]))
    if first >= last:
        raise ConfigurationError(
            f"{symbol}: no candles in this span; the files hold {short(int(times[0]))} to {short(int(times[-1]))}"
        )
    _check_gaps(symbol, tables, times[first:last], allow_gaps, notes)
    part = slice(first, last)
    open_, high, low, close = (
        np.concatenate([table.column(index, decimals) for table in tables])[part] for index in (1, 2, 3, 4)
    )
    volume = np.concatenate([table.values[5] for table in tables])[part]
    return from_units(symbol, spec, decimals, times[part], (open_, high, low, close), volume)


def _check_gaps(symbol: str, tables: Sequence[Table], times: np.ndarray, allow_gaps: bool, notes: list[str]) -> None:
    """Refuse or note the minutes that are missing between the first and the last candle."""
    steps = np.diff(times)
    backwards = np.flatnonzero(steps <= 0)
    if len(backwards):
        raise ConfigurationError(
            f"{_place(tables, int(times[backwards[0] + 1]))}: this time is also in another file of {symbol}: keep one"
        )
    gaps = np.flatnonzero(steps != MINUTE_MS)
    if not len(gaps):
        return
    lost = int((steps[gaps] // MINUTE_MS - 1).sum())
    shown = "; ".join(
        f"{_place(tables, int(times[at + 1]))}: {int(steps[at]) // MINUTE_MS - 1} minutes missing before "
        f"{short(int(times[at + 1]))}"
        for at in gaps[:FAULTS_SHOWN].tolist()
    )
    text = f"{symbol}: {len(gaps)} gaps, {lost} minutes missing: {shown}"
    if not allow_gaps:
        raise ConfigurationError(f"{text}; fetch them, or replay over them with --allow-gaps")
    notes.append(text)


def _place(tables: Iterable[Table], time_ms: int) -> str:
    for table in tables:
        rows = np.flatnonzero(table.values[0] == time_ms)
        if len(rows):
            return table.where(int(rows[0]))
    return "the files"
