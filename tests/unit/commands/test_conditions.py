"""What was traded under is written once, and again only when it changed; a day is compared or refused in one line."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from backtest.conditions import read_conditions
from commands.conditions import ConditionsLog
from core.clock import VirtualClock
from core.enums import PositionMode
from core.limits import RiskLimits, SizingPolicy, SymbolLimits, TradingConfig
from database.database import Database, open_database
from main import app
from strategies.loader import StrategyBook

SHIPPED = Path(__file__).resolve().parents[3] / "strategies" / "vwap_reversion"
CONFIG = TradingConfig(PositionMode.ONEWAY, "USDT", SizingPolicy(), RiskLimits(), {"BTCUSDT": SymbolLimits("BTCUSDT")})
DAY_MS = 86_400_000
T0 = 1_767_225_600_000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    store = open_database(f"sqlite:///{tmp_path / 'trader.db'}", "sim", clock=VirtualClock(T0))
    yield store
    store.close()


@pytest.fixture
def book(tmp_path: Path) -> StrategyBook:
    shutil.copytree(SHIPPED, tmp_path / "strategies" / "vwap_reversion")
    return StrategyBook(tmp_path / "strategies", ["BTCUSDT"])


def noted(database: Database) -> list[int]:
    asyncio.run(database.writer.commit([]))
    return [row.since_time_ms for row in database.repository.recorded_span(T0, T0 + DAY_MS).conditions]


def test_conditions_log_writes_one_row_a_change(database: Database, book: StrategyBook) -> None:
    log = ConditionsLog(database, "0.1.0", CONFIG, book, {})
    log.note(T0)
    log.note(T0 + 1_000)
    assert noted(database) == [T0]
    ConditionsLog(database, "0.1.0", CONFIG, book, {}).note(T0 + 2_000)  # a restart changes nothing
    assert noted(database) == [T0]

    stricter = replace(CONFIG, limits=RiskLimits(min_balance=Decimal(100)))
    ConditionsLog(database, "0.1.0", stricter, book, {}).note(T0 + 3_000)

    assert noted(database) == [T0, T0 + 3_000]
    newest = database.repository.newest_conditions()
    assert newest is not None
    assert read_conditions(newest.conditions).config.limits.min_balance == Decimal(100)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--day", "yesterday"], 2, "--day: 'yesterday' is no day; write 2026-01-31"),
        (["--day", "2026-01-01"], 1, "no trading on 2026-01-01: no decision of that day is stored"),
    ],
)
def test_drift_of_what_cannot_be_compared_is_refused_in_one_line(
    database: Database, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    asyncio.run(database.writer.commit([]))

    result = CliRunner().invoke(app, ["drift", *arguments, "--db", f"sqlite:///{tmp_path / 'trader.db'}"])

    assert (result.exit_code, result.output.strip().count("\n")) == (code, 0)
    assert words in result.output
