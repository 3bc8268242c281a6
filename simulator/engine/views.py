"""What a client may read: immutable pictures of the account at one instant. Money in the margin asset."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from core.enums import MarginType, PositionSide
from core.frozen import quick_init


@quick_init
@dataclass(frozen=True, slots=True)
class LegView:
    """What a position leg holds and what that is worth now, without the margin figures; `quantity` is signed."""

    symbol: str
    position_side: PositionSide
    quantity: Decimal
    entry_price: Decimal
    mark_price: Decimal
    unrealised_pnl: Decimal
    update_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class PositionView:
    """`v3/positionRisk` and the positions of `v3/account`; `quantity` and `notional` are signed.

    `liquidation_price` 0 means none. `isolated_margin` is the isolated wallet plus unrealised PnL.
    """

    symbol: str
    position_side: PositionSide
    quantity: Decimal
    entry_price: Decimal
    break_even_price: Decimal
    mark_price: Decimal
    unrealised_pnl: Decimal
    liquidation_price: Decimal
    isolated_margin: Decimal
    isolated_wallet: Decimal
    notional: Decimal
    margin_asset: str
    initial_margin: Decimal
    maintenance_margin: Decimal
    position_initial_margin: Decimal
    open_order_initial_margin: Decimal
    bid_notional: Decimal
    ask_notional: Decimal
    leverage: int
    margin_type: MarginType
    max_notional: Decimal
    adl_quantile: int
    update_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class BalanceView:
    """`v3/balance`, and an asset row of `v3/account`."""

    asset: str
    wallet_balance: Decimal
    unrealised_pnl: Decimal
    margin_balance: Decimal
    maintenance_margin: Decimal
    initial_margin: Decimal
    position_initial_margin: Decimal
    open_order_initial_margin: Decimal
    cross_wallet_balance: Decimal
    cross_unrealised_pnl: Decimal
    available_balance: Decimal
    max_withdraw_amount: Decimal
    update_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class FundsView:
    """What a `BalanceView` tells of money that is there and free, without margins and results."""

    asset: str
    wallet_balance: Decimal
    cross_wallet_balance: Decimal
    available_balance: Decimal


@dataclass(frozen=True, slots=True)
class AccountView:
    """`v3/account`: one margin asset, so its row is also the totals."""

    balance: BalanceView
    positions: tuple[PositionView, ...]
    update_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class SymbolConfigView:
    """`v1/symbolConfig`."""

    symbol: str
    margin_type: MarginType
    leverage: int
    max_notional: Decimal
    is_auto_add_margin: bool = False


@dataclass(frozen=True, slots=True)
class CommissionView:
    """`v1/commissionRate`: fractions of the notional."""

    symbol: str
    maker: Decimal
    taker: Decimal
