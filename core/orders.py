"""What we ask of the venue (requests) and what it tells of orders, fills and positions (reports)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from core.enums import (
    AlgoStatus,
    Leg,
    LiquiditySide,
    OrderStatus,
    OrderType,
    PositionSide,
    Side,
    TimeInForce,
    WorkingType,
)
from core.frozen import quick_init

ZERO = Decimal(0)


@quick_init
@dataclass(frozen=True, slots=True)
class OrderRequest:
    """A plain order (LIMIT or MARKET; the venue takes conditional types on the algo service only).

    `price` and `time_in_force` are None for MARKET. `reduce_only` must be False in hedge mode, where
    `position_side` says the same.
    """

    symbol: str
    side: Side
    position_side: PositionSide
    type: OrderType
    quantity: Decimal
    client_order_id: str
    leg: Leg
    price: Decimal | None = None
    time_in_force: TimeInForce | None = None
    reduce_only: bool = False


@quick_init
@dataclass(frozen=True, slots=True)
class AlgoOrderRequest:
    """A conditional order. With `close_position` the quantity is None and the order closes whatever is open."""

    symbol: str
    side: Side
    position_side: PositionSide
    type: OrderType
    trigger_price: Decimal
    client_order_id: str
    leg: Leg
    quantity: Decimal | None = None
    close_position: bool = False
    reduce_only: bool = False
    working_type: WorkingType = WorkingType.CONTRACT_PRICE
    price_protect: bool = False


@quick_init
@dataclass(frozen=True, slots=True)
class Approved:
    """An order that passed filters (and risk, for entries). The venue port accepts nothing else.

    Only `executor` constructs it; a test holds every other room to that.
    """

    order: OrderRequest | AlgoOrderRequest


@quick_init
@dataclass(frozen=True, slots=True)
class FillReport:
    """One execution. `trade_id` is unique per symbol; `fee` is positive when paid; `realized_pnl` is before fees."""

    symbol: str
    trade_id: int
    venue_order_id: int
    client_order_id: str
    side: Side
    position_side: PositionSide
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    realized_pnl: Decimal
    liquidity_side: LiquiditySide
    event_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class OrderReport:
    """State of a plain order as the venue told it, by stream or by query.

    `execution_type` is the stream's `x` (NEW, TRADE, CANCELED, CALCULATED, EXPIRED, AMENDMENT) or "QUERY"/"ACK".
    `fill` is set only on stream executions. `algo_id` is unknown here: algo reports link to `venue_order_id`.
    """

    symbol: str
    client_order_id: str
    venue_order_id: int
    side: Side
    position_side: PositionSide
    type: OrderType
    status: OrderStatus
    execution_type: str
    quantity: Decimal
    price: Decimal
    filled_quantity: Decimal
    average_price: Decimal | None
    reduce_only: bool
    close_position: bool
    update_time_ms: int
    expiry_reason: int = 0
    original_type: OrderType = OrderType.UNKNOWN
    fill: FillReport | None = None


@quick_init
@dataclass(frozen=True, slots=True)
class AlgoOrderReport:
    """State of a conditional order. `venue_order_id` is the plain order made at trigger, None before."""

    symbol: str
    client_order_id: str
    algo_id: int
    side: Side
    position_side: PositionSide
    type: OrderType
    status: AlgoStatus
    trigger_price: Decimal
    quantity: Decimal
    close_position: bool
    reduce_only: bool
    update_time_ms: int
    venue_order_id: int | None = None
    actual_price: Decimal | None = None
    actual_quantity: Decimal | None = None
    reject_reason: str = ""


@quick_init
@dataclass(frozen=True, slots=True)
class PositionReport:
    """One position leg. `quantity` is signed: positive long, negative short, in every position mode."""

    symbol: str
    position_side: PositionSide
    quantity: Decimal
    entry_price: Decimal
    unrealized_pnl: Decimal
    update_time_ms: int
    mark_price: Decimal | None = None
    liquidation_price: Decimal | None = None


@quick_init
@dataclass(frozen=True, slots=True)
class BalanceReport:
    """Wallet of one asset. `available` is None where the message does not carry it (user stream)."""

    asset: str
    wallet_balance: Decimal
    cross_wallet_balance: Decimal
    available: Decimal | None = None
    balance_change: Decimal = ZERO


@quick_init
@dataclass(frozen=True, slots=True)
class IncomeReport:
    """One ledger row of the venue; (`transaction_id`, `income_type`) is unique per account."""

    transaction_id: int
    income_type: str
    symbol: str
    amount: Decimal
    asset: str
    event_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class LeverageBracket:
    """One step of the venue's notional ladder; `maintenance_amount` is its `cum`."""

    bracket: int
    initial_leverage: int
    notional_floor: Decimal
    notional_cap: Decimal
    maintenance_margin_rate: Decimal
    maintenance_amount: Decimal
