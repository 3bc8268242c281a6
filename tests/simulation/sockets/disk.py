"""The disk under a trader's database: sound, refusing writes as a full, locked or broken one does, or gone."""

from __future__ import annotations

import sqlite3

from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from database.database import Database

TEXTS = {
    "disk_full": "database or disk is full",
    "disk_locked": "database is locked",
    "disk_io": "disk I/O error",
    "gone": "the process has ended",
}


class Disk:
    """Stands behind every transaction of one process. `trouble` is a key of `TEXTS`, or None while all is well.

    "gone" is the end of the process: a transaction that has begun still ends, nothing begins any more.
    """

    def __init__(self) -> None:
        self.trouble: str | None = None
        self.refused = 0

    def attach(self, database: Database) -> None:
        engine = database._writing
        event.listen(engine, "begin", lambda _: self._refuse(at_commit=False), insert=True)
        event.listen(engine, "commit", lambda _: self._refuse(at_commit=True))

    def _refuse(self, *, at_commit: bool) -> None:
        """A broken disk shows at the commit, everything else when the transaction begins."""
        trouble = self.trouble
        if trouble is not None and at_commit == (trouble == "disk_io"):
            self.refused += 1
            raise OperationalError("", {}, sqlite3.OperationalError(TEXTS[trouble]))
