"""Checks that plain and conditional orders share: parameters, position mode, reduce-only room."""

from __future__ import annotations

from decimal import Decimal

from core.enums import PositionSide, Side
from simulator.engine.context import Context
from simulator.engine.errors import ApiError, unwanted_parameter
from simulator.engine.orders import ZERO, PlainOrder

_CLOSING_SIDE = {PositionSide.LONG: Side.SELL, PositionSide.SHORT: Side.BUY}
_BOTH = PositionSide.BOTH
SELF_TRADE_MODES = ("EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")


def check_self_trade_mode(mode: str | None) -> None:
    if mode is not None and mode not in SELF_TRADE_MODES:
        raise ApiError(-5039, "Invalid self trade prevention mode.")


def check_mode(context: Context, position_side: PositionSide, reduce_only: bool | None) -> None:
    """The position side must fit the account's mode (-4061); hedge mode takes no reduceOnly (-1106)."""
    is_hedge = context.state.settings.is_hedge_mode
    if is_hedge is (position_side is _BOTH):
        raise ApiError(-4061, "Order's position side does not match user's setting.")
    if is_hedge and reduce_only is not None:
        raise unwanted_parameter("reduceOnly")


def closes_leg(side: Side, position_side: PositionSide) -> bool:
    """Whether an order of a hedge leg can only shrink it: SELL of LONG, BUY of SHORT."""
    return _CLOSING_SIDE.get(position_side) is side


def closable(context: Context, symbol: str, side: Side, position_side: PositionSide) -> Decimal:
    """Return how much of the position an order of `side` would close at most, resting orders left aside."""
    position = context.state.positions.get((symbol, position_side))
    return abs(position.quantity) if position is not None and position.quantity * side.sign < 0 else ZERO


def resting_reductions(context: Context, symbol: str, side: Side, position_side: PositionSide) -> list[PlainOrder]:
    """Return the open reduce-only orders of that side and leg, oldest first."""
    desk = context.desks.get(symbol)
    if desk is None:
        return []
    orders = desk.open_orders.values()
    return [
        order for order in orders if order.reduce_only and (order.side, order.position_side) == (side, position_side)
    ]


def check_reduction(context: Context, order: PlainOrder) -> None:
    """A reduce-only order needs a position to shrink (-2022) that other orders do not already claim (-4118).

    One that is larger than the position is accepted where nothing else rests: it fills up to the position and the
    rest expires. A closePosition order takes precedence over whatever rests.
    """
    room = closable(context, order.symbol, order.side, order.position_side)
    if room == 0:
        raise ApiError(-2022, "ReduceOnly Order is rejected.")
    if order.close_position:
        return
    resting = resting_reductions(context, order.symbol, order.side, order.position_side)
    claimed = sum((other.leaves_quantity for other in resting), ZERO)
    if claimed and claimed + order.quantity > room:
        text = "ReduceOnly Order Failed. Please check your existing position and open orders."
        raise ApiError(-4118, text)
