"""Reads for people: the dashboard, `why`, the run's summary. Short read-only sessions, plain values back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Select, Text, and_, cast, func, select
from sqlalchemy.exc import DBAPIError

from core.candle import DAY_MS, ClosedCandle
from core.errors import RuntimeFailure
from core.records import (
    AccountStatRecord,
    ConditionsRecord,
    DenialRecord,
    FillRecord,
    HaltRecord,
    OrderRecord,
    PerformanceRecord,
    PositionRecord,
    SignalRecord,
    TradeState,
)
from core.signal import Verdict, signal_id_for
from database.column_types import epoch_ms, exact_sum
from database.engine import describe
from database.mapping import candle_from_row, from_row, signal_from_row, verdict_from_row
from database.recorded import RecordedSpan, gate_of, read_span
from database.restore import FINISHED, day_start_equity
from database.tables import (
    AccountStatRow,
    CandleRow,
    ConditionsRow,
    DecisionRow,
    DenialRow,
    FillRow,
    HaltRow,
    IncomeRow,
    MetaRow,
    OrderRow,
    PerformanceRow,
    PositionRow,
    SignalRow,
    table_of,
)
from database.totals import RunTotals, run_totals
from utils.timefmt import to_datetime, to_ms

R = TypeVar("R")

_STATS, _CANDLES, _DECISIONS = table_of(AccountStatRow), table_of(CandleRow), table_of(DecisionRow)
_CONDITIONS = table_of(ConditionsRow)
_DENIALS, _FILLS, _HALTS = table_of(DenialRow), table_of(FillRow), table_of(HaltRow)
_INCOME, _META, _ORDERS = table_of(IncomeRow), table_of(MetaRow), table_of(OrderRow)
_PERFORMANCE, _POSITIONS, _SIGNALS = table_of(PerformanceRow), table_of(PositionRow), table_of(SignalRow)

_CANDLE_VALUES = ("open", "high", "low", "close", "volume")
_ROWS_AT_ONCE = 50_000

TRANSFER = "TRANSFER"
"""The venue's ledger word for money moved in or out: no result of trading."""


@dataclass(frozen=True, slots=True)
class PositionView:
    """A position with its last valuation (None before the first)."""

    record: PositionRecord
    mark_price: Decimal | None
    unrealized_pnl: Decimal | None
    marked_time_ms: int | None


@dataclass(frozen=True, slots=True)
class Result:
    """Closed trades of one strategy or one symbol, summed. `net_pnl` is after fees and funding."""

    name: str
    trades: int
    wins: int
    losses: int
    realized_pnl: Decimal
    fees: Decimal
    funding: Decimal
    volume: Decimal

    @property
    def net_pnl(self) -> Decimal:
        return self.realized_pnl - self.fees + self.funding


@dataclass(frozen=True, slots=True)
class DecisionView:
    """A verdict, and for a signal what became of it."""

    verdict: Verdict
    signal: SignalRecord | None
    denial: DenialRecord | None


class Repository:
    """Read functions; each opens and closes its own session, so that none ever holds the write-ahead log."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def close(self) -> None:
        self._engine.dispose()

    def environment(self) -> str:
        """Return the environment that the database is stamped with ("" before its first stamp)."""
        return str(self._scalar(select(_META.c.value).where(_META.c.key == "environment")) or "")

    def symbols(self) -> list[str]:
        """Symbols with candles, ascending."""
        return [str(row["symbol"]) for row in self._rows(_distinct_symbols())]

    def latest_account_stat(self) -> AccountStatRecord | None:
        statement = select(_STATS).order_by(_STATS.c.event_time.desc()).limit(1)
        return next(iter(self._records(AccountStatRecord, statement)), None)

    def first_equity(self) -> Decimal | None:
        """Equity of the oldest valuation kept."""
        value: Decimal | None = self._scalar(select(_STATS.c.equity).order_by(_STATS.c.event_time).limit(1))
        return value

    def equity_curve(self, since_ms: int | None = None, points_max: int = 500) -> list[AccountStatRecord]:
        """Account valuations, ascending, thinned to the last one of each of at most `points_max` equal spans."""
        first = select(func.min(_STATS.c.event_time)).where(_STATS.c.event_time >= to_datetime(since_ms or 0))
        oldest, newest = self._scalar(first), self._scalar(select(func.max(_STATS.c.event_time)))
        if oldest is None or newest is None:
            return []
        span_ms = max(1, -(-(to_ms(newest) - to_ms(oldest) + 1) // points_max))
        offset = epoch_ms(_STATS.c.event_time) - to_ms(oldest)
        last = select(func.max(_STATS.c.event_time)).where(_STATS.c.event_time >= oldest)
        kept = last.group_by((offset - offset % span_ms) / span_ms)
        return self._records(
            AccountStatRecord, select(_STATS).where(_STATS.c.event_time.in_(kept)).order_by(_STATS.c.event_time)
        )

    def day_pnl(self) -> Decimal | None:
        """Change of equity since 00:00 UTC of the newest valuation's day, without money moved in or out."""
        newest = self.latest_account_stat()
        if newest is None:
            return None
        midnight_ms = newest.event_time_ms - newest.event_time_ms % DAY_MS
        moved = select(exact_sum(_INCOME.c.amount)).where(
            _INCOME.c.income_type == TRANSFER, _INCOME.c.event_time > to_datetime(midnight_ms)
        )
        with self._session() as connection:
            start = day_start_equity(connection, newest.event_time_ms)
            transfers: Decimal = connection.execute(moved).scalar_one()
        return None if start is None else newest.equity - start - transfers

    def open_positions(self) -> list[PositionView]:
        """Positions that hold a quantity or still may, oldest first."""
        is_open = and_(_POSITIONS.c.state.not_in(FINISHED), _POSITIONS.c.opened_time.is_not(None))
        return self._positions(select(_POSITIONS).where(is_open).order_by(_POSITIONS.c.opened_time))

    def closed_positions(self, limit: int = 100, symbol: str | None = None) -> list[PositionView]:
        """Finished trades, newest first."""
        statement = select(_POSITIONS).where(_POSITIONS.c.state == TradeState.CLOSED.value)
        if symbol is not None:
            statement = statement.where(_POSITIONS.c.symbol == symbol)
        return self._positions(statement.order_by(_POSITIONS.c.closed_time.desc()).limit(limit))

    def orders(self, limit: int = 100, symbol: str | None = None) -> list[OrderRecord]:
        """Orders, the last changed first."""
        statement = _for_symbol(select(_ORDERS), _ORDERS, symbol)
        return self._records(OrderRecord, statement.order_by(_ORDERS.c.updated_time.desc()).limit(limit))

    def fills(self, limit: int = 100, symbol: str | None = None, since_ms: int | None = None) -> list[FillRecord]:
        """Fills, newest first."""
        statement = _for_symbol(select(_FILLS), _FILLS, symbol)
        if since_ms is not None:
            statement = statement.where(_FILLS.c.event_time >= to_datetime(since_ms))
        return self._records(FillRecord, statement.order_by(_FILLS.c.event_time.desc()).limit(limit))

    def signals(self, limit: int = 100, symbol: str | None = None) -> list[SignalRecord]:
        """Signals, newest first."""
        statement = _for_symbol(select(_SIGNALS), _SIGNALS, symbol)
        return [signal_from_row(row) for row in self._rows(_newest_first(statement, _SIGNALS).limit(limit))]

    def denials(self, limit: int = 100, symbol: str | None = None) -> list[DenialRecord]:
        """Signals that our own checks refused, newest first."""
        statement = _for_symbol(select(_DENIALS), _DENIALS, symbol)
        return self._records(DenialRecord, _newest_first(statement, _DENIALS).limit(limit))

    def candles(self, symbol: str, limit: int = 300, end_ms: int | None = None) -> list[ClosedCandle]:
        """The last `limit` 1m candles that opened before `end_ms`, ascending."""
        statement = select(_CANDLES).where(_CANDLES.c.symbol == symbol)
        if end_ms is not None:
            statement = statement.where(_CANDLES.c.open_time < to_datetime(end_ms))
        rows = self._rows(statement.order_by(_CANDLES.c.open_time.desc()).limit(limit))
        return [candle_from_row(row) for row in reversed(rows)]

    def candle_columns(self, symbol: str, start_ms: int | None = None, end_ms: int | None = None) -> list[list[str]]:
        """All 1m candles that opened within [start_ms, end_ms), ascending, as six columns of exact texts: open_time
        (UTC milliseconds), open, high, low, close, volume; a year of them does not pay for objects."""
        opened = _CANDLES.c.open_time
        statement = select(cast(epoch_ms(opened), Text), *(cast(_CANDLES.c[name], Text) for name in _CANDLE_VALUES))
        statement = statement.where(_CANDLES.c.symbol == symbol).order_by(opened)
        if start_ms is not None:
            statement = statement.where(opened >= to_datetime(start_ms))
        if end_ms is not None:
            statement = statement.where(opened < to_datetime(end_ms))
        columns: list[list[str]] = [[] for _ in range(1 + len(_CANDLE_VALUES))]
        with self._session() as connection:
            for rows in connection.execute(statement).partitions(_ROWS_AT_ONCE):
                for column, values in zip(columns, zip(*rows, strict=True), strict=True):
                    column.extend(values)
        return columns

    def recorded_span(self, start_ms: int, end_ms: int) -> RecordedSpan:
        """What was traded on candles that opened within [start_ms, end_ms), for a replay of it."""
        with self._session() as connection:
            return read_span(connection, start_ms, end_ms)

    def gate(self, strategy: str, symbol: str, interval: str, open_time_ms: int) -> str | None:
        """The stored verdict on one candle, None where it was not judged."""
        with self._session() as connection:
            return gate_of(connection, strategy, symbol, interval, open_time_ms)

    def newest_conditions(self) -> ConditionsRecord | None:
        """Under which limits, parameters and contracts was traded last."""
        statement = select(_CONDITIONS).order_by(_CONDITIONS.c.since_time.desc()).limit(1)
        return next(iter(self._records(ConditionsRecord, statement)), None)

    def results_by_strategy(self) -> list[Result]:
        return self._results("strategy")

    def results_by_symbol(self) -> list[Result]:
        return self._results("symbol")

    def halts(self) -> list[HaltRecord]:
        """Active halts, newest first."""
        statement = select(_HALTS).where(_HALTS.c.active.is_(True)).order_by(_HALTS.c.since_time.desc())
        return self._records(HaltRecord, statement)

    def decisions(self, symbol: str, at_ms: int | None = None) -> list[DecisionView]:
        """What each strategy decided last about `symbol` (at or before `at_ms`), newest first."""
        statement = select(_DECISIONS).where(_DECISIONS.c.symbol == symbol)
        if at_ms is not None:
            moment = to_datetime(at_ms)
            statement = statement.where(_DECISIONS.c.candle_open_time <= moment, _DECISIONS.c.event_time <= moment)
        newest_first = statement.order_by(_DECISIONS.c.candle_open_time.desc()).limit(100)
        seen: dict[tuple[str, str], DecisionView] = {}
        for row in self._rows(newest_first):
            verdict = verdict_from_row(row)
            if (verdict.strategy, verdict.interval) not in seen:
                seen[verdict.strategy, verdict.interval] = self._decision_view(verdict)
        return list(seen.values())

    def run_totals(self, since_ms: int | None = None, epoch: int | None = None) -> RunTotals:
        """Totals since a venue time, or of one instance epoch's trades; of everything when neither is given."""
        with self._session() as connection:
            return run_totals(connection, since_ms, epoch)

    def performance(self, day: str) -> list[PerformanceRecord]:
        """Results of one UTC day (`2026-01-31`), by strategy and symbol."""
        statement = select(_PERFORMANCE).where(_PERFORMANCE.c.day == day)
        return self._records(PerformanceRecord, statement.order_by(_PERFORMANCE.c.strategy, _PERFORMANCE.c.symbol))

    def _decision_view(self, verdict: Verdict) -> DecisionView:
        signal_id = signal_id_for(verdict.strategy, verdict.symbol, verdict.interval, verdict.candle_open_time_ms)
        signals = self._rows(select(_SIGNALS).where(_SIGNALS.c.signal_id == signal_id))
        denials = self._records(DenialRecord, select(_DENIALS).where(_DENIALS.c.signal_id == signal_id))
        return DecisionView(verdict, signal_from_row(signals[0]) if signals else None, denials[0] if denials else None)

    def _positions(self, statement: Select[Any]) -> list[PositionView]:
        return [_position_view(row) for row in self._rows(statement)]

    def _results(self, column: str) -> list[Result]:
        group = _PERFORMANCE.c[column]
        statement = (
            select(
                group.label("name"),
                *(func.sum(_PERFORMANCE.c[name]).label(name) for name in ("trades", "wins", "losses")),
                *(exact_sum(_PERFORMANCE.c[n]).label(n) for n in ("realized_pnl", "fees", "funding", "volume")),
            )
            .group_by(group)
            .order_by(group)
        )
        return [Result(**row) for row in self._rows(statement)]

    def _records(self, kind: type[R], statement: Select[Any]) -> list[R]:
        return [from_row(kind, row) for row in self._rows(statement)]

    def _rows(self, statement: Select[Any]) -> Sequence[Mapping[str, Any]]:
        with self._session() as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]

    def _scalar(self, statement: Select[Any]) -> Any:
        with self._session() as connection:
            return connection.execute(statement).scalar()

    @contextmanager
    def _session(self) -> Iterator[Connection]:
        """A short session; a database that cannot be read is a RuntimeFailure of one line."""
        try:
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise RuntimeFailure(f"the database cannot be read: {describe(error)}") from error


def _position_view(row: Mapping[str, Any]) -> PositionView:
    marked = row["marked_time"]
    return PositionView(
        from_row(PositionRecord, row),
        row["mark_price"],
        row["unrealized_pnl"],
        None if marked is None else to_ms(marked),
    )


def _for_symbol(statement: Select[Any], table: Any, symbol: str | None) -> Select[Any]:
    return statement if symbol is None else statement.where(table.c.symbol == symbol)


def _newest_first(statement: Select[Any], table: Any) -> Select[Any]:
    return statement.order_by(table.c.event_time.desc())


def _distinct_symbols() -> Select[Any]:
    """Walk from symbol to symbol by the key (a recursive jump), since DISTINCT would read every candle."""
    first = select(func.min(_CANDLES.c.symbol).label("symbol")).cte("walk", recursive=True)
    following = select(func.min(_CANDLES.c.symbol)).where(_CANDLES.c.symbol > first.c.symbol).scalar_subquery()
    walk = first.union_all(select(following).where(first.c.symbol.is_not(None)))
    return select(walk.c.symbol).where(walk.c.symbol.is_not(None))
