"""Disk full, locks and I/O errors: those who wait hear of it, the rest is kept and tried again."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event

from core.clock import VirtualClock
from core.errors import PersistenceError
from database import engine as engines
from database import link
from database import writer as writers
from database.database import Database, open_database
from tests.unit.database import examples
from tests.unit.database.examples import MINUTE, T0
from tests.unit.database.test_writer import wait_until


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch):
    monkeypatch.setattr(writers, "RETRY_S_MIN", 0.01)
    monkeypatch.setattr(writers, "RETRY_S_MAX", 0.02)


class FullDisk:
    """Makes every connection of the writer hit SQLite's own page limit: the same error as a full disk."""

    def __init__(self, database: Database) -> None:
        self.is_full = True
        event.listen(database._writing, "begin", self.limit)

    def limit(self, connection) -> None:
        driver = connection.connection.driver_connection
        driver.execute(f"PRAGMA max_page_count={1 if self.is_full else 1_000_000}")


def bulky(n: int):
    return examples.intent(n, evidence="x" * 20_000)


async def test_disk_full_commit_raises_and_the_record_never_appears(database: Database):
    disk = FullDisk(database)
    with pytest.raises(PersistenceError, match="database or disk is full"):
        await database.writer.commit([bulky(1)])
    assert "full" in database.writer.last_error
    disk.is_full = False
    await database.writer.commit([bulky(2)])
    assert database.writer.last_error is None
    assert [intent.intent_id for intent in database.restore_state().intents] == [2]


async def test_disk_full_submitted_rows_are_kept_and_written_once_there_is_room(database: Database):
    disk = FullDisk(database)
    rows = [examples.candle(open_time_ms=T0 + n * MINUTE) for n in range(2000)]
    database.writer.submit(rows)
    database.writer.submit([bulky(1)])
    await wait_until(lambda: database.writer.last_error is not None)
    assert database.writer.lag_ms > 0
    disk.is_full = False
    await wait_until(lambda: database.writer.rows_written == 2001)
    assert len(database.repository.candles("BTCUSDT", limit=5000)) == 2000
    assert database.writer.rows_dropped == 0


async def test_disk_full_who_waits_behind_held_rows_and_a_task_hears_of_it(database: Database):
    FullDisk(database)
    database.writer.submit([bulky(1)])
    await wait_until(lambda: database.writer.last_error is not None)
    renewal = database.writer.call(lambda connection: None)
    with pytest.raises(PersistenceError, match="full"):
        await asyncio.wait_for(database.writer.commit([bulky(2)]), 5)
    with pytest.raises(PersistenceError, match="full"):
        await asyncio.wait_for(asyncio.wrap_future(renewal), 5)


async def test_disk_full_for_long_memory_stays_bounded(database: Database, monkeypatch):
    monkeypatch.setattr(writers, "HELD_ROWS_MAX", 500)
    disk = FullDisk(database)
    for n in range(0, 5000, 100):
        database.writer.submit([examples.candle(open_time_ms=T0 + (n + i) * MINUTE) for i in range(100)])
    database.writer.submit([bulky(1)])
    await wait_until(lambda: database.writer.rows_dropped >= 4400)
    assert database.writer.depth <= 8
    disk.is_full = False
    await wait_until(lambda: database.writer.lag_ms == 0)
    newest = database.repository.candles("BTCUSDT", limit=1)[0]
    assert newest.open_time_ms == T0 + 4999 * MINUTE  # the oldest went, the newest stayed
    assert [intent.intent_id for intent in database.restore_state().intents] == [1]


async def test_io_error_at_commit_raises_and_rolls_back(database: Database, monkeypatch):
    dialect = database._writing.dialect
    broken = True
    real_commit = dialect.do_commit

    def do_commit(connection):
        if broken:
            raise sqlite3.OperationalError("disk I/O error")
        real_commit(connection)

    monkeypatch.setattr(dialect, "do_commit", do_commit)
    with pytest.raises(PersistenceError, match="disk I/O error"):
        await database.writer.commit([examples.fill(1)])
    broken = False
    await database.writer.commit([examples.fill(2)])
    assert [fill.trade_id for fill in database.repository.fills()] == [2]


async def test_locked_for_a_moment_commit_waits_and_succeeds(database: Database, url):
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(database.writer.commit([examples.fill()]))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        other.execute("ROLLBACK")
        await asyncio.wait_for(waiting, 10)
    assert len(database.repository.fills()) == 1


async def test_locked_beyond_the_busy_timeout_commit_raises_within_it(url, monkeypatch):
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_MS", 200)
    database = open_database(url, "sim")
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        with pytest.raises(PersistenceError, match="locked"):
            await database.writer.commit([examples.fill()])
        assert 0.15 < time.monotonic() - started < 5
        database.writer.submit([examples.candle()])
        other.execute("ROLLBACK")
    await wait_until(lambda: database.writer.rows_written == 1)
    database.close()


def test_shipped_busy_timeout_is_at_least_five_seconds():
    assert engines.BUSY_TIMEOUT_MS >= 5000


async def test_close_while_the_disk_is_full_returns_and_says_what_was_lost(database: Database, caplog):
    FullDisk(database)
    database.writer.submit([bulky(1)])
    await wait_until(lambda: database.writer.last_error is not None)
    database.close()
    assert database.writer.rows_dropped == 1
    assert "1 rows were not written (IntentRecord): database or disk is full" in caplog.text


async def test_reader_that_stays_open_does_not_stop_the_writer_and_the_log_is_cut_back(database: Database, url):
    path = url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM fills").fetchone() == (0,)
        for n in range(20):
            await database.writer.commit([examples.fill(n)])
        assert reader.execute("SELECT count(*) FROM fills").fetchone() == (0,)  # its snapshot
    assert len(database.repository.fills()) == 20
    database.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM fills").fetchone() == (20,)


def test_many_readers_at_work_the_log_stays_bounded(database: Database, url):
    """Dashboards read all the while; none holds a snapshot long enough to keep the log from being folded in."""
    stop = threading.Event()
    log = Path(url.removeprefix("sqlite:///") + "-wal")

    def look() -> int:
        looks = 0
        while not stop.is_set():
            database.repository.signals(limit=100)
            looks += 1
        return looks

    async def write() -> int:
        largest = 0
        for n in range(0, 2400, 10):
            await database.writer.commit([bulky(n + i) for i in range(10)])
            largest = max(largest, os.stat(log).st_size)  # noqa: PTH116
        return largest

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(look) for _ in range(4)]
        largest = asyncio.run(write())
        stop.set()
        assert all(reader.result(10) > 0 for reader in readers)
    assert largest < 24_000_000  # of 48 MB written


async def test_edge_of_a_full_disk_is_told_once_and_its_end_once_it_lasts(url, caplog):
    clock = VirtualClock(T0)
    database = open_database(url, "sim", clock=clock)
    disk = FullDisk(database)
    try:
        for n in range(1, 4):  # a bulky row fails, a small one still finds room
            disk.is_full = True
            with pytest.raises(PersistenceError):
                await database.writer.commit([bulky(n)])
            disk.is_full = False
            await database.writer.commit([examples.intent(10 + n)])
            clock.advance_to(clock.now_ms() + 1_000)
        assert [r.levelname for r in caplog.records if r.name == "database.writer"] == ["ERROR"]
        assert database.writer.last_error is None
        clock.advance_to(clock.now_ms() + int(link.LASTING_S * 1_000))
        await database.writer.commit([examples.intent(20)])
        await database.writer.commit([examples.intent(21)])
        told = [r.message for r in caplog.records if r.name == "database.writer"]
        assert [text.partition(":")[0] for text in told] == [
            "the database cannot be written",
            "the database can be written again",
        ]
    finally:
        database.close()
