"""The exchange's memory: an append-only file of JSON lines that a killed process leaves complete.

The first line binds the file to its market (seed, source, start). Each further line is one batch of changed private
rows with its market time, or a market time alone. A line is handed to the operating system before its reply leaves,
so that the end of the process at any instant loses nothing; only the loss of the machine itself can.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from core.errors import RuntimeFailure
from simulator.engine.state import Change

VERSION = 1
LOCK_WAIT_S = 5.0
CHANGES_A_LINE = 500

try:
    import fcntl

    HAS_LOCKS = True
except ImportError:  # Windows has no such locks: there two exchanges on one journal are not noticed
    HAS_LOCKS = False


@dataclass(frozen=True, slots=True)
class JournalHeader:
    """What market and account the file belongs to. `source` is `generated`, or a digest of the recorded files."""

    seed: int
    source: str
    symbols: tuple[str, ...]
    start_ms: int
    deposit: str


@dataclass(frozen=True, slots=True)
class Recording:
    """What a journal held: the last known market time and every row's latest value, oldest row first."""

    header: JournalHeader
    market_ms: int
    changes: tuple[Change, ...]


class Journal:
    """One open journal file. One process at a time: a second one waits, then refuses."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._lock: int | None = None

    def acquire(self, wait_s: float = LOCK_WAIT_S) -> None:
        """Lock the journal; raises RuntimeFailure if another exchange keeps it for `wait_s` seconds."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise RuntimeFailure(
                f"journal {self._path} cannot be opened ({error.strerror}): allow it, or name another place"
            ) from None
        if not HAS_LOCKS:
            return
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    self.close()
                    raise RuntimeFailure(
                        f"journal {self._path} is in use by another exchange: "
                        "stop that one, or give this one a journal of its own"
                    ) from None
                time.sleep(0.05)

    def load(self) -> Recording | None:
        """Return what the file holds, None when there is none. A torn last line is ignored.

        Raises RuntimeFailure, naming the line, for any other damage.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        lines = data.split(b"\n")
        lines.pop()  # after the last newline: empty, or the torn end of a line that was never answered for
        if not lines:
            return None
        header = self._header(lines[0])
        market_ms = header.start_ms
        latest: dict[tuple[str, str], dict[str, Any] | None] = {}
        for number, line in enumerate(lines[1:], start=2):
            entry = self._entry(line, number)
            market_ms = max(market_ms, entry["t"])
            for kind, key, value in entry.get("c", ()):
                latest[(kind, key)] = value
        changes = tuple(Change(kind, key, value) for (kind, key), value in latest.items() if value is not None)
        return Recording(header, market_ms, changes)

    def begin(self, header: JournalHeader, market_ms: int, changes: Iterable[Change] = ()) -> None:
        """Write the file anew, holding just this, and keep it open for `append`."""
        rows = list(changes)
        lines = [orjson.dumps({"journal": VERSION, **_header_fields(header)})]
        for first in range(0, len(rows), CHANGES_A_LINE):
            lines.append(_line(market_ms, rows[first : first + CHANGES_A_LINE]))
        lines.append(_line(market_ms, ()))
        fresh = self._path.with_name(self._path.name + ".new")
        with fresh.open("wb") as file:
            file.write(b"\n".join(lines) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)

    def append(self, market_ms: int, changes: Iterable[Change] = ()) -> None:
        """Add one line and hand it to the operating system; raises RuntimeFailure when the disk refuses it."""
        assert self._file is not None, "begin() comes first"
        line = memoryview(_line(market_ms, changes) + b"\n")
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            raise RuntimeFailure(
                f"the exchange cannot write its journal {self._path} ({error.strerror or error}): "
                "make room or repair the disk, then start again; nothing that was answered is lost"
            ) from error

    def close(self) -> None:
        for handle in (self._file, self._lock):
            if handle is not None:
                os.close(handle)
        self._file = self._lock = None

    def _header(self, line: bytes) -> JournalHeader:
        try:
            found = orjson.loads(line)
            if found["journal"] != VERSION:
                raise self._unreadable(1, f"is of version {found['journal']}, this program reads {VERSION}")
            return JournalHeader(
                found["seed"], found["source"], tuple(found["symbols"]), found["start_ms"], found["deposit"]
            )
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise self._unreadable(1, "is no journal header") from error

    def _entry(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            entry: dict[str, Any] = orjson.loads(line)
            if isinstance(entry["t"], int):
                return entry
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise self._unreadable(number, "is damaged") from error
        raise self._unreadable(number, "is damaged")

    def _unreadable(self, number: int, what: str) -> RuntimeFailure:
        return RuntimeFailure(
            f"journal {self._path}, line {number}: {what}; restore the file from a copy, or start over with --fresh"
        )


def _line(market_ms: int, changes: Iterable[Change]) -> bytes:
    rows = [[change.kind, change.key, change.value] for change in changes]
    return orjson.dumps({"t": market_ms, "c": rows} if rows else {"t": market_ms})


def _header_fields(header: JournalHeader) -> dict[str, Any]:
    return {
        "seed": header.seed,
        "source": header.source,
        "symbols": list(header.symbols),
        "start_ms": header.start_ms,
        "deposit": header.deposit,
    }
