"""One span of trading as it was written down, read at once for a replay of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Select, inspect, or_, select

from core.candle import DAY_MS, INTERVAL_MS
from core.records import ConditionsRecord, FundingRecord, IncomeRecord, IntentRecord, PositionRecord, SignalRecord
from database.mapping import from_row, signal_from_row
from database.tables import (
    AccountStatRow,
    ConditionsRow,
    DecisionRow,
    FundingRow,
    IncomeRow,
    IntentRow,
    PositionRow,
    SignalRow,
    table_of,
)
from database.totals import FUNDING
from utils.timefmt import to_datetime, to_ms

MINUTE_MS = INTERVAL_MS["1m"]
_CONDITIONS, _DECISIONS, _INTENTS = table_of(ConditionsRow), table_of(DecisionRow), table_of(IntentRow)
_FUNDING, _INCOME = table_of(FundingRow), table_of(IncomeRow)
_POSITIONS, _SIGNALS, _STATS = table_of(PositionRow), table_of(SignalRow), table_of(AccountStatRow)


@dataclass(frozen=True, slots=True)
class RecordedSpan:
    """Signals of candles that closed within the span, intents and positions that came of them.

    `carried` are positions that were open when it began. `conditions` are those in force at the first judged candle,
    then each change. `minutes` are the open times of the minutes at whose end candles were judged; `wallet` the balance
    at the first one, None when none is stored. `funding` are the times and rates that the venue named, `payments` what
    it booked of them, both to the end of the day after the span, into which trades may last.
    """

    signals: tuple[SignalRecord, ...]
    intents: tuple[IntentRecord, ...]
    positions: tuple[PositionRecord, ...]
    carried: tuple[PositionRecord, ...]
    conditions: tuple[ConditionsRecord, ...]
    minutes: tuple[int, ...]
    wallet: Decimal | None
    funding: tuple[FundingRecord, ...] = ()
    payments: tuple[IncomeRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class _Reader:
    connection: Connection

    def rows(self, statement: Select[Any]) -> Sequence[Mapping[str, Any]]:
        return [dict(row) for row in self.connection.execute(statement).mappings()]

    def first(self, statement: Select[Any]) -> Any:
        return self.connection.execute(statement.limit(1)).scalar()


def read_span(connection: Connection, start_ms: int, end_ms: int) -> RecordedSpan:
    """Read what was traded on candles that opened within [start_ms, end_ms)."""
    read, start, end = _Reader(connection), to_datetime(start_ms), to_datetime(end_ms)
    opened = _SIGNALS.c.candle_open_time
    within = (opened >= start, opened < end)
    signals = read.rows(select(_SIGNALS).where(*within).order_by(opened, _SIGNALS.c.signal_id))
    its_signal = _INTENTS.c.signal_id.in_(select(_SIGNALS.c.signal_id).where(*within))
    intents = read.rows(select(_INTENTS).where(its_signal))
    of_intents = _POSITIONS.c.intent_id.in_(select(_INTENTS.c.intent_id).where(its_signal))
    carried = select(_POSITIONS).where(
        _POSITIONS.c.opened_time < start, or_(_POSITIONS.c.closed_time.is_(None), _POSITIONS.c.closed_time >= start)
    )
    judged = _DECISIONS.c.candle_open_time
    candles = select(judged, _DECISIONS.c.interval).where(judged >= start, judged < end).distinct().order_by(judged)
    found = [to_ms(opened) + INTERVAL_MS[interval] - MINUTE_MS for opened, interval in connection.execute(candles)]
    began = to_datetime(min(found)) if found else start
    return RecordedSpan(
        tuple(signal_from_row(row) for row in signals),
        tuple(from_row(IntentRecord, row) for row in intents),
        tuple(from_row(PositionRecord, row) for row in read.rows(select(_POSITIONS).where(of_intents))),
        tuple(from_row(PositionRecord, row) for row in read.rows(carried)),
        tuple(from_row(ConditionsRecord, row) for row in _conditions(read, began, end)),
        tuple(sorted(set(found))),
        _wallet(read, began),
        _funding(read, start, to_datetime(end_ms + DAY_MS)),
        _payments(read, start, to_datetime(end_ms + DAY_MS)),
    )


def gate_of(connection: Connection, strategy: str, symbol: str, interval: str, open_time_ms: int) -> str | None:
    """Return the verdict on one candle, None where it was not judged."""
    of_candle = (
        _DECISIONS.c.symbol == symbol,
        _DECISIONS.c.candle_open_time == to_datetime(open_time_ms),
        _DECISIONS.c.strategy == strategy,
        _DECISIONS.c.interval == interval,
    )
    gate: str | None = connection.execute(select(_DECISIONS.c.gate).where(*of_candle)).scalar()
    return gate


def _conditions(read: _Reader, began: datetime, end: datetime) -> Sequence[Mapping[str, Any]]:
    since = _CONDITIONS.c.since_time
    first = read.first(select(since).where(since <= began).order_by(since.desc())) or began
    return read.rows(select(_CONDITIONS).where(since >= first, since < end).order_by(since))


def _funding(read: _Reader, start: datetime, end: datetime) -> tuple[FundingRecord, ...]:
    if not inspect(read.connection).has_table(_FUNDING.name):  # nobody has traded with this version yet
        return ()
    time = _FUNDING.c.funding_time
    rows = read.rows(select(_FUNDING).where(time >= start, time < end).order_by(time, _FUNDING.c.symbol))
    return tuple(from_row(FundingRecord, row) for row in rows)


def _payments(read: _Reader, start: datetime, end: datetime) -> tuple[IncomeRecord, ...]:
    time = _INCOME.c.event_time
    booked = select(_INCOME).where(_INCOME.c.income_type == FUNDING, time >= start, time < end)
    rows = read.rows(booked.order_by(time, _INCOME.c.transaction_id))
    return tuple(from_row(IncomeRecord, row) for row in rows)


def _wallet(read: _Reader, began: datetime) -> Decimal | None:
    """Return the balance at `began`: the last one known by then, else the first one known at all."""
    time, balance = _STATS.c.event_time, select(_STATS.c.wallet_balance)
    before: Decimal | None = read.first(balance.where(time <= began).order_by(time.desc()))
    return before if before is not None else read.first(balance.where(time > began).order_by(time))
