"""Forgetting old rows, where the user asked for it: in slices of a day, between the writer's other work.

Never forgotten: trades that are not finished and what belongs to them, and the newest row of whatever a restart counts
on from (intent ids, trade ids, ledger, account valuations).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, or_, select

from database.restore import FINISHED, unfinished_intent_ids
from database.tables import (
    AccountStatRow,
    AlertRow,
    CandleRow,
    DecisionRow,
    DenialRow,
    FillRow,
    FundingRow,
    IncomeRow,
    IntentRow,
    OrderRow,
    PerformanceRow,
    PositionRow,
    SignalRow,
    table_of,
)
from database.writer import DatabaseWriter
from utils.timefmt import to_datetime

DECISION_DAYS = 30
"""Decisions are many and soon of no interest: they go after this many days even where all else is kept."""
CALL_TIMEOUT_S = 60.0
_SLICE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Rule:
    """What may go from one table: rows whose `time` is old, except where `keep` holds. By symbol where that leads."""

    table: Table
    time: str
    keep: Callable[[Table], ColumnElement[bool]] | None = None
    by_symbol: bool = False


def _unfinished(table: Table) -> ColumnElement[bool]:
    return and_(table.c.intent_id.is_not(None), table.c.intent_id.in_(unfinished_intent_ids()))


def _newest_value(table: Table, column: str) -> ColumnElement[Any]:
    other = table.alias()
    return select(func.max(other.c[column])).scalar_subquery()


def _unfinished_or_newest(table: Table) -> ColumnElement[bool]:
    return or_(table.c.state.not_in(FINISHED), table.c.intent_id == _newest_value(table, "intent_id"))


def _unfinished_or_newest_trade(table: Table) -> ColumnElement[bool]:
    other = table.alias()
    newest = select(func.max(other.c.trade_id)).where(other.c.symbol == table.c.symbol).scalar_subquery()
    return or_(_unfinished(table), table.c.trade_id == newest)


def _newest(table: Table) -> ColumnElement[bool]:
    return table.c.event_time == _newest_value(table, "event_time")


def _unsent(table: Table) -> ColumnElement[bool]:
    return table.c.sent_time.is_(None)


_DECISIONS = _Rule(table_of(DecisionRow), "candle_open_time", by_symbol=True)
_RULES = (
    _Rule(table_of(CandleRow), "open_time", by_symbol=True),
    _Rule(table_of(FillRow), "event_time", _unfinished_or_newest_trade),
    _Rule(table_of(OrderRow), "updated_time", _unfinished),
    _Rule(table_of(PositionRow), "closed_time", _unfinished_or_newest),
    _Rule(table_of(IntentRow), "created_time", _unfinished_or_newest),
    _Rule(table_of(SignalRow), "event_time"),
    _Rule(table_of(DenialRow), "event_time"),
    _Rule(table_of(IncomeRow), "event_time", _newest),
    _Rule(table_of(FundingRow), "funding_time"),
    _Rule(table_of(AccountStatRow), "event_time", _newest),
    _Rule(table_of(PerformanceRow), "updated_time"),
    _Rule(table_of(AlertRow), "created_time", _unsent),
)


class Retention:
    """Deletes what is older than the user wants to keep."""

    def __init__(self, writer: DatabaseWriter) -> None:
        self._writer = writer

    def run(self, now_ms: int, days: int | None, decision_days: int | None = DECISION_DAYS) -> int:
        """Delete rows older than `days` (None keeps all) and decisions older than `decision_days`, counted back from
        venue time `now_ms`. Blocks; returns the rows deleted; raises PersistenceError."""
        deleted = 0
        if decision_days is not None or days is not None:
            kept_days = min(d for d in (decision_days, days) if d is not None)
            deleted += self._apply(_DECISIONS, to_datetime(now_ms) - timedelta(days=kept_days))
        if days is not None:
            deleted += sum(self._apply(rule, to_datetime(now_ms) - timedelta(days=days)) for rule in _RULES)
        return deleted

    def _apply(self, rule: _Rule, cutoff: datetime) -> int:
        return sum(self._in_slices(rule, cutoff, symbol) for symbol in self._symbols(rule))

    def _in_slices(self, rule: _Rule, cutoff: datetime, symbol: str | None) -> int:
        deleted: int = 0
        start = to_datetime(0)
        while True:
            rows, next_start = self._call(_delete_slice, rule, cutoff, symbol, start)
            deleted += rows
            if next_start is None:
                return deleted
            start = next_start

    def _symbols(self, rule: _Rule) -> Iterator[str | None]:
        """Each symbol by a jump in the key, never by a scan of the table; a single None where symbols do not lead."""
        if not rule.by_symbol:
            yield None
            return
        symbol = ""
        while (following := self._call(_symbol_after, rule.table, symbol)) is not None:
            symbol = following
            yield symbol

    def _call(self, task: Callable[..., Any], *args: Any) -> Any:
        return self._writer.call(lambda connection: task(connection, *args)).result(CALL_TIMEOUT_S)


def _symbol_after(connection: Connection, table: Table, symbol: str) -> str | None:
    return connection.execute(select(func.min(table.c.symbol)).where(table.c.symbol > symbol)).scalar()


def _delete_slice(
    connection: Connection, rule: _Rule, cutoff: datetime, symbol: str | None, start: datetime
) -> tuple[int, datetime | None]:
    """Delete the oldest slice from `start` on; returns the rows deleted and where to go on (None: done)."""
    column = rule.table.c[rule.time]
    within = [column >= start, column < cutoff]
    if symbol is not None:
        within.append(rule.table.c.symbol == symbol)
    oldest = connection.execute(select(func.min(column)).where(*within)).scalar()
    if oldest is None:
        return 0, None
    end = min(oldest + _SLICE, cutoff)
    gone = [*within, column < end]
    if rule.keep is not None:
        gone.append(~rule.keep(rule.table))
    return connection.execute(delete(rule.table).where(*gone)).rowcount, end
