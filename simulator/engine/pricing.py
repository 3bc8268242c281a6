"""Prices that an order does not name itself: priceMatch, and the assumed price of a market order."""

from __future__ import annotations

from decimal import Decimal

from core.enums import Side
from simulator.engine.errors import ApiError
from simulator.engine.port import MarketPort

PRICE_MATCHES = {
    "OPPONENT": (True, 1),
    "OPPONENT_5": (True, 5),
    "QUEUE": (False, 1),
    "QUEUE_5": (False, 5),
    "QUEUE_10": (False, 10),
    "QUEUE_20": (False, 20),
}
"""Name to (counter side?, level): OPPONENT_10 and _20 are switched off."""
_BUY_MARGIN = Decimal("1.0005")


def check_price_match(price_match: str) -> None:
    if price_match not in PRICE_MATCHES:
        raise ApiError(-5037, "Invalid price match.")


def matched_price(market: MarketPort, symbol: str, side: Side, price_match: str) -> Decimal:
    """Return the book price that `price_match` stands for; raises -5037 unknown, -5041 no such level."""
    check_price_match(price_match)
    is_counter, level = PRICE_MATCHES[price_match]
    bids, asks = market.depth(symbol, max(level, 5))
    levels = asks if (side is Side.BUY) is is_counter else bids
    if len(levels) < level:
        raise ApiError(-5041, "The price match only supports order types with available BBO.")
    return levels[level - 1][0]


def assumed_market_price(market: MarketPort, symbol: str, side: Side) -> Decimal:
    """Return the price at which the margin of a market order is reckoned.

    A buy: best ask x 1.0005, or the mark price if that is higher. A sell: the higher of best bid and mark price.
    The mark price alone where that side of the book is empty. The venue's own rule is not published; this is the
    older text's.
    """
    bids, asks = market.depth(symbol, 5)
    levels = asks if side is Side.BUY else bids
    best = levels[0][0] if levels else Decimal(0)
    assumed = best * _BUY_MARGIN if side is Side.BUY else best
    mark = market.mark_price(symbol)
    return mark if mark >= assumed else assumed
