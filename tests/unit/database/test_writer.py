"""The writer: what is committed is there, in order, together, and never in the way."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import event

from core.errors import PersistenceError, RecordRefusedError
from core.records import CandleRecord, SignalStatus
from database import link
from database import writer as writers
from database.database import Database, open_database
from tests.unit.database import examples
from tests.unit.database.examples import MINUTE, T0


async def test_commit_returned_is_visible_to_another_session(database: Database):
    await database.writer.commit([examples.order()])
    assert database.repository.orders() == [examples.order()]


async def test_submit_is_written_before_a_later_commit_of_its_lane_returns(database: Database):
    for n in range(50):
        database.writer.submit([examples.order(f"ft-1-{n}-E0")])
    await database.writer.commit([examples.intent()])
    assert len(database.repository.orders(limit=1000)) == 50


async def test_upserts_of_one_key_the_last_one_stays(database: Database):
    database.writer.submit([examples.order(status="NEW")])
    await database.writer.commit([examples.order(status="PARTIALLY_FILLED"), examples.order(status="FILLED")])
    (order,) = database.repository.orders()
    assert order.status == "FILLED"


async def test_fill_seen_twice_is_kept_once_as_first_seen(database: Database):
    await database.writer.commit([examples.fill()])
    await database.writer.commit([examples.fill(price=Decimal(1)), examples.fill(2)])
    assert sorted((f.trade_id, f.price) for f in database.repository.fills()) == [
        (1, examples.fill().price),
        (2, examples.fill().price),
    ]


async def test_commits_that_wait_together_share_one_transaction(database: Database):
    commits = []
    event.listen(database._writing, "commit", lambda connection: commits.append(1))
    hold, started = threading.Event(), threading.Event()

    def block(connection):
        started.set()
        hold.wait(10)

    blocked = database.writer.call(block)
    started.wait(10)
    waiting = [asyncio.ensure_future(database.writer.commit([examples.fill(n)])) for n in range(40)]
    await asyncio.sleep(0)
    hold.set()
    await asyncio.gather(*waiting)
    blocked.result(10)
    assert len(database.repository.fills()) == 40
    assert len(commits) == 2  # the blocking task and one group


async def test_durable_commits_sync_fully_and_others_do_not(database: Database):
    def synchronous(connection):
        return connection.exec_driver_sql("PRAGMA synchronous").scalar_one()

    seen = []
    event.listen(database._writing, "commit", lambda connection: seen.append(synchronous(connection)))
    await database.writer.commit([examples.fill()])
    database.writer.submit([examples.candle()])
    await wait_until(lambda: len(seen) == 2)
    await database.writer.commit([examples.candle()])
    assert seen == [2, 1, 2]  # FULL, NORMAL, FULL


async def wait_until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - watches another thread
            await asyncio.sleep(0.002)


async def test_candles_waiting_do_not_hold_up_a_durable_commit(database: Database):
    """10,000 candles wait; the fill is on disk while most of them still wait."""
    for n in range(0, 10_000, 100):
        database.writer.submit([examples.candle(open_time_ms=T0 + (n + i) * MINUTE) for i in range(100)])
    await database.writer.commit([examples.fill()])
    assert database.writer.depth > 10
    assert database.repository.fills() == [examples.fill()]
    database.close()


async def test_bulk_rows_that_come_together_share_one_transaction_and_trade_rows_do_not_wait(database: Database):
    commits = []
    event.listen(database._writing, "commit", lambda connection: commits.append(1))
    denied = replace(examples.signal(), status=SignalStatus.DENIED, denial_code="stale_data")
    for n in range(100):
        database.writer.submit([examples.candle(open_time_ms=T0 + n * MINUTE)])
    database.writer.submit([denied, examples.denial(denied.signal.signal_id)])
    await database.writer.commit([examples.fill()])
    assert database.repository.candles("BTCUSDT") == []
    assert len(commits) == 1
    await wait_until(lambda: database.writer.depth == 0 and len(commits) > 1)
    await wait_until(lambda: len(database.repository.candles("BTCUSDT", limit=1000)) == 100)
    assert len(database.repository.denials()) == 1
    assert len(commits) == 2


async def test_rows_written_many_to_a_statement_are_those_of_one_by_one_in_their_order(database: Database):
    """75 rows go as 32, 32, 8 and 3; of rows with the same key the later one wins, wherever the statements are cut."""
    fills = [examples.fill(n) for n in range(75)]
    orders = [examples.order(filled_quantity=Decimal(n)) for n in range(75)]
    await database.writer.commit([*fills, *orders])
    assert sorted(database.repository.fills(), key=lambda fill: fill.trade_id) == fills
    assert database.repository.orders() == [orders[-1]]


async def test_bulk_rows_wait_while_trades_keep_coming_but_not_for_ever(database: Database, monkeypatch):
    monkeypatch.setattr(writers, "BULK_REST_S", 0.2)
    monkeypatch.setattr(writers, "BULK_PATIENCE_S", 60.0)
    database.writer.submit([examples.candle()])
    for n in range(20):
        await database.writer.commit([replace(examples.fill(), trade_id=n)])
    assert database.repository.candles("BTCUSDT") == []
    monkeypatch.setattr(writers, "BULK_PATIENCE_S", 0.0)
    await database.writer.commit([replace(examples.fill(), trade_id=100)])
    await database.writer.commit([replace(examples.fill(), trade_id=101)])
    await wait_until(lambda: len(database.repository.candles("BTCUSDT")) == 1)


async def test_rows_after_a_rest_are_written_too(database: Database):
    for n in range(3):
        database.writer.submit([examples.candle(open_time_ms=T0 + n * MINUTE)])
        await wait_until(lambda n=n: len(database.repository.candles("BTCUSDT")) == n + 1)


async def test_log_is_folded_into_the_file_once_nothing_has_come_for_a_while(database: Database, url, monkeypatch):
    monkeypatch.setattr(link, "FOLD_ROWS", 10)
    monkeypatch.setattr(writers, "FOLD_REST_S", 0.01)

    def folded() -> int:
        """Rows in the file itself, whatever stands in its log."""
        path = Path(url.removeprefix("sqlite:///")).resolve().as_uri()
        with closing(sqlite3.connect(f"{path}?immutable=1", uri=True)) as connection:
            try:
                return connection.execute("SELECT count(*) FROM fills").fetchone()[0]
            except sqlite3.DatabaseError:
                return 0  # the table too stands in the log, or it is being folded in this moment

    for n in range(9):
        await database.writer.commit([examples.fill(n)])
    assert folded() == 0
    await database.writer.commit([examples.fill(9)])
    await wait_until(lambda: folded() == 10)
    await database.writer.commit([examples.fill(10)])
    assert len(database.repository.fills()) == 11


async def test_log_that_cannot_be_folded_keeps_the_writer_alive(database: Database, monkeypatch):
    monkeypatch.setattr(link, "FOLD_ROWS", 1)
    monkeypatch.setattr(writers, "FOLD_REST_S", 0.0)
    tries = threading.Event()

    def fail(connection):
        tries.set()
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(link, "fold_log", fail)
    await database.writer.commit([examples.fill()])
    await wait_until(tries.is_set)
    await database.writer.commit([examples.fill(2)])
    assert len(database.repository.fills()) == 2


async def test_close_writes_all_that_was_submitted(url):
    database = open_database(url, "sim")
    database.writer.submit([examples.candle(open_time_ms=T0 + n * MINUTE) for n in range(3000)])
    database.close()
    reopened = open_database(url, "sim")
    assert len(reopened.repository.candles("BTCUSDT", limit=10_000)) == 3000
    reopened.close()


async def test_commit_after_close_is_refused(database: Database):
    database.close()
    with pytest.raises(PersistenceError, match="closed"):
        await database.writer.commit([examples.fill()])


async def test_gauges_count_rows_and_settle_at_zero(database: Database):
    await database.writer.commit([examples.fill(), examples.order()])
    assert (database.writer.rows_written, database.writer.depth, database.writer.last_error) == (2, 0, None)
    await wait_until(lambda: database.writer.lag_ms == 0)


async def test_record_that_cannot_be_written_harms_only_itself(database: Database):
    five_minutes = CandleRecord(examples.made(examples.candle().candle, {"interval": "5m"}))
    results = await asyncio.gather(
        database.writer.commit([examples.fill(1)]),
        database.writer.commit([five_minutes]),
        database.writer.commit(["not a record"]),
        database.writer.commit([examples.fill(2)]),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), RecordRefusedError, RecordRefusedError, type(None)]
    assert "1m candles" in str(results[1])
    assert "no table for records of type str" in str(results[2])
    assert len(database.repository.fills()) == 2


async def test_submitted_record_that_cannot_be_written_is_counted(database: Database, caplog):
    database.writer.submit([CandleRecord(examples.made(examples.candle().candle, {"interval": "5m"}))])
    database.writer.submit([examples.candle()])
    await wait_until(lambda: database.writer.rows_written == 1)
    assert database.writer.rows_dropped == 1
    assert "1 rows were not written (CandleRecord)" in caplog.text


async def test_cancelled_waiter_leaves_the_writer_alive(database: Database):
    waiting = asyncio.ensure_future(database.writer.commit([examples.fill()]))
    await asyncio.sleep(0)
    waiting.cancel()
    await database.writer.commit([examples.order()])
    assert database.repository.orders() == [examples.order()]


async def test_many_tasks_commit_at_once_all_rows_arrive(database: Database):
    """One session is never shared between tasks: a hammer of 200 tasks loses and mixes nothing."""

    async def trade(n: int) -> None:
        await database.writer.commit([examples.intent(n)])
        database.writer.submit([examples.candle(open_time_ms=T0 + n * MINUTE)])
        await database.writer.commit([examples.fill(n, intent_id=n)])

    await asyncio.gather(*(trade(n) for n in range(200)))
    assert sorted(f.trade_id for f in database.repository.fills(limit=1000)) == list(range(200))
    assert database.restore_state().next_intent == 200
