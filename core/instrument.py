"""The instrument: a contract's rules, and the only place where prices and quantities are rounded."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from functools import lru_cache

from core.enums import SymbolStatus, Word


class Rounding(Word):
    """Direction of a rounding; every call names one."""

    DOWN = ROUND_FLOOR
    UP = ROUND_CEILING
    NEAREST = ROUND_HALF_EVEN


@dataclass(frozen=True, slots=True)
class Instrument:
    """Filters of one USDS-M contract, as read from exchangeInfo.

    Prices are in the quote asset, quantities in the base asset, notionals in the quote asset.
    `multiplier_up` and `multiplier_down` bound limit prices around the mark price;
    `market_take_bound` bounds how far a market order may execute from it (a fraction).
    """

    symbol: str
    base_asset: str
    quote_asset: str
    status: SymbolStatus
    tick_size: Decimal
    min_price: Decimal
    max_price: Decimal
    step_size: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    market_step_size: Decimal
    market_min_quantity: Decimal
    market_max_quantity: Decimal
    min_notional: Decimal
    multiplier_up: Decimal
    multiplier_down: Decimal
    market_take_bound: Decimal
    trigger_protect: Decimal
    max_open_orders: int = 200
    price_precision: int = 8
    quantity_precision: int = 8

    def round_price(self, price: Decimal, rounding: Rounding) -> Decimal:
        """Return `price` on the tick grid, rounded in the named direction."""
        return _to_grid(price, self.tick_size, rounding)

    def round_quantity(self, quantity: Decimal, rounding: Rounding = Rounding.DOWN, *, market: bool = False) -> Decimal:
        """Return `quantity` on the lot grid (the market lot grid when `market`), down by default."""
        step = self.market_step_size if market else self.step_size
        return _to_grid(quantity, step, rounding)

    def is_on_tick(self, price: Decimal) -> bool:
        return price % self.tick_size == 0

    def is_on_step(self, quantity: Decimal, *, market: bool = False) -> bool:
        return quantity % (self.market_step_size if market else self.step_size) == 0


def _to_grid(value: Decimal, grid: Decimal, rounding: Rounding) -> Decimal:
    """Round to a multiple of `grid`, keeping the grid's own exponent (plain notation on the wire)."""
    unit, is_power = _unit(grid)
    if is_power:  # as most grids are: what has no more digits than they are their multiples
        return value.quantize(unit, rounding)
    multiples = (value / grid).to_integral_value(rounding)
    return (multiples * grid).quantize(unit)


@lru_cache(maxsize=1_024)
def _unit(grid: Decimal) -> tuple[Decimal, bool]:
    """Return a number with the exponent of everything on `grid`, and whether the grid is that power of ten."""
    unit = grid.normalize() if grid < 1 else Decimal(1)
    return unit, grid == unit and unit.as_tuple().digits == (1,)


def plain(value: Decimal) -> str:
    """Return `value` as plain decimal text without exponent: the only form that goes on the wire."""
    return format(value, "f")
