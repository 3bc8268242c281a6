"""Rows as the domain sees them: what is written down before and after things happen.

`database/mapping.py` turns each into its SQLModel row. Every record is an upsert on its key unless said otherwise, so
that writing it twice changes nothing. Times are UTC epoch milliseconds of the venue (`*_time_ms`) unless said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from core.candle import ClosedCandle
from core.enums import (
    Direction,
    Leg,
    LiquiditySide,
    OrderService,
    OrderType,
    PositionSide,
    Severity,
    Side,
    Word,
)
from core.frozen import quick_init
from core.signal import Signal, Verdict

ZERO = Decimal(0)


class SignalStatus(Word):
    RECEIVED = "received"
    APPROVED = "approved"
    DENIED = "denied"
    REFUSED = "refused"
    ENTERED = "entered"


class TradeState(Word):
    """Lifecycle of one trade (an entry intent and everything that follows from it)."""

    INTENT = "intent"
    SUBMITTED = "submitted"
    IN_DOUBT = "in_doubt"
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    PROTECTED = "protected"
    CLOSING = "closing"
    CLOSED = "closed"
    REFUSED = "refused"


class ExitReason(Word):
    STOP = "stop"
    TARGET = "target"
    MAX_HOLDING = "max_holding"
    STOP_FAILED = "stop_failed"
    KILL = "kill"
    FLATTEN = "flatten"
    EXTERNAL = "external"
    LIQUIDATION = "liquidation"
    ADL = "adl"
    SETTLEMENT = "settlement"
    RECONCILED = "reconciled"


@quick_init
@dataclass(frozen=True, slots=True)
class SignalRecord:
    """Key: signal.signal_id."""

    signal: Signal
    status: SignalStatus
    denial_code: str | None = None


@quick_init
@dataclass(frozen=True, slots=True)
class IntentRecord:
    """The decision to enter, committed before its order leaves. Key: intent_id."""

    intent_id: int
    epoch: int
    signal_id: str | None
    symbol: str
    strategy: str
    direction: Direction
    position_side: PositionSide
    quantity: Decimal
    reference_price: Decimal
    stop_price: Decimal
    target_price: Decimal | None
    risk_usd: Decimal
    client_order_id: str
    state: TradeState
    evidence: str
    created_time_ms: int
    updated_time_ms: int
    max_holding_ms: int | None = None


@quick_init
@dataclass(frozen=True, slots=True)
class OrderRecord:
    """One order of ours (or a foreign one that we saw), plain or algo. Key: client_order_id."""

    client_order_id: str
    symbol: str
    strategy: str
    intent_id: int | None
    leg: Leg | None
    service: OrderService
    side: Side
    position_side: PositionSide
    type: OrderType
    status: str
    quantity: Decimal | None
    price: Decimal | None
    stop_price: Decimal | None
    filled_quantity: Decimal
    average_price: Decimal | None
    reduce_only: bool
    close_position: bool
    venue_order_id: int | None
    algo_id: int | None
    created_time_ms: int
    updated_time_ms: int
    detail: str = ""


@quick_init
@dataclass(frozen=True, slots=True)
class FillRecord:
    """One execution, insert-once, but one that belonged to no trade may come to one. Key: (symbol, trade_id).
    `correction` marks fills booked by reconciliation."""

    symbol: str
    trade_id: int
    venue_order_id: int
    client_order_id: str
    intent_id: int | None
    leg: Leg | None
    strategy: str
    side: Side
    position_side: PositionSide
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    realized_pnl: Decimal
    liquidity_side: LiquiditySide
    event_time_ms: int
    received_time_ms: int
    correction: bool = False


@quick_init
@dataclass(frozen=True, slots=True)
class FillOwnerRecord:
    """Which order made a recorded fill after all; changes two columns of its row. Key: (symbol, trade_id).

    `client_order_id` is empty and `leg` None where it was none of ours."""

    symbol: str
    trade_id: int
    client_order_id: str
    leg: Leg | None


@quick_init
@dataclass(frozen=True, slots=True)
class PositionRecord:
    """A trade from entry to exit. Key: intent_id.

    `quantity` is what is open now (unsigned), `entry_quantity` what was entered. PnL: realised gross of fees;
    `fees` positive when paid; `funding` positive when received.
    """

    intent_id: int
    symbol: str
    strategy: str
    direction: Direction
    state: TradeState
    quantity: Decimal
    entry_quantity: Decimal
    entry_price: Decimal | None
    exit_price: Decimal | None
    stop_price: Decimal | None
    target_price: Decimal | None
    stop_client_order_id: str | None
    target_client_order_id: str | None
    risk_usd: Decimal
    realized_pnl: Decimal
    fees: Decimal
    funding: Decimal
    exit_reason: ExitReason | None
    opened_time_ms: int | None
    closed_time_ms: int | None
    updated_time_ms: int
    flagged: str = ""


@quick_init
@dataclass(frozen=True, slots=True)
class PositionMarkRecord:
    """Live valuation of an open position; a small update, never durable. Key: intent_id."""

    intent_id: int
    mark_price: Decimal
    unrealized_pnl: Decimal
    marked_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class CandleRecord:
    """A closed 1m candle. Key: (symbol, open_time_ms)."""

    candle: ClosedCandle


@quick_init
@dataclass(frozen=True, slots=True)
class AccountStatRecord:
    """Account valuation at a moment; quote asset. Key: event_time_ms."""

    event_time_ms: int
    wallet_balance: Decimal
    equity: Decimal
    available: Decimal
    unrealized_pnl: Decimal
    open_positions: int
    peak_equity: Decimal


@quick_init
@dataclass(frozen=True, slots=True)
class PerformanceRecord:
    """Result of one strategy on one symbol on one UTC day. Key: (strategy, symbol, day)."""

    strategy: str
    symbol: str
    day: str  # YYYY-MM-DD, UTC, of the closing time
    trades: int
    wins: int
    losses: int
    realized_pnl: Decimal
    fees: Decimal
    funding: Decimal
    volume: Decimal
    entered_quantity: Decimal
    updated_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class DenialRecord:
    """A signal that our own checks refused. Insert-only; key: signal_id."""

    signal_id: str
    symbol: str
    strategy: str
    code: str
    context: Mapping[str, str]
    event_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One evaluation of a strategy. Key: (strategy, symbol, interval, candle_open_time_ms)."""

    verdict: Verdict


@quick_init
@dataclass(frozen=True, slots=True)
class IncomeRecord:
    """One ledger row of the venue, insert-once. Key: (transaction_id, income_type)."""

    transaction_id: int
    income_type: str
    symbol: str
    amount: Decimal
    asset: str
    event_time_ms: int
    intent_id: int | None = None


@quick_init
@dataclass(frozen=True, slots=True)
class HaltRecord:
    """A block on new entries. Key: scope ("*" for all, or a symbol) and reason. `until_time_ms` None: until resumed.

    `active=False` lifts it. The kill latch is scope "*" with reason "kill".
    """

    scope: str
    reason: str
    active: bool
    detail: str
    since_time_ms: int
    until_time_ms: int | None = None


@quick_init
@dataclass(frozen=True, slots=True)
class AlertRecord:
    """A message for people, into the outbox. Key: dedupe_key; a second one with the same key is dropped."""

    dedupe_key: str
    severity: Severity
    title: str
    text: str
    created_time_ms: int
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConditionsRecord:
    """Limits, parameters and contracts from `since_time_ms` on, as JSON; one row a change. Key: since_time_ms."""

    since_time_ms: int
    digest: str
    conditions: str


@dataclass(frozen=True, slots=True)
class FundingRecord:
    """When a symbol pays funding and at which rate (a fraction, paid by longs when positive).

    Key: (symbol, funding_time_ms). Written when the venue first names the time, with the rate that it expects then, and
    again when the time has come, with the last rate that it named before."""

    symbol: str
    funding_time_ms: int
    rate: Decimal


Record = (
    SignalRecord
    | IntentRecord
    | OrderRecord
    | FillRecord
    | FillOwnerRecord
    | PositionRecord
    | PositionMarkRecord
    | CandleRecord
    | AccountStatRecord
    | PerformanceRecord
    | DenialRecord
    | DecisionRecord
    | IncomeRecord
    | HaltRecord
    | AlertRecord
    | ConditionsRecord
    | FundingRecord
)
