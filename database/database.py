"""Opening the database, and everything that hangs on it: the writer, reads, the lease, the outbox, retention."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from core.clock import Clock, SystemClock
from core.errors import RuntimeFailure
from core.restore import RestoredState
from database import lease, schema
from database.engine import parse_url, reading_engine, shown, sqlite_path, writing_engine
from database.outbox import AlertOutbox
from database.repository import Repository
from database.requests import RequestQueue
from database.restore import read_state
from database.retention import Retention
from database.schema import prepare
from database.writer import DatabaseWriter

T = TypeVar("T")

CALL_TIMEOUT_S = 30.0


def open_database(url: str, environment: str, *, backup: bool = True, clock: Clock | None = None) -> Database:
    """Open (and where needed create, back up and migrate) the database of an environment.

    Raises ConfigurationError (bad address, newer schema, another environment's or another program's database) or
    RuntimeFailure (locked, damaged, unreachable), each in one line that says what to do.
    """
    clock = clock or SystemClock()
    parsed = parse_url(url)
    writing = writing_engine(parsed)
    try:
        prepare(writing, parsed, environment, created_time_ms=clock.wall_ms(), backup=backup)
    except BaseException:
        writing.dispose()
        raise
    return Database(writing, reading_engine(parsed), shown(parsed), clock)


def open_repository(url: str) -> Repository:
    """Open an existing database for reading only.

    Raises RuntimeFailure while there is none yet (a file that is absent, or not set up).
    """
    parsed = parse_url(url)
    path = sqlite_path(parsed)
    if path is not None and not path.exists():
        raise RuntimeFailure(f"there is no database at {path} yet; start the trader first")
    engine = reading_engine(parsed)
    repository = Repository(engine)
    try:
        repository.environment()
    except RuntimeFailure:
        engine.dispose()
        raise
    return repository


class Database:
    """An open database. `writer` takes records, `repository` reads, `outbox` serves the alerts.

    The lease and retention calls block (they run on the writer thread): call them in a thread once trading runs.
    """

    def __init__(self, writing: Engine, reading: Engine, address: str, clock: Clock) -> None:
        self._writing = writing
        self._reading = reading
        self.address = address
        self.writer = DatabaseWriter(writing, clock)
        self.repository = Repository(reading)
        self.outbox = AlertOutbox(reading, self.writer)
        self.requests = RequestQueue(reading, self.writer)
        self.retention = Retention(self.writer)

    def restore_state(self, now_ms: int | None = None) -> RestoredState:
        """Return the unfinished business and today's totals; "today" holds `now_ms`, else the newest valuation."""
        with self._reading.connect() as connection:
            return read_state(connection, now_ms)

    def acquire_lease(self, account: str, holder: str, now_ms: int, ttl_ms: int = lease.LEASE_TTL_MS) -> int:
        """Become the one trader of `account` and return the epoch; raises RuntimeFailure naming who already is."""
        epoch = self._call(lambda connection: lease.acquire(connection, account, holder, now_ms, ttl_ms))
        self.writer.guard = lambda connection: lease.require(connection, account, epoch)
        return epoch

    def lease_holder(self, account: str, now_ms: int) -> str | None:
        """Return who trades `account` now, or None."""
        with self._reading.connect() as connection:
            return lease.holder_of(connection, account, now_ms)

    def renew_lease(self, account: str, epoch: int, now_ms: int, ttl_ms: int = lease.LEASE_TTL_MS) -> bool:
        """Extend the lease; False when it is no longer ours: then nothing more may be sent to the venue."""
        return self._call(lambda connection: lease.renew(connection, account, epoch, now_ms, ttl_ms))

    def release_lease(self, account: str, epoch: int) -> bool:
        """Give the lease back at a clean stop; False when it was no longer ours."""
        return self._call(lambda connection: lease.release(connection, account, epoch))

    def note(self, key: str, value: str) -> None:
        """Keep a fact about this database under `key`, in place of an older one."""
        self._call(lambda connection: schema.note(connection, key, value))

    def noted(self, key: str) -> str | None:
        """Return the fact under `key`, or None."""
        with self._reading.connect() as connection:
            return schema.noted(connection, key)

    def close(self) -> None:
        """Write what waits, fold the write-ahead log into the file, close."""
        self.writer.close()
        with contextlib.suppress(SQLAlchemyError, sqlite3.Error):  # a reader holds the log: the next start folds it
            self._fold_log()
        self._reading.dispose()
        self._writing.dispose()

    def _call(self, task: Callable[[Connection], T]) -> T:
        return self.writer.call(task).result(CALL_TIMEOUT_S)

    def _fold_log(self) -> None:
        if self._writing.dialect.name == "sqlite":
            driver = self._writing.raw_connection()
            try:
                driver.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                driver.close()
