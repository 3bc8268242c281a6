"""The one writer: a thread with a queue that commits everything waiting as one transaction.

Two lanes, each in its order of arrival. The trade lane (intents, orders, fills, positions, and every `commit`) goes
first and goes whole; the bulk lane (candles, decisions, denials, valuations) follows a moment later and in chunks, so
that the candles of a minute or a warm-up never stand between an intent and its order. A record type lives in one lane
(signals that were denied go with their denials), hence upserts of one key never overtake one another.

One connection serves both: it runs with synchronous=FULL for a transaction that somebody waits for (the write-ahead
log is synced before `commit` returns) and with NORMAL otherwise (a power cut may lose the last of them, never damage
the file). Two connections would only wait for each other's lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from core.clock import Clock, SystemClock
from core.errors import PersistenceError, RecordRefusedError
from core.records import AlertRecord, Record
from database.engine import describe, is_outage
from database.link import Trouble, WriterLink
from database.queues import Lane, WriteRequest, is_bulk
from database.statements import RecordStatements

T = TypeVar("T")
_log = logging.getLogger("database.writer")

BULK_REST_S = 0.1
"""Bulk rows wait until nothing has come for so long: the candles of a minute become one transaction."""
BULK_PATIENCE_S = 1.0
"""They wait no longer than this while trades keep coming: what a close sets off is over by then."""
BULK_HURRY_ROWS = 2_000
"""So many do not wait."""
BULK_CHUNK_ROWS = 500
"""About 5 ms of work: the longest that a durable commit waits behind candles."""
FOLD_REST_S = 1.0
"""A long write-ahead log is folded into the file once nothing has come for so long."""
HELD_ROWS_MAX = 200_000
"""How many rows wait in memory while the database cannot be written; beyond it the oldest go, bulk rows first."""
RETRY_S_MIN, RETRY_S_MAX = 0.25, 2.0

_STOP, _WAKE = WriteRequest((), 0), WriteRequest((), 0)


class DatabaseWriter:
    """Implements `core.ports.RecordWriter`; also runs small tasks (leases, outbox, retention) between commits.

    Gauges: `lag_ms` (age of the oldest record that waits), `depth` (requests waiting), `rows_written`,
    `rows_dropped`, `last_error` (None while all is well).
    """

    def __init__(self, engine: Engine, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._link, self._trouble = WriterLink(engine), Trouble(self._clock)
        self._statements = RecordStatements(engine.dialect.name)
        self._inbox: queue.SimpleQueue[WriteRequest] = queue.SimpleQueue()
        self._trade, self._bulk = Lane(), Lane()
        self._oldest_ns: int | None = None
        self._bulk_inbox: deque[WriteRequest] = deque()
        self._is_awake = False
        self._is_quiet = False
        self._retry_s = RETRY_S_MIN
        self._closed = False
        self.guard: Callable[[Connection], None] | None = None
        """Asked in every transaction before rows other than alerts are written; what it raises refuses them."""
        self.rows_written = 0
        self.rows_dropped = 0
        self._thread = threading.Thread(target=self._run, name="database-writer", daemon=True)
        self._thread.start()

    @property
    def lag_ms(self) -> float:
        """Age of the oldest request that is not written yet, milliseconds; 0 when none waits."""
        oldest_ns = self._oldest_ns
        return 0.0 if oldest_ns is None else (self._clock.monotonic_ns() - oldest_ns) / 1e6

    @property
    def last_error(self) -> str | None:
        return self._trouble.reason

    @property
    def depth(self) -> int:
        return self._inbox.qsize() + len(self._bulk_inbox) + len(self._trade.requests) + len(self._bulk.requests)

    def submit(self, records: Sequence[Record]) -> None:
        """Queue records for the next group commit; never blocks, never raises."""
        if not records:
            return
        request = WriteRequest(records, self._clock.monotonic_ns())
        if not all(map(is_bulk, records)):
            self._inbox.put(request)
            return
        self._bulk_inbox.append(request)
        if not self._is_awake:  # once for all that come while it rests: a thread that wakes takes time from the caller
            self._is_awake = True
            self._inbox.put(_WAKE)

    async def commit(self, records: Sequence[Record]) -> None:
        """Return when the records, and all that were queued before them in their lane, are durably on disk.

        Raises PersistenceError when they are not; then none of these records was written, nor ever will be.
        """
        if self._closed:
            raise PersistenceError("the database is closed; nothing more can be written")
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[None] = loop.create_future()

        def resolve(error: BaseException | None) -> None:
            if outcome.done():  # the waiting task was cancelled
                return
            if error is None:
                outcome.set_result(None)
            else:
                outcome.set_exception(error)

        def done(_: Any, error: BaseException | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(resolve, error)

        self._inbox.put(WriteRequest(records, self._clock.monotonic_ns(), done=done))
        await outcome

    def call(self, task: Callable[[Connection], T]) -> Future[T]:
        """Run `task` durably in a transaction of its own on the writer's connection, in the trade lane's order.

        The future carries its result, its own error, or PersistenceError when the database could not be written.
        """
        future: Future[T] = Future()

        def done(result: T, error: BaseException | None) -> None:
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        if self._closed:
            done(None, PersistenceError("the database is closed; nothing more can be written"))  # type: ignore[arg-type]
        else:
            self._inbox.put(WriteRequest((), self._clock.monotonic_ns(), task=task, done=done))
        return future

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what waits, then stop. What cannot be written is counted in `rows_dropped` and logged."""
        if self._closed:
            return
        self._closed = True
        self._inbox.put(_STOP)
        self._thread.join(timeout_s)

    # The rest runs on the writer thread.

    def _run(self) -> None:
        running = True
        while running or self._oldest_ns is not None:
            running = self._receive(wait=running) and running
            written = self._write_trade_lane() and (not self._is_bulk_due(running) or self._write_bulk_chunk())
            self._note_oldest()
            if written:
                self._retry_s = RETRY_S_MIN
            elif not running:
                self._give_up()
        self._link.disconnect()
        self._give_up()

    def _receive(self, *, wait: bool) -> bool:
        """Move what arrived into the lanes; returns False when told to stop."""
        timeout_s, received = 0.0, False
        if wait and self.last_error is not None:
            timeout_s = self._retry_s
            self._retry_s = min(self._retry_s * 2, RETRY_S_MAX)
        try:
            if wait and self._oldest_ns is None and self._may_sleep():
                request = self._rest()
            elif timeout_s:
                request = self._inbox.get(timeout=timeout_s)
            elif wait and not self._is_bulk_due(running=True):
                request = self._inbox.get(timeout=BULK_REST_S)
            else:
                request = self._inbox.get_nowait()
            while request is not _STOP:
                if request is not _WAKE:
                    self._trade.push(request)
                received = True
                request = self._inbox.get_nowait()
        except queue.Empty:
            self._is_quiet = not received
            return True
        finally:
            self._take_bulk()
            self._bound_held_rows()
            self._note_oldest()
        return False

    def _rest(self) -> WriteRequest:
        """Return the next request, and tidy up where it is long in coming."""
        if self._link.is_log_long:
            try:
                return self._inbox.get(timeout=FOLD_REST_S)
            except queue.Empty:
                self._link.fold()
        return self._inbox.get()

    def _may_sleep(self) -> bool:
        """Whether nothing waits; from the question on, whoever brings bulk rows wakes this thread."""
        self._is_awake = self._is_quiet = False
        self._take_bulk()
        return not self._bulk.requests

    def _take_bulk(self) -> None:
        while self._bulk_inbox:
            self._bulk.push(self._bulk_inbox.popleft())

    def _is_bulk_due(self, running: bool) -> bool:
        """Whether the bulk lane need not wait any longer: nothing more came, it is long or old, or this is the end."""
        if not running or self._is_quiet or self._bulk.rows >= BULK_HURRY_ROWS or not self._bulk.requests:
            return True
        return self._clock.monotonic_ns() - self._bulk.requests[0].enqueued_ns >= BULK_PATIENCE_S * 1e9

    def _note_oldest(self) -> None:
        heads = [lane.requests[0].enqueued_ns for lane in (self._trade, self._bulk) if lane.requests]
        self._oldest_ns = min(heads, default=None)

    def _bound_held_rows(self) -> None:
        if self.last_error is None:
            return
        for lane in (self._bulk, self._trade):
            while self._bulk.rows + self._trade.rows > HELD_ROWS_MAX and len(lane.requests) > 1:
                (oldest,) = lane.take(rows_max=0)
                if oldest.done is not None:
                    oldest.done(None, PersistenceError(f"the database cannot keep up: {self.last_error or 'overload'}"))
                self._drop([oldest], "too many rows wait")

    def _write_trade_lane(self) -> bool:
        """Write the whole trade lane; returns False while the database cannot be written."""
        while self._trade.requests:
            group = self._take_group()
            if group[0].task is not None:
                if not self._run_task(group[0]):
                    return False
            elif not self._write_group(group, self._trade, full=any(request.done is not None for request in group)):
                return False
        return True

    def _take_group(self) -> list[WriteRequest]:
        """Requests up to the next task, or one task alone."""
        group = self._trade.take(rows_max=None)
        cut = next((i for i, request in enumerate(group) if request.task is not None), len(group))
        cut = max(cut, 1)
        self._trade.push_back(group[cut:])
        return group[:cut]

    def _write_bulk_chunk(self) -> bool:
        group = self._bulk.take(BULK_CHUNK_ROWS)
        return not group or self._write_group(group, self._bulk, full=False)

    def _write_group(self, group: list[WriteRequest], lane: Lane, *, full: bool) -> bool:
        """Write requests as one transaction; returns False while the database cannot be written."""
        try:
            self._transact(group, full=full)
        except Exception as error:
            if is_outage(error):
                self._fail(group, lane, error)
                return False
            return self._write_one_by_one(group, lane, full=full)
        self._succeed(group)
        return True

    def _write_one_by_one(self, group: list[WriteRequest], lane: Lane, *, full: bool) -> bool:
        """A record of the group is at fault: find it, so that it harms only itself."""
        for i, request in enumerate(group):
            try:
                self._transact([request], full=full)
            except Exception as error:
                if is_outage(error):
                    self._fail(group[i:], lane, error)
                    return False
                self._refuse(request, error)
            else:
                self._succeed([request])
        return True

    def _transact(self, group: Sequence[WriteRequest], *, full: bool) -> None:
        connection = self._link.connected(full=full)
        records = [record for request in group for record in request.records]
        with connection.begin():
            if self.guard is not None and any(type(record) is not AlertRecord for record in records):
                self.guard(connection)
            self._statements.execute(connection, records)

    def _run_task(self, request: WriteRequest) -> bool:
        assert request.task is not None and request.done is not None
        try:
            connection = self._link.connected(full=True)
            with connection.begin():
                result = request.task(connection)
        except Exception as error:
            if is_outage(error):
                self._fail([request], self._trade, error)
                return False
            request.done(None, error)
        else:
            self._trouble.over()
            request.done(result, None)
        return True

    def _succeed(self, group: Sequence[WriteRequest]) -> None:
        self._trouble.over()
        rows = sum(len(request.records) for request in group)
        self.rows_written += rows
        self._link.note_written(rows)
        for request in group:
            if request.done is not None:
                request.done(None, None)

    def _fail(self, group: Sequence[WriteRequest], lane: Lane, error: Exception) -> None:
        """Nothing can be written now: tell those who wait, in the group and behind it, keep the rest for a next try."""
        reason = self._trouble.met(error)
        self._link.disconnect()
        stopped = [*group, *lane.take(rows_max=None)]
        lane.push_back([request for request in stopped if request.done is None])
        for request in stopped:
            if request.done is not None:
                request.done(None, PersistenceError(f"the database cannot be written: {reason}"))

    def _refuse(self, request: WriteRequest, error: Exception) -> None:
        """This request can never be written."""
        reason = f"{type(error).__name__}: {describe(error)}"
        if request.done is not None:
            is_told = isinstance(error, PersistenceError)  # it says itself what is wrong
            request.done(None, error if is_told else RecordRefusedError(f"the database refuses this record: {reason}"))
        else:
            self._drop([request], reason)

    def _drop(self, requests: Sequence[WriteRequest], reason: str) -> None:
        rows = sum(len(request.records) for request in requests)
        self.rows_dropped += rows
        kinds = sorted({type(record).__name__ for request in requests for record in request.records})
        _log.error("%d rows were not written (%s): %s", rows, ", ".join(kinds), reason)

    def _give_up(self) -> None:
        """Told to stop while the database cannot be written, or asked to write after the stop."""
        with contextlib.suppress(queue.Empty):
            while True:
                request = self._inbox.get_nowait()
                if request is not _STOP and request is not _WAKE:
                    self._trade.push(request)
        self._take_bulk()
        for lane in (self._trade, self._bulk):
            if rest := lane.take(rows_max=None):
                for request in rest:
                    if request.done is not None:
                        request.done(None, PersistenceError("the database was closed before this could be written"))
                self._drop(rest, self.last_error or "the database is closed")
        self._note_oldest()
