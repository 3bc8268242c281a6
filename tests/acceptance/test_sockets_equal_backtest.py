"""One code path: the same candles once through sockets in lock-step and once through a backtest, row by row."""

from __future__ import annotations

import asyncio
import gzip
import sqlite3
from collections import Counter
from contextlib import closing
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pytest

from backtest.load import load
from backtest.parameters import active_strategies
from backtest.run import replay
from backtest.settings import ReplaySettings
from config.load import load_settings
from config.symbols import load_trading_config
from core.clock import VirtualClock
from core.enums import Environment
from core.records import Record
from database.database import open_database
from simulator.market.recorded import load_directory
from tests.acceptance.support import ROOT, Place

pytestmark = pytest.mark.slow
FOLDER = "klines/um_1m_2025-05"
SYMBOLS = ("ENAUSDT", "ETHUSDT")
START_MS = 1_746_896_400_000
PLAYED_MINUTES = 300
"""2025-05-10 17:00 UTC and the five hours from then on: a lively evening."""

TABLES = {
    "signals": "signal_id, strategy, symbol, interval, direction, candle_open_time, reference_price, stop_fraction, "
    "target_fraction, stop_price, target_price, reason, max_holding_ms, status, denial_code",
    "intents": "intent_id, signal_id, symbol, strategy, direction, position_side, quantity, reference_price, "
    "stop_price, target_price, risk_usd, client_order_id, state",
    "orders": "client_order_id, symbol, strategy, intent_id, leg, service, side, position_side, type, status, "
    "quantity, price, stop_price, filled_quantity, average_price, reduce_only, close_position",
    "fills": "symbol, trade_id, venue_order_id, client_order_id, intent_id, leg, strategy, side, position_side, "
    "price, quantity, fee, fee_asset, realized_pnl, liquidity_side, event_time",
    "positions": "intent_id, symbol, strategy, direction, state, quantity, entry_quantity, entry_price, exit_price, "
    "stop_price, target_price, risk_usd, realized_pnl, fees, funding, exit_reason, opened_time, closed_time",
}
OPEN_MEANWHILE = "SELECT signal_id FROM denials WHERE code = 'position_open'"
"""A backtest does not ask its executor about signals that stand while their symbol holds a position: it counts them."""


def shortened(folder: Path, target: Path) -> Path:
    """Write a day of history and the minutes that are played; play begins a day after the first candle."""
    target.mkdir()
    first, last = START_MS - 1_440 * 60_000, START_MS + PLAYED_MINUTES * 60_000
    for symbol in SYMBOLS:
        with gzip.open(folder / f"{symbol}-1m.csv.gz", "rt") as file:
            header, *lines = file.readlines()
        kept = [line for line in lines if first <= int(line.partition(",")[0]) < last]
        (target / f"{symbol}-1m.csv").write_text("".join([header, *kept]))
    return target


def backtested(data: Path, database: Path) -> tuple[str, int]:
    """Replay `data` from where a run on it begins, and write all that the core writes; return wallet and skipped."""
    settings = load_settings(Path(".env"), {"mode": Environment.SIM})
    loaded = load(data)
    names = [one.symbol for one in loaded.candles]
    config = load_trading_config(settings.config_dir / "symbols.yaml", settings, names)
    active = active_strategies(ROOT / "strategies", ["vwap_reversion"], names, ())
    records: list[Record] = []
    _, result = replay(
        loaded.candles,
        active,
        config,
        ReplaySettings(deposit=settings.sim_deposit),
        start_ms=load_directory(data).start_ms,
        on_record=records.append,
    )
    store = open_database(f"sqlite:///{database}", "sim", clock=VirtualClock(0))
    try:
        asyncio.run(store.writer.commit(records))
    finally:
        store.close()
    return format(result.wallet, "f"), result.skipped


def rows(database: Path, table: str, columns: str, where: str = "TRUE") -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute(f"SELECT {columns} FROM {table} WHERE {where} ORDER BY 1, 2").fetchall()
    return [tuple(value_of(value) for value in row) for row in found]


def value_of(value: Any) -> Any:
    """Money as a number (1.50 is 1.5); an order's own id without the part that tells databases apart."""
    if isinstance(value, str) and value.startswith("ft-"):
        return value.split("-", 2)[2]
    try:
        return Decimal(value) if isinstance(value, str) else value
    except InvalidOperation:
        return value


def test_run_in_lockstep_and_backtest_of_the_same_candles_write_the_same_rows(
    shared_data: Path, tmp_path: Path
) -> None:
    data = shortened(shared_data / FOLDER, tmp_path / "data")
    place = Place(tmp_path)

    finished = place.run("--data", str(data), "--lockstep", timeout_s=90)
    wallet, skipped = backtested(data, tmp_path / "backtest.db")

    assert finished.returncode == 0, finished.stderr[-2_000:]
    for table, columns in TABLES.items():
        where = f"signal_id NOT IN ({OPEN_MEANWHILE})" if table == "signals" else "TRUE"
        assert rows(place.database, table, columns, where) == rows(tmp_path / "backtest.db", table, columns), table
    assert f"-> {wallet}" in finished.stdout
    assert len(place.rows(OPEN_MEANWHILE)) == skipped
    exits = Counter(row[0] for row in place.rows("SELECT exit_reason FROM positions"))
    assert exits["stop"] > 5 and exits["target"] > 5, exits
