"""Takes alerts from anywhere in the process: redacts, logs and hands them to the database writer, in that order."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import replace

from core.enums import Severity
from core.ports import AlertSink, RecordWriter
from core.records import AlertRecord
from utils.logging import get_logger
from utils.redaction import redact

REMEMBERED_KEYS = 4_096

log = get_logger(__name__)

_LEVELS = {Severity.INFO: logging.INFO, Severity.WARNING: logging.WARNING, Severity.CRITICAL: logging.ERROR}


class OutboxSink(AlertSink):
    """Puts alerts into the outbox. An alert whose key was seen lately is dropped here already; the database drops
    those seen before a restart."""

    def __init__(self, writer: RecordWriter) -> None:
        self._writer = writer
        self._seen: OrderedDict[str, None] = OrderedDict()

    def emit(self, alert: AlertRecord) -> None:
        """Queue the alert; never waits, never raises."""
        try:
            if self._is_new(alert.dedupe_key):
                clean = redacted(alert)
                log.log(_LEVELS[clean.severity], f"alert: {clean.title}", text=clean.text, **_field_names(clean))
                self._writer.submit([clean])
        except Exception:
            log.exception("alert could not be queued")

    def _is_new(self, key: str) -> bool:
        if key in self._seen:
            self._seen.move_to_end(key)
            return False
        self._seen[key] = None
        if len(self._seen) > REMEMBERED_KEYS:
            self._seen.popitem(last=False)
        return True


def redacted(alert: AlertRecord) -> AlertRecord:
    """Return the alert without secrets in its title, text or fields."""
    return replace(
        alert,
        title=redact(alert.title),
        text=redact(alert.text),
        fields={redact(name): redact(value) for name, value in alert.fields.items()},
    )


def _field_names(alert: AlertRecord) -> dict[str, str]:
    """Return the fields under names that the log's own arguments do not use and that read as one word."""
    return {f"alert_{name.replace(' ', '_')}": value for name, value in alert.fields.items()}
