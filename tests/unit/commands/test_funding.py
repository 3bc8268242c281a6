"""When funding is due is written once when it is first named and once when it has come, with the newest rate before."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from commands.funding import FundingLog
from core.clock import VirtualClock
from core.events import Event, MarkPriceUpdated, PriceUpdated
from core.records import FundingRecord, Record
from core.router import EventRouter
from database.database import Database, open_database
from tests.unit.database import examples

HOUR = 3_600_000
T0 = 1_767_225_600_000
NEVER = 1 << 62


class Written:
    """What the log hands to the database."""

    def __init__(self) -> None:
        self.records: list[FundingRecord] = []
        self.log = FundingLog(self)

    def submit(self, records: list[Record]) -> None:  # type: ignore[override]
        self.records += records  # type: ignore[arg-type]

    async def commit(self, records: list[Record]) -> None:
        raise NotImplementedError

    def hear(self, time_ms: int, due_ms: int, rate: str, symbol: str = "BTCUSDT") -> list[tuple[str, int, str]]:
        """Hear a mark price; return the rows that were written then."""
        before = len(self.records)
        self.log.on_mark(MarkPriceUpdated(symbol, Decimal(1), Decimal(1), Decimal(rate), due_ms, time_ms, time_ms))
        return [(one.symbol, one.funding_time_ms, str(one.rate)) for one in self.records[before:]]


def test_a_time_is_written_when_it_is_named_and_when_it_has_come() -> None:
    written = Written()
    due, after = T0 + 8 * HOUR, T0 + 16 * HOUR
    assert written.hear(T0, due, "0.0001") == [("BTCUSDT", due, "0.0001")]
    assert written.hear(T0 + 1_000, due, "0.0002") == []
    assert written.hear(due - 1_000, due, "0.0003") == []
    assert written.hear(due + 900, after, "0.0005") == [("BTCUSDT", due, "0.0003"), ("BTCUSDT", after, "0.0005")]
    assert written.hear(due + 950, due, "0.0009") == [], "an older connection that says the same time again"
    assert written.hear(due + 1_900, after, "0.0006") == []


def test_each_symbol_has_its_own_times() -> None:
    written = Written()
    assert written.hear(T0, T0 + HOUR, "0.0001") == [("BTCUSDT", T0 + HOUR, "0.0001")]
    assert written.hear(T0, T0 + 8 * HOUR, "-0.0002", "ETHUSDT") == [("ETHUSDT", T0 + 8 * HOUR, "-0.0002")]


@pytest.mark.parametrize("due_ms", [NEVER, 0, T0])
def test_what_is_no_funding_time_is_not_written(due_ms: int) -> None:
    assert Written().hear(T0, due_ms, "0") == []


def test_a_time_that_moves_before_it_came_is_not_told_as_come() -> None:
    written = Written()
    written.hear(T0, T0 + 8 * HOUR, "0.0001")
    assert written.hear(T0 + HOUR, T0 + 4 * HOUR, "0.0002") == [("BTCUSDT", T0 + 4 * HOUR, "0.0002")]


def test_router_tells_marks_to_the_log_and_to_the_executor() -> None:
    marks: list[Event] = []
    events: list[Event] = []
    router = EventRouter(lambda changed: None)
    router.connect(candles=lambda one: None, catch_up=lambda: None, events=events.append, marks=marks.append)
    mark = MarkPriceUpdated("BTCUSDT", Decimal(1), Decimal(1), Decimal(0), T0, T0, T0)
    price = PriceUpdated("BTCUSDT", Decimal(1), T0, T0)
    router(mark)
    router(price)
    assert marks == [mark] and events == [mark, price]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    store = open_database(f"sqlite:///{tmp_path / 'trader.db'}", "sim", clock=VirtualClock(T0))
    yield store
    store.close()


async def test_span_has_the_times_and_the_bookings_into_the_next_day(database: Database) -> None:
    day = 24 * HOUR
    rates = [FundingRecord("BTCUSDT", T0 + n * 8 * HOUR, Decimal("0.0001")) for n in range(-1, 8)]
    newest = FundingRecord("BTCUSDT", T0 + 8 * HOUR, Decimal("0.0003"))
    paid = [examples.income(n, income_type="FUNDING_FEE", event_time_ms=T0 + n * 8 * HOUR + 12) for n in range(1, 8)]
    other = examples.income(99, income_type="TRANSFER", event_time_ms=T0 + HOUR)
    await database.writer.commit([*rates, newest, *paid, other])

    span = database.repository.recorded_span(T0, T0 + day)

    assert [one.funding_time_ms for one in span.funding] == [T0 + n * 8 * HOUR for n in range(6)]
    assert span.funding[1].rate == Decimal("0.0003")
    assert [one.transaction_id for one in span.payments] == [1, 2, 3, 4, 5]
