"""Ports: what rooms need of one another. Siblings import these, never each other; `main.py` plugs them together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.candle import ClosedCandle
from core.commands import VenueCommand, VenueReply
from core.enums import Severity
from core.events import Event
from core.instrument import Instrument
from core.records import AlertRecord, Record

EventSink = Callable[[Event], None]
"""Called on the event loop with each decoded event; must not block and must not raise."""


class VenuePort(Protocol):
    """Where orders go. Never raises for anything that the venue or the network does: the reply says it."""

    async def execute(self, command: VenueCommand) -> VenueReply: ...


class InstrumentSource(Protocol):
    """The newest known filters by symbol. Reading is cheap and synchronous; refreshing is someone else's loop."""

    def instruments(self) -> Mapping[str, Instrument]: ...


class CandleSource(Protocol):
    """Historical candles by REST."""

    async def candles(
        self, symbol: str, interval: str, start_time_ms: int | None, end_time_ms: int | None, limit: int
    ) -> list[ClosedCandle]:
        """Return closed candles only, ascending, contiguous as the venue has them; raises RuntimeFailure."""
        ...


class VenueTime(Protocol):
    """The newest venue time seen in any message: the time that trading rules count."""

    def venue_time_ms(self) -> int: ...


class RecordWriter(Protocol):
    """The one writer of the database."""

    def submit(self, records: Sequence[Record]) -> None:
        """Queue records for the next group commit; never blocks, never raises."""
        ...

    async def commit(self, records: Sequence[Record]) -> None:
        """Return when the records are durably on disk; raises PersistenceError when they are not."""
        ...


class AlertSink(Protocol):
    """Takes alerts without ever delaying or failing its caller."""

    def emit(self, alert: AlertRecord) -> None: ...


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """An alert that waits for delivery."""

    id: int
    severity: Severity
    title: str
    text: str
    fields: Mapping[str, str]
    created_time_ms: int
    attempts: int


@dataclass(frozen=True, slots=True)
class OperatorRequest:
    """What a person asked of the running trader: `kind` is kill, flatten (with a symbol) or resume."""

    id: int
    kind: str
    symbol: str | None
    issuer: str
    issued_time_ms: int
    state: str
    result: str


class OperatorRequests(Protocol):
    """The persisted requests of people. Blocking calls: run them in a thread."""

    def unfinished(self) -> list[OperatorRequest]: ...

    def report(self, request_id: int, state: str, result: str, now_ms: int) -> None: ...


class Outbox(Protocol):
    """The persisted queue of alerts. Blocking calls: run them in a thread."""

    def due(self, now_ms: int, limit: int) -> list[OutboxItem]: ...

    def mark_sent(self, alert_id: int, now_ms: int) -> None: ...

    def mark_failed(self, alert_id: int, error: str, retry_at_ms: int) -> None: ...


Later = Callable[[Callable[[], None]], object]
"""Calls a function a little later."""


def at_once(work: Callable[[], None]) -> None:
    """The `Later` of those that need not wait."""
    work()
