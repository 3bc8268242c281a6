"""Tells people what happens, by reading the records on their way to the database: entries, exits, halts, denials."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from core.instrument import plain
from core.ports import Later, RecordWriter, at_once
from core.records import DenialRecord, HaltRecord, PositionRecord, Record, TradeState
from status.console import RecentEvents, money

_NEWS = frozenset({PositionRecord, HaltRecord, DenialRecord})

EVERYDAY_DENIALS = frozenset({"position_open"})
"""A signal that repeats itself while its position is open: stored like every denial, but no news."""


LINES_A_TURN = 10
"""Told at a time: a line costs up to half a millisecond, and an order may wait for its turn."""

DENIALS_SINGLY = 3
"""More denials at once than this, for one reason, are told in one line."""


class NewsWriter:
    """Passes every record on to `writer` and turns the few that matter to people into lines of `events`.

    Implements `core.ports.RecordWriter`. A trade is told twice: when it is protected and when it is closed. News wait
    for `later`, because writing lines takes longer than sending the orders that they tell of; `flush` tells the rest.
    """

    def __init__(self, writer: RecordWriter, events: RecentEvents, later: Later = at_once) -> None:
        self._writer = writer
        self._events = events
        self._later = later
        self._told: dict[int, TradeState] = {}
        self._news: deque[PositionRecord | HaltRecord | DenialRecord] = deque()
        self._is_scheduled = False

    def submit(self, records: Sequence[Record]) -> None:
        self._writer.submit(records)
        self._note(records)

    async def commit(self, records: Sequence[Record]) -> None:
        await self._writer.commit(records)
        self._note(records)

    def flush(self) -> None:
        """Tell everything that waits."""
        while self._news:
            self._tell_some()

    def _note(self, records: Sequence[Record]) -> None:
        for record in records:
            if type(record) in _NEWS:
                self._news.append(record)  # type: ignore[arg-type]
        if self._news and not self._is_scheduled:
            self._schedule()

    def _schedule(self) -> None:
        if self._news and not self._is_scheduled:
            self._is_scheduled = True
            self._later(self._turn)

    def _turn(self) -> None:
        self._is_scheduled = False
        try:
            self._tell_some()
        finally:
            self._schedule()

    def _tell_some(self) -> None:
        """Tell the oldest news, about `LINES_A_TURN` lines; denials are told together."""
        denials: list[DenialRecord] = []
        told = 0
        while self._news and told < LINES_A_TURN:
            record = self._news.popleft()
            if isinstance(record, DenialRecord):
                denials.append(record)
            elif isinstance(record, PositionRecord):
                told += self._tell_position(record)
            else:
                told += 1
                what = "halted" if record.active else "resumed"
                scope = "all symbols" if record.scope == "*" else record.scope
                self._events.add(record.since_time_ms, f"{scope} {what}: {record.reason} ({record.detail})")
        self._tell_denials([record for record in denials if record.code not in EVERYDAY_DENIALS])

    def _tell_denials(self, denials: list[DenialRecord]) -> None:
        counts = Counter(record.code for record in denials)
        for record in denials:
            count = counts[record.code]
            if count > DENIALS_SINGLY:
                counts[record.code] = 0
                text = f"{record.symbol} and {count - 1} more: signals denied: {record.code}"
                self._events.add(record.event_time_ms, text)
            elif count:
                self._events.add(record.event_time_ms, f"{record.symbol} signal denied: {record.code}")

    def _tell_position(self, record: PositionRecord) -> bool:
        """Return whether there was something to tell."""
        told = self._told.get(record.intent_id)
        if record.state is TradeState.PROTECTED and told is None:
            self._told[record.intent_id] = TradeState.PROTECTED
            self._events.add(record.updated_time_ms, _entered(record))
        elif record.state is TradeState.CLOSED and told is not TradeState.CLOSED:
            self._told[record.intent_id] = TradeState.CLOSED
            self._events.add(record.updated_time_ms, _closed(record))
        else:
            return False
        if len(self._told) > 10_000:
            self._told.pop(next(iter(self._told)))
        return True


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
