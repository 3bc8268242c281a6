"""Effects in order, symbol by symbol: what must be on disk first is, and no symbol waits for another's commit.

Rows that could not be written stay here, in order, and go with the next write of their symbol: a newer row is never on
disk without the older ones. Rows that the database will never take are given up, and told. Exits and protection wait
only a moment for a slow disk; an entry waits a little longer and is then not sent at all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from core.clock import Clock
from core.commands import SubmitOrder
from core.effects import Effect, Notify, Persist, Send
from core.errors import LeaseTakenError, PersistenceError, RecordRefusedError
from core.ports import RecordWriter
from core.records import CandleRecord, Record
from executor.inputs import Input, LeaseLost, PersistenceFailed, PersistenceRecovered

log = structlog.get_logger(__name__)

EXIT_PATIENCE_S = 0.5
"""An exit or a stop goes out after this time, written or not."""

ENTRY_PATIENCE_S = 2.0
"""An entry whose intent is not on disk by then is dropped: its price would be old anyway."""

RETRY_MS = 5_000


class _Rows(NamedTuple):
    """What one step wrote, and who waits for it to be on the disk."""

    records: Sequence[Record]
    waiter: asyncio.Future[PersistenceError | None] | None = None

    def tell(self, result: PersistenceError | None) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(result)


@dataclass(slots=True)
class _Lane:
    """One symbol: batches to carry out, rows to write, and who waits for them."""

    batches: deque[list[Effect]] = field(default_factory=deque)
    worker: asyncio.Task[None] | None = None
    backlog: list[_Rows] = field(default_factory=list)
    flusher: asyncio.Task[None] | None = None


class Lanes:
    """`act` carries out a request or an alert; `offer` takes news about failing and recovered writes.

    `commits_waiting` counts durable writes that an order waits for, from the moment in which they were decided;
    `on_committed` is called when the last one ended.
    """

    def __init__(
        self,
        writer: RecordWriter,
        clock: Clock,
        act: Callable[[Send | Notify], None],
        offer: Callable[[Input], None],
        on_committed: Callable[[], None] = lambda: None,
    ) -> None:
        self._writer = writer
        self._clock = clock
        self._act = act
        self._offer = offer
        self._on_committed = on_committed
        self.commits_waiting = 0
        self._lanes: dict[str, _Lane] = {}
        self._has_failed = False
        self._retry_at_ms = 0

    def put(self, effects: list[Effect]) -> None:
        """Take the effects of one event; alerts, and a symbol's part that needs no waiting, are carried out at once."""
        by_symbol: dict[str, list[Effect]] = {}
        for effect in effects:
            if isinstance(effect, Notify):
                self._act(effect)
            else:
                by_symbol.setdefault(symbol_of(effect), []).append(effect)
        for symbol, batch in by_symbol.items():
            lane = self._lanes.setdefault(symbol, _Lane())
            commits = _commits_of(batch)
            if lane.worker is None and not commits:
                for effect in batch:
                    self._do_now(lane, effect)
                continue
            lane.batches.append(batch)
            self.commits_waiting += commits
            if lane.worker is None:
                lane.worker = asyncio.create_task(self._work(lane), name=f"executor-lane-{symbol}")

    def waiting(self) -> int:
        """Return how many symbols wait for a commit or owe rows to the disk."""
        return sum(1 for lane in self._lanes.values() if lane.worker or lane.flusher or lane.backlog)

    def owes_rows(self) -> bool:
        """Tell whether rows wait that a failing disk has refused so far."""
        return self._has_failed

    def retry(self) -> None:
        """Write again what could not be written, when its time has come."""
        now_ms = self._clock.now_ms()
        if self._has_failed and now_ms >= self._retry_at_ms:
            self._retry_at_ms = now_ms + RETRY_MS
            for lane in self._lanes.values():
                self._start_flush(lane)

    # --- carrying out -------------------------------------------------------------------------------------------

    async def _work(self, lane: _Lane) -> None:
        try:
            while lane.batches:
                batch = lane.batches.popleft()
                try:
                    await self._do_batch(lane, batch)
                finally:
                    self._count_down(_commits_of(batch))
        finally:
            lane.worker = None

    def _count_down(self, commits: int) -> None:
        self.commits_waiting -= commits
        if commits and not self.commits_waiting:
            self._on_committed()

    async def _do_batch(self, lane: _Lane, batch: list[Effect]) -> None:
        for index, effect in enumerate(batch):
            if isinstance(effect, Persist) and effect.durable:
                if not await self._commit(lane, effect):
                    self._drop(batch[index + 1 :])
                    return
            else:
                self._do_now(lane, effect)

    def _do_now(self, lane: _Lane, effect: Effect) -> None:
        if not isinstance(effect, Persist):
            self._act(effect)
        elif lane.backlog or lane.flusher is not None:
            lane.backlog.append(_Rows(effect.records))
            self._start_flush(lane)
        else:
            self._writer.submit(effect.records)

    def _drop(self, rest: list[Effect]) -> None:
        """The write before an entry failed: the entry is not sent."""
        commands = tuple(effect.command for effect in rest if isinstance(effect, Send))
        failed = PersistenceFailed("the intent could not be recorded", self._clock.now_ms(), commands, self._has_failed)
        self._offer(failed)

    # --- writing ------------------------------------------------------------------------------------------------

    async def _commit(self, lane: _Lane, effect: Persist) -> bool:
        """Write durably; False when the rest of the batch must not happen."""
        written: asyncio.Future[PersistenceError | None] = asyncio.get_running_loop().create_future()
        lane.backlog.append(_Rows(effect.records, written))
        self._start_flush(lane)
        patience = EXIT_PATIENCE_S if effect.proceed_on_failure else ENTRY_PATIENCE_S
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await written
        if written.cancelled() or not written.done():
            self._failed(f"the database has not answered for {patience} s")
            return effect.proceed_on_failure
        error = written.result()
        # An exit of a process that has lost the account would meet the other one's orders.
        return error is None or (effect.proceed_on_failure and not isinstance(error, LeaseTakenError))

    def _start_flush(self, lane: _Lane) -> None:
        if lane.flusher is None and lane.backlog:
            lane.flusher = asyncio.create_task(self._flush(lane))

    async def _flush(self, lane: _Lane) -> None:
        """Write the backlog in order until it is empty; after a failure it waits for the next write or retry."""
        try:
            while lane.backlog:
                waiting, lane.backlog = lane.backlog, []
                try:
                    await self._write(waiting)
                except PersistenceError as error:
                    lane.backlog = [*(_Rows(rows.records) for rows in waiting), *lane.backlog]
                    self._failed(str(error))
                    if isinstance(error, LeaseTakenError):
                        self._offer(LeaseLost(str(error), self._clock.now_ms()))
                    for rows in waiting:
                        rows.tell(error)
                    return
        finally:
            lane.flusher = None
        self._check_recovered()

    async def _write(self, waiting: list[_Rows]) -> None:
        """Write what waits as one commit and take it off the list. Where the database will never take a row, each step
        goes by itself: that one alone fails. Raises PersistenceError while nothing can be written."""
        try:
            await self._writer.commit([record for rows in waiting for record in rows.records])
        except RecordRefusedError as error:
            if len(waiting) == 1:
                self._give_up(waiting.pop(), error)
            while waiting:
                await self._write(waiting[:1])
                del waiting[0]
        for rows in waiting:
            rows.tell(None)
        waiting.clear()

    def _give_up(self, rows: _Rows, error: RecordRefusedError) -> None:
        kinds = ", ".join(sorted({type(record).__name__ for record in rows.records}))
        log.error("rows are lost, and what had to wait for them is not sent", rows=kinds, error=str(error))
        rows.tell(error)

    def _failed(self, detail: str) -> None:
        self._has_failed = True
        self._retry_at_ms = self._clock.now_ms() + RETRY_MS
        self._offer(PersistenceFailed(detail, self._clock.now_ms()))

    def _check_recovered(self) -> None:
        if self._has_failed and not any(lane.backlog or lane.flusher for lane in self._lanes.values()):
            self._has_failed = False
            self._offer(PersistenceRecovered(self._clock.now_ms()))


def _commits_of(batch: list[Effect]) -> int:
    return sum(1 for effect in batch if isinstance(effect, Persist) and effect.durable)


def symbol_of(effect: Effect) -> str:
    """Return the symbol whose order an effect belongs to; "" for the account as a whole."""
    if isinstance(effect, Persist):
        # The first row that has one: the mark of a position carries none, and may stand before its trade's rows.
        return next((name for record in effect.records if (name := _symbol_of_record(record))), "")
    if isinstance(effect, Send):
        command = effect.command
        symbol = command.approved.order.symbol if isinstance(command, SubmitOrder) else getattr(command, "symbol", None)
        return symbol or ""
    return ""


def _symbol_of_record(record: Record) -> str:
    carrier = getattr(record, "signal", None) or getattr(record, "verdict", None) or record
    if isinstance(record, CandleRecord):
        carrier = record.candle
    symbol = getattr(carrier, "symbol", None)
    return symbol if isinstance(symbol, str) else ""
