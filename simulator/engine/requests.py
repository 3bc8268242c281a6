"""What a client asks for: typed requests, already parsed from the wire. None means "not sent"."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from core.enums import OrderType, PositionSide, Side, TimeInForce, WorkingType


class PlaceOrder(Struct, frozen=True):
    """`POST /fapi/v1/order`. Quantities in base asset, prices in quote asset.

    `type` may be any order type: the conditional ones are refused with -4120. `response_type` ACK answers with
    the order as it was accepted (status NEW), RESULT with what became of it at once.
    """

    symbol: str
    side: Side
    type: OrderType
    position_side: PositionSide = PositionSide.BOTH
    time_in_force: TimeInForce | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    reduce_only: bool | None = None
    client_order_id: str | None = None
    price_match: str | None = None
    self_trade_prevention: str | None = None
    good_till_ms: int | None = None
    response_type: str = "ACK"


class PlaceAlgo(Struct, frozen=True):
    """`POST /fapi/v1/algoOrder`: a conditional order. `callback_rate` is in percent (1 = 1 %)."""

    symbol: str
    side: Side
    type: OrderType
    position_side: PositionSide = PositionSide.BOTH
    time_in_force: TimeInForce | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    working_type: WorkingType = WorkingType.CONTRACT_PRICE
    price_match: str | None = None
    close_position: bool = False
    price_protect: bool = False
    reduce_only: bool | None = None
    activate_price: Decimal | None = None
    callback_rate: Decimal | None = None
    client_algo_id: str | None = None
    self_trade_prevention: str | None = None
    good_till_ms: int | None = None
    algo_type: str = "CONDITIONAL"
