"""The journal file of a study in Optuna's own format, written without waiting for the disk at every line.

A trial is a dozen lines. Waiting for the disk at each took longer than the trials themselves, and what a power failure
can cost here is the last trials, which a resumed study runs again. Heavy: imports Optuna.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalFileSymlinkLock


class Journal(BaseJournalBackend):
    """One line of JSON an operation, appended under Optuna's lock; processes and machines may share the file.

    Closing the file after each operation shows it to other machines on a shared disk (close-to-open). A last line that
    a crash cut short is taken away when the journal is opened. Raises OSError; then nothing was appended.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader = JournalFileBackend(str(path))
        self._lock = JournalFileSymlinkLock(str(path))
        self._lock.acquire()
        try:
            self._mend()
        finally:
            self._lock.release()

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the operations from that number on."""
        return self._reader.read_logs(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append operations, all or none."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        self._lock.acquire()
        try:
            with self._path.open("ab", buffering=0) as file:
                end = file.tell()
                try:
                    if file.write(lines) != len(lines):
                        raise OSError(28, os.strerror(28), str(self._path))
                except OSError:
                    file.truncate(end)
                    raise
        finally:
            self._lock.release()

    def _mend(self) -> None:
        with self._path.open("r+b") as file:
            content = file.read()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                file.truncate(whole)
