"""Matching against the market: takers walk its book, resting orders wait for it to trade through them.

Assumptions (see docs): own orders do not move the market and are not in its book; a resting order fills only when
the market trades strictly beyond its price, at its own price, and no more than the volume of that trade, which own
orders share by price and time; a taker gets one fill a level.
"""

from __future__ import annotations

from decimal import Decimal

from core.enums import OrderStatus, OrderType, Side, TimeInForce
from simulator.engine.context import Context
from simulator.engine.desk import SymbolDesk
from simulator.engine.errors import ApiError
from simulator.engine.events import (
    DISPLACED_REDUCE_ONLY,
    IOC_REMAINDER,
    MARKET_REMAINDER,
    NO_REASON,
    SELF_TRADE,
)
from simulator.engine.filters import market_bounds
from simulator.engine.ledger import Ledger
from simulator.engine.orders import ZERO, PlainOrder
from simulator.engine.port import Levels

_ANY_PRICE = Decimal("Infinity")
_BUY, _MARKET = Side.BUY, OrderType.MARKET
DEPTH_STEPS = (20, 100, 1000)
"""How many levels are asked for: more only when an order is larger than what the first ones hold."""


class Matching:
    def __init__(self, context: Context, ledger: Ledger) -> None:
        self._context = context
        self._ledger = ledger

    def check_takeable(self, order: PlainOrder) -> None:
        """Refuse what could not execute as asked, before the order exists.

        -5022 a post-only order that would take, -5021 FOK that cannot fill at once, -1112 no book, -4131 a market
        order whose best counter-price is out of bounds.
        """
        best = self._best(order)
        if order.type is _MARKET:
            if best is None:
                raise ApiError(-1112, "No orders on book for symbol.")
            low, high = self._bounds(order)
            if not low <= best <= high:
                text = "The counterparty's best price does not meet the PERCENT_PRICE filter limit."
                raise ApiError(-4131, text)
        elif order.time_in_force is TimeInForce.GTX:
            if best is not None and _reaches(order, best):
                text = "Due to the order could not be executed as maker, the Post Only order will be rejected."
                raise ApiError(-5022, f"{text} The order will not be recorded in the order history.")
        elif order.time_in_force is TimeInForce.FOK:
            levels = self._takeable(order, order.quantity)
            if sum((quantity for _, quantity in levels), ZERO) < order.quantity:
                text = "Due to the order could not be filled immediately, the FOK order has been rejected."
                raise ApiError(-5021, f"{text} The order will not be recorded in the order history.")

    def execute(self, order: PlainOrder) -> None:
        """Match a new order against the book, then rest or expire what remains of it."""
        if not self._prevent_self_trade(order):
            return
        self._take(order)
        if order.status is OrderStatus.FILLED:
            self._context.order_closed(order)
        elif self._fillable(order) <= 0:
            self.finish(order, OrderStatus.EXPIRED, "EXPIRED", DISPLACED_REDUCE_ONLY)
        elif order.type is OrderType.MARKET:
            self.finish(order, OrderStatus.EXPIRED, "EXPIRED", MARKET_REMAINDER)
        elif order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
            self.finish(order, OrderStatus.EXPIRED, "EXPIRED", IOC_REMAINDER)
        else:
            self._context.desk(order.symbol).rest(order)

    def trade_through(self, desk: SymbolDesk, price: Decimal, volume: Decimal) -> None:
        """A market trade happened at `price`: fill the resting orders strictly beyond it, while volume lasts.

        Settling after each fill keeps resting reduce-only orders within the position, so each can still fill.
        """
        while volume > 0:
            order = self._next_through(desk, price)
            if order is None:
                return
            quantity = min(self._fillable(order), volume)
            volume -= quantity
            self._ledger.fill(order, order.price, quantity, is_maker=True)
            if order.status is OrderStatus.FILLED:
                desk.remove(order)
                self._context.order_closed(order)
            self._context.settle()

    def finish(self, order: PlainOrder, status: OrderStatus, execution_type: str, reason: int = NO_REASON) -> None:
        """End an order that did not fill completely, resting or not, and tell of it."""
        desk = self._context.desks.get(order.symbol)
        if desk is not None and order.order_id in desk.open_orders:
            desk.remove(order)
        order.status = status
        order.update_time_ms = self._context.now_ms
        self._context.state.touch(order)
        self._ledger.tell_order(order, execution_type, reason=reason)
        self._context.order_closed(order)

    def _next_through(self, desk: SymbolDesk, price: Decimal) -> PlainOrder | None:
        if desk.buys and -desk.buys[0][0] > price:
            return desk.open_orders[desk.buys[0][1]]
        if desk.sells and desk.sells[0][0] < price:
            return desk.open_orders[desk.sells[0][1]]
        return None

    def _take(self, order: PlainOrder) -> None:
        for price, offered in self._takeable(order, order.quantity):
            quantity = min(offered, self._fillable(order))
            if quantity <= 0:
                return
            self._ledger.fill(order, price, quantity, is_maker=False)

    def _fillable(self, order: PlainOrder) -> Decimal:
        """What may still fill: for reduce-only orders never more than the position that is left."""
        leaves = order.leaves_quantity
        if not order.reduce_only:
            return leaves
        position = self._context.state.position(order.symbol, order.position_side)
        return min(leaves, abs(position.quantity)) if position.quantity * order.side.sign < 0 else ZERO

    def _takeable(self, order: PlainOrder, wanted: Decimal) -> list[tuple[Decimal, Decimal]]:
        """Return the book levels within the order's limit (or the market bounds), enough of them for `wanted`."""
        taken: list[tuple[Decimal, Decimal]] = []
        low, high = self._accepted(order)
        for limit in DEPTH_STEPS:
            levels = self._opposite(order, limit)
            taken = [level for level in levels if low <= level[0] <= high]
            covered = ZERO
            for _, quantity in taken:
                covered += quantity
            if covered >= wanted or len(levels) < limit or len(taken) < len(levels):
                break
        return taken

    def _accepted(self, order: PlainOrder) -> tuple[Decimal, Decimal]:
        """Return the lowest and the highest counter-price that the order takes."""
        if order.type is _MARKET:
            return self._bounds(order)
        return (ZERO, order.price) if order.side is _BUY else (order.price, _ANY_PRICE)

    def _bounds(self, order: PlainOrder) -> tuple[Decimal, Decimal]:
        instrument = self._context.spec(order.symbol).instrument
        return market_bounds(instrument, self._context.mark(order.symbol))

    def _opposite(self, order: PlainOrder, limit: int) -> Levels:
        bids, asks = self._context.market.depth(order.symbol, limit)
        return asks if order.side is _BUY else bids

    def _best(self, order: PlainOrder) -> Decimal | None:
        levels = self._opposite(order, 5)
        return levels[0][0] if levels else None

    def _prevent_self_trade(self, order: PlainOrder) -> bool:
        """Expire own resting orders in the way, or the new one, as its mode says; False if it died of it.

        An own order is in the way where the new one would meet it before the market's best counter-price.
        """
        desk = self._context.desks.get(order.symbol)
        if desk is None or not desk.open_orders:
            return True
        best = self._best(order)
        if best is None:
            return True
        reach = best if order.type is _MARKET or _reaches(order, best) else order.price
        blocking = desk.crossing(order.side, reach)
        if not blocking:
            return True
        if order.self_trade_prevention in ("EXPIRE_MAKER", "EXPIRE_BOTH"):
            for resting in blocking:
                self.finish(resting, OrderStatus.EXPIRED_IN_MATCH, "EXPIRED", SELF_TRADE)
        if order.self_trade_prevention in ("EXPIRE_TAKER", "EXPIRE_BOTH"):
            self.finish(order, OrderStatus.EXPIRED_IN_MATCH, "EXPIRED", SELF_TRADE)
            return False
        return True


def _reaches(order: PlainOrder, price: Decimal) -> bool:
    """Whether a limit order's price meets a counter-price."""
    return order.price >= price if order.side is Side.BUY else order.price <= price
