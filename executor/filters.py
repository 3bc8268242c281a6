"""The instrument's filters, and the only maker of `Approved` orders.

Entries are checked and may be denied. Protective and reducing orders are shaped to fit and never denied: an order that
the venue may refuse is better than a position that nobody tried to close.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from core.enums import Direction, Leg, OrderType, PositionMode, PositionSide, Side, TimeInForce, WorkingType
from core.frozen import quick_init
from core.instrument import Instrument, Rounding
from core.orders import AlgoOrderRequest, Approved, OrderRequest
from executor.denials import DenialCode, Denied, denied

_LONG, _UP, _DOWN = Direction.LONG, Rounding.UP, Rounding.DOWN
_ONEWAY, _BOTH = PositionMode.ONEWAY, PositionSide.BOTH
_MARKET, _STOP_MARKET, _TAKE_PROFIT_MARKET = OrderType.MARKET, OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET
_CONTRACT_PRICE = WorkingType.CONTRACT_PRICE
BAND_SHARE = Decimal("0.95")
"""How far into the price band a limit close goes: 4.75 % of the usual 5."""
_LEG_SIDES = {direction: PositionSide(direction.value) for direction in Direction}


@quick_init
@dataclass(frozen=True, slots=True)
class EntryPlan:
    """An entry as the filters see it. `price` is the expected fill, `mark_price` what the venue's bands are around.

    `smallest_exit_fraction` is the smallest part of the quantity that a planned partial exit closes (1: all at once).
    """

    side: Side
    position_side: PositionSide
    quantity: Decimal
    price: Decimal
    mark_price: Decimal
    stop_price: Decimal
    client_order_id: str
    smallest_exit_fraction: Decimal = Decimal(1)


def position_side_for(direction: Direction, mode: PositionMode) -> PositionSide:
    """Return BOTH in one-way mode, the direction in hedge mode."""
    return _BOTH if mode is _ONEWAY else _LEG_SIDES[direction]


def approve_entry(instrument: Instrument, plan: EntryPlan) -> Approved | Denied:
    """Return a market entry on the lot grid (quantity rounded down), or the filter that refuses it."""
    quantity = instrument.round_quantity(
        min(plan.quantity, instrument.market_max_quantity, instrument.max_quantity), market=True
    )
    refusal = (
        _quantity_refusal(instrument, quantity)
        or _notional_refusal(instrument, plan, quantity)
        or _price_refusal(instrument, plan)
    )
    if refusal is not None:
        return refusal
    return Approved(
        OrderRequest(
            instrument.symbol, plan.side, plan.position_side, _MARKET, quantity, plan.client_order_id, Leg.ENTRY
        )
    )


def _quantity_refusal(instrument: Instrument, quantity: Decimal) -> Denied | None:
    smallest = max(instrument.market_min_quantity, instrument.min_quantity)
    if quantity <= 0 or quantity < smallest:
        return denied(DenialCode.QUANTITY_TOO_SMALL, quantity=quantity, min_quantity=smallest)
    return None


def _notional_refusal(instrument: Instrument, plan: EntryPlan, quantity: Decimal) -> Denied | None:
    """Check min notional at the mark price (the venue's own measure for market orders) and at the expected fill.

    Reduce-only exits are exempt at the venue. A hedge-mode exit carries no such flag, and neither does the smaller part
    of a partial exit there, so both must reach the minimum at the stop's price too.
    """
    notional = quantity * min(plan.price, plan.mark_price)
    if notional < instrument.min_notional:
        return denied(DenialCode.NOTIONAL_TOO_SMALL, notional=notional, min_notional=instrument.min_notional)
    part = instrument.round_quantity(quantity * plan.smallest_exit_fraction, market=True)
    if part < instrument.market_min_quantity:
        return denied(DenialCode.QUANTITY_TOO_SMALL, exit_quantity=part, min_quantity=instrument.market_min_quantity)
    if plan.position_side is _BOTH:
        return None
    exit_notional = part * min(plan.price, plan.stop_price)
    if exit_notional < instrument.min_notional:
        return denied(DenialCode.NOTIONAL_TOO_SMALL, exit_notional=exit_notional, min_notional=instrument.min_notional)
    return None


def _price_refusal(instrument: Instrument, plan: EntryPlan) -> Denied | None:
    """Refuse prices outside the instrument's range, and a market that trades too far from its mark."""
    for name, price in (("price", plan.price), ("stop_price", plan.stop_price)):
        if not instrument.min_price <= price <= instrument.max_price:
            numbers = {name: price, "min_price": instrument.min_price, "max_price": instrument.max_price}
            return denied(DenialCode.PRICE_OUT_OF_RANGE, **numbers)
    low = plan.mark_price * max(instrument.multiplier_down, 1 - instrument.market_take_bound)
    high = plan.mark_price * min(instrument.multiplier_up, 1 + instrument.market_take_bound)
    if not low <= plan.price <= high:
        return denied(DenialCode.PRICE_OUT_OF_BAND, price=plan.price, low=low, high=high)
    return None


def stop_trigger_price(instrument: Instrument, price: Decimal, direction: Direction) -> Decimal:
    """Return the stop on the tick grid, rounded towards the entry: the loss is never larger than planned."""
    return _to_entry_side(instrument, price, stop=True, direction=direction)


def target_trigger_price(instrument: Instrument, price: Decimal, direction: Direction) -> Decimal:
    """Return the target on the tick grid, rounded towards the entry: reached no later than planned."""
    return _to_entry_side(instrument, price, stop=False, direction=direction)


def _to_entry_side(instrument: Instrument, price: Decimal, *, stop: bool, direction: Direction) -> Decimal:
    upwards = stop == (direction is _LONG)
    rounded = instrument.round_price(price, _UP if upwards else _DOWN)
    if instrument.min_price <= rounded <= instrument.max_price:
        return rounded
    return min(max(rounded, instrument.min_price), instrument.max_price)


def protective_order(  # noqa: PLR0917
    symbol: str, direction: Direction, position_side: PositionSide, leg: Leg, trigger_price: Decimal, client_id: str
) -> Approved:
    """Return a stop or target that closes whatever is open, triggered by the contract price.

    `closePosition` excludes a quantity and the reduce-only flag, follows partial fills by itself and can never turn
    the position.
    """
    order_type = _STOP_MARKET if leg is Leg.STOP else _TAKE_PROFIT_MARKET
    return Approved(
        AlgoOrderRequest(
            symbol,
            direction.exit_side,
            position_side,
            order_type,
            trigger_price,
            client_id,
            leg,
            close_position=True,
            working_type=_CONTRACT_PRICE,
        )
    )


def market_close(
    instrument: Instrument, direction: Direction, position_side: PositionSide, quantity: Decimal, client_id: str
) -> Approved:
    """Return a market order that reduces the position by at most `quantity` (and the venue's largest market order)."""
    return Approved(
        OrderRequest(
            symbol=instrument.symbol,
            side=direction.exit_side,
            position_side=position_side,
            type=OrderType.MARKET,
            quantity=_close_quantity(instrument, quantity, instrument.market_max_quantity, market=True),
            client_order_id=client_id,
            leg=Leg.CLOSE,
            reduce_only=position_side is PositionSide.BOTH,
        )
    )


def band_close(  # noqa: PLR0917
    instrument: Instrument,
    direction: Direction,
    position_side: PositionSide,
    quantity: Decimal,
    mark_price: Decimal,
    client_id: str,
) -> Approved:
    """Return an immediate-or-cancel limit close just inside the edge of the price band.

    For a market whose book lies outside the band, where the venue refuses market orders (-4131). The mark moves while
    the order is on its way, and with it the band.
    """
    if direction.exit_side is Side.SELL:
        factor = 1 - (1 - instrument.multiplier_down) * BAND_SHARE
        edge = instrument.round_price(mark_price * factor, Rounding.UP)
    else:
        factor = 1 + (instrument.multiplier_up - 1) * BAND_SHARE
        edge = instrument.round_price(mark_price * factor, Rounding.DOWN)
    return Approved(
        OrderRequest(
            symbol=instrument.symbol,
            side=direction.exit_side,
            position_side=position_side,
            type=OrderType.LIMIT,
            quantity=_close_quantity(instrument, quantity, instrument.max_quantity, market=False),
            client_order_id=client_id,
            leg=Leg.CLOSE,
            price=min(max(edge, instrument.min_price), instrument.max_price),
            time_in_force=TimeInForce.IOC,
            reduce_only=position_side is PositionSide.BOTH,
        )
    )


def _close_quantity(instrument: Instrument, quantity: Decimal, largest: Decimal, *, market: bool) -> Decimal:
    """Round down to the lot grid; a remainder below one lot is sent as it is, since nothing else can close it."""
    rounded = instrument.round_quantity(min(quantity, largest), market=market)
    return rounded if rounded > 0 else quantity
