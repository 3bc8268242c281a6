"""The persisted queue of alerts: `core.ports.Outbox`. Its calls block; run them in a thread."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Engine, or_, select, update

from core.enums import Severity
from core.ports import OutboxItem
from database.tables import AlertRow, table_of
from database.writer import DatabaseWriter
from utils.timefmt import to_datetime, to_ms

CALL_TIMEOUT_S = 30.0
_ALERTS = table_of(AlertRow)


class AlertOutbox:
    """Reads on a session of its own, changes through the one writer."""

    def __init__(self, reading: Engine, writer: DatabaseWriter) -> None:
        self._reading = reading
        self._writer = writer

    def due(self, now_ms: int, limit: int) -> list[OutboxItem]:
        """Return what waits for delivery at `now_ms` (our clock), oldest first."""
        is_due = or_(_ALERTS.c.next_attempt_time.is_(None), _ALERTS.c.next_attempt_time <= to_datetime(now_ms))
        statement = select(_ALERTS).where(_ALERTS.c.sent_time.is_(None), is_due).order_by(_ALERTS.c.id).limit(limit)
        with self._reading.connect() as connection:
            return [_item(row) for row in connection.execute(statement).mappings()]

    def mark_sent(self, alert_id: int, now_ms: int) -> None:
        """Delivered: never again. Raises PersistenceError."""
        self._change(alert_id, {"sent_time": now_ms, "last_error": None})

    def mark_failed(self, alert_id: int, error: str, retry_at_ms: int) -> None:
        """Not delivered: not before `retry_at_ms`. Raises PersistenceError."""
        self._change(alert_id, {"last_error": error, "next_attempt_time": retry_at_ms})

    def _change(self, alert_id: int, values: dict[str, Any]) -> None:
        statement = update(_ALERTS).where(_ALERTS.c.id == alert_id).values(**values, attempts=_ALERTS.c.attempts + 1)

        def change(connection: Connection) -> None:
            connection.execute(statement)

        self._writer.call(change).result(CALL_TIMEOUT_S)


def _item(row: Any) -> OutboxItem:
    return OutboxItem(
        id=row["id"],
        severity=Severity(row["severity"]),
        title=row["title"],
        text=row["text"],
        fields=json.loads(row["fields"]),
        created_time_ms=to_ms(row["created_time"]),
        attempts=row["attempts"],
    )
