"""Engines: how a connection to SQLite or PostgreSQL is opened, and what its failures are called."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from core.errors import ConfigurationError
from database.column_types import DecimalSum

DEFAULT_URL = "sqlite:///./database/trader.db"
BUSY_TIMEOUT_MS = 5_000
JOURNAL_SIZE_LIMIT_BYTES = 64 * 1024 * 1024
"""What the write-ahead log is cut back to at a checkpoint (a reader that stays open lets it grow meanwhile)."""

LOG_PAGES_MAX = 4_000
"""How long the write-ahead log (pages of 4 kB) gets before a commit folds it into the file itself, where there is never
a quiet moment. Folding waits for the disk twice, 23 to 29 ms for a thousand pages where it was measured (a commit: 2),
and an order may wait for the commit."""


def parse_url(url: str) -> URL:
    """Return the parsed DB_URL; raises ConfigurationError for what this project cannot keep its data in."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError(
            f"DB_URL is not a database address; use {DEFAULT_URL} or postgresql://user:password@host/name"
        ) from None
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise ConfigurationError(f"DB_URL names {parsed.get_backend_name()!r}; allowed are sqlite and postgresql")
    if parsed.get_backend_name() == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise ConfigurationError(f"DB_URL names a database in memory, which forgets everything; use {DEFAULT_URL}")
    return parsed.set(drivername="sqlite" if parsed.get_backend_name() == "sqlite" else "postgresql")


def sqlite_path(url: URL) -> Path | None:
    """Return the file of a SQLite database, None for PostgreSQL."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def shown(url: URL) -> str:
    """Return the address as it may be shown to people: without its password."""
    return url.render_as_string(hide_password=True)


def writing_engine(url: URL) -> Engine:
    """Engine for the one writer. Transactions on SQLite take the write lock at once (BEGIN IMMEDIATE), so that a
    lock held by another process is waited for up to the busy timeout instead of failing half-way."""
    if url.get_backend_name() != "sqlite":
        return _postgres_engine(url)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False})
    _prepare_sqlite(engine, read_only=False)
    return engine


def reading_engine(url: URL) -> Engine:
    """Engine that cannot write: `mode=ro` on SQLite, read-only transactions on PostgreSQL.

    Each SQLite session opens and closes its connection, so that no reader ever pins the write-ahead log.
    """
    path = sqlite_path(url)
    if path is None:
        return _postgres_engine(url, options="-c default_transaction_read_only=on")
    uri = f"{path.resolve().as_uri()}?mode=ro"
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_MS / 1000, check_same_thread=False),
        poolclass=NullPool,
    )
    _prepare_sqlite(engine, read_only=True)
    return engine


def _postgres_engine(url: URL, **connect_args: str) -> Engine:
    try:
        return create_engine(url, pool_pre_ping=True, connect_args=connect_args)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"DB_URL needs a package that is not installed ({error.name}); run: uv sync --group cluster"
        ) from error


def set_synchronous(connection: Connection, *, full: bool) -> None:
    """Choose for the coming transactions whether a commit waits for the disk. No effect outside SQLite."""
    if connection.dialect.name == "sqlite":
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")


def fold_log(connection: Connection) -> None:
    """Fold as much of the write-ahead log into the file as no reader is looking at. No effect outside SQLite."""
    if connection.dialect.name == "sqlite":
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _prepare_sqlite(engine: Engine, *, read_only: bool) -> None:
    def on_connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        connection.create_aggregate("decimal_sum", 1, DecimalSum)
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        if not read_only:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA journal_size_limit={JOURNAL_SIZE_LIMIT_BYTES}")
            connection.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES_MAX}")
            connection.execute("PRAGMA foreign_keys=ON")

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)


def is_outage(error: BaseException) -> bool:
    """True when the database could not be written at all (locked, full, broken, gone), so that trying the same
    again later makes sense; False when the statement itself was at fault."""
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or isinstance(error, OperationalError) or _is_disk_trouble(error)
    )


def describe(error: BaseException) -> str:
    """Return one line about a database error: the driver's words, without the statement and its values."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = " ".join(str(cause).split())
    return text or type(cause).__name__


def _is_disk_trouble(error: DBAPIError) -> bool:
    return isinstance(error.orig, sqlite3.DatabaseError) and not isinstance(
        error.orig, (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.InterfaceError)
    )
