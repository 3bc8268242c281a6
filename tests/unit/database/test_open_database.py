"""Opening: creation, migration, backup, and one clear line for whatever is wrong."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlmodel import SQLModel

from core.clock import VirtualClock
from core.errors import ConfigurationError, RuntimeFailure
from database import engine as engines
from database import schema
from database.database import open_database, open_repository
from tests.unit.database import examples

HEAD = ScriptDirectory(str(schema.MIGRATIONS)).get_current_head()


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def execute(url: str, *statements: str) -> None:
    with closing(sqlite3.connect(file_of(url))) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_open_absent_file_creates_folder_and_schema_and_stamp(url):
    database = open_database(url, "sim", clock=VirtualClock(examples.T0))
    assert database.repository.environment() == "sim"
    database.close()
    with closing(sqlite3.connect(file_of(url))) as connection:
        assert dict(connection.execute("SELECT key, value FROM meta")) == {
            "environment": "sim",
            "created": str(examples.T0),
        }
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_open_again_keeps_data_and_needs_no_backup(url):
    first = open_database(url, "sim")
    await first.writer.commit([examples.fill()])
    first.close()
    second = open_database(url, "sim")
    assert second.repository.fills() == [examples.fill()]
    second.close()
    assert not (file_of(url).parent / "backups").exists()


def test_migrations_and_models_do_not_drift(database):
    with database._writing.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_hot_composite_tables_have_no_rowid(database, url):
    with closing(sqlite3.connect(file_of(url))) as connection:
        made = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    assert {name for name, sql in made.items() if "WITHOUT ROWID" in sql} == {"candles_1m", "decisions"}


@pytest.fixture
def two_revisions(tmp_path, monkeypatch):
    """The shipped migrations with one more on top, as the next version of the program will have."""
    folder = tmp_path / "migrations"
    shutil.copytree(schema.MIGRATIONS, folder)
    (folder / "versions" / "9998_more.py").write_text(
        f'from alembic import op\nrevision = "9998"\ndown_revision = "{HEAD}"\n'
        'def upgrade():\n    op.execute("CREATE TABLE more (id INTEGER)")\n'
        'def downgrade():\n    op.drop_table("more")\n'
    )
    return lambda: monkeypatch.setattr(schema, "MIGRATIONS", folder)


async def test_older_schema_is_backed_up_then_migrated(url, two_revisions):
    first = open_database(url, "sim")
    await first.writer.commit([examples.fill()])
    first.close()
    two_revisions()
    second = open_database(url, "sim")
    assert second.repository.fills() == [examples.fill()]
    second.close()
    backup = file_of(url).parent / "backups" / f"trader-schema-{HEAD}-1.db"
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)
        assert connection.execute("SELECT count(*) FROM fills").fetchone() == (1,)
    with closing(sqlite3.connect(file_of(url))) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("9998",)
        assert connection.execute("SELECT count(*) FROM more").fetchone() == (0,)


def test_failing_migration_leaves_the_old_schema_whole(url, two_revisions):
    open_database(url, "sim").close()
    execute(url, "CREATE TABLE more (other TEXT)")  # the migration will stumble over it
    two_revisions()
    with pytest.raises(RuntimeFailure, match="already exists"):
        open_database(url, "sim")
    with closing(sqlite3.connect(file_of(url))) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)


def test_newer_schema_is_refused(url):
    open_database(url, "sim").close()
    execute(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match=rf"schema 9999, newer than this program's {HEAD}; update the program"):
        open_database(url, "sim")


@pytest.mark.parametrize("environment", ["paper", "testnet", "mainnet"])
def test_another_environment_is_refused_and_only_our_own_exchange_can_start_over(url, environment: str):
    open_database(url, "sim").close()
    with pytest.raises(ConfigurationError, match=rf"belongs to sim, not {environment}; .*DB_URL") as caught:
        open_database(url, environment)
    assert ("--fresh" in str(caught.value)) == (environment == "paper")
    open_database(url, "sim").close()


def test_another_programs_database_is_refused_and_untouched(url):
    file_of(url).parent.mkdir()
    execute(url, "CREATE TABLE recipes (id INTEGER)")
    with pytest.raises(ConfigurationError, match="holds tables of another program"):
        open_database(url, "sim")
    with closing(sqlite3.connect(file_of(url))) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]


def test_file_that_is_no_database_is_refused_with_the_way_out(url):
    file_of(url).parent.mkdir()
    file_of(url).write_bytes(b"this is not a database, it is a letter. " * 200)
    with pytest.raises(RuntimeFailure, match=r"is damaged \(file is not a database\); restore a copy from .*backups"):
        open_database(url, "sim")


async def test_damaged_pages_are_found_and_refused(url):
    database = open_database(url, "sim")
    await database.writer.commit([examples.candle(open_time_ms=examples.T0 + n * 60_000) for n in range(2000)])
    database.close()
    data = bytearray(file_of(url).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 8192] = b"\xff" * 8192
    file_of(url).write_bytes(data)
    with pytest.raises(RuntimeFailure, match="is damaged"):
        open_database(url, "sim")


def test_truncated_file_is_refused(url):
    open_database(url, "sim").close()
    data = file_of(url).read_bytes()
    file_of(url).write_bytes(data[: len(data) // 2])
    with pytest.raises(RuntimeFailure, match="is damaged"):
        open_database(url, "sim")


def test_locked_by_another_program_is_refused_in_one_line(url, monkeypatch):
    open_database(url, "sim").close()
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_MS", 50)
    with closing(sqlite3.connect(file_of(url), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RuntimeFailure, match="is locked by another program; close it"):
            open_database(url, "sim")


@pytest.mark.parametrize(
    ("bad_url", "message"),
    [
        ("trader.db", "DB_URL is not a database address"),
        ("mysql://u:secret@h/n", "DB_URL names 'mysql'; allowed are sqlite and postgresql"),
        ("sqlite://", "DB_URL names a database in memory"),
        ("sqlite:///:memory:", "DB_URL names a database in memory"),
    ],
)
def test_bad_address_is_refused_and_no_secret_is_shown(bad_url, message):
    with pytest.raises(ConfigurationError, match=message) as raised:
        open_database(bad_url, "sim")
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(ConfigurationError, match="cannot create the folder of DB_URL"):
        open_database(f"sqlite:///{tmp_path}/data/trader.db", "sim")


def test_repository_of_an_absent_database_says_to_start_the_trader(url):
    with pytest.raises(RuntimeFailure, match=r"there is no database at .*trader\.db yet; start the trader first"):
        open_repository(url)
    assert not file_of(url).exists()


def test_repository_of_an_empty_file_is_refused(url):
    file_of(url).parent.mkdir()
    file_of(url).touch()
    with pytest.raises(RuntimeFailure, match="cannot be read: no such table: meta"):
        open_repository(url)


def test_repository_session_cannot_write(database, url):
    repository = open_repository(url)
    with repository._engine.connect() as connection, pytest.raises(Exception, match="readonly database"):
        connection.exec_driver_sql("DELETE FROM fills")
    repository.close()


def test_repository_reads_while_nobody_has_the_database_open(url):
    open_database(url, "sim").close()
    repository = open_repository(url)
    assert repository.environment() == "sim"
    repository.close()


def test_database_notes_a_fact_in_place_of_an_older_one(database):
    assert database.noted("embedded_exchange") is None
    database.note("embedded_exchange", "first")
    database.note("embedded_exchange", "second")
    assert database.noted("embedded_exchange") == "second"
    assert database.noted("environment") == "sim"
