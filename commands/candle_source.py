"""Where a replay takes its candles from: a folder of files, or what the trader itself recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ConfigurationError, RuntimeFailure

if TYPE_CHECKING:
    from backtest.load import Loaded
    from database.repository import Repository
    from simulator.market.model import FundingPoint

OWN_DATABASE = "db"
HELP = (
    "Folder of recorded 1m candles (archive files), or a trader's own database: db (that of DB_URL), sqlite:///..., "
    "postgresql://..."
)
_SCHEMES = ("sqlite:", "postgresql:", "postgres:")


def folder_of(data: str) -> Path | None:
    """Return the folder that `data` names, None when it names a database."""
    return None if data == OWN_DATABASE or data.startswith(_SCHEMES) else Path(data)


def load_candles(
    data: str,
    db_url: str,
    symbols: Sequence[str] | None,
    *,
    start_ms: int | None = None,
    end_ms: int | None = None,
    allow_gaps: bool = False,
) -> Loaded:
    """Return the candles within [start_ms, end_ms) of the folder or database that `data` names.

    Raises ConfigurationError in one line for what cannot be replayed.
    """
    folder = folder_of(data)
    if folder is not None:
        from backtest.load import load

        return load(folder, symbols, start_ms=start_ms, end_ms=end_ms, allow_gaps=allow_gaps)
    from database.database import open_repository
    from database.engine import parse_url, shown

    url = db_url if data == OWN_DATABASE else data
    try:
        repository = open_repository(url)
        try:
            return _recorded(repository, shown(parse_url(url)), symbols, (start_ms, end_ms), allow_gaps)
        finally:
            repository.close()
    except RuntimeFailure as error:
        raise ConfigurationError(f"--data: {error}") from None


def load_payments(data: str, symbols: Sequence[str]) -> tuple[dict[str, tuple[FundingPoint, ...]], tuple[str, ...]]:
    """Return the funding payments of each symbol that `data` knows some of, and what people are told where it has
    none."""
    folder = folder_of(data)
    found = {}
    if folder is not None:
        from backtest.funding import load_funding

        found = load_funding(folder, symbols)
    if found:
        return found, ()
    where = "candles of a database are replayed without funding" if folder is None else f"{folder} holds no funding"
    return {}, (f"{where}: none is paid, and no entry is held back around its times",)


def _recorded(
    repository: Repository,
    source: str,
    symbols: Sequence[str] | None,
    span: tuple[int | None, int | None],
    allow_gaps: bool,
) -> Loaded:
    from backtest.load import load_tables, table_of
    from simulator.market.recorded import in_listing_order

    there = repository.symbols()
    if not there:
        raise ConfigurationError(f"--data: {source} holds no candles yet; the trader records them while it runs")
    missing = [symbol for symbol in symbols or () if symbol not in there]
    if missing:
        raise ConfigurationError(f"--data: {source} has no candles of {', '.join(missing)}; it has {', '.join(there)}")
    chosen = list(symbols) if symbols is not None else in_listing_order(dict.fromkeys(there))
    tables = {}
    for symbol in chosen:
        columns = repository.candle_columns(symbol, *span)
        if not columns[0]:
            raise ConfigurationError(f"{symbol}: {source} has no candles in this span; change --from and --to")
        tables[symbol] = table_of(f"{symbol} in candles_1m", columns)
    return load_tables(tables, source, allow_gaps=allow_gaps)
