"""What the services of the engine share: market, state, desks, the event list and the present instant."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from core.enums import MarginType
from simulator.engine.config import ExchangeConfig
from simulator.engine.desk import SymbolDesk
from simulator.engine.errors import ApiError
from simulator.engine.events import ExchangeEvent
from simulator.engine.orders import PlainOrder
from simulator.engine.port import MarketPort, SpecLike
from simulator.engine.state import Position, State, SymbolSettings

_ISOLATED = MarginType.ISOLATED


class Context:
    """`followers` hear of each changed position and `closers` of each finished order, when `settle` runs.

    Settling is what must follow a fill: resting reduce-only orders shrink, position-bound conditionals expire,
    triggered conditionals finish, the liquidation bands move.
    """

    def __init__(self, market: MarketPort, config: ExchangeConfig, state: State) -> None:
        self.market = market
        self.config = config
        self.state = state
        self.now_ms = market.now_ms
        self.rank = {symbol: index for index, symbol in enumerate(market.specs)}
        self.events: list[ExchangeEvent] = []
        self.desks: dict[str, SymbolDesk] = {}
        self.position_followers: list[Callable[[Position], None]] = []
        self.order_closers: list[Callable[[PlainOrder], None]] = []
        self.after_settling: list[Callable[[], None]] = []
        self._changed: list[Position] = []
        self._closed: list[PlainOrder] = []
        self._is_money_changed = False
        self._is_settling = False

    def emit(self, event: ExchangeEvent) -> None:
        self.events.append(event)

    def spec(self, symbol: str) -> SpecLike:
        """Return the contract; raises ApiError -1121 for an unknown symbol."""
        spec = self.market.specs.get(symbol)
        if spec is None:
            raise ApiError(-1121, "Invalid symbol.")
        return spec

    def desk(self, symbol: str) -> SymbolDesk:
        """Return the symbol's desk, opening it if there is none. Idle desks are closed when settling."""
        desk = self.desks.get(symbol)
        if desk is None:
            desk = self.desks[symbol] = SymbolDesk(symbol, self.spec(symbol))
        return desk

    def symbol_settings(self, symbol: str) -> SymbolSettings:
        """Return leverage and margin type, the defaults (capped by the first bracket) where never set."""
        found = self.state.symbols.get(symbol)
        if found is None:
            top = self.spec(symbol).brackets[0].initial_leverage
            found = self.state.symbols[symbol] = SymbolSettings(symbol, min(self.config.default_leverage, top))
        return found

    def is_isolated(self, symbol: str) -> bool:
        return self.symbol_settings(symbol).margin_type is _ISOLATED

    def mark(self, symbol: str) -> Decimal:
        return self.market.mark_price(symbol)

    def position_changed(self, position: Position) -> None:
        if not self._changed or not any(position is other for other in self._changed):
            self._changed.append(position)
        self._is_money_changed = True

    def order_closed(self, order: PlainOrder) -> None:
        self._closed.append(order)

    def money_changed(self) -> None:
        self._is_money_changed = True

    def settle(self) -> None:
        """Run the followers until nothing changes any more. Nested calls leave the work to the outer one."""
        if self._is_settling or not (self._changed or self._closed or self._is_money_changed):
            return
        self._is_settling = True
        try:
            while self._changed or self._closed or self._is_money_changed:
                self._settle_round()
        finally:
            self._is_settling = False

    def _settle_round(self) -> None:
        closed, self._closed = self._closed, []
        for order in closed:
            for closer in self.order_closers:
                closer(order)
        changed, self._changed = self._changed, []
        for position in changed:
            for follower in self.position_followers:
                follower(position)
        if self._is_money_changed and not self._closed and not self._changed:
            self._is_money_changed = False
            for check in self.after_settling:
                check()
        for order in closed:
            self.desk_changed(order.symbol)
        for position in changed:
            self.desk_changed(position.symbol)

    def desk_changed(self, symbol: str) -> None:
        """Close the symbol's desk if nothing is left on it."""
        desk = self.desks.get(symbol)
        if desk is not None and desk.is_idle:
            del self.desks[symbol]
