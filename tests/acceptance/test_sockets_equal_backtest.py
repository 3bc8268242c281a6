"""One code path: the same candles once through sockets in lock-step and once through a backtest, row by row."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pytest

from backtest.drift import Drift
from backtest.drift_causes import Cause
from backtest.load import load
from backtest.parameters import active_strategies
from backtest.run import replay
from backtest.settings import ReplaySettings
from commands.drift import compared
from config.load import load_settings
from config.symbols import load_trading_config
from core.candle import DAY_MS
from core.clock import VirtualClock
from core.enums import Environment
from core.records import Record
from database.database import open_database, open_repository
from simulator.market.recorded import load_directory
from tests.acceptance.support import ROOT, Place

pytestmark = pytest.mark.slow
FOLDER = "klines/um_1m_2025-05"
SYMBOLS = ("ENAUSDT", "ETHUSDT")
DAY = "2025-05-10"
START_MS = 1_746_910_800_000
PLAYED_MINUTES = 110
"""2025-05-10 21:00 UTC to 22:50: lively, and flat at its end (a backtest writes a trade once it is over)."""

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


@dataclass(frozen=True)
class Played:
    """A finished run in lock-step: its candles, what it wrote, what it said."""

    data: Path
    place: Place
    said: str


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


@pytest.fixture(scope="module")
def played(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("lockstep")
    data, place = shortened(shared_data / FOLDER, folder / "data"), Place(folder)
    finished = place.run("--data", str(data), "--lockstep", timeout_s=90)
    assert finished.returncode == 0, finished.stderr[-2_000:]
    return Played(data, place, finished.stdout)


def test_run_in_lockstep_and_backtest_of_the_same_candles_write_the_same_rows(played: Played, tmp_path: Path) -> None:
    place = played.place

    wallet, skipped = backtested(played.data, tmp_path / "backtest.db")

    for table, columns in TABLES.items():
        where = f"signal_id NOT IN ({OPEN_MEANWHILE})" if table == "signals" else "TRUE"
        assert rows(place.database, table, columns, where) == rows(tmp_path / "backtest.db", table, columns), table
    assert f"-> {wallet}" in played.said
    assert len(place.rows(OPEN_MEANWHILE)) == skipped
    exits = Counter(row[0] for row in place.rows("SELECT exit_reason FROM positions"))
    assert exits["stop"] > 5 and exits["target"] > 1, exits


def test_drift_of_a_day_in_lockstep_is_none(played: Played) -> None:
    repository = open_repository(f"sqlite:///{played.place.database}")
    start_ms = START_MS - START_MS % DAY_MS

    found, quote_asset = compared(repository, load_settings(Path(".env"), {"mode": Environment.SIM}), start_ms)

    repository.close()
    trades = played.place.number("SELECT count(*) FROM positions WHERE state = 'closed'")
    assert (found.agreed, found.differences, found.still_open, quote_asset) == (trades, (), 0, "USDT")
    assert found.live_pnl == found.replay_pnl


def test_drift_of_a_day_that_paid_funding_is_none_and_unknown_funding_is_data(played: Played, tmp_path: Path) -> None:
    copy = tmp_path / "funded.db"
    shutil.copy(played.place.database, copy)
    with closing(sqlite3.connect(copy)) as connection, connection:
        intent, symbol, opened, closed, funding, direction, quantity, price = connection.execute(
            "SELECT intent_id, symbol, opened_time, closed_time, funding, direction, entry_quantity, entry_price "
            "FROM positions ORDER BY closed_time - opened_time DESC LIMIT 1"
        ).fetchone()
        due_ms = (opened // 60_000 + 1) * 60_000
        assert Decimal(funding) == 0 and due_ms + 60_000 < closed
        # The market of a run in lock-step names no funding time, so nothing was held back around one.
        (conditions,) = connection.execute("SELECT conditions FROM conditions").fetchone()
        free = json.loads(conditions)
        free["config"]["limits"] |= {"funding_window_before_ms": 0, "funding_window_after_ms": 0}
        connection.execute("UPDATE conditions SET conditions = ?", (json.dumps(free),))
        rate = Decimal("0.01234567") / Decimal(quantity) / Decimal(price) * (1 if direction == "LONG" else -1)
        connection.execute("INSERT INTO funding VALUES (?, ?, ?)", (symbol, due_ms, f"{rate:.8f}"))
        connection.execute(
            "INSERT INTO income VALUES (7, 'FUNDING_FEE', ?, '-0.01234567', 'USDT', ?, ?)",
            (symbol, due_ms + 12, intent),
        )
        connection.execute("UPDATE positions SET funding = '-0.01234567' WHERE intent_id = ?", (intent,))

    def drift() -> Drift:
        repository = open_repository(f"sqlite:///{copy}")
        try:
            start_ms = START_MS - START_MS % DAY_MS
            return compared(repository, load_settings(Path(".env"), {"mode": Environment.SIM}), start_ms)[0]
        finally:
            repository.close()

    known = drift()
    assert (known.differences, known.still_open) == ((), 0)
    with closing(sqlite3.connect(copy)) as connection, connection:
        for table in ("funding", "income"):
            connection.execute(f"DELETE FROM {table}")
    (unknown,) = drift().differences
    assert (unknown.cause, unknown.cost) == (Cause.DATA, Decimal("-0.01234567"))


def test_drift_of_a_day_with_a_worse_fill_a_missed_candle_and_an_edit_names_each_cause_and_cost(
    played: Played, tmp_path: Path
) -> None:
    copy = tmp_path / "altered.db"
    shutil.copy(played.place.database, copy)
    with closing(sqlite3.connect(copy)) as connection, connection:
        slipped, missed, edited = connection.execute(
            "SELECT p.intent_id, i.signal_id, s.candle_open_time, p.realized_pnl, p.fees FROM positions p "
            "JOIN intents i USING (intent_id) JOIN signals s USING (signal_id) ORDER BY s.candle_open_time DESC LIMIT 3"
        ).fetchall()[::-1]
        # The oldest of the three paid 3 USDT more in fees.
        worse = (str(Decimal(slipped[4]) + 3), slipped[0])
        connection.execute("UPDATE positions SET fees = ? WHERE intent_id = ?", worse)
        # The next one's candle never came.
        for table, column, value in (
            ("signals", "signal_id", missed[1]),
            ("intents", "intent_id", missed[0]),
            ("positions", "intent_id", missed[0]),
        ):
            connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (value,))
        symbol = missed[1].split(":")[1]
        connection.execute("DELETE FROM decisions WHERE symbol = ? AND candle_open_time = ?", (symbol, missed[2]))
        # Before the last one somebody edited a target, and it brought one USDT less.
        (conditions,) = connection.execute("SELECT conditions FROM conditions").fetchone()
        changed = json.loads(conditions)
        changed["parameters"][edited[1].split(":")[1]]["vwap_reversion"]["target_pct"] = "0.5"
        connection.execute("INSERT INTO conditions VALUES (?, 'other', ?)", (edited[2], json.dumps(changed)))
        less = (str(Decimal(edited[3]) - 1), edited[0])
        connection.execute("UPDATE positions SET realized_pnl = ? WHERE intent_id = ?", less)

    file = tmp_path / "drift.json"
    finished = played.place.run("drift", "--day", DAY, "--db", f"sqlite:///{copy}", "--json", str(file), timeout_s=60)

    assert finished.returncode == 0, finished.stderr
    assert "that differ: 3" in finished.stdout
    told = json.loads(file.read_text())
    causes = {name: (cause["trades"], Decimal(cause["cost"])) for name, cause in told["causes"].items()}
    missed_pnl = Decimal(missed[3]) - Decimal(missed[4])
    assert causes.pop("fill") == (1, Decimal(-3))
    assert causes.pop("data") == (1, -missed_pnl)
    assert causes.pop("parameters") == (1, Decimal(-1))
    assert set(causes.values()) == {(0, Decimal(0))}
    assert Decimal(told["live_pnl"]) - Decimal(told["replay_pnl"]) == -4 - missed_pnl
