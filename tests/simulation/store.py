"""The disk of the simulation: durable rows, a writer's buffer that a crash loses, and a watch over what is written."""

from __future__ import annotations

from collections.abc import Sequence

from core.enums import AlgoStatus, OrderStatus
from core.records import (
    AccountStatRecord,
    HaltRecord,
    IntentRecord,
    OrderRecord,
    PositionMarkRecord,
    Record,
    TradeState,
)
from core.restore import RestoredState
from tests.simulation.acts import Act
from tests.unit.executor.lab import Rows

_OVER = {status.value for status in OrderStatus if status.is_terminal} | {
    status.value for status in AlgoStatus if status.is_terminal
}
_UNREAD = frozenset({PositionMarkRecord, AccountStatRecord})
"""Valuations: nothing here reads them again, so they are not kept."""
_DONE = (TradeState.CLOSED, TradeState.REFUSED)


class Disk:
    """What every process sees. `trouble` is one of the disk's acts, None while all is well."""

    def __init__(self) -> None:
        self.rows = Rows()
        self.trouble: Act | None = None
        self.violations: list[str] = []
        self.checks = 0
        self.latched: dict[str, int] = {}
        """Scope of each kill or flatten that holds, to the moment at which it was on disk."""
        self.doubtful: dict[int, str] = {}
        """Intent to symbol of the entries that are in doubt, according to the rows."""
        self.now_ms = 0
        self.lease_epoch = 0

    def restore(self) -> RestoredState:
        return self.rows.restore()

    def write(self, record: Record) -> None:
        kind = type(record)
        if kind is OrderRecord:
            self._check_order(record)  # type: ignore[arg-type]
        elif kind is IntentRecord:
            self._check_intent(record)  # type: ignore[arg-type]
        elif kind is HaltRecord:
            self._note_halt(record)  # type: ignore[arg-type]
        self.rows.write(record)

    def _check_order(self, record: OrderRecord) -> None:
        """I-12: nothing leaves a terminal venue status, and the cumulative quantity never falls.

        An order whose own id becomes known gives back what it was presumed to have filled under another.
        """
        before = self.rows.orders.get(record.client_order_id)
        if before is None:
            return
        self.checks += 1
        is_same = record.venue_order_id == before.venue_order_id
        if is_same and record.filled_quantity < before.filled_quantity:
            self.violations.append(f"I-12 {record.client_order_id}: filled fell")
        if before.status in _OVER and record.status != before.status:
            self.violations.append(f"I-12 {record.client_order_id}: {before.status} -> {record.status}")

    def _check_intent(self, record: IntentRecord) -> None:
        """I-12 for intents: over is over, but for what turns up late of a closed one. I-13: none leaves its doubt as
        refused without evidence."""
        before = self.rows.intents.get(record.intent_id)
        if record.state is TradeState.IN_DOUBT:
            self.doubtful[record.intent_id] = record.symbol
        else:
            self.doubtful.pop(record.intent_id, None)
        if before is None:
            return
        self.checks += 1
        is_late = before.state is TradeState.CLOSED and record.state is TradeState.CLOSING
        if before.state in _DONE and record.state is not before.state and not is_late:
            self.violations.append(f"I-12 intent {record.intent_id}: {before.state.value} -> {record.state.value}")
        if before.state is TradeState.IN_DOUBT and record.state is TradeState.REFUSED and not record.evidence:
            self.violations.append(f"I-13 intent {record.intent_id}: left its doubt without evidence")

    def _note_halt(self, record: HaltRecord) -> None:
        if record.reason in ("kill", "flatten"):
            if record.active:
                self.latched.setdefault(record.scope, self.now_ms)
            else:
                self.latched.pop(record.scope, None)


class Writer:
    """One process's FIFO writer: a commit takes everything queued before it along; what cannot be written stays queued,
    in order; a crash loses the queue."""

    def __init__(self, disk: Disk, epoch: int) -> None:
        self.disk = disk
        self._epoch = epoch
        self._queue: list[Record] = []

    @property
    def has_rows(self) -> bool:
        """Whether anything waits to be written."""
        return bool(self._queue)

    def submit(self, records: Sequence[Record]) -> None:
        queue = self._queue
        for record in records:
            if type(record) not in _UNREAD:
                queue.append(record)

    def flush(self) -> bool:
        """Write everything queued; False while the disk is in trouble, or when the lease is another process's."""
        if self.disk.trouble is not None or self.disk.lease_epoch != self._epoch:
            return False
        if self._queue:
            queue, self._queue = self._queue, []
            write = self.disk.write
            for record in queue:
                write(record)
        return True

    def crash(self) -> None:
        self._queue.clear()
