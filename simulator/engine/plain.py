"""The plain order service: validation, acceptance, cancelling and look-up of LIMIT and MARKET orders.

Checks run in one fixed order, so that the same fault always wins: parameters, symbol, mode, filters, reduce-only,
margin, then what the book allows.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from core.enums import OrderStatus, OrderType, Side, TimeInForce
from simulator.engine.account import Account
from simulator.engine.context import Context
from simulator.engine.errors import ApiError, missing_parameter, unwanted_parameter
from simulator.engine.events import DISPLACED_REDUCE_ONLY, NO_REASON
from simulator.engine.filters import check_notional, check_percent_price, check_price, check_quantity, check_status
from simulator.engine.identity import check_client_id, make_client_id
from simulator.engine.intake import (
    check_mode,
    check_reduction,
    check_self_trade_mode,
    closes_leg,
    resting_reductions,
)
from simulator.engine.ledger import Ledger
from simulator.engine.matching import Matching
from simulator.engine.orders import ZERO, PlainOrder
from simulator.engine.pricing import assumed_market_price, check_price_match, matched_price
from simulator.engine.requests import PlaceOrder
from simulator.engine.retention import is_kept
from simulator.engine.state import Position, snapshot

GTD_MIN_AHEAD_MS = 600_000
GTD_END_MS = 253_402_300_799_000
_LIMIT_LIVES = (TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTX, TimeInForce.GTD)


class PlainOrders:
    def __init__(self, context: Context, account: Account, ledger: Ledger, matching: Matching) -> None:
        self._context = context
        self._account = account
        self._ledger = ledger
        self._matching = matching
        self._expiries: list[tuple[int, int]] = []

    def place(self, request: PlaceOrder) -> PlainOrder:
        """Accept and match an order; returns it as accepted (ACK) or as it is now (RESULT). Raises ApiError."""
        self._check_parameters(request)
        instrument = self._context.spec(request.symbol).instrument
        is_reducing = bool(request.reduce_only) or closes_leg(request.side, request.position_side)
        check_status(instrument, is_reducing=is_reducing)
        check_mode(self._context, request.position_side, request.reduce_only)
        self.check_unused(request.symbol, request.client_order_id)
        order = self._build(request, is_reducing)
        self._check_filters(order)
        if request.response_type == "RESULT":
            self.submit(order)
            return snapshot(order)
        accepted: list[PlainOrder] = []
        self.submit(order, on_accepted=lambda: accepted.append(snapshot(order)))
        return accepted[0]

    def submit(self, order: PlainOrder, on_accepted: Callable[[], None] | None = None) -> None:
        """Check reduce-only room, margin and book, then give `order` its id and match it.

        `on_accepted` runs when it has its id and before any event of it. Also the way of a triggered conditional order
        into the book.
        """
        if order.reduce_only:
            check_reduction(self._context, order)
        else:
            price = order.price or assumed_market_price(self._context.market, order.symbol, order.side)
            self._account.check_order(order.symbol, order.side, order.quantity, price)
        self._matching.check_takeable(order)
        self._accept(order)
        if on_accepted is not None:
            on_accepted()
        if self._context.config.tells_steps:
            self._ledger.tell_order(order, "NEW")
        self._matching.execute(order)
        if order.good_till_ms and order.is_open:
            heappush(self._expiries, (order.good_till_ms, order.order_id))
        self._context.settle()

    def cancel(self, symbol: str, order_id: int | None, client_id: str | None) -> PlainOrder:
        """Cancel an open order; raises -2011 if there is none. The order id beats the client id."""
        self._context.spec(symbol)
        order = self._find(symbol, order_id, client_id)
        if order is None or not order.is_open:
            raise ApiError(-2011, "Unknown order sent.")
        self._matching.finish(order, OrderStatus.CANCELED, "CANCELED")
        self._context.settle()
        return snapshot(order)

    def cancel_all(self, symbol: str) -> list[PlainOrder]:
        """Cancel every open plain order of a symbol; conditional orders stay."""
        self._context.spec(symbol)
        return self.expire_all(symbol, OrderStatus.CANCELED, "CANCELED", NO_REASON)

    def expire_all(self, symbol: str, status: OrderStatus, execution_type: str, reason: int) -> list[PlainOrder]:
        desk = self._context.desks.get(symbol)
        orders = list(desk.open_orders.values()) if desk is not None else []
        for order in orders:
            self._matching.finish(order, status, execution_type, reason)
        self._context.settle()
        return [snapshot(order) for order in orders]

    def get(self, symbol: str, order_id: int | None, client_id: str | None) -> PlainOrder:
        """Return an order, open or not; raises -2013 if there is none within its retention."""
        self._context.spec(symbol)
        order = self._find(symbol, order_id, client_id)
        if order is None:
            raise ApiError(-2013, "Order does not exist.")
        return snapshot(order)

    def open_orders(self, symbol: str | None) -> list[PlainOrder]:
        """Return open orders by order id, of one symbol or of all."""
        if symbol is not None:
            self._context.spec(symbol)
        desks = [desk for desk in self._context.desks.values() if symbol in (None, desk.symbol)]
        orders = [snapshot(order) for desk in desks for order in desk.open_orders.values()]
        return sorted(orders, key=lambda order: order.order_id)

    def resume(self, order: PlainOrder) -> None:
        """Put a restored open order back into the book, without an event."""
        self._context.desk(order.symbol).rest(order)
        if order.good_till_ms:
            heappush(self._expiries, (order.good_till_ms, order.order_id))

    def next_expiry_ms(self) -> int | None:
        """Return when the next GTD order ends."""
        expiries = self._expiries
        while expiries and not self._is_live(expiries[0][1]):
            heappop(expiries)
        return expiries[0][0] if expiries else None

    def expire_due(self) -> None:
        """End the GTD orders whose time has come."""
        while (due := self.next_expiry_ms()) is not None and due <= self._context.now_ms:
            _, order_id = heappop(self._expiries)
            self._matching.finish(self._context.state.orders[order_id], OrderStatus.EXPIRED, "EXPIRED")
        self._context.settle()

    def shrink_to(self, position: Position) -> None:
        """Expire resting reduce-only orders that lie wholly beyond what is left of a position, newest first."""
        desk = self._context.desks.get(position.symbol)
        if desk is None or not desk.open_orders:
            return
        for side in (Side.BUY, Side.SELL):
            room = abs(position.quantity) if position.quantity * side.sign < 0 else ZERO
            for order in resting_reductions(self._context, position.symbol, side, position.side):
                if room <= 0:
                    self._matching.finish(order, OrderStatus.EXPIRED, "EXPIRED", DISPLACED_REDUCE_ONLY)
                room -= order.leaves_quantity

    def check_unused(self, symbol: str, client_id: str | None) -> None:
        """Refuse a client id that an open order of the symbol has (-4116)."""
        known = self._context.state.order_by_client_id.get((symbol, client_id)) if client_id else None
        if known is not None and known.is_open:
            raise ApiError(-4116, "ClientOrderId is duplicated.")

    def _is_live(self, order_id: int) -> bool:
        order = self._context.state.orders.get(order_id)
        return order is not None and order.is_open

    def _find(self, symbol: str, order_id: int | None, client_id: str | None) -> PlainOrder | None:
        if order_id is None and not client_id:
            text = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
            raise ApiError(-1102, text)
        state = self._context.state
        order = (
            state.order_by_client_id.get((symbol, client_id or "")) if order_id is None else state.orders.get(order_id)
        )
        if order is None or order.symbol != symbol or not is_kept(order, self._context.now_ms):
            return None
        return order

    def _check_parameters(self, request: PlaceOrder) -> None:
        if request.type not in (OrderType.LIMIT, OrderType.MARKET):
            if request.type in (OrderType.UNKNOWN, OrderType.LIQUIDATION):
                raise ApiError(-1116, "Invalid orderType.")
            text = "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
            raise ApiError(-4120, text)
        if request.quantity is None:
            raise missing_parameter("quantity")
        if request.type is OrderType.MARKET:
            self._check_market_parameters(request)
        else:
            self._check_limit_parameters(request)
        check_client_id(request.client_order_id)
        check_self_trade_mode(request.self_trade_prevention)
        if request.response_type not in ("ACK", "RESULT"):
            raise ApiError(-1136, "Invalid newOrderRespType.")

    @staticmethod
    def _check_market_parameters(request: PlaceOrder) -> None:
        if request.time_in_force is not None:
            raise unwanted_parameter("timeInForce")
        if request.price is not None:
            raise unwanted_parameter("price")
        if request.price_match not in (None, "NONE"):
            raise ApiError(-5038, "The price match is not supported for this order type.")

    def _check_limit_parameters(self, request: PlaceOrder) -> None:
        if request.time_in_force is None:
            raise missing_parameter("timeInForce")
        if request.time_in_force not in _LIMIT_LIVES:
            raise ApiError(-1115, "Invalid timeInForce.")
        if request.price_match in (None, "NONE"):
            if request.price is None:
                raise missing_parameter("price")
        else:
            check_price_match(request.price_match or "")
            if request.price is not None:
                raise unwanted_parameter("price")
        if request.time_in_force is TimeInForce.GTD:
            if request.good_till_ms is None:
                raise missing_parameter("goodTillDate")
            if not self._context.now_ms + GTD_MIN_AHEAD_MS < request.good_till_ms < GTD_END_MS:
                text = "The goodTillDate timestamp must be greater than the current time plus 600 seconds"
                raise ApiError(-5040, f"{text} and smaller than 253402300799000.")

    def _build(self, request: PlaceOrder, is_reducing: bool) -> PlainOrder:
        price_match = request.price_match or "NONE"
        price = request.price or ZERO
        if price_match != "NONE":
            price = matched_price(self._context.market, request.symbol, request.side, price_match)
        is_gtd = request.time_in_force is TimeInForce.GTD
        return PlainOrder(
            order_id=0,
            client_order_id=request.client_order_id or "",
            symbol=request.symbol,
            side=request.side,
            type=request.type,
            orig_type=request.type,
            position_side=request.position_side,
            time_in_force=request.time_in_force or TimeInForce.GTC,
            quantity=request.quantity or ZERO,
            price=price,
            reduce_only=is_reducing,
            close_position=False,
            create_time_ms=self._context.now_ms,
            update_time_ms=self._context.now_ms,
            price_match=price_match,
            self_trade_prevention=request.self_trade_prevention or "EXPIRE_MAKER",
            good_till_ms=(request.good_till_ms or 0) // 1000 * 1000 if is_gtd else 0,
        )

    def _check_filters(self, order: PlainOrder) -> None:
        instrument = self._context.spec(order.symbol).instrument
        mark = self._context.mark(order.symbol)
        is_market = order.type is OrderType.MARKET
        if not is_market:
            check_price(instrument, order.price)
        check_quantity(instrument, order.quantity, is_market=is_market)
        if not is_market:
            check_percent_price(instrument, order.side, order.price, mark)
        if not order.reduce_only:
            check_notional(instrument, order.quantity * (mark if is_market else order.price))
        desk = self._context.desks.get(order.symbol)
        if desk is not None and len(desk.open_orders) >= instrument.max_open_orders:
            raise ApiError(-2025, "Reach max open order limit.")

    def _accept(self, order: PlainOrder) -> None:
        state = self._context.state
        order.order_id = state.counters.order_id
        state.counters.order_id += 1
        state.touch(state.counters)
        if not order.client_order_id:
            order.client_order_id = make_client_id(self._context.config.seed, "order", order.order_id)
        state.add(order)
