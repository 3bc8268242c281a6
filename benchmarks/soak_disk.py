"""The real database under a virtual clock: waited for instead of awaited, and failing when told to.

The writer is the shipped one, with its thread, its lanes and its SQLite file. A failing disk is what the driver would
say at the first statement of a transaction.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

from benchmarks.soak_tables import read_rows
from core.errors import PersistenceError
from core.records import Record
from core.restore import RestoredState
from database.database import Database, open_database

DEPTH_MAX = 400
"""So many requests may wait for the writer's thread before the virtual clock waits for it too."""


class SoakDisk:
    """What `executor.lanes` and the writer do together: rows stay in order, an unwritten row goes with the next write.

    `failing` lets every transaction fail. A crash loses what was not handed to the writer yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failing = False
        self.rows_dropped = 0
        self._loop = asyncio.new_event_loop()
        self._waiting: list[Record] = []
        self._owed: list[Record] = []
        event.listen(Engine, "before_cursor_execute", self._before_statement)
        self.database = self._open()

    def submit(self, records: Sequence[Record]) -> None:
        """Queue rows that nobody waits for (also the port of the strategy runner and the alerts)."""
        self._waiting.extend(records)

    def commit(self, records: Sequence[Record]) -> bool:
        """Write durably, everything queued before included; False when the disk fails."""
        self._owed += [*self._waiting, *records]
        self._waiting = []
        try:
            self._loop.run_until_complete(self.database.writer.commit(self._owed))
        except PersistenceError:
            return False
        self._owed = []
        return True

    def flush(self) -> bool:
        """Hand over what waits; False while rows are owed to a failing disk."""
        if self._owed:
            return self.commit(())
        if self._waiting:
            records, self._waiting = self._waiting, []
            self.database.writer.submit(records)
        if not self.failing:
            self._keep_pace()
        return True

    def crash(self) -> None:
        """Lose what a killed process would lose, and open the file as the next one does."""
        self._waiting, self._owed = [], []
        self.close(keep_loop=True)
        self.database = self._open()

    def settle(self) -> None:
        """Return when everything is in the file."""
        self.flush()
        self._keep_pace(depth=0)

    def restore(self, now_ms: int) -> RestoredState:
        return self.database.restore_state(now_ms)

    def close(self, *, keep_loop: bool = False) -> None:
        self.rows_dropped += self.database.writer.rows_dropped
        self.database.close()
        if not keep_loop:
            event.remove(Engine, "before_cursor_execute", self._before_statement)
            self._loop.close()

    def query(self, statement: str, *values: Any) -> list[Any]:
        """Read with plain SQL on a connection of its own: the check shares no code with what it checks."""
        return read_rows(self.path, statement, *values)

    def _open(self) -> Database:
        return open_database(f"sqlite:///{self.path}", "sim", backup=False)

    def _keep_pace(self, depth: int = DEPTH_MAX) -> None:
        while self.database.writer.depth > depth or (not depth and self.database.writer.lag_ms):
            time.sleep(0.001)

    def _before_statement(
        self, connection: Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
    ) -> None:
        if self.failing and str(self.path) in str(connection.engine.url):
            raise OperationalError(statement, parameters, sqlite3.OperationalError("disk I/O error"))
