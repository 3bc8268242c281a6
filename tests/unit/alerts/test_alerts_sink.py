"""Alerts on their way into the outbox: redacted, each incident once, never in the way; and the catalogue."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from decimal import Decimal

import pytest

from alerts import catalog
from alerts.errors import ErrorAlertHandler
from alerts.sink import REMEMBERED_KEYS, OutboxSink
from core.clock import VirtualClock
from core.enums import Severity
from core.records import AlertRecord, PerformanceRecord, Record
from core.summary import RunSummary
from utils.redaction import register_secret

NOW = 1_767_182_602_123


class MemoryWriter:
    def __init__(self) -> None:
        self.records: list[Record] = []
        self.broken = False

    def submit(self, records: Sequence[Record]) -> None:
        if self.broken:
            raise RuntimeError("writer is closed")
        self.records += records

    async def commit(self, records: Sequence[Record]) -> None:
        raise AssertionError("an alert must never wait for the disk")


def alert(key: str, text: str = "text") -> AlertRecord:
    return AlertRecord(key, Severity.INFO, "title", text, NOW, {"name": "value"})


def test_emit_queues_each_incident_once() -> None:
    writer = MemoryWriter()
    sink = OutboxSink(writer)
    for key in ("a", "b", "a", "a"):
        sink.emit(alert(key))
    assert writer.records == [alert("a"), alert("b")]


def test_emit_remembers_a_bounded_number_of_keys() -> None:
    writer = MemoryWriter()
    sink = OutboxSink(writer)
    for number in range(REMEMBERED_KEYS + 1):
        sink.emit(alert(str(number)))
    sink.emit(alert(str(REMEMBERED_KEYS)))
    sink.emit(alert("0"))  # forgotten here; the database still knows it
    assert len(writer.records) == REMEMBERED_KEYS + 2


def test_emit_masks_secrets_in_title_text_and_fields() -> None:
    register_secret("canary-of-the-sink")
    writer = MemoryWriter()
    leaky = AlertRecord("k", Severity.INFO, "canary-of-the-sink", "a canary-of-the-sink", NOW, {"x": "signature=abc9"})
    OutboxSink(writer).emit(leaky)
    assert writer.records == [AlertRecord("k", Severity.INFO, "****", "a ****", NOW, {"x": "signature=****"})]


def test_emit_never_raises() -> None:
    writer = MemoryWriter()
    writer.broken = True
    OutboxSink(writer).emit(alert("a"))
    assert writer.records == []


def test_our_error_lines_become_alerts_once_an_hour_but_not_those_of_alerts_or_libraries() -> None:
    writer = MemoryWriter()
    clock = VirtualClock(NOW)
    handler = ErrorAlertHandler(OutboxSink(writer), clock, epoch=3)
    loggers = [logging.getLogger(name) for name in ("exchange.test", "alerts.test", "urllib3.test")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        for hour in range(2):
            clock.advance_to(NOW + hour * 3_600_000)
            for logger in loggers:
                logger.error("stream %s failed", "market")
                logger.error("stream %s failed", "market")
                logger.warning("only a warning")
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.propagate = True
    titles = [(record.title, record.text) for record in writer.records if isinstance(record, AlertRecord)]
    assert titles == [("Error in exchange.test", "stream market failed")] * 2


def summary(open_positions: int) -> RunSummary:
    return RunSummary("sim", 10, 60_000, entries=3, closed_trades=2, wins=1, losses=1, open_positions=open_positions)


@pytest.mark.parametrize(("open_positions", "severity"), [(0, Severity.INFO), (2, Severity.WARNING)])
def test_stopped_with_open_positions_is_a_warning(open_positions: int, severity: Severity) -> None:
    made = catalog.stopped(epoch=4, reason="Ctrl-C", summary=summary(open_positions), time_ms=NOW)
    assert made.severity is severity
    assert ("open; only" in made.text) == bool(open_positions)


@pytest.mark.parametrize(
    ("open_positions", "said"),
    [
        (1, "1 position stays open; only its stop at the venue protects it."),
        (2, "2 positions stay open; only their stops at the venue protect them."),
    ],
)
def test_stopped_says_how_many_positions_stay_open_in_plain_words(open_positions: int, said: str) -> None:
    made = catalog.stopped(epoch=4, reason="Ctrl-C", summary=summary(open_positions), time_ms=NOW)
    assert made.text.splitlines()[-1] == said


def test_catalog_keys_name_the_incident_and_differ_between_incidents() -> None:
    lost = [catalog.connection_lost(epoch=1, stream="market", detail="silent", lost_ms=NOW + n) for n in (0, 0, 1)]
    assert lost[0].dedupe_key == lost[1].dedupe_key != lost[2].dedupe_key
    back = catalog.connection_back(epoch=1, stream="market", lost_ms=NOW, time_ms=NOW + 65_000)
    assert back.text == "It was away for 1m 05s."

    def limit(day: str) -> AlertRecord:
        return catalog.risk_limit_hit(
            limit="max_daily_loss",
            scope="*",
            day=day,
            value=Decimal("51.0"),
            allowed=Decimal(50),
            action="No entries until 00:00 UTC.",
            time_ms=NOW,
        )

    assert limit("2025-12-31") == limit("2025-12-31")
    assert limit("2025-12-31").dedupe_key != limit("2026-01-01").dedupe_key
    assert limit("2025-12-31").title == "Risk limit hit: max_daily_loss (account)"
    refused = catalog.stop_refused(intent_id=7, symbol="BTCUSDT", error="-2021", action="Closed.", time_ms=NOW)
    assert (refused.severity, refused.dedupe_key) == (Severity.CRITICAL, "stop-refused:7")
    started = catalog.started(epoch=9, mode="paper", symbols=10, version="1", time_ms=NOW)
    assert (started.title, started.dedupe_key) == ("Trader started (paper)", "start:9")


def performance(pnl: str, trades: int, wins: int) -> PerformanceRecord:
    money = Decimal(pnl)
    return PerformanceRecord(
        strategy="s",
        symbol="X",
        day="2025-12-31",
        trades=trades,
        wins=wins,
        losses=trades - wins,
        realized_pnl=money,
        fees=Decimal("0.5"),
        funding=Decimal("0.1"),
        volume=Decimal(0),
        entered_quantity=Decimal(0),
        updated_time_ms=NOW,
    )


def test_daily_summary_adds_up_and_ranks() -> None:
    results = {"s ETHUSDT": performance("-2", 3, 1), "s BTCUSDT": performance("5", 2, 2)}
    made = catalog.daily_summary(mode="sim", day="2025-12-31", results=results, equity=Decimal("10002.2"), time_ms=NOW)
    assert made.fields == {"net PnL": "2.2", "trades": "5 (3 won)", "fees": "1.0", "equity": "10002.2"}
    assert made.text == "s BTCUSDT: 4.6 in 2 trades\ns ETHUSDT: -2.4 in 3 trades"
    assert catalog.daily_summary(mode="sim", day="d", results={}, equity=Decimal(1), time_ms=NOW).text == "No trades."
