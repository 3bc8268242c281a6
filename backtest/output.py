"""Files of a replay: trades.csv, equity.parquet, metrics.json."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from backtest.candles import ReplayCandles
from backtest.equity import EquityCurve
from backtest.metrics import Metrics
from backtest.trades import BacktestTrade
from core.errors import ConfigurationError
from simulator.market.model import FundingPoint
from utils.atomic import write_atomic
from utils.timefmt import iso, to_datetime

COLUMNS = (
    "symbol", "strategy", "side", "signal_time", "entry_time", "entry_price", "exit_time", "exit_price", "quantity",
    "fee", "funding", "pnl", "r_multiple", "exit_reason", "ambiguous",
)  # fmt: skip


def prepare_folder(folder: Path) -> None:
    """Make the folder and make sure that it can be written; raises ConfigurationError in one line."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".write-probe"
        probe.write_text("", encoding="utf-8")
        probe.unlink()
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from None


def own_folder(parent: Path, name: str, time_ms: int) -> Path:
    """Make a folder in `parent` that no other run has, named after the UTC second and `name`; return its path."""
    stem = f"{to_datetime(time_ms):%Y%m%d-%H%M%S}-{name}"
    number = 1
    while True:
        folder = parent / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def write_trades(path: Path, trades: Sequence[BacktestTrade]) -> None:
    """Write one row a trade: exact decimals, UTC times; the exit columns of an open trade are empty."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(_row(trade) for trade in trades)


def _row(trade: BacktestTrade) -> tuple[object, ...]:
    return (
        trade.symbol,
        trade.strategy,
        trade.direction.value,
        iso(trade.signal_time_ms),
        iso(trade.entry_time_ms),
        f"{trade.entry_price:f}",
        "" if trade.exit_time_ms is None else iso(trade.exit_time_ms),
        "" if trade.exit_price is None else f"{trade.exit_price:f}",
        f"{trade.quantity:f}",
        f"{trade.fee:f}",
        f"{trade.funding:f}",
        f"{trade.pnl:f}",
        f"{trade.r_multiple:.6f}",
        trade.exit_reason,
        str(trade.ambiguous).lower(),
    )


def write_equity(path: Path, curve: EquityCurve) -> None:
    """Write the equity of every minute as parquet: time_ms, equity, exposure."""
    try:
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415 - optional package
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(f"{path.name}: parquet files need pyarrow; install the project's ui group") from error
    table = pa.table({"time_ms": curve.time_ms, "equity": curve.equity, "exposure": curve.exposure})
    parquet.write_table(table, path)


def write_metrics(path: Path, metrics: Metrics, run: Mapping[str, object]) -> None:
    """Write the numbers, and what the run was made with under `run`."""
    write_atomic(path, json.dumps({**metrics.as_dict(), "run": dict(run)}, indent=2, default=str) + "\n")


def data_digest(candles: Sequence[ReplayCandles], funding: Mapping[str, Sequence[FundingPoint]]) -> str:
    """Return the SHA-256 of what was replayed: the same candles and payments give the same one, whatever files or
    database they are from."""
    digest = hashlib.sha256()
    for one in candles:
        digest.update(f"{one.symbol} {one.decimals} {len(one)}\n".encode())
        for column in (one.open_time, one.open, one.high, one.low, one.close, one.columns.volume):
            digest.update(np.ascontiguousarray(column).data)
        if one.finer is not None:
            digest.update(f"{one.finer.interval_ms} {one.finer.decimals}\n".encode())
            for column in (one.finer.open_time, one.finer.low, one.finer.high):
                digest.update(np.ascontiguousarray(column).data)
        digest.update(repr([(p.time_ms, str(p.rate), str(p.mark_price)) for p in funding.get(one.symbol, ())]).encode())
    return digest.hexdigest()
