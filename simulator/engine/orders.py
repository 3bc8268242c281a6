"""Orders as the exchange holds them. Mutable inside the engine; what leaves it is always a copy."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from core.enums import AlgoStatus, OrderStatus, OrderType, PositionSide, Side, TimeInForce, WorkingType

ZERO = Decimal(0)


class PlainOrder(Struct):
    """An order of the matching engine (id space of `orderId`).

    `type` is what it is now, `orig_type` what the client asked for (a triggered stop is a MARKET order whose
    `orig_type` is STOP_MARKET). `cum_quote` is the exact sum of price times quantity over its fills.
    `algo_id` is the conditional order that it came from, 0 if none. Prices that do not apply are 0.
    """

    order_id: int
    client_order_id: str
    symbol: str
    side: Side
    type: OrderType
    orig_type: OrderType
    position_side: PositionSide
    time_in_force: TimeInForce
    quantity: Decimal
    price: Decimal
    reduce_only: bool
    close_position: bool
    create_time_ms: int
    update_time_ms: int
    status: OrderStatus = OrderStatus.NEW
    executed_quantity: Decimal = ZERO
    cum_quote: Decimal = ZERO
    stop_price: Decimal = ZERO
    activate_price: Decimal = ZERO
    callback_rate: Decimal = ZERO
    working_type: WorkingType = WorkingType.CONTRACT_PRICE
    price_protect: bool = False
    price_match: str = "NONE"
    self_trade_prevention: str = "EXPIRE_MAKER"
    good_till_ms: int = 0
    algo_id: int = 0

    @property
    def leaves_quantity(self) -> Decimal:
        return self.quantity - self.executed_quantity

    @property
    def average_price(self) -> Decimal:
        """Quantity-weighted price of the fills (28 significant digits), 0 before the first."""
        return self.cum_quote / self.executed_quantity if self.executed_quantity else ZERO

    @property
    def is_open(self) -> bool:
        return not self.status.is_terminal


class AlgoOrder(Struct):
    """A conditional order (id space of `algoId`).

    With `close_position` the quantity is 0: it closes whatever is there when it triggers.
    `extreme_price` is a trailing order's best price so far, 0 before activation; `actual_*` describe the plain
    order that the trigger made (`actual_order_id` 0 before). `reject_reason` is set with status REJECTED.
    """

    algo_id: int
    client_algo_id: str
    symbol: str
    side: Side
    type: OrderType
    position_side: PositionSide
    time_in_force: TimeInForce
    quantity: Decimal
    price: Decimal
    trigger_price: Decimal
    working_type: WorkingType
    close_position: bool
    price_protect: bool
    reduce_only: bool
    create_time_ms: int
    update_time_ms: int
    status: AlgoStatus = AlgoStatus.NEW
    activate_price: Decimal = ZERO
    callback_rate: Decimal = ZERO
    is_activated: bool = False
    extreme_price: Decimal = ZERO
    price_match: str = "NONE"
    self_trade_prevention: str = "EXPIRE_MAKER"
    good_till_ms: int = 0
    trigger_time_ms: int = 0
    actual_order_id: int = 0
    actual_price: Decimal = ZERO
    actual_quantity: Decimal = ZERO
    actual_type: str = ""
    reject_reason: str = ""

    @property
    def is_open(self) -> bool:
        return not self.status.is_terminal

    @property
    def is_position_bound(self) -> bool:
        """Whether it dies with its position: closePosition orders and time in force GTE_GTC."""
        return self.close_position or self.time_in_force is TimeInForce.GTE_GTC


class Trade(Struct, frozen=True):
    """One fill of one of our orders. `realised_pnl` is before fees; `commission` is positive when paid."""

    trade_id: int
    order_id: int
    symbol: str
    side: Side
    position_side: PositionSide
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    realised_pnl: Decimal
    commission: Decimal
    commission_asset: str
    is_maker: bool
    time_ms: int


class Income(Struct, frozen=True):
    """One ledger row: `income` is signed from the account's point of view. `trade_id` 0 where none belongs."""

    tran_id: int
    symbol: str
    income_type: str
    income: Decimal
    asset: str
    info: str
    trade_id: int
    time_ms: int
