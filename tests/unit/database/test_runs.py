"""Stored backtests: one row each, in whatever database there is, found again."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from core.clock import VirtualClock
from core.errors import ConfigurationError, RuntimeFailure
from database.database import open_database
from database.engine import parse_url, writing_engine
from database.runs import RunBook, add_run
from database.schema import MIGRATIONS
from database.tables import BacktestRunRow
from tests.unit.database.examples import T0
from utils.timefmt import to_datetime

CLOCK = VirtualClock(T0)


def run_of(
    strategies: str = "vwap_reversion", symbols: str = "BTCUSDT", report: str = "a/report.html"
) -> BacktestRunRow:
    return BacktestRunRow(
        created_time=to_datetime(T0),
        duration_ms=1_500,
        is_complete=True,
        strategies=strategies,
        symbols=symbols,
        start_time=to_datetime(T0 - 86_400_000),
        end_time=to_datetime(T0),
        net_pnl=Decimal("-12.345678901234567890"),
        parameters="{}",
        settings="{}",
        metrics="{}",
        data_source="data",
        data_sha256="ab" * 32,
        code_version="0.1.0",
        report=report,
    )


def add(url: str, run: BacktestRunRow) -> int:
    return add_run(url, run, environment="sim", clock=CLOCK)


@pytest.fixture
def book(url):
    for run in (run_of(), run_of("trend,vwap_reversion", "ETHUSDT,BTCUSDT"), run_of("vwapXreversion", "XBTCUSDT")):
        add(url, run)
    opened = RunBook(url)
    yield opened
    opened.close()


def test_run_comes_back_as_it_was_stored(url) -> None:
    number = add(url, run_of())
    found = RunBook(url).run(number)
    assert found.model_dump() == {**run_of().model_dump(), "id": number}


@pytest.mark.parametrize(
    ("strategy", "symbol", "numbers"),
    [
        (None, None, [3, 2, 1]),
        ("vwap_reversion", None, [2, 1]),
        ("trend", None, [2]),
        (None, "BTCUSDT", [2, 1]),
        ("vwap_reversion", "ETHUSDT", [2]),
        ("reversion", None, []),
    ],
)
def test_runs_are_listed_newest_first_by_whole_names(book, strategy, symbol, numbers) -> None:
    assert [run.id for run in book.runs(strategy, symbol)] == numbers


def test_runs_are_limited(book) -> None:
    assert [run.id for run in book.runs(limit=1)] == [3]


def test_report_that_a_later_run_overwrote_is_known(book) -> None:
    assert (book.overwritten_by(book.run(1)), book.overwritten_by(book.run(3))) == (3, None)


def test_unknown_run_is_refused(book) -> None:
    with pytest.raises(ConfigurationError, match="there is no backtest 7"):
        book.run(7)


async def test_run_is_added_beside_a_trader_at_work_whatever_its_environment(url) -> None:
    trader = open_database(url, "paper")
    epoch = trader.acquire_lease("binance-usdm", "paper trader", T0)
    add(url, run_of())
    assert trader.repository.environment() == "paper"
    assert trader.renew_lease("binance-usdm", epoch, T0 + 1)
    trader.close()


def test_database_of_an_older_schema_is_brought_up(url) -> None:
    open_database(url, "sim").close()
    path = Path(url.removeprefix("sqlite:///"))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = writing_engine(parse_url(url))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    engine.dispose()
    with pytest.raises(RuntimeFailure, match="holds no backtests yet"):
        RunBook(url)
    assert add(url, run_of()) == 1
    assert (path.parent / "backups").is_dir()


@pytest.mark.parametrize("is_there", [False, True])
def test_database_without_runs_is_told(url, is_there) -> None:
    path = Path(url.removeprefix("sqlite:///"))
    if is_there:
        path.parent.mkdir()
        sqlite3.connect(path).close()
    with pytest.raises(RuntimeFailure, match="holds no backtests yet"):
        RunBook(url)


def test_file_that_is_no_database_is_told_and_untouched(url) -> None:
    path = Path(url.removeprefix("sqlite:///"))
    path.parent.mkdir()
    path.write_text("not a database, " * 100)
    for attempt in (lambda: add(url, run_of()), lambda: RunBook(url)):
        with pytest.raises(RuntimeFailure, match="is damaged"):
            attempt()
    assert path.read_text() == "not a database, " * 100
