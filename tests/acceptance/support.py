"""Runs the program as a user would, in a process of its own, and reads what it left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Place:
    """A folder for one database with its journal, logs and heartbeat."""

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "trader.db"

    @property
    def journal(self) -> Path:
        return self.folder / "trader.journal.jsonl"

    def environment(self, **more: str) -> dict[str, str]:
        """The process environment without settings of the developer's own, pointed at this folder."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("BINANCE_", "SIM_", "RISK_"))}
        folders = {"STATUS_DIR": str(self.folder), "LOG_DIR": str(self.folder)}
        return {**kept, **folders, "DB_URL": f"sqlite:///{self.database}", "MODE": "sim", **more}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "main.py", *arguments]

    def run(self, *arguments: str, timeout_s: float = 240, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=ROOT,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=ROOT,
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @contextmanager
    def running(self, *arguments: str, **more: str) -> Iterator[Running]:
        """Start the program, collect what it says while it runs, and end it afterwards."""
        running = Running(self.start(*arguments, **more))
        try:
            yield running
        finally:
            running.end()

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """Read the database directly, past all of our own reading code."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(query, values).fetchall()

    def number(self, query: str, *values: Any) -> int:
        return int(self.rows(query, *values)[0][0])

    def numbers(self, query: str) -> set[int]:
        return {int(row[0]) for row in self.rows(query)}

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "trader.jsonl").read_text().splitlines()]

    def heartbeat(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self.folder / "heartbeat.json").read_text())
        return data

    def venue(self) -> Venue:
        return Venue.read(self.journal)


class Running:
    """A started program and all that it has said so far (`output`, both streams as they come)."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        return "".join(self._lines)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)

    def wait_for(self, pattern: str, timeout_s: float = 60) -> re.Match[str]:
        """Wait until the output matches `pattern` and return the match."""
        wait_for(lambda: re.search(pattern, self.output), timeout_s, f"{pattern!r} was said")
        found = re.search(pattern, self.output)
        assert found is not None
        return found

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 60) -> int:
        """Ask it to stop, wait for its end and return its exit code."""
        self.process.send_signal(number)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = 60) -> int:
        code = self.process.wait(timeout_s)
        self._reader.join(10)
        return code

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self._reader.join(10)


@dataclass(frozen=True)
class Venue:
    """The exchange's own truth, read from its journal: kind -> key -> newest row; and every algo order ever seen."""

    rows: dict[str, dict[str, dict[str, Any]]]

    @classmethod
    def read(cls, journal: Path) -> Venue:
        rows: dict[str, dict[str, dict[str, Any]]] = {}
        for line in journal.read_bytes().split(b"\n")[1:-1]:
            for kind, key, value in json.loads(line).get("c", ()):
                rows.setdefault(kind, {})
                if value is None:
                    rows[kind].pop(key, None)
                else:
                    rows[kind][key] = value
        return cls(rows)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return list(self.rows.get(kind, {}).values())

    def open_positions(self) -> dict[str, str]:
        return {row["symbol"]: row["quantity"] for row in self.of("position") if float(row["quantity"]) != 0}

    def live_algos(self) -> list[dict[str, Any]]:
        return [row for row in self.of("algo") if row["status"] == "NEW"]

    def wallet(self) -> str:
        balance: str = self.rows["wallet"][""]["balance"]
        return balance


def wait_for(condition: Any, timeout_s: float, what: str) -> None:
    """Poll until `condition()` is true; for processes of their own, which no clock of ours can drive."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"timed out waiting until {what}")
        time.sleep(0.1)


def exchange_of(trader_pid: int) -> int:
    """Return the process id of the trader's child, the embedded exchange."""
    children = Path(f"/proc/{trader_pid}/task/{trader_pid}/children")
    if not children.exists():
        pytest.skip("this system does not list child processes under /proc")
    return int(children.read_text().split()[0])


def entries_at(place: Place) -> int:
    return sum(1 for row in place.venue().of("order") if row["client_order_id"].rpartition("-")[2].startswith("E"))


def assert_sound(place: Place) -> None:
    """What must hold after a clean end, whatever happened before."""
    venue: Venue = place.venue()
    stops = {row["symbol"] for row in venue.live_algos() if row["type"] == "STOP_MARKET"}
    assert set(venue.open_positions()) <= stops, "a position without a stop"
    flat = {row["symbol"] for row in venue.live_algos()} - set(venue.open_positions())
    assert flat == set(), "orders left on a flat symbol"
    plain = Counter(row["client_order_id"] for row in venue.of("order") if row["client_order_id"].startswith("ft-"))
    assert [name for name, count in plain.items() if count > 1] == [], "an order sent twice"
    entries = Counter(name.rpartition("-")[0] for name in plain if name.rpartition("-")[2].startswith("E"))
    assert [intent for intent, count in entries.items() if count > 1] == [], "an intent entered twice"
    intents = {row[0] for row in place.rows("SELECT client_order_id FROM intents")}
    sent = {name for name in plain if name.rpartition("-")[2].startswith("E")}
    assert sent <= intents, "an entry at the venue that was never written down"
    # The exchange ends a moment after the trader: a stop that fires in between is the next start's business.
    told_ms = place.heartbeat()["venue_time_ms"]
    late = {row["symbol"] for row in venue.of("trade") if row["time_ms"] >= told_ms}
    booked = sorted((row[0], row[1]) for row in place.rows("SELECT symbol, trade_id FROM fills") if row[0] not in late)
    traded = sorted((row["symbol"], row["trade_id"]) for row in venue.of("trade") if row["symbol"] not in late)
    assert booked == traded
    ours = {row[0] for row in place.rows("SELECT symbol FROM positions WHERE state NOT IN ('closed', 'refused')")}
    assert ours - late == set(venue.open_positions()) - late
