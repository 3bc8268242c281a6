"""Positions that the exchange closes itself without a liquidation: auto-deleveraging and the settlement of a contract.

Assumptions (the venue publishes none of this): both happen at the mark price, rounded to the tick, free of fees. A
deleveraged position keeps its orders, which then shrink or expire as after any fill; a settled contract loses all
of them first.
"""

from __future__ import annotations

from decimal import Decimal

from core.enums import OrderStatus, OrderType, Side, TimeInForce
from core.instrument import Rounding
from simulator.engine.account import Account
from simulator.engine.algo import AlgoService
from simulator.engine.context import Context
from simulator.engine.events import DELISTED
from simulator.engine.ledger import Ledger
from simulator.engine.orders import ZERO, PlainOrder
from simulator.engine.plain import PlainOrders
from simulator.engine.state import Position


class Takeover:
    def __init__(
        self, context: Context, account: Account, ledger: Ledger, plain: PlainOrders, algo: AlgoService
    ) -> None:
        self._context = context
        self._account = account
        self._ledger = ledger
        self._plain = plain
        self._algo = algo

    def deleverage(self, symbol: str, share: Decimal) -> None:
        """Close `share` (above 0 to 1) of each of the symbol's positions: at least one lot, in whole lots."""
        instrument = self._context.spec(symbol).instrument
        for position in self._account.open_positions(symbol):
            held = abs(position.quantity)
            quantity = instrument.round_quantity(held * share)
            self._close(
                position, min(held, max(quantity, instrument.step_size)), "adl_autoclose", OrderType.LIQUIDATION
            )
        self._context.settle()

    def settle(self, symbol: str) -> None:
        """End the symbol's orders, plain and conditional, then close its positions."""
        self._context.spec(symbol)
        self._plain.expire_all(symbol, OrderStatus.EXPIRED, "EXPIRED", DELISTED)
        self._algo.expire_all(symbol)
        for position in self._account.open_positions(symbol):
            client_id = f"settlement_autoclose-{self._context.now_ms}{self._context.state.counters.order_id}"
            self._close(position, abs(position.quantity), client_id, OrderType.MARKET)
        self._context.settle()

    def _close(self, position: Position, quantity: Decimal, client_id: str, order_type: OrderType) -> None:
        instrument = self._context.spec(position.symbol).instrument
        price = max(instrument.tick_size, instrument.round_price(self._context.mark(position.symbol), Rounding.NEAREST))
        order = forced_order(self._context, position, quantity, price, client_id=client_id, order_type=order_type)
        self._ledger.fill(order, price, quantity, is_maker=False, fee_rate=ZERO, execution_type="CALCULATED")
        self._context.order_closed(order)


def forced_order(
    context: Context,
    position: Position,
    quantity: Decimal,
    price: Decimal,
    *,
    client_id: str | None = None,
    order_type: OrderType = OrderType.LIQUIDATION,
) -> PlainOrder:
    """Store and return the order by which the exchange closes `quantity` of a position.

    Its client id is `autoclose-…`, that of a liquidation, unless another one is given.
    """
    state, now_ms = context.state, context.now_ms
    order_id = state.counters.order_id
    state.counters.order_id += 1
    state.touch(state.counters)
    order = PlainOrder(
        order_id=order_id,
        client_order_id=client_id or f"autoclose-{now_ms}{order_id}",
        symbol=position.symbol,
        side=Side.SELL if position.quantity > 0 else Side.BUY,
        type=order_type,
        orig_type=order_type,
        position_side=position.side,
        time_in_force=TimeInForce.IOC,
        quantity=quantity,
        price=price,
        reduce_only=True,
        close_position=False,
        create_time_ms=now_ms,
        update_time_ms=now_ms,
    )
    state.add(order)
    return order
