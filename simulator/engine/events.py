"""What happened, in time order: the market's own items pass through, the private ones are made here.

All times are market time, UTC epoch milliseconds. Every order, position and balance inside an event is a copy
taken at that moment.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from core.enums import MarginType, PositionSide
from simulator.engine.orders import AlgoOrder, PlainOrder, Trade
from simulator.market.model import KlineClosed, MarketTrade

NO_REASON = 0
SELF_TRADE = 1
IOC_REMAINDER = 2
DISPLACED_REDUCE_ONLY = 4
LIQUIDATED = 5
POSITION_GONE = 6
DELISTED = 7
MARKET_REMAINDER = 9
"""Values of `er` in ORDER_TRADE_UPDATE (protocol section 6)."""


class OrderEvent(Struct, frozen=True):
    """ORDER_TRADE_UPDATE. `execution_type` is one of NEW, TRADE, CANCELED, EXPIRED, CALCULATED.

    `bid_notional` and `ask_notional` are the symbol's resting notionals after the event.
    """

    order: PlainOrder
    execution_type: str
    fill: Trade | None
    expiry_reason: int
    time_ms: int
    bid_notional: Decimal = Decimal(0)
    ask_notional: Decimal = Decimal(0)


class AlgoEvent(Struct, frozen=True):
    """ALGO_UPDATE."""

    order: AlgoOrder
    time_ms: int


class BalanceChange(Struct, frozen=True):
    """`change` is what moved for other reasons than realised PnL and fees (deposit, funding)."""

    asset: str
    wallet_balance: Decimal
    cross_wallet_balance: Decimal
    change: Decimal


class PositionChange(Struct, frozen=True):
    """A position after the event; `quantity` is signed. `accumulated_realised` is before fees, since the start."""

    symbol: str
    position_side: PositionSide
    quantity: Decimal
    entry_price: Decimal
    break_even_price: Decimal
    accumulated_realised: Decimal
    unrealised_pnl: Decimal
    margin_type: MarginType
    isolated_wallet: Decimal
    margin_asset: str = "USDT"


class AccountEvent(Struct, frozen=True):
    """ACCOUNT_UPDATE. `reason` is ORDER, FUNDING_FEE, DEPOSIT, WITHDRAW or MARGIN_TYPE_CHANGE."""

    reason: str
    balances: tuple[BalanceChange, ...]
    positions: tuple[PositionChange, ...]
    time_ms: int


class AccountConfigEvent(Struct, frozen=True):
    """ACCOUNT_CONFIG_UPDATE: the leverage of a symbol changed."""

    symbol: str
    leverage: int
    time_ms: int


class MarginCallPosition(Struct, frozen=True):
    symbol: str
    position_side: PositionSide
    quantity: Decimal
    margin_type: MarginType
    isolated_wallet: Decimal
    mark_price: Decimal
    unrealised_pnl: Decimal
    maintenance_margin: Decimal


class MarginCallEvent(Struct, frozen=True):
    """MARGIN_CALL: maintenance margin has reached four fifths of the margin balance."""

    cross_wallet_balance: Decimal
    positions: tuple[MarginCallPosition, ...]
    time_ms: int


PublicTrade = MarketTrade

ExchangeEvent = MarketTrade | KlineClosed | OrderEvent | AlgoEvent | AccountEvent | AccountConfigEvent | MarginCallEvent
"""Everything that `Exchange.advance` and `Exchange.drain_events` return. Market items are the market's own objects."""
