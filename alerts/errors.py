"""Turns ERROR lines of the log into alerts, so that no error needs a second call to be heard of."""

from __future__ import annotations

import logging

from alerts.catalog import error_logged
from core.clock import Clock
from core.ports import AlertSink
from utils.logging import is_ours

_OWN = "alerts"


class ErrorAlertHandler(logging.Handler):
    """Emits one alert for each ERROR line (same place, same text: once an hour). Attach it to the root logger.

    Lines of the alerts room itself are left out: an alert about a failing alert would never end. So are those of
    libraries: what they complain of (a refused subscription, say, at each try) reaches people through what our own
    code makes of it, as one incident.
    """

    def __init__(self, sink: AlertSink, clock: Clock, *, epoch: int) -> None:
        super().__init__(level=logging.ERROR)
        self._sink = sink
        self._clock = clock
        self._epoch = epoch

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] == _OWN or not is_ours(record.name):
            return
        event = record.msg.get("event", "") if isinstance(record.msg, dict) else record.getMessage()
        self._sink.emit(
            error_logged(epoch=self._epoch, logger=record.name, text=str(event), time_ms=self._clock.now_ms())
        )
