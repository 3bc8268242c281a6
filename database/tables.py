"""The tables, as SQLModel rows. They hold what `core.records` says and nothing else; `mapping.py` is the way over.

Rows of different tables are not tied by foreign keys: after a fault a fill may be known before its intent is.
Where a column carries a record's field, it carries its name, without the `_ms` of times (they are moments here).
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Index, Integer, Table, Text
from sqlmodel import Field, SQLModel

from database.column_types import Money, UtcTime

WITHOUT_ROWID = {"sqlite_with_rowid": False}
"""One tree instead of two for tables that are read and written by their composite key."""

AUTO_ID = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only in a column that is called exactly INTEGER."""


def table_of(row_type: type[SQLModel]) -> Table:
    """Return the Core table of a row type, for statements without a session."""
    return SQLModel.metadata.tables[str(row_type.__tablename__)]


def _money(**options: Any) -> Any:
    return Field(sa_type=Money, **options)


def _moment(**options: Any) -> Any:
    return Field(sa_type=UtcTime, **options)


def _text(**options: Any) -> Any:
    return Field(sa_type=Text, **options)


def _big(**options: Any) -> Any:
    """A 64-bit integer: venue ids do not fit 32 bits."""
    return Field(sa_type=BigInteger, **options)


def _key(**options: Any) -> Any:
    """A 64-bit integer that is a whole primary key and is given, never generated."""
    return Field(sa_type=AUTO_ID, primary_key=True, sa_column_kwargs={"autoincrement": False}, **options)


class SignalRow(SQLModel, table=True):
    __tablename__: ClassVar[str] = "signals"
    __table_args__ = (
        Index("ix_signals_event_time", "event_time"),
        Index("ix_signals_symbol_event_time", "symbol", "event_time"),
    )

    signal_id: str = _text(primary_key=True)
    strategy: str = _text()
    symbol: str = _text()
    interval: str = _text()
    direction: str = _text()
    candle_open_time: datetime = _moment()
    reference_price: Decimal = _money()
    stop_fraction: Decimal | None = _money(default=None, nullable=True)
    target_fraction: Decimal | None = _money(default=None, nullable=True)
    stop_price: Decimal | None = _money(default=None, nullable=True)
    target_price: Decimal | None = _money(default=None, nullable=True)
    event_time: datetime = _moment()
    received_time: datetime = _moment()
    reason: str = _text()
    features: str = _text()
    max_holding_ms: int | None = _big(default=None, nullable=True)
    status: str = _text()
    denial_code: str | None = _text(default=None, nullable=True)


class IntentRow(SQLModel, table=True):
    __tablename__: ClassVar[str] = "intents"
    __table_args__ = (Index("ix_intents_state", "state"), Index("ix_intents_created_time", "created_time"))

    intent_id: int = _key()
    epoch: int = _big()
    signal_id: str | None = _text(default=None, nullable=True)
    symbol: str = _text()
    strategy: str = _text()
    direction: str = _text()
    position_side: str = _text()
    quantity: Decimal = _money()
    reference_price: Decimal = _money()
    stop_price: Decimal = _money()
    target_price: Decimal | None = _money(default=None, nullable=True)
    risk_usd: Decimal = _money()
    client_order_id: str = _text()
    state: str = _text()
    evidence: str = _text()
    created_time: datetime = _moment()
    updated_time: datetime = _moment()
    max_holding_ms: int | None = _big(default=None, nullable=True)


class OrderRow(SQLModel, table=True):
    __tablename__: ClassVar[str] = "orders"
    __table_args__ = (
        Index("ix_orders_updated_time", "updated_time"),
        Index("ix_orders_symbol_updated_time", "symbol", "updated_time"),
        Index("ix_orders_intent_id", "intent_id"),
    )

    client_order_id: str = _text(primary_key=True)
    symbol: str = _text()
    strategy: str = _text()
    intent_id: int | None = _big(default=None, nullable=True)
    leg: str | None = _text(default=None, nullable=True)
    service: str = _text()
    side: str = _text()
    position_side: str = _text()
    type: str = _text()
    status: str = _text()
    quantity: Decimal | None = _money(default=None, nullable=True)
    price: Decimal | None = _money(default=None, nullable=True)
    stop_price: Decimal | None = _money(default=None, nullable=True)
    filled_quantity: Decimal = _money()
    average_price: Decimal | None = _money(default=None, nullable=True)
    reduce_only: bool
    close_position: bool
    venue_order_id: int | None = _big(default=None, nullable=True)
    algo_id: int | None = _big(default=None, nullable=True)
    created_time: datetime = _moment()
    updated_time: datetime = _moment()
    detail: str = _text()


class FillRow(SQLModel, table=True):
    __tablename__: ClassVar[str] = "fills"
    __table_args__ = (
        Index("ix_fills_event_time", "event_time"),
        Index("ix_fills_symbol_event_time", "symbol", "event_time"),
        Index("ix_fills_intent_id", "intent_id"),
    )

    symbol: str = _text(primary_key=True)
    trade_id: int = _big(primary_key=True)
    venue_order_id: int = _big()
    client_order_id: str = _text()
    intent_id: int | None = _big(default=None, nullable=True)
    leg: str | None = _text(default=None, nullable=True)
    strategy: str = _text()
    side: str = _text()
    position_side: str = _text()
    price: Decimal = _money()
    quantity: Decimal = _money()
    fee: Decimal = _money()
    fee_asset: str = _text()
    realized_pnl: Decimal = _money()
    liquidity_side: str = _text()
    event_time: datetime = _moment()
    received_time: datetime = _moment()
    correction: bool


class PositionRow(SQLModel, table=True):
    """`mark_price`, `unrealized_pnl` and `marked_time` belong to `PositionMarkRecord` alone."""

    __tablename__: ClassVar[str] = "positions"
    __table_args__ = (
        Index("ix_positions_state", "state"),
        Index("ix_positions_closed_time", "closed_time"),
        Index("ix_positions_symbol_opened_time", "symbol", "opened_time"),
    )

    intent_id: int = _key()
    symbol: str = _text()
    strategy: str = _text()
    direction: str = _text()
    state: str = _text()
    quantity: Decimal = _money()
    entry_quantity: Decimal = _money()
    entry_price: Decimal | None = _money(default=None, nullable=True)
    exit_price: Decimal | None = _money(default=None, nullable=True)
    stop_price: Decimal | None = _money(default=None, nullable=True)
    target_price: Decimal | None = _money(default=None, nullable=True)
    stop_client_order_id: str | None = _text(default=None, nullable=True)
    target_client_order_id: str | None = _text(default=None, nullable=True)
    risk_usd: Decimal = _money()
    realized_pnl: Decimal = _money()
    fees: Decimal = _money()
    funding: Decimal = _money()
    exit_reason: str | None = _text(default=None, nullable=True)
    opened_time: datetime | None = _moment(default=None, nullable=True)
    closed_time: datetime | None = _moment(default=None, nullable=True)
    updated_time: datetime = _moment()
    flagged: str = _text()
    mark_price: Decimal | None = _money(default=None, nullable=True)
    unrealized_pnl: Decimal | None = _money(default=None, nullable=True)
    marked_time: datetime | None = _moment(default=None, nullable=True)


class CandleRow(SQLModel, table=True):
    __tablename__: ClassVar[str] = "candles_1m"
    __table_args__ = WITHOUT_ROWID

    symbol: str = _text(primary_key=True)
    open_time: datetime = _moment(primary_key=True)
    open: Decimal = _money()
    high: Decimal = _money()
    low: Decimal = _money()
    close: Decimal = _money()
    volume: Decimal = _money()
    quote_volume: Decimal = _money()
    trade_count: int = _big()
    taker_buy_volume: Decimal = _money()
    taker_buy_quote_volume: Decimal = _money()


class AccountStatRow(SQLModel, table=True):
    __tablename__: ClassVar[str] = "account_stats"

    event_time: datetime = _moment(primary_key=True, sa_column_kwargs={"autoincrement": False})
    wallet_balance: Decimal = _money()
    equity: Decimal = _money()
    available: Decimal = _money()
    unrealized_pnl: Decimal = _money()
    open_positions: int
    peak_equity: Decimal = _money()


class PerformanceRow(SQLModel, table=True):
    __tablename__: ClassVar[str] = "strategy_performance"
    __table_args__ = (Index("ix_strategy_performance_day", "day"),)

    strategy: str = _text(primary_key=True)
    symbol: str = _text(primary_key=True)
    day: str = _text(primary_key=True)
    trades: int
    wins: int
    losses: int
    realized_pnl: Decimal = _money()
    fees: Decimal = _money()
    funding: Decimal = _money()
    volume: Decimal = _money()
    entered_quantity: Decimal = _money()
    updated_time: datetime = _moment()


class DenialRow(SQLModel, table=True):
    __tablename__: ClassVar[str] = "denials"
    __table_args__ = (
        Index("ix_denials_event_time", "event_time"),
        Index("ix_denials_symbol_event_time", "symbol", "event_time"),
    )

    signal_id: str = _text(primary_key=True)
    symbol: str = _text()
    strategy: str = _text()
    code: str = _text()
    context: str = _text()
    event_time: datetime = _moment()


class DecisionRow(SQLModel, table=True):
    """Key order answers "what did SYMBOL decide at TIME" from the primary key alone; `numbers` is compact JSON."""

    __tablename__: ClassVar[str] = "decisions"
    __table_args__ = WITHOUT_ROWID

    symbol: str = _text(primary_key=True)
    candle_open_time: datetime = _moment(primary_key=True)
    strategy: str = _text(primary_key=True)
    interval: str = _text(primary_key=True)
    event_time: datetime = _moment()
    gate: str = _text()
    numbers: str = _text()


class IncomeRow(SQLModel, table=True):
    __tablename__: ClassVar[str] = "income"
    __table_args__ = (Index("ix_income_event_time", "event_time"), Index("ix_income_intent_id", "intent_id"))

    transaction_id: int = _big(primary_key=True)
    income_type: str = _text(primary_key=True)
    symbol: str = _text()
    amount: Decimal = _money()
    asset: str = _text()
    event_time: datetime = _moment()
    intent_id: int | None = _big(default=None, nullable=True)


class HaltRow(SQLModel, table=True):
    __tablename__: ClassVar[str] = "halts"

    scope: str = _text(primary_key=True)
    reason: str = _text(primary_key=True)
    active: bool
    detail: str = _text()
    since_time: datetime = _moment()
    until_time: datetime | None = _moment(default=None, nullable=True)


class AlertRow(SQLModel, table=True):
    """The outbox: waiting until `sent_time` is set; tried at once, then from `next_attempt_time` (our clock) on."""

    __tablename__: ClassVar[str] = "alerts"
    __table_args__ = (
        Index("ix_alerts_sent_time_next_attempt_time", "sent_time", "next_attempt_time"),
        Index("ix_alerts_dedupe_key", "dedupe_key", unique=True),
    )

    id: int | None = Field(default=None, sa_type=AUTO_ID, primary_key=True)
    dedupe_key: str = _text()
    severity: str = _text()
    title: str = _text()
    text: str = _text()
    fields: str = _text()
    created_time: datetime = _moment()
    sent_time: datetime | None = _moment(default=None, nullable=True)
    attempts: int = 0
    next_attempt_time: datetime | None = _moment(default=None, nullable=True)
    last_error: str | None = _text(default=None, nullable=True)


class MetaRow(SQLModel, table=True):
    """Facts about the database itself: `environment` and `created`."""

    __tablename__: ClassVar[str] = "meta"

    key: str = _text(primary_key=True)
    value: str = _text()


class LeaseRow(SQLModel, table=True):
    """Who trades an account now. `epoch` is the fencing token; it grows with every acquisition and never shrinks."""

    __tablename__: ClassVar[str] = "lease"

    account: str = _text(primary_key=True)
    holder: str = _text()
    epoch: int = _big()
    host: str = _text()
    pid: int
    process_start: str = _text()
    acquired_time: datetime = _moment()
    expires_time: datetime = _moment()
    released: bool


class ConditionsRow(SQLModel, table=True):
    """Under which limits, parameters and contracts was traded from `since_time` on; one row a change."""

    __tablename__: ClassVar[str] = "conditions"

    since_time: datetime = _moment(primary_key=True, sa_column_kwargs={"autoincrement": False})
    digest: str = _text()
    conditions: str = _text()


class FundingRow(SQLModel, table=True):
    """When a symbol pays funding, and at which rate; what was expected until the time came."""

    __tablename__: ClassVar[str] = "funding"
    __table_args__ = (Index("ix_funding_funding_time", "funding_time"),)

    symbol: str = _text(primary_key=True)
    funding_time: datetime = _moment(primary_key=True)
    rate: Decimal = _money()


class CommandRow(SQLModel, table=True):
    """A request of a person to the trader (kill, flatten, resume), enqueued by one process and taken by another."""

    __tablename__: ClassVar[str] = "commands"
    __table_args__ = (Index("ix_commands_state_id", "state", "id"),)

    id: int | None = Field(default=None, sa_type=AUTO_ID, primary_key=True)
    kind: str = _text()
    symbol: str | None = _text(default=None, nullable=True)
    strategy: str | None = _text(default=None, nullable=True)
    arguments: str = _text()
    issuer: str = _text()
    issued_time: datetime = _moment()
    state: str = _text()
    result: str = _text()
    handled_time: datetime | None = _moment(default=None, nullable=True)


class BacktestRunRow(SQLModel, table=True):
    """One backtest, written once. `strategies` and `symbols` are joined with commas; `parameters` (by symbol, by
    strategy), `settings` (command line and limits) and `metrics` are JSON; `data_sha256` is of what was replayed."""

    __tablename__: ClassVar[str] = "backtest_runs"
    __table_args__ = (Index("ix_backtest_runs_created_time", "created_time"),)

    id: int | None = Field(default=None, sa_type=AUTO_ID, primary_key=True)
    created_time: datetime = _moment()
    duration_ms: int = _big()
    is_complete: bool
    strategies: str = _text()
    symbols: str = _text()
    start_time: datetime = _moment()
    end_time: datetime = _moment()
    net_pnl: Decimal = _money()
    parameters: str = _text()
    settings: str = _text()
    metrics: str = _text()
    data_source: str = _text()
    data_sha256: str = _text()
    code_version: str = _text()
    report: str = _text()
