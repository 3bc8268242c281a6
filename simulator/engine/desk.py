"""One symbol's live orders, kept so that a market trade costs a few comparisons.

A desk holds references to the rows of `state.py`; it is derived and can be rebuilt from them at any time.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from decimal import Decimal

from core.enums import AlgoStatus, OrderType, Side, WorkingType
from simulator.engine.orders import ZERO, AlgoOrder, PlainOrder
from simulator.engine.port import SpecLike

_STOPS = frozenset({OrderType.STOP, OrderType.STOP_MARKET})
_BUY, _MARK, _NEW = Side.BUY, WorkingType.MARK_PRICE, AlgoStatus.NEW
_TRAILING = OrderType.TRAILING_STOP_MARKET
Entry = tuple[Decimal, int]
"""(sort key, id): the key is the price, negated where the highest comes first."""


class Triggers:
    """Conditional orders waiting on one price (last or mark), in the order in which that price reaches them."""

    __slots__ = ("falling", "rising")

    def __init__(self) -> None:
        self.rising: list[Entry] = []
        self.falling: list[Entry] = []

    def reached(self, price: Decimal) -> list[int]:
        """Return the ids of all orders whose trigger `price` touches or passes."""
        hits: list[int] = []
        for key, algo_id in self.rising:
            if key > price:
                break
            hits.append(algo_id)
        for key, algo_id in self.falling:
            if -key < price:
                break
            hits.append(algo_id)
        return hits


class SymbolDesk:
    """Resting plain orders by price-time priority, conditional orders by trigger, and the liquidation band.

    `band_low` and `band_high` enclose the mark prices at which no liquidation or margin call can be due; both are
    None while the symbol has no position. Notionals count the resting orders that could open a position.
    """

    __slots__ = (
        "ask_notional",
        "band_high",
        "band_low",
        "bid_notional",
        "buys",
        "last_triggers",
        "mark_triggers",
        "open_algos",
        "open_orders",
        "sells",
        "spec",
        "symbol",
        "trailing",
    )

    def __init__(self, symbol: str, spec: SpecLike) -> None:
        self.symbol = symbol
        self.spec = spec
        self.open_orders: dict[int, PlainOrder] = {}
        self.open_algos: dict[int, AlgoOrder] = {}
        self.buys: list[Entry] = []
        self.sells: list[Entry] = []
        self.last_triggers = Triggers()
        self.mark_triggers = Triggers()
        self.trailing: dict[int, AlgoOrder] = {}
        self.band_low: Decimal | None = None
        self.band_high: Decimal | None = None
        self.bid_notional = ZERO
        self.ask_notional = ZERO

    @property
    def is_idle(self) -> bool:
        """Whether market trades cannot matter here: no order, no conditional, no position."""
        return not self.open_orders and not self.open_algos and self.band_low is None

    def rest(self, order: PlainOrder) -> None:
        """Put a limit order into the book."""
        self.open_orders[order.order_id] = order
        insort(self._side(order), _entry(order))
        self._count(order, order.leaves_quantity)

    def remove(self, order: PlainOrder) -> None:
        """Take an order out of the book, with its remaining quantity."""
        del self.open_orders[order.order_id]
        _discard(self._side(order), _entry(order))
        self._count(order, -order.leaves_quantity)

    def note_fill(self, order: PlainOrder, quantity: Decimal) -> None:
        """A resting order gave `quantity`: call before its row is changed."""
        self._count(order, -quantity)

    def watch(self, algo: AlgoOrder) -> None:
        """Wait for a conditional order's trigger."""
        self.open_algos[algo.algo_id] = algo
        if algo.type is _TRAILING:
            self.trailing[algo.algo_id] = algo
        else:
            side, entry = self._trigger(algo)
            insort(side, entry)

    def unwatch(self, algo: AlgoOrder) -> None:
        """Stop waiting for the trigger; the order stays open until `close_algo`."""
        if algo.type is _TRAILING:
            self.trailing.pop(algo.algo_id, None)
        else:
            side, entry = self._trigger(algo)
            _discard(side, entry)

    def close_algo(self, algo: AlgoOrder) -> None:
        """Let go of a conditional order that ends; call before its row is changed. A triggered one waits no more."""
        if algo.status is _NEW:
            self.unwatch(algo)
        self.open_algos.pop(algo.algo_id, None)

    def crossing(self, side: Side, price: Decimal) -> list[PlainOrder]:
        """Return own resting orders opposite to `side` at `price` or better, best first."""
        book = self.sells if side is Side.BUY else self.buys
        limit = price if side is Side.BUY else -price
        return [self.open_orders[order_id] for key, order_id in book if key <= limit]

    def _side(self, order: PlainOrder) -> list[Entry]:
        return self.buys if order.side is Side.BUY else self.sells

    def _count(self, order: PlainOrder, quantity: Decimal) -> None:
        if order.reduce_only:
            return
        if order.side is Side.BUY:
            self.bid_notional += order.price * quantity
        else:
            self.ask_notional += order.price * quantity

    def _trigger(self, algo: AlgoOrder) -> tuple[list[Entry], Entry]:
        triggers = self.mark_triggers if algo.working_type is _MARK else self.last_triggers
        if triggers_on_rise(algo.type, algo.side):
            return triggers.rising, (algo.trigger_price, algo.algo_id)
        return triggers.falling, (-algo.trigger_price, algo.algo_id)


def triggers_on_rise(order_type: OrderType, side: Side) -> bool:
    """Whether the trigger is reached from below: buy stops and sell take-profits (protocol section 5)."""
    return (order_type in _STOPS) is (side is _BUY)


def _entry(order: PlainOrder) -> Entry:
    return (-order.price if order.side is Side.BUY else order.price), order.order_id


def _discard(entries: list[Entry], entry: Entry) -> None:
    at = bisect_left(entries, entry)
    if at < len(entries) and entries[at] == entry:
        del entries[at]
