"""The contract's filters, with the venue's codes and texts (protocol section 9). Pure checks that raise ApiError."""

from __future__ import annotations

from decimal import Decimal

from core.enums import Side, SymbolStatus
from core.instrument import Instrument, plain
from simulator.engine.errors import ApiError

_TRADING = SymbolStatus.TRADING
PRECISION = ApiError(-1111, "Precision is over the maximum defined for this asset.")


def check_status(instrument: Instrument, *, is_reducing: bool) -> None:
    """Only TRADING opens positions (-4140); a closed contract takes nothing (-4141), a pending one neither (-1122)."""
    if instrument.status is _TRADING:
        return
    if instrument.status in (SymbolStatus.CLOSE, SymbolStatus.DELIVERED):
        raise ApiError(-4141, "Symbol is closed.")
    if instrument.status is SymbolStatus.PENDING_TRADING:
        raise ApiError(-1122, "Invalid symbol status.")
    if not is_reducing:
        raise ApiError(-4140, "Invalid symbol status for opening position.")


def check_quantity(instrument: Instrument, quantity: Decimal, *, is_market: bool) -> None:
    """LOT_SIZE, or MARKET_LOT_SIZE for market orders."""
    if quantity <= 0:
        raise ApiError(-4003, "Quantity less than or equal to zero.")
    if _is_finer(quantity, instrument.quantity_precision):
        raise ApiError(PRECISION.code, PRECISION.message)
    smallest = instrument.market_min_quantity if is_market else instrument.min_quantity
    largest = instrument.market_max_quantity if is_market else instrument.max_quantity
    step = instrument.market_step_size if is_market else instrument.step_size
    if quantity < smallest:
        raise ApiError(-4004, "Quantity less than min quantity.")
    if quantity > largest:
        raise ApiError(-4005, "Quantity greater than max quantity.")
    if (quantity - smallest) % step != 0:
        raise ApiError(-4023, "Quantity not increased by step size.")


def check_price(instrument: Instrument, price: Decimal) -> None:
    """PRICE_FILTER for a limit price."""
    if price <= 0:
        raise ApiError(-4001, "Price less than 0.")
    if price > instrument.max_price:
        raise ApiError(-4002, "Price greater than max price.")
    _check_tick(instrument, price)


def check_trigger_price(instrument: Instrument, price: Decimal) -> None:
    """PRICE_FILTER for a trigger or activation price."""
    if price <= 0:
        raise ApiError(-4006, "Stop price less than zero.")
    if price > instrument.max_price:
        raise ApiError(-4007, "Stop price greater than max price.")
    _check_tick(instrument, price)


def _check_tick(instrument: Instrument, price: Decimal) -> None:
    if _is_finer(price, instrument.price_precision):
        raise ApiError(PRECISION.code, PRECISION.message)
    if price < instrument.min_price:
        raise ApiError(-4013, "Price less than min price.")
    if (price - instrument.min_price) % instrument.tick_size != 0:
        raise ApiError(-4014, "Price not increased by tick size.")


def check_percent_price(instrument: Instrument, side: Side, price: Decimal, mark_price: Decimal) -> None:
    """PERCENT_PRICE: a buy not too far above the mark price, a sell not too far below."""
    if side is Side.BUY and price > (highest := mark_price * instrument.multiplier_up):
        raise ApiError(-4016, f"Limit price can't be higher than {_on_tick(instrument, highest)}.")
    if side is Side.SELL and price < (lowest := mark_price * instrument.multiplier_down):
        raise ApiError(-4024, f"Limit price can't be lower than {_on_tick(instrument, lowest)}.")


def check_price_around_trigger(instrument: Instrument, side: Side, price: Decimal, trigger: Decimal) -> None:
    """PERCENT_PRICE of a conditional limit order: measured from its trigger price, not from the mark price."""
    if side is Side.BUY and price > (highest := trigger * instrument.multiplier_up):
        text = f"Limit price can't be higher than {_on_tick(instrument, highest)}."
        raise ApiError(-4183, f"Price is higher than stop price multiplier cap. {text}")
    if side is Side.SELL and price < (lowest := trigger * instrument.multiplier_down):
        text = f"Limit price can't be lower than {_on_tick(instrument, lowest)}."
        raise ApiError(-4184, f"Price is lower than stop price multiplier floor. {text}")


def check_notional(instrument: Instrument, notional: Decimal) -> None:
    """MIN_NOTIONAL; the caller leaves out reducing orders, which are exempt."""
    if notional < instrument.min_notional:
        text = f"Order's notional must be no smaller than {plain(instrument.min_notional)}"
        raise ApiError(-4164, f"{text} (unless you choose reduce only).")


def market_bounds(instrument: Instrument, mark_price: Decimal) -> tuple[Decimal, Decimal]:
    """Return the lowest and highest price at which a market order may execute (marketTakeBound)."""
    reach = mark_price * instrument.market_take_bound
    return mark_price - reach, mark_price + reach


def _on_tick(instrument: Instrument, price: Decimal) -> str:
    return plain(price - price % instrument.tick_size)


def _is_finer(value: Decimal, decimals: int) -> bool:
    """Whether a value has digits beyond so many decimals; trailing zeros are none."""
    shifted = value.scaleb(decimals)
    return shifted != shifted.to_integral_value()
