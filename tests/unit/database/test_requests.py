"""Requests of people: kept in order, reported on, seen by another process."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine

from core.candle import DAY_MS
from core.errors import RuntimeFailure
from core.records import TradeState
from database.database import open_database
from database.requests import RequestQueue
from tests.unit.database import examples
from tests.unit.database.examples import T0, D

NOW = 1_700_000_000_000


def test_request_of_another_process_is_taken_and_answered(database, url):
    other = open_database(url, "sim", backup=False)
    number = other.requests.enqueue("flatten", "BTCUSDT", "somebody", NOW)
    (taken,) = database.requests.unfinished()
    assert (taken.id, taken.kind, taken.symbol, taken.state) == (number, "flatten", "BTCUSDT", "new")
    database.requests.report(number, "running", "still open: BTCUSDT 1", NOW + 1)
    assert other.requests.get(number).result == "still open: BTCUSDT 1"
    database.requests.report(number, "done", "flat", NOW + 2)
    assert database.requests.unfinished() == []
    assert other.requests.get(number).state == "done"
    other.close()


def test_lease_holder_is_named_while_it_lives(database):
    assert database.lease_holder("sim-1", NOW) is None
    epoch = database.acquire_lease("sim-1", "sim trader", NOW)
    assert "sim trader" in database.lease_holder("sim-1", NOW + 1)
    database.release_lease("sim-1", epoch)
    assert database.lease_holder("sim-1", NOW + 2) is None


async def test_restore_counts_the_losses_at_the_end_of_the_day(database):
    results = [D(-5), D(3), D(-1), D(-2)]
    rows = [
        examples.position(n, state=TradeState.CLOSED, realized_pnl=pnl, fees=D(0), closed_time_ms=T0 + n * 1_000)
        for n, pnl in enumerate(results, start=1)
    ]
    await database.writer.commit(rows)
    assert database.restore_state(T0 + 60_000).consecutive_losses == 2
    assert database.restore_state(T0 + DAY_MS).consecutive_losses == 0


def test_requests_that_cannot_be_read_are_one_clear_failure(database):
    broken = create_engine("sqlite:////proc/no/such/folder.db")
    queue = RequestQueue(broken, database.writer)
    with pytest.raises(RuntimeFailure, match="cannot be read"):
        queue.unfinished()
