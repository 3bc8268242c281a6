"""The same code over a real PostgreSQL server, started for these tests; skipped where there is none."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel

from core.candle import DAY_MS
from core.errors import ConfigurationError, RuntimeFailure
from core.records import FillOwnerRecord, PositionMarkRecord
from database.database import open_database, open_repository
from tests.unit.database import examples
from tests.unit.database.examples import T0, D
from tests.unit.database.test_mapping import read_back
from tests.unit.database.test_repository import a_trade

pytestmark = pytest.mark.slow


def binaries() -> Path | None:
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in candidates if (folder / "pg_ctl").exists()), None)


def unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root: then it runs as somebody else."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    folder = binaries()
    if folder is None:
        pytest.skip("no PostgreSQL server on this machine (initdb not found)")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed (uv sync --group cluster)")
    home = Path(tempfile.mkdtemp(prefix="pg-"))
    user = unprivileged_user()
    if user is not None:
        shutil.chown(home, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(program: str, *args: str) -> None:
        command = [str(folder / program), "-D", str(home / "data"), *args]
        subprocess.run(command, user=user, check=True, cwd=home, stdout=subprocess.DEVNULL, env={"LC_ALL": "C"})

    run("initdb", "-U", "trader", "-A", "trust", "-E", "UTF8", "--no-sync")
    options = f"-p {port} -k {home} -c listen_addresses=127.0.0.1 -c fsync=off -c timezone=Asia/Tokyo"
    run("pg_ctl", "-w", "-l", str(home / "log"), "-o", options, "start")
    try:
        yield f"postgresql://trader@127.0.0.1:{port}/"
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def url(server: str, request: pytest.FixtureRequest) -> str:
    """An empty database of its own for each test."""
    import psycopg

    name = f"t{abs(hash(request.node.nodeid))}"
    with psycopg.connect(server + "postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server + name


@pytest.fixture
def database(url: str):
    opened = open_database(url, "sim")
    yield opened
    opened.close()


async def test_postgres_every_record_reads_back_equal(database):
    for record in examples.ONE_OF_EACH:
        await database.writer.commit([record, record])
        if not isinstance(record, PositionMarkRecord | FillOwnerRecord):
            assert read_back(database, record) == record


async def test_postgres_money_beyond_float_is_exact(database):
    value = D("12345678901234567890.123456789012345678")
    await database.writer.commit([examples.performance(realized_pnl=value), examples.performance("X", fees=D("0.1"))])
    (total,) = database.repository.results_by_strategy()
    assert total.realized_pnl == D("12345678901234567902.623456789012345678")


def test_postgres_migrations_and_models_do_not_drift(database):
    with database._writing.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


async def test_postgres_reads_answer_as_on_sqlite(database):
    await database.writer.commit(
        [
            *a_trade(1, epoch=1, pnl="5", at_ms=T0),
            *[examples.account_stat(T0 + n * 1000, str(10_000 + n)) for n in range(1000)],
            *[examples.candle(symbol) for symbol in ("ETHUSDT", "BTCUSDT")],
            examples.decision(),
            examples.halt(),
            examples.alert(),
        ]
    )
    repository = database.repository
    assert repository.symbols() == ["BTCUSDT", "ETHUSDT"]
    assert repository.run_totals(epoch=1).net_pnl == D("4.6")
    assert repository.day_pnl() == D("999")
    assert 90 <= len(repository.equity_curve(points_max=100)) <= 100
    assert repository.decisions("BTCUSDT", at_ms=T0 + 60_000)[0].verdict.gate == "adx"
    assert [item.title for item in database.outbox.due(T0, 5)] == ["Started"]
    assert database.restore_state().halts == (examples.halt(),)


async def test_postgres_retention_deletes_old_rows_only(database):
    now = T0 + 100 * DAY_MS
    await database.writer.commit(
        [examples.candle(open_time_ms=T0), examples.candle(open_time_ms=now), examples.fill(), examples.order()]
    )
    assert database.retention.run(now, days=10) == 2  # the candle and the order; the newest fill stays
    assert len(database.repository.candles("BTCUSDT")) == 1


def test_postgres_lease_is_exclusive_and_its_epoch_grows(database, url):
    assert database.acquire_lease("a", "trader a", T0) == 1
    second = open_database(url, "sim")
    with pytest.raises(RuntimeFailure, match="being traded by trader a"):
        second.acquire_lease("a", "trader b", T0 + 1)
    database.release_lease("a", 1)
    assert second.acquire_lease("a", "trader b", T0 + 2) == 2
    second.close()


def test_postgres_repository_session_cannot_write(database, url):
    repository = open_repository(url)
    with repository._engine.connect() as connection, pytest.raises(DBAPIError, match="read-only transaction"):
        connection.exec_driver_sql("DELETE FROM fills")
    repository.close()


def test_postgres_another_environment_is_refused_without_showing_the_password(database, url):
    with_password = url.replace("trader@", "trader:hunter2@")
    with pytest.raises(ConfigurationError, match="belongs to sim, not mainnet") as raised:
        open_database(with_password, "mainnet")
    assert "hunter2" not in str(raised.value)


def test_postgres_without_its_driver_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match=r"DB_URL needs a package that is not installed.*--group cluster"):
        open_database("postgresql://trader@127.0.0.1:1/x", "sim")


@pytest.mark.skipif(importlib.util.find_spec("psycopg") is None, reason="psycopg is not installed")
def test_postgres_server_that_is_down_is_one_clear_line():
    with pytest.raises(RuntimeFailure, match=r"cannot be opened: .*is the server up and DB_URL right") as raised:
        open_database("postgresql://trader:hunter2@127.0.0.1:1/x", "sim")
    assert "hunter2" not in str(raised.value)
    assert "\n" not in str(raised.value)
