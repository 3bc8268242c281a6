"""The writer's connection, and what it knows of trouble with it."""

from __future__ import annotations

import logging
import sqlite3

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from core.clock import Clock
from database.engine import describe, fold_log, set_synchronous

_log = logging.getLogger("database.writer")

FOLD_ROWS = 1_000
"""After so many rows the write-ahead log is worth folding into the file."""
LASTING_S = 10.0
"""So long without a failure counts as working again."""


class WriterLink:
    """One connection, made when it is needed, thrown away after a failure, durable or not as each transaction asks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._is_full: bool | None = None
        self._unfolded_rows = 0

    def connected(self, *, full: bool) -> Connection:
        """Return the connection; `full`: what it commits next is on the disk before the commit returns."""
        if self._connection is None:
            self._connection = self._engine.connect()
            self._is_full = None
        if self._is_full is not full:
            set_synchronous(self._connection, full=full)
            self._is_full = full
        return self._connection

    def disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.invalidate()
                connection.close()
            except SQLAlchemyError as error:
                _log.warning("closing the database connection failed: %s", describe(error))

    def note_written(self, rows: int) -> None:
        self._unfolded_rows += rows

    @property
    def is_log_long(self) -> bool:
        return self._unfolded_rows >= FOLD_ROWS

    def fold(self) -> None:
        """Fold the write-ahead log into the file: some milliseconds that no commit should have to wait for."""
        self._unfolded_rows = 0
        try:
            fold_log(self.connected(full=True))
        except (SQLAlchemyError, sqlite3.Error) as error:  # the next write meets the same trouble, and tells
            _log.debug("the write-ahead log was not folded: %s", error)


class Trouble:
    """Whether the database can be written, told once when that ends and once when it lasts again.

    At the edge of a full disk writes succeed and fail by turns.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._is_told = False
        self._failed_ns = 0
        self.reason: str | None = None
        """What the last write met; None while all is well."""

    def met(self, error: Exception) -> str:
        """Note a failure and return what it says."""
        reason = self.reason = describe(error)
        self._failed_ns = self._clock.monotonic_ns()
        if not self._is_told:
            self._is_told = True
            _log.error(
                "the database cannot be written: %s; check the space on its disk: records are kept and tried again",
                reason,
            )
        return reason

    def over(self) -> None:
        """Note a success."""
        self.reason = None
        if self._is_told and self._clock.monotonic_ns() - self._failed_ns >= LASTING_S * 1e9:
            self._is_told = False
            _log.warning("the database can be written again")
