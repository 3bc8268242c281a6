"""Where the account of a database lies: noted by a run, found again by the commands of the kill switch."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from commands.options import RunOptions
from commands.remembered import recall_exchange, remember_exchange
from config.settings import Settings
from database.database import Database, open_database

BARE = RunOptions(None, None, None, fresh=False, keep_database=True)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path}/trader.db", "sim")
    yield opened
    opened.close()


def _run_with(symbols: tuple[str, ...] | int | None, exchange: str | None = None) -> RunOptions:
    return RunOptions(60.0, symbols, exchange, fresh=False, keep_database=False)


def test_recall_without_a_run_changes_nothing(database: Database) -> None:
    settings = Settings()
    assert recall_exchange(database, settings, BARE) == (settings, BARE)


@pytest.mark.parametrize("symbols", [("BTCUSDT", "ETHUSDT"), 3, None])
def test_recall_leads_to_the_market_of_the_last_run(
    database: Database, tmp_path: Path, symbols: tuple[str, ...] | int | None
) -> None:
    ran = Settings(sim_seed=11, sim_data_dir=tmp_path, sim_deposit=Decimal("2500.50"))
    remember_exchange(database, Settings(sim_seed=5), _run_with(7))
    remember_exchange(database, ran, _run_with(symbols))
    settings, options = recall_exchange(database, Settings(), BARE)
    assert (settings.sim_seed, settings.sim_data_dir) == (11, tmp_path.resolve())
    assert settings.sim_deposit == Decimal("2500.50")
    assert (options.symbols, options.exchange_url, options.keep_database) == (symbols, None, True)


def test_recall_leads_to_the_exchange_that_ran_by_itself(database: Database) -> None:
    remember_exchange(database, Settings(), _run_with(None, "http://127.0.0.1:8111"))
    assert recall_exchange(database, Settings(), BARE)[1].exchange_url == "http://127.0.0.1:8111"


def test_real_venues_are_not_remembered(database: Database) -> None:
    real = Settings(mode="testnet", binance_api_key="k", binance_api_secret="s")  # type: ignore[arg-type]
    remember_exchange(database, real, _run_with(3))
    assert database.noted("embedded_exchange") is None
