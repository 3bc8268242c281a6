"""Turns lost and recovered streams into alerts: one when a stream goes, one when it is back."""

from __future__ import annotations

from alerts.catalog import connection_back, connection_lost
from core.clock import Clock
from core.events import StreamChanged, StreamState
from core.ports import AlertSink


class ConnectionAlerts:
    """Hears `StreamChanged` events. The first READY of a stream is the start, not a recovery."""

    def __init__(self, sink: AlertSink, clock: Clock, *, epoch: int) -> None:
        self._sink = sink
        self._clock = clock
        self._epoch = epoch
        self._lost_ms: dict[str, int] = {}

    def on_change(self, event: StreamChanged) -> None:
        stream = event.kind.value
        now_ms = self._clock.now_ms()
        if event.state is StreamState.LOST:
            if stream not in self._lost_ms:
                self._lost_ms[stream] = now_ms
                alert = connection_lost(epoch=self._epoch, stream=stream, detail=event.detail, lost_ms=now_ms)
                self._sink.emit(alert)
        elif stream in self._lost_ms:
            lost_ms = self._lost_ms.pop(stream)
            self._sink.emit(connection_back(epoch=self._epoch, stream=stream, lost_ms=lost_ms, time_ms=now_ms))
