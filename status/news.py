"""Tells people what happens, by reading the records on their way to the database: entries, exits, halts, denials."""

from __future__ import annotations

from collections.abc import Sequence

from core.instrument import plain
from core.ports import RecordWriter
from core.records import DenialRecord, HaltRecord, PositionRecord, Record, TradeState
from status.console import RecentEvents, money

EVERYDAY_DENIALS = frozenset({"position_open"})
"""A signal that repeats itself while its position is open: stored like every denial, but no news."""


class NewsWriter:
    """Passes every record on to `writer` and turns the few that matter to people into lines of `events`.

    Implements `core.ports.RecordWriter`. A trade is told twice: when it is protected and when it is closed.
    """

    def __init__(self, writer: RecordWriter, events: RecentEvents) -> None:
        self._writer = writer
        self._events = events
        self._told: dict[int, TradeState] = {}

    def submit(self, records: Sequence[Record]) -> None:
        self._writer.submit(records)
        self._tell(records)

    async def commit(self, records: Sequence[Record]) -> None:
        await self._writer.commit(records)
        self._tell(records)

    def _tell(self, records: Sequence[Record]) -> None:
        for record in records:
            if isinstance(record, PositionRecord):
                self._tell_position(record)
            elif isinstance(record, HaltRecord):
                what = "halted" if record.active else "resumed"
                scope = "all symbols" if record.scope == "*" else record.scope
                self._events.add(record.since_time_ms, f"{scope} {what}: {record.reason} ({record.detail})")
            elif isinstance(record, DenialRecord) and record.code not in EVERYDAY_DENIALS:
                self._events.add(record.event_time_ms, f"{record.symbol} signal denied: {record.code}")

    def _tell_position(self, record: PositionRecord) -> None:
        told = self._told.get(record.intent_id)
        if record.state is TradeState.PROTECTED and told is None:
            self._told[record.intent_id] = TradeState.PROTECTED
            self._events.add(record.updated_time_ms, _entered(record))
        elif record.state is TradeState.CLOSED and told is not TradeState.CLOSED:
            self._told[record.intent_id] = TradeState.CLOSED
            self._events.add(record.updated_time_ms, _closed(record))
        if len(self._told) > 10_000:
            self._told.pop(next(iter(self._told)))


def _entered(record: PositionRecord) -> str:
    price = "?" if record.entry_price is None else plain(record.entry_price)
    stop = "-" if record.stop_price is None else plain(record.stop_price)
    target = "-" if record.target_price is None else plain(record.target_price)
    return (
        f"{record.symbol} {record.direction.value} {plain(record.entry_quantity)} at {price}, "
        f"stop {stop}, target {target} ({record.strategy})"
    )


def _closed(record: PositionRecord) -> str:
    net = record.realized_pnl - record.fees + record.funding
    reason = record.exit_reason.value if record.exit_reason is not None else "closed"
    return f"{record.symbol} {record.direction.value} closed by {reason}: {money(net, sign=True)} net"
