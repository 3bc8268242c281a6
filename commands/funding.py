"""Writes down when funding falls due and at which rate, as the mark price stream names them, for replays of the day."""

from __future__ import annotations

from core.candle import DAY_MS
from core.events import MarkPriceUpdated
from core.ports import RecordWriter
from core.records import FundingRecord

AHEAD_MS = 2 * DAY_MS
"""A time further away than this is no funding time: the longest interval of the venue is eight hours."""


class FundingLog:
    """Two rows' worth of writing a symbol and funding time: when its time is first named, and when it has come."""

    def __init__(self, writer: RecordWriter) -> None:
        self._writer = writer
        self._newest: dict[str, MarkPriceUpdated] = {}

    def on_mark(self, event: MarkPriceUpdated) -> None:
        """Hear a mark price. Constant cost; writes when the next funding time is another one than before."""
        if event.next_funding_time_ms <= event.event_time_ms:
            return  # the venue goes on naming a time for a moment when it has come, with a rate that is the next one's
        before = self._newest.get(event.symbol)
        if before is None:
            self._newest[event.symbol] = event
            self._write_due(event)
        elif event.next_funding_time_ms == before.next_funding_time_ms:
            self._newest[event.symbol] = event
        elif event.event_time_ms >= before.event_time_ms:  # else an older connection, late
            self._newest[event.symbol] = event
            if event.event_time_ms >= before.next_funding_time_ms:
                self._write_due(before)
            self._write_due(event)

    def _write_due(self, event: MarkPriceUpdated) -> None:
        due_ms = event.next_funding_time_ms
        if 0 < due_ms - event.event_time_ms <= AHEAD_MS:
            self._writer.submit([FundingRecord(event.symbol, due_ms, event.funding_rate)])
