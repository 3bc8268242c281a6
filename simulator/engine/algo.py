"""The algo service: conditional orders with their own id space, from placement to the plain order they make.

NEW -> TRIGGERING -> TRIGGERED (a plain order exists) -> FINISHED (that order has ended), or REJECTED at the trigger,
CANCELED by the client, EXPIRED with the position it was bound to. Margin is not asked for before the trigger.
"""

from __future__ import annotations

from decimal import Decimal

from core.enums import AlgoStatus, OrderType, Side, TimeInForce, WorkingType
from simulator.engine.algo_checks import (
    LIMIT_TYPES,
    check_bound,
    check_filters,
    check_leg,
    check_not_reached,
    check_parameters,
    watched_price,
)
from simulator.engine.context import Context
from simulator.engine.desk import SymbolDesk
from simulator.engine.errors import ApiError
from simulator.engine.events import AlgoEvent
from simulator.engine.filters import check_status
from simulator.engine.identity import make_client_id
from simulator.engine.intake import check_mode, closable, closes_leg
from simulator.engine.orders import ZERO, AlgoOrder, PlainOrder
from simulator.engine.plain import PlainOrders
from simulator.engine.pricing import matched_price
from simulator.engine.requests import PlaceAlgo
from simulator.engine.retention import is_kept
from simulator.engine.state import Position, snapshot

_HUNDRED = Decimal(100)
_NEW, _TRIGGERED = AlgoStatus.NEW, AlgoStatus.TRIGGERED
_GTC, _GTE_GTC = TimeInForce.GTC, TimeInForce.GTE_GTC
_MARK_PRICE = WorkingType.MARK_PRICE
_NOT_NUMBERED = 0
"""The algo id of an order that is not accepted yet."""


class AlgoService:
    def __init__(self, context: Context, plain: PlainOrders) -> None:
        self._context = context
        self._plain = plain
        self._waiting = 0

    def place(self, request: PlaceAlgo) -> AlgoOrder:
        """Accept a conditional order. Raises ApiError; the checks keep the order of the plain service."""
        context = self._context
        check_parameters(request)
        instrument = context.spec(request.symbol).instrument
        closes = request.close_position or closes_leg(request.side, request.position_side)
        is_reducing = bool(request.reduce_only) or closes
        check_status(instrument, is_reducing=is_reducing)
        check_mode(context, request.position_side, request.reduce_only)
        check_leg(request, is_hedge=context.state.settings.is_hedge_mode)
        self._check_unused(request.client_algo_id)
        check_filters(context, request, is_reducing=is_reducing)
        if self._waiting >= context.config.max_algo_orders:
            raise ApiError(-4045, "Reach max stop order limit.")
        order = self._build(request, is_reducing)
        check_bound(context, order)
        check_not_reached(context, order)
        self._accept(order)
        return snapshot(order)

    def cancel(self, algo_id: int | None, client_algo_id: str | None) -> AlgoOrder:
        """Cancel an open conditional order; raises -4117 while it triggers, -2011 if none waits."""
        order = self._find(algo_id, client_algo_id)
        if order is not None and order.status is AlgoStatus.TRIGGERING:
            raise ApiError(-4117, "Stop order is in triggering process, please wait.")
        if order is None or order.status is not AlgoStatus.NEW:
            raise ApiError(-2011, "Unknown order sent.")
        self._close(order, AlgoStatus.CANCELED)
        return snapshot(order)

    def cancel_all(self, symbol: str) -> list[AlgoOrder]:
        """Cancel every untriggered conditional order of a symbol."""
        return self._close_all(symbol, AlgoStatus.CANCELED)

    def expire_all(self, symbol: str) -> list[AlgoOrder]:
        """Expire every untriggered conditional order of a symbol, as its settlement does."""
        return self._close_all(symbol, AlgoStatus.EXPIRED)

    def _close_all(self, symbol: str, status: AlgoStatus) -> list[AlgoOrder]:
        self._context.spec(symbol)
        desk = self._context.desks.get(symbol)
        waiting = [o for o in desk.open_algos.values() if o.status is AlgoStatus.NEW] if desk is not None else []
        for order in waiting:
            self._close(order, status)
        return [snapshot(order) for order in waiting]

    def get(self, algo_id: int | None, client_algo_id: str | None) -> AlgoOrder:
        """Return a conditional order, open or not; raises -2013 if there is none."""
        order = self._find(algo_id, client_algo_id)
        if order is None:
            raise ApiError(-2013, "Order does not exist.")
        return snapshot(order)

    def open_algos(self, symbol: str | None) -> list[AlgoOrder]:
        """Return open conditional orders by algo id, of one symbol or of all."""
        if symbol is not None:
            self._context.spec(symbol)
        desks = [desk for desk in self._context.desks.values() if symbol in (None, desk.symbol)]
        orders = [snapshot(order) for desk in desks for order in desk.open_algos.values()]
        return sorted(orders, key=lambda order: order.algo_id)

    def resume(self, order: AlgoOrder) -> None:
        """Watch a restored open conditional order again, without an event."""
        desk = self._context.desk(order.symbol)
        desk.open_algos[order.algo_id] = order
        if order.status is AlgoStatus.NEW:
            desk.watch(order)
            self._waiting += 1

    def on_price(self, desk: SymbolDesk, price: Decimal, working_type: WorkingType) -> None:
        """Trigger, by id, every order of `working_type` that `price` reaches."""
        triggers = desk.mark_triggers if working_type is _MARK_PRICE else desk.last_triggers
        if not triggers.rising and not triggers.falling and not desk.trailing:
            return
        reached = triggers.reached(price)
        for algo_id, order in desk.trailing.items():
            if order.working_type is working_type and self._trail(order, price):
                reached.append(algo_id)
        for algo_id in sorted(reached):
            waiting = desk.open_algos.get(algo_id)
            if waiting is not None and self._is_trusted(waiting):
                self._trigger(desk, waiting)

    def position_changed(self, position: Position) -> None:
        """Expire the orders that were bound to a position which is gone."""
        desk = self._context.desks.get(position.symbol)
        for order in list(desk.open_algos.values()) if desk is not None else ():
            is_bound = order.position_side is position.side and order.is_position_bound
            if is_bound and order.status is _NEW and not position.quantity * order.side.sign < 0:
                self._close(order, AlgoStatus.EXPIRED)

    def order_closed(self, plain: PlainOrder) -> None:
        """Finish the conditional order whose plain order has ended."""
        order = self._context.state.algos.get(plain.algo_id) if plain.algo_id else None
        if order is not None and order.status is _TRIGGERED:
            order.actual_price = plain.average_price
            order.actual_quantity = plain.executed_quantity
            self._close(order, AlgoStatus.FINISHED)

    def _trail(self, order: AlgoOrder, price: Decimal) -> bool:
        """Follow the price; return whether it has turned back by the callback rate."""
        is_buy = order.side is Side.BUY
        if not order.is_activated:
            beyond = price <= order.activate_price if is_buy else price >= order.activate_price
            if order.activate_price and not beyond:
                return False
            order.is_activated, order.extreme_price = True, price
            self._context.state.touch(order)
        extreme = min(order.extreme_price, price) if is_buy else max(order.extreme_price, price)
        if extreme != order.extreme_price:
            order.extreme_price = extreme
            self._context.state.touch(order)
        turn = order.callback_rate / _HUNDRED
        return price >= extreme * (1 + turn) if is_buy else price <= extreme * (1 - turn)

    def _is_trusted(self, order: AlgoOrder) -> bool:
        """With priceProtect the last and mark price must agree within the symbol's triggerProtect."""
        if not order.price_protect:
            return True
        mark, last = self._context.mark(order.symbol), self._context.market.last_price(order.symbol)
        return abs(last - mark) <= mark * self._context.spec(order.symbol).instrument.trigger_protect

    def _trigger(self, desk: SymbolDesk, order: AlgoOrder) -> None:
        self._start_trigger(desk, order)
        self._make_order(order)
        self._context.settle()

    def _start_trigger(self, desk: SymbolDesk, order: AlgoOrder) -> None:
        desk.unwatch(order)
        self._waiting -= 1
        order.trigger_time_ms = self._context.now_ms
        self._change(order, AlgoStatus.TRIGGERING)

    def _make_order(self, order: AlgoOrder) -> None:
        """Send the plain order of a triggering one to the book; what refuses it, rejects the conditional order."""
        try:
            plain = self._plain_order(order)
            self._plain.submit(plain, on_accepted=lambda: self._triggered(order, plain))
        except ApiError as error:
            order.reject_reason = error.message
            self._close(order, AlgoStatus.REJECTED)

    def _triggered(self, order: AlgoOrder, plain: PlainOrder) -> None:
        order.actual_order_id = plain.order_id
        order.actual_type = plain.type.value
        self._change(order, _TRIGGERED)

    def _plain_order(self, order: AlgoOrder) -> PlainOrder:
        """Build what the trigger sends to the book: same client id and side, LIMIT or MARKET."""
        context, now_ms = self._context, self._context.now_ms
        is_limit = order.type in LIMIT_TYPES
        quantity = order.quantity
        if order.close_position:
            quantity = closable(context, order.symbol, order.side, order.position_side)
        price = order.price
        if is_limit and order.price_match != "NONE":
            price = matched_price(context.market, order.symbol, order.side, order.price_match)
        is_bound = order.time_in_force is _GTE_GTC
        return PlainOrder(
            order_id=0,
            client_order_id=order.client_algo_id,
            symbol=order.symbol,
            side=order.side,
            type=OrderType.LIMIT if is_limit else OrderType.MARKET,
            orig_type=order.type,
            position_side=order.position_side,
            time_in_force=_GTC if is_bound else order.time_in_force,
            quantity=quantity,
            price=price,
            reduce_only=order.reduce_only,
            close_position=order.close_position,
            create_time_ms=now_ms,
            update_time_ms=now_ms,
            stop_price=order.trigger_price,
            activate_price=order.activate_price,
            callback_rate=order.callback_rate,
            working_type=order.working_type,
            price_protect=order.price_protect,
            price_match=order.price_match,
            self_trade_prevention=order.self_trade_prevention,
            algo_id=order.algo_id,
        )

    def _build(self, request: PlaceAlgo, is_reducing: bool) -> AlgoOrder:
        life = request.time_in_force or _GTC
        now_ms = self._context.now_ms
        return AlgoOrder(
            _NOT_NUMBERED,
            request.client_algo_id or "",
            request.symbol,
            request.side,
            request.type,
            request.position_side,
            _GTE_GTC if request.close_position else life,
            request.quantity or ZERO,
            request.price or ZERO,
            request.trigger_price or ZERO,
            request.working_type,
            request.close_position,
            request.price_protect,
            is_reducing,
            now_ms,
            now_ms,
            activate_price=request.activate_price or ZERO,
            callback_rate=request.callback_rate or ZERO,
            price_match=request.price_match or "NONE",
            self_trade_prevention=request.self_trade_prevention or "EXPIRE_MAKER",
            good_till_ms=request.good_till_ms or 0,
        )

    def _accept(self, order: AlgoOrder) -> None:
        state = self._context.state
        order.algo_id = state.counters.algo_id
        state.counters.algo_id += 1
        state.touch(state.counters)
        if not order.client_algo_id:
            order.client_algo_id = make_client_id(self._context.config.seed, "algo", order.algo_id)
        state.add(order)
        self._context.desk(order.symbol).watch(order)
        self._waiting += 1
        if order.type is OrderType.TRAILING_STOP_MARKET:
            self._trail(order, watched_price(self._context, order))
        self._tell(order)

    def _change(self, order: AlgoOrder, status: AlgoStatus) -> None:
        order.status = status
        order.update_time_ms = self._context.now_ms
        self._context.state.touch(order)
        self._tell(order)

    def _tell(self, order: AlgoOrder) -> None:
        """Push ALGO_UPDATE with a copy of the order as it is now."""
        if self._context.config.tells_steps or not order.is_open:
            self._context.emit(AlgoEvent(snapshot(order), self._context.now_ms))

    def _close(self, order: AlgoOrder, status: AlgoStatus) -> None:
        desk = self._context.desk(order.symbol)
        if order.status is _NEW:
            self._waiting -= 1
        desk.close_algo(order)
        self._change(order, status)
        self._context.desk_changed(order.symbol)

    def _check_unused(self, client_algo_id: str | None) -> None:
        known = self._context.state.algo_by_client_id.get(client_algo_id) if client_algo_id else None
        if known is not None and known.is_open:
            raise ApiError(-4116, "ClientOrderId is duplicated.")

    def _find(self, algo_id: int | None, client_algo_id: str | None) -> AlgoOrder | None:
        if algo_id is None and not client_algo_id:
            text = "Param 'clientAlgoId' or 'algoId' must be sent, but both were empty/null!"
            raise ApiError(-1102, text)
        state = self._context.state
        order = state.algo_by_client_id.get(client_algo_id or "") if algo_id is None else state.algos.get(algo_id)
        return order if order is not None and is_kept(order, self._context.now_ms) else None
