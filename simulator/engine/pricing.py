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


def matched_price(market: MarketPort, symbol: str, side: Side, price_match: str) -> Decimal:
    """Return the book price that `price_match` stands for; raises -5037 unknown, -5041 no such level."""
    found = PRICE_MATCHES.get(price_match)
    if found is None:
        raise ApiError(-5037, "Invalid price match.")
    is_counter, level = found
    bids, asks = market.depth(symbol, max(level, 5))
    levels = asks if (side is Side.BUY) is is_counter else bids
    if len(levels) < level:
        raise ApiError(-5041, "The price match only supports order types with available BBO.")
    return levels[level - 1][0]


def assumed_market_price(market: MarketPort, symbol: str, side: Side) -> Decimal:
    """Return the price at which the margin of a market order is reckoned.

    A buy: best ask x 1.0005, or the mark price if that is higher. A sell: the higher of best bid and mark price.
    The venue's own rule is not published; this is the older text's.
    """
    mark = market.mark_price(symbol)
    if side is Side.BUY:
        return max(mark, market.best_ask(symbol) * _BUY_MARGIN)
    return max(mark, market.best_bid(symbol))
