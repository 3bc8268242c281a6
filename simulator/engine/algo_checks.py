"""Validation of conditional orders: what a request must and must not carry, and the filters for it."""

from __future__ import annotations

from decimal import Decimal

from core.enums import OrderType, Side, TimeInForce, WorkingType
from simulator.engine.context import Context
from simulator.engine.desk import triggers_on_rise
from simulator.engine.errors import ApiError, missing_parameter, unwanted_parameter
from simulator.engine.filters import (
    check_notional,
    check_price,
    check_price_around_trigger,
    check_quantity,
    check_trigger_price,
)
from simulator.engine.identity import check_client_id
from simulator.engine.intake import check_self_trade_mode, closable, closes_leg
from simulator.engine.orders import ZERO, AlgoOrder
from simulator.engine.pricing import check_price_match
from simulator.engine.requests import PlaceAlgo

_TRAILING, _MARK_PRICE = OrderType.TRAILING_STOP_MARKET, WorkingType.MARK_PRICE
LIMIT_TYPES = (OrderType.STOP, OrderType.TAKE_PROFIT)
MARKET_TYPES = (OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET)
CONDITIONAL_TYPES = (*LIMIT_TYPES, *MARKET_TYPES, OrderType.TRAILING_STOP_MARKET)
_LIVES = (TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTX, TimeInForce.GTE_GTC)
_CALLBACK_MIN, _CALLBACK_MAX = Decimal("0.1"), Decimal(10)


def check_parameters(request: PlaceAlgo) -> None:
    """Raise ApiError for anything missing, unwanted or malformed in itself."""
    if request.algo_type != "CONDITIONAL":
        raise ApiError(-1130, "Data sent for parameter 'algoType' is not valid.")
    if request.type not in CONDITIONAL_TYPES:
        raise ApiError(-1116, "Invalid orderType.")
    if request.time_in_force is not None and request.time_in_force not in _LIVES:
        raise ApiError(-1115, "Invalid timeInForce.")
    _check_close_position(request)
    if not request.close_position and request.quantity is None:
        raise missing_parameter("quantity")
    if request.type is _TRAILING:
        _check_trailing(request)
    elif request.trigger_price is None:
        raise missing_parameter("triggerPrice")
    _check_limit_price(request)
    check_client_id(request.client_algo_id)
    check_self_trade_mode(request.self_trade_prevention)


def _check_close_position(request: PlaceAlgo) -> None:
    if not request.close_position:
        return
    if request.type not in MARKET_TYPES:
        text = f"Target strategy invalid for orderType {request.type}, closePosition true."
        raise ApiError(-4136, text)
    if request.quantity is not None:
        raise ApiError(-4137, "Quantity must be zero with closePosition equals true.")
    if request.reduce_only is not None:
        raise unwanted_parameter("reduceOnly")


def _check_trailing(request: PlaceAlgo) -> None:
    if request.callback_rate is None:
        raise missing_parameter("callbackRate")
    if not _CALLBACK_MIN <= request.callback_rate <= _CALLBACK_MAX:
        raise ApiError(-2007, "Invalid callBack rate.")
    if request.activate_price is not None and request.activate_price <= 0:
        raise ApiError(-4135, "Invalid activation price.")


def _check_limit_price(request: PlaceAlgo) -> None:
    matches = request.price_match not in (None, "NONE")
    if request.type not in LIMIT_TYPES:
        if request.price is not None:
            raise unwanted_parameter("price")
        if matches:
            raise ApiError(-5038, "The price match is not supported for this order type.")
    elif matches:
        check_price_match(request.price_match or "")
        if request.price is not None:
            raise unwanted_parameter("price")
    elif request.price is None:
        raise missing_parameter("price")


def check_leg(request: PlaceAlgo, *, is_hedge: bool) -> None:
    """In hedge mode closePosition must close: BUY of LONG and SELL of SHORT are refused (-1106)."""
    if is_hedge and request.close_position and not closes_leg(request.side, request.position_side):
        raise unwanted_parameter("closePosition")


def check_filters(context: Context, request: PlaceAlgo, *, is_reducing: bool) -> None:
    """Trigger, price, quantity and notional; orders that only reduce are exempt from the notional."""
    instrument = context.spec(request.symbol).instrument
    reference = request.trigger_price if request.trigger_price is not None else request.activate_price
    if reference is not None:
        check_trigger_price(instrument, reference)
    if request.price is not None:
        check_price(instrument, request.price)
        if request.trigger_price is not None:
            check_price_around_trigger(instrument, request.side, request.price, request.trigger_price)
    if request.quantity is not None:
        check_quantity(instrument, request.quantity, is_market=request.type not in LIMIT_TYPES)
        if not is_reducing:
            price = request.price or reference or context.market.last_price(request.symbol)
            check_notional(instrument, request.quantity * price)


def check_bound(context: Context, order: AlgoOrder) -> None:
    """A position-bound order needs its position (-4509); one closePosition a type and direction (-4130)."""
    if not order.is_position_bound:
        return
    if closable(context, order.symbol, order.side, order.position_side) == ZERO:
        text = (
            "Time in Force (TIF) GTE can only be used with open positions. Please ensure that positions are available."
        )
        raise ApiError(-4509, text)
    desk = context.desks.get(order.symbol)
    for other in desk.open_algos.values() if desk is not None and order.close_position else ():
        if other.close_position and _same_direction(other, order):
            text = "An open stop or take profit order with GTE and closePosition in the direction is existing."
            raise ApiError(-4130, text)


def _same_direction(first: AlgoOrder, second: AlgoOrder) -> bool:
    return first.type is second.type and first.side is second.side and first.position_side is second.position_side


def check_not_reached(context: Context, order: AlgoOrder) -> None:
    """A trigger that is true already is refused (-2021), and a trailing activation on the wrong side too."""
    price = watched_price(context, order)
    if order.type is _TRAILING:
        wrong = order.activate_price >= price if order.side is Side.BUY else order.activate_price <= price
        is_refused = bool(order.activate_price) and wrong
    else:
        is_refused = is_reached(order, price)
    if is_refused:
        raise ApiError(-2021, "Order would immediately trigger.")


def watched_price(context: Context, order: AlgoOrder) -> Decimal:
    """Return the price that the order's trigger is compared with: mark or last."""
    is_mark = order.working_type is _MARK_PRICE
    return context.mark(order.symbol) if is_mark else context.market.last_price(order.symbol)


def is_reached(order: AlgoOrder, price: Decimal) -> bool:
    """Whether `price` touches or passes the trigger."""
    if triggers_on_rise(order.type, order.side):
        return price >= order.trigger_price
    return price <= order.trigger_price
