"""The engine as a fault bends it: orders that fill in part or not at all, conditional orders that die or hang."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from core.enums import AlgoStatus, OrderType
from simulator.engine.algo import AlgoService
from simulator.engine.config import ExchangeConfig
from simulator.engine.context import Context
from simulator.engine.desk import SymbolDesk
from simulator.engine.exchange import Exchange
from simulator.engine.ledger import Ledger
from simulator.engine.matching import Matching
from simulator.engine.orders import AlgoOrder, PlainOrder
from simulator.engine.plain import PlainOrders
from simulator.engine.port import Levels, MarketPort
from simulator.faults.injector import FaultInjector
from simulator.faults.kinds import FaultKind
from simulator.faults.schedule import Fault

Now = Callable[[], int]
"""The true time of the gateway, milliseconds."""

STOP_TYPES = (OrderType.STOP_MARKET, OrderType.STOP, OrderType.TRAILING_STOP_MARKET)
STUCK_MS = "60000"


class FaultyExchange(Exchange):
    """An exchange whose matching and algo service ask the injector. Everything else is the sound one's."""

    def __init__(self, market: MarketPort, config: ExchangeConfig | None, injector: FaultInjector, now: Now) -> None:
        self._injector = injector
        self._now = now
        super().__init__(market, config)

    def _make_matching(self) -> Matching:
        return FaultyMatching(self._context, self._ledger, self._injector, self._now)

    def _make_algo_service(self) -> AlgoService:
        self._faulty_algo = FaultyAlgoService(self._context, self._plain, self._injector, self._now)
        return self._faulty_algo

    def recheck(self) -> None:
        """Reckon margins and triggers again after the market has changed without a trade."""
        self._liquidation.check()
        self._context.settle()

    def release_stuck(self) -> None:
        """Let the stuck conditional orders go on whose time has come."""
        self._faulty_algo.release_stuck()

    def vanish(self, symbol: str, *, is_silent: bool) -> str | None:
        """End the oldest waiting stop of `symbol` (of any symbol if empty); returns its client id, None without one."""
        return self._faulty_algo.vanish(symbol, is_silent=is_silent)


class FaultyMatching(Matching):
    def __init__(self, context: Context, ledger: Ledger, injector: FaultInjector, now: Now) -> None:
        super().__init__(context, ledger)
        self._injector = injector
        self._now = now
        self._cap: Decimal | None = None

    def execute(self, order: PlainOrder) -> None:
        fault = self._injector.on_take(order.symbol, self._now())
        self._cap = None if fault is None else self._part(order.symbol, order.quantity, fault)
        try:
            super().execute(order)
        finally:
            self._cap = None

    def trade_through(self, desk: SymbolDesk, price: Decimal, volume: Decimal) -> None:
        order = self._next_through(desk, price)
        if order is None:
            return
        fault = self._injector.on_take(desk.symbol, self._now())
        if fault is not None:
            volume = min(volume, self._part(desk.symbol, order.leaves_quantity, fault))
        super().trade_through(desk, price, volume)

    def _part(self, symbol: str, quantity: Decimal, fault: Fault) -> Decimal:
        """Return `amount` of `quantity` in whole lots, at least one."""
        instrument = self._context.spec(symbol).instrument
        return max(instrument.round_quantity(quantity * fault.value("0.5")), instrument.step_size)

    def _takeable(self, order: PlainOrder, wanted: Decimal) -> list[tuple[Decimal, Decimal]]:
        levels = super()._takeable(order, wanted)
        if self._cap is None:
            return levels
        left, taken = self._cap, []
        for price, offered in levels:
            if left <= 0:
                break
            taken.append((price, min(left, offered)))
            left -= taken[-1][1]
        return taken

    def _opposite(self, order: PlainOrder, limit: int) -> Levels:
        fault = self._injector.holding(FaultKind.EMPTY_SIDE, order.symbol, self._now())
        if fault is not None and fault.detail in ("", "asks" if order.side.sign > 0 else "bids"):
            return []
        return super()._opposite(order, limit)


class FaultyAlgoService(AlgoService):
    def __init__(self, context: Context, plain: PlainOrders, injector: FaultInjector, now: Now) -> None:
        super().__init__(context, plain)
        self._injector = injector
        self._now = now
        self._stuck: list[tuple[int, Fault, AlgoOrder]] = []

    def _trigger(self, desk: SymbolDesk, order: AlgoOrder) -> None:
        now_ms = self._now()
        fault = self._injector.on_trigger(order.symbol, now_ms)
        if fault is None:
            super()._trigger(desk, order)
            return
        self._start_trigger(desk, order)
        if fault.kind is FaultKind.ALGO_REJECT:
            order.reject_reason = fault.detail or "Margin is insufficient."
            self._close(order, AlgoStatus.REJECTED)
        else:
            self._stuck.append((now_ms + int(fault.value(STUCK_MS)), fault, order))
        self._context.settle()

    def release_stuck(self) -> None:
        """Go on with stuck orders after their time: they make their order late, or expire if the fault says so."""
        if not self._stuck:
            return
        now_ms = self._now()
        due = [entry for entry in self._stuck if entry[0] <= now_ms]
        self._stuck = [entry for entry in self._stuck if entry[0] > now_ms]
        for _, fault, order in due:
            if fault.detail == "expire":
                self._close(order, AlgoStatus.EXPIRED)
            else:
                self._make_order(order)
            self._context.settle()

    def vanish(self, symbol: str, *, is_silent: bool) -> str | None:
        waiting = [
            order
            for order in self._context.state.algos.values()
            if order.status is AlgoStatus.NEW and order.type in STOP_TYPES and symbol in ("", order.symbol)
        ]
        if not waiting:
            return None
        order = min(waiting, key=lambda each: each.algo_id)
        self._close(order, AlgoStatus.EXPIRED)
        if is_silent:
            self._context.events.pop()
        return order.client_algo_id
