"""The trade book: every trade that may still act, the recently finished ones, and whom a report belongs to."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator

from core.enums import OrderService, OrderType, PositionSide
from core.ids import ClientOrderId
from core.orders import FillReport, OrderReport
from executor.standing import standing
from executor.tracked import TrackedOrder
from executor.trade import Trade

SEEN_MAX = 5_000
_NEVER = 1 << 62
_NONE: dict[int, Trade] = {}

Owner = tuple[Trade, TrackedOrder | None]


class Book:
    """Trades by intent, symbol, client order id and venue order id; trade ids that are booked already.

    `recent_max` finished trades are remembered.
    """

    def __init__(self, recent_max: int) -> None:
        self._recent_max = recent_max
        self.active: dict[int, Trade] = {}
        self._recent: OrderedDict[int, Trade] = OrderedDict()
        self._by_symbol: dict[str, dict[int, Trade]] = {}
        self._by_client: dict[str, tuple[Trade, TrackedOrder]] = {}
        self._by_venue: dict[tuple[str, int], tuple[Trade, TrackedOrder]] = {}
        self._seen: defaultdict[str, OrderedDict[int, None]] = defaultdict(OrderedDict)
        self.unexplained: dict[int, Trade] = {}
        """Trades, open or over, with corrections that no real fill has explained yet."""
        self.oldest_ms = _NEVER
        """Venue time before which none of the trades seen so far was decided: no fill from before it is of one."""

    # --- trades -------------------------------------------------------------------------------------------------

    def add(self, trade: Trade) -> None:
        self.active[trade.intent_id] = trade
        self.oldest_ms = min(self.oldest_ms, trade.created_time_ms)
        self._by_symbol.setdefault(trade.symbol, {})[trade.intent_id] = trade
        for order in trade.orders.values():
            self.add_order(trade, order)
        for fill in trade.fills:
            self.mark_seen(fill.symbol, fill.trade_id)
        if standing(trade):
            self.unexplained[trade.intent_id] = trade

    def add_order(self, trade: Trade, order: TrackedOrder) -> None:
        trade.orders[order.client_order_id] = order
        if order.executed:  # a new one adds nothing to the trade's totals
            trade.recount()
        self._by_client[order.client_order_id] = (trade, order)
        self.link(trade, order)

    def link(self, trade: Trade, order: TrackedOrder) -> None:
        """Index the order by its venue order id, once that is known."""
        if order.venue_order_id is not None:
            self._by_venue[order.symbol, order.venue_order_id] = (trade, order)

    def unlink(self, symbol: str, venue_order_id: int) -> None:
        """Forget whose a venue order id was thought to be."""
        self._by_venue.pop((symbol, venue_order_id), None)

    def retire(self, trade: Trade) -> None:
        """Move a finished trade to the recent ones, where late reports still find it; the oldest are forgotten."""
        self.active.pop(trade.intent_id, None)
        if trade.symbol in self._by_symbol:
            self._by_symbol[trade.symbol].pop(trade.intent_id, None)
        self._recent[trade.intent_id] = trade
        while len(self._recent) > self._recent_max:
            _, old = self._recent.popitem(last=False)
            for order in old.orders.values():
                self._by_client.pop(order.client_order_id, None)
                if order.venue_order_id is not None:
                    self._by_venue.pop((order.symbol, order.venue_order_id), None)

    def revive(self, trade: Trade) -> None:
        """Bring a finished trade back: something happened to it after all."""
        self._recent.pop(trade.intent_id, None)
        self.add(trade)

    def on(self, symbol: str) -> Iterable[Trade]:
        """Return a view of the active trades of a symbol, oldest first, for a caller that changes none of them."""
        return (self._by_symbol.get(symbol) or _NONE).values()

    def of_symbol(self, symbol: str) -> list[Trade]:
        """Return the active trades of a symbol, oldest first."""
        trades = self._by_symbol.get(symbol)
        return list(trades.values()) if trades else []

    def open_on(self, symbol: str, position_side: PositionSide) -> Trade | None:
        """Return the active trade that holds or may hold this position leg, preferring one with open quantity."""
        found = None
        for trade in self.on(symbol):
            if trade.position_side is position_side and not trade.is_over:
                if trade.leaves > 0:
                    return trade
                found = found or trade
        return found

    def symbols(self) -> set[str]:
        """Return the symbols of active trades."""
        return {trade.symbol for trade in self.active.values()}

    def recent(self) -> Iterator[Trade]:
        return reversed(self._recent.values())

    def by_intent(self, intent_id: int) -> Trade | None:
        return self.active.get(intent_id) or self._recent.get(intent_id)

    # --- owners -------------------------------------------------------------------------------------------------

    def by_client_id(self, client_order_id: str) -> tuple[Trade, TrackedOrder] | None:
        return self._by_client.get(client_order_id)

    def owner_of_report(self, report: OrderReport) -> tuple[Trade, TrackedOrder] | None:
        """Return the order that a plain report is about: by client id, venue id, or as a trigger's plain order.

        The plain order that a conditional order makes may carry a foreign client id, and may be told before the
        algo report that links the two.
        """
        owner = self._by_client.get(report.client_order_id)
        owner = owner or self._by_venue.get((report.symbol, report.venue_order_id))
        if owner is not None or not report.close_position or ClientOrderId.parse(report.client_order_id) is not None:
            return owner
        kinds = {report.original_type, report.type} & {OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET}
        for trade in self.of_symbol(report.symbol):
            for order in trade.orders.values():
                is_candidate = order.service is OrderService.ALGO and order.venue_order_id is None
                if is_candidate and order.type in kinds and order.position_side is report.position_side:
                    return trade, order
        return None

    def owner_of_fill(self, fill: FillReport) -> tuple[Trade, TrackedOrder] | None:
        owner = self._by_client.get(fill.client_order_id) if fill.client_order_id else None
        return owner or self._by_venue.get((fill.symbol, fill.venue_order_id))

    # --- trade ids ----------------------------------------------------------------------------------------------

    def is_seen(self, symbol: str, trade_id: int) -> bool:
        return trade_id in self._seen.get(symbol, ())

    def unseen(self, fills: Iterable[FillReport]) -> Iterator[FillReport]:
        """Yield those that are not booked when their turn comes; nearly all of a list that is read again are."""
        seen = self._seen
        return (fill for fill in fills if fill.trade_id not in seen[fill.symbol])

    def mark_seen(self, symbol: str, trade_id: int) -> None:
        """Remember a booked trade id. The oldest are forgotten: read again, they are older than any open trade."""
        seen = self._seen[symbol]
        seen[trade_id] = None
        if len(seen) > SEEN_MAX:
            seen.popitem(last=False)
