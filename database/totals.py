"""What a run did, in numbers that must agree with the venue's wallet to the last digit."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, func, select

from core.enums import Leg, OrderService
from core.records import PositionRecord, TradeState
from database.column_types import exact_sum
from database.mapping import from_row
from database.tables import (
    CandleRow,
    DenialRow,
    FillRow,
    IncomeRow,
    IntentRow,
    OrderRow,
    PositionRow,
    SignalRow,
    table_of,
)
from utils.timefmt import to_datetime

FUNDING = "FUNDING_FEE"

_CANDLES, _DENIALS, _FILLS, _INCOME = table_of(CandleRow), table_of(DenialRow), table_of(FillRow), table_of(IncomeRow)
_INTENTS, _ORDERS, _POSITIONS = table_of(IntentRow), table_of(OrderRow), table_of(PositionRow)
_SIGNALS = table_of(SignalRow)


@dataclass(frozen=True, slots=True)
class RunTotals:
    """Totals of a run. `net_pnl` = realised PnL (gross) - fees + funding is the change of the wallet, deposits aside.

    `entries` counts filled entries, `entries_protected` those whose stop and target both reached the venue; wins and
    losses are told by the net result.
    """

    symbols_with_candles: int
    signals: int
    denials: int
    entries: int
    entries_protected: int
    closed_trades: int
    wins: int
    losses: int
    realized_pnl: Decimal
    fees: Decimal
    funding: Decimal
    volume: Decimal

    @property
    def net_pnl(self) -> Decimal:
        return self.realized_pnl - self.fees + self.funding

    def since(self, earlier: RunTotals) -> RunTotals:
        """Return what came about between `earlier` and these totals."""
        names = [field.name for field in fields(self)]
        return RunTotals(**{name: getattr(self, name) - getattr(earlier, name) for name in names})


def run_totals(connection: Connection, since_ms: int | None, epoch: int | None) -> RunTotals:
    """Sum fills, ledger and trades since a venue time, or of the intents of one epoch. Both filters may combine."""
    scope = _Scope(since_ms, epoch)
    results = _closed_results(connection, scope)
    realized_pnl, fees = _fill_sums(connection, scope)
    return RunTotals(
        symbols_with_candles=_symbols_with_candles(connection, scope),
        signals=_count(connection, _SIGNALS, scope.since(_SIGNALS.c.event_time)),
        denials=_count(connection, _DENIALS, scope.since(_DENIALS.c.event_time)),
        entries=_entries_filled(connection, scope),
        entries_protected=_entries_protected(connection, scope),
        closed_trades=len(results),
        wins=sum(1 for result in results if result > 0),
        losses=sum(1 for result in results if result < 0),
        realized_pnl=realized_pnl,
        fees=fees,
        funding=_funding(connection, scope),
        volume=_volume(connection, scope),
    )


@dataclass(frozen=True, slots=True)
class _Scope:
    since_ms: int | None
    epoch: int | None

    def since(self, time: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        return [] if self.since_ms is None else [time >= to_datetime(self.since_ms)]

    def trades(self, table: Table, time: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        conditions = self.since(time)
        if self.epoch is not None:
            of_epoch = select(_INTENTS.c.intent_id).where(_INTENTS.c.epoch == self.epoch)
            conditions.append(table.c.intent_id.in_(of_epoch))
        return conditions


def _count(connection: Connection, table: Table, conditions: list[ColumnElement[bool]]) -> int:
    return connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one()


def _symbols_with_candles(connection: Connection, scope: _Scope) -> int:
    statement = select(func.count(_CANDLES.c.symbol.distinct())).where(*scope.since(_CANDLES.c.open_time))
    return connection.execute(statement).scalar_one()


def _closed_results(connection: Connection, scope: _Scope) -> list[Decimal]:
    closed = _POSITIONS.c.state == TradeState.CLOSED.value
    statement = select(_POSITIONS).where(closed, *scope.trades(_POSITIONS, _POSITIONS.c.closed_time))
    records = [from_row(PositionRecord, dict(row)) for row in connection.execute(statement).mappings()]
    return [
        record.realized_pnl - record.fees + record.funding for record in records if record.opened_time_ms is not None
    ]


def _fill_sums(connection: Connection, scope: _Scope) -> tuple[Decimal, Decimal]:
    sums = select(exact_sum(_FILLS.c.realized_pnl), exact_sum(_FILLS.c.fee))
    realized_pnl, fees = connection.execute(sums.where(*scope.trades(_FILLS, _FILLS.c.event_time))).one()
    return realized_pnl, fees


def _funding(connection: Connection, scope: _Scope) -> Decimal:
    conditions = scope.trades(_INCOME, _INCOME.c.event_time)
    statement = select(exact_sum(_INCOME.c.amount)).where(_INCOME.c.income_type == FUNDING, *conditions)
    total: Decimal = connection.execute(statement).scalar_one()
    return total


def _volume(connection: Connection, scope: _Scope) -> Decimal:
    statement = select(_FILLS.c.price, _FILLS.c.quantity).where(*scope.trades(_FILLS, _FILLS.c.event_time))
    return sum((price * quantity for price, quantity in connection.execute(statement)), Decimal(0))


def _entry_fills(scope: _Scope) -> Any:
    is_entry = _FILLS.c.leg == Leg.ENTRY.value
    return select(_FILLS.c.intent_id).distinct().where(is_entry, *scope.trades(_FILLS, _FILLS.c.event_time))


def _entries_filled(connection: Connection, scope: _Scope) -> int:
    return connection.execute(select(func.count()).select_from(_entry_fills(scope).subquery())).scalar_one()


def _entries_protected(connection: Connection, scope: _Scope) -> int:
    on_venue = (_ORDERS.c.service == OrderService.ALGO.value) & _ORDERS.c.algo_id.is_not(None)
    legs = (Leg.STOP.value, Leg.TARGET.value)
    protected = (
        select(_ORDERS.c.intent_id)
        .where(on_venue, _ORDERS.c.leg.in_(legs), _ORDERS.c.intent_id.in_(_entry_fills(scope)))
        .group_by(_ORDERS.c.intent_id)
        .having(func.count(_ORDERS.c.leg.distinct()) == len(legs))
    )
    return connection.execute(select(func.count()).select_from(protected.subquery())).scalar_one()
