"""Rebuilding what a restart must know from the rows, as `core.restore.RestoredState`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, Table, func, select

from core.candle import DAY_MS
from core.records import (
    FillRecord,
    HaltRecord,
    IntentRecord,
    OrderRecord,
    PerformanceRecord,
    PositionRecord,
    TradeState,
)
from core.restore import RestoredState
from database.mapping import from_row
from database.tables import (
    AccountStatRow,
    FillRow,
    HaltRow,
    IncomeRow,
    IntentRow,
    OrderRow,
    PerformanceRow,
    PositionRow,
    table_of,
)
from utils.timefmt import to_datetime, to_ms

R = TypeVar("R")

BOOKED_INCOMES_MAX = 5_000
CORRECTIONS_MS = 6 * 3_600_000
"""How long the fills that a correction stands for are looked for."""
FOREIGN_FILLS_MAX = 1_000
FINISHED = (TradeState.CLOSED.value, TradeState.REFUSED.value)
_STATS, _FILLS, _INCOME = table_of(AccountStatRow), table_of(FillRow), table_of(IncomeRow)
_INTENTS, _POSITIONS, _ORDERS = table_of(IntentRow), table_of(PositionRow), table_of(OrderRow)
_HALTS, _PERFORMANCE = table_of(HaltRow), table_of(PerformanceRow)


def unfinished_intent_ids() -> Select[Any]:
    """Ids of the trades that still need somebody: their intent or their position is not finished."""
    intents = select(_INTENTS.c.intent_id).where(_INTENTS.c.state.not_in(FINISHED))
    positions = select(_POSITIONS.c.intent_id).where(_POSITIONS.c.state.not_in(FINISHED))
    return select(intents.union(positions).subquery().c.intent_id)


def read_state(connection: Connection, now_ms: int | None = None) -> RestoredState:
    """Return the unfinished business and today's totals.

    "Today" is the UTC day of `now_ms`, or of the newest account valuation where that is not given.
    """
    newest = _newest_stat(connection)
    now_ms = now_ms if now_ms is not None else _newest_time_ms(newest)
    corrected = set() if now_ms is None else _corrected_intent_ids(connection, now_ms)
    return RestoredState(
        intents=_records(connection, IntentRecord, _of_trades(_INTENTS, corrected)),
        positions=_records(connection, PositionRecord, _of_trades(_POSITIONS, corrected)),
        orders=_records(connection, OrderRecord, _of_trades(_ORDERS, corrected).order_by(_ORDERS.c.created_time)),
        fills=_records(connection, FillRecord, _of_trades(_FILLS, corrected).order_by(_FILLS.c.event_time)),
        booked_trades=frozenset() if now_ms is None else _booked_trades(connection, now_ms),
        foreign_fills=() if now_ms is None else _foreign_fills(connection, now_ms),
        last_trade_ids=_last_trade_ids(connection),
        last_income_time_ms=_last_income_time_ms(connection),
        booked_incomes=_booked_incomes(connection),
        recent_performance=() if now_ms is None else _recent_performance(connection, now_ms),
        consecutive_losses=0 if now_ms is None else _consecutive_losses(connection, now_ms),
        halts=_records(connection, HaltRecord, select(_HALTS).where(_HALTS.c.active.is_(True))),
        peak_equity=None if newest is None else newest["peak_equity"],
        day_start_equity=None if now_ms is None else day_start_equity(connection, now_ms),
        next_intent=_next_intent(connection),
        first_valued_time_ms=_first_valued_time_ms(connection),
    )


def day_start_equity(connection: Connection, now_ms: int) -> Decimal | None:
    """Return the equity at the start of the UTC day of `now_ms`: the last valuation before it, else the first in it."""
    midnight = to_datetime(now_ms - now_ms % DAY_MS)
    before = select(_STATS.c.equity).where(_STATS.c.event_time <= midnight).order_by(_STATS.c.event_time.desc())
    after = select(_STATS.c.equity).where(_STATS.c.event_time > midnight).order_by(_STATS.c.event_time)
    for statement in (before, after):
        equity: Decimal | None = connection.execute(statement.limit(1)).scalar()
        if equity is not None:
            return equity
    return None


def _records(connection: Connection, kind: type[R], statement: Select[Any]) -> tuple[R, ...]:
    return tuple(from_row(kind, dict(row)) for row in connection.execute(statement).mappings())


def _of_trades(table: Table, others: set[int]) -> Select[Any]:
    """Rows of the unfinished trades and of `others`."""
    return select(table).where(table.c.intent_id.in_(unfinished_intent_ids()) | table.c.intent_id.in_(sorted(others)))


def _corrected_intent_ids(connection: Connection, now_ms: int) -> set[int]:
    """Return the trades, finished or not, with a correction of late that nothing has undone.

    What undoes a correction carries its time and its quantity negated.
    """
    statement = select(_FILLS.c.intent_id, _FILLS.c.quantity).where(
        _FILLS.c.correction.is_(True),
        _FILLS.c.intent_id.is_not(None),
        _FILLS.c.event_time >= to_datetime(now_ms - CORRECTIONS_MS),
    )
    left: dict[int, Decimal] = {}
    for intent_id, quantity in connection.execute(statement):
        left[intent_id] = left.get(intent_id, Decimal(0)) + quantity
    return {intent_id for intent_id, quantity in left.items() if quantity}


def _booked_trades(connection: Connection, now_ms: int) -> frozenset[tuple[str, int]]:
    """Return which fills of late are booked to trades, as far back as fills are looked for at all."""
    statement = select(_FILLS.c.symbol, _FILLS.c.trade_id).where(
        _FILLS.c.intent_id.is_not(None), _FILLS.c.event_time >= to_datetime(now_ms - CORRECTIONS_MS)
    )
    return frozenset((row[0], row[1]) for row in connection.execute(statement))


def _foreign_fills(connection: Connection, now_ms: int) -> tuple[FillRecord, ...]:
    """Return the newest fills of no trade, as far back as fills are looked for at all."""
    statement = (
        select(_FILLS)
        .where(_FILLS.c.intent_id.is_(None), _FILLS.c.event_time >= to_datetime(now_ms - CORRECTIONS_MS))
        .order_by(_FILLS.c.event_time.desc(), _FILLS.c.trade_id.desc())
    )
    return _records(connection, FillRecord, statement.limit(FOREIGN_FILLS_MAX))[::-1]


def _newest_stat(connection: Connection) -> Any:
    return connection.execute(select(_STATS).order_by(_STATS.c.event_time.desc()).limit(1)).mappings().first()


def _first_valued_time_ms(connection: Connection) -> int | None:
    first = connection.execute(select(func.min(_STATS.c.event_time))).scalar()
    return None if first is None else to_ms(first)


def _newest_time_ms(newest: Any) -> int | None:
    return None if newest is None else to_ms(newest["event_time"])


def _last_trade_ids(connection: Connection) -> dict[str, int]:
    statement = select(_FILLS.c.symbol, func.max(_FILLS.c.trade_id)).group_by(_FILLS.c.symbol)
    return {row[0]: row[1] for row in connection.execute(statement)}


def _last_income_time_ms(connection: Connection) -> int | None:
    newest = connection.execute(select(func.max(_INCOME.c.event_time))).scalar()
    return None if newest is None else to_ms(newest)


def _booked_incomes(connection: Connection) -> frozenset[tuple[int, str]]:
    """Return the newest rows' ids: far more than the hour that a restart reads again."""
    statement = select(_INCOME.c.transaction_id, _INCOME.c.income_type).order_by(_INCOME.c.event_time.desc())
    return frozenset((row[0], row[1]) for row in connection.execute(statement.limit(BOOKED_INCOMES_MAX)))


def _recent_performance(connection: Connection, now_ms: int) -> tuple[PerformanceRecord, ...]:
    days = [to_datetime(time_ms).date().isoformat() for time_ms in (now_ms - DAY_MS, now_ms)]
    statement = select(_PERFORMANCE).where(_PERFORMANCE.c.day.in_(days)).order_by(_PERFORMANCE.c.day)
    return _records(connection, PerformanceRecord, statement)


def _consecutive_losses(connection: Connection, now_ms: int) -> int:
    """Count the losing trades at the end of the UTC day's closed ones; a result of zero ends the row as a gain does."""
    midnight = to_datetime(now_ms - now_ms % DAY_MS)
    statement = (
        select(_POSITIONS.c.realized_pnl, _POSITIONS.c.fees, _POSITIONS.c.funding)
        .where(_POSITIONS.c.state == TradeState.CLOSED.value, _POSITIONS.c.closed_time >= midnight)
        .order_by(_POSITIONS.c.closed_time.desc(), _POSITIONS.c.intent_id.desc())
    )
    losses = 0
    for realized, fees, funding in connection.execute(statement):
        if realized - fees + funding >= 0:
            break
        losses += 1
    return losses


def _next_intent(connection: Connection) -> int:
    highest = (select(func.max(table.c.intent_id)).scalar_subquery() for table in (_INTENTS, _POSITIONS))
    return 1 + max(value or 0 for value in connection.execute(select(*highest)).one())
