"""The disk of the simulation: durable rows, a buffer that a crash loses, and a watch over what is written."""

from __future__ import annotations

from collections.abc import Sequence

from core.enums import AlgoStatus, OrderStatus
from core.records import OrderRecord, Record
from core.restore import RestoredState
from tests.unit.executor.lab import Rows

_OVER = {status.value for status in OrderStatus if status.is_terminal} | {
    status.value for status in AlgoStatus if status.is_terminal
}


class Store:
    """One FIFO writer: a commit takes everything queued before it along; what cannot be written stays queued, in order;
    a crash loses the queue."""

    def __init__(self) -> None:
        self.rows = Rows()
        self.failing = False
        self.violations: list[str] = []
        self.checks = 0
        self._queue: list[Record] = []

    def submit(self, records: Sequence[Record]) -> None:
        self._queue.extend(records)

    def commit(self, records: Sequence[Record]) -> bool:
        self._queue.extend(records)
        return self.flush()

    def flush(self) -> bool:
        """Write everything queued; False when the disk fails."""
        if self.failing:
            return False
        queue, self._queue = self._queue, []
        for record in queue:
            self._write(record)
        return True

    def crash(self) -> None:
        self._queue.clear()

    def restore(self) -> RestoredState:
        return self.rows.restore()

    def _write(self, record: Record) -> None:
        if isinstance(record, OrderRecord):
            self._check_order(record)
        self.rows.write(record)

    def _check_order(self, record: OrderRecord) -> None:
        """I-12: nothing leaves a terminal venue status, and the cumulative quantity never falls."""
        before = self.rows.orders.get(record.client_order_id)
        if before is None:
            return
        self.checks += 1
        if record.filled_quantity < before.filled_quantity:
            self.violations.append(f"I-12 {record.client_order_id}: filled fell")
        if before.status in _OVER and record.status != before.status:
            self.violations.append(f"I-12 {record.client_order_id}: {before.status} -> {record.status}")
