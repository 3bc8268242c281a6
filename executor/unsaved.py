"""A database that fails: exits and protection go on in memory, entries stop, and everything is written again later."""

from __future__ import annotations

from core.enums import Severity
from core.records import FillRecord, HaltRecord, IntentRecord, OrderRecord, PositionRecord, Record
from executor.desk import Desk
from executor.halts import ALL
from executor.inputs import PersistenceFailed


class Unsaved:
    """What a failed write lost: the trades concerned are written whole again, other rows as they were."""

    def __init__(self) -> None:
        self._trades: set[int] = set()
        self._rows: list[Record] = []
        self._retry_at_ms = 0

    def failed(self, desk: Desk, event: PersistenceFailed) -> None:
        for record in event.records:
            if isinstance(record, IntentRecord | OrderRecord | FillRecord | PositionRecord) and record.intent_id:
                self._trades.add(record.intent_id)
            else:
                self._rows.append(record)
        self._retry_at_ms = desk.now_ms + desk.policy.save_retry_ms
        if not desk.link.degraded:
            desk.link.degraded = True
            desk.alert(
                f"database:{desk.epoch}:{desk.now_ms}",
                Severity.CRITICAL,
                "The database cannot be written",
                f"{event.detail[:200]}. No entries; stops and exits go on. Check disk space and the database file.",
            )

    def tick(self, desk: Desk) -> None:
        """Try to write everything again, as it is now; the attempt's success ends the degraded mode."""
        if not desk.link.degraded or desk.now_ms < self._retry_at_ms:
            return
        self._retry_at_ms = desk.now_ms + desk.policy.save_retry_ms
        rows, self._rows = self._rows, []
        for intent_id in sorted(self._trades):
            trade = desk.book.by_intent(intent_id)
            if trade is not None:
                trade.forget_written()
                rows.extend(trade.take_records(desk.venue_ms))
        self._trades.clear()
        if not rows:
            # Nothing is owed: a row that changes nothing shows whether the database works again.
            rows = [HaltRecord(ALL, "database", active=False, detail="probe", since_time_ms=desk.venue_ms)]
        desk.write("", *rows, durable=True)

    def recovered(self, desk: Desk) -> None:
        """A durable write succeeded. What is still owed is written with the next tick."""
        if self._trades or self._rows:
            self._retry_at_ms = desk.now_ms
        elif desk.link.degraded:
            desk.link.degraded = False
            desk.alert(
                f"database-back:{desk.epoch}:{desk.now_ms}",
                Severity.INFO,
                "The database can be written again",
                "Everything that happened meanwhile has been written.",
            )
