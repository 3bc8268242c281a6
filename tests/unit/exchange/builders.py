"""Orders and commands for tests; production code lets only the executor approve."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from core.commands import SubmitOrder
from core.enums import Leg, OrderType, PositionSide, Priority, Side
from core.orders import AlgoOrderRequest, Approved, OrderRequest


def plain_order(**changes: Any) -> OrderRequest:
    fields: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "side": Side.BUY,
        "position_side": PositionSide.BOTH,
        "type": OrderType.MARKET,
        "quantity": Decimal("0.010"),
        "client_order_id": "ft-1-1-E0",
        "leg": Leg.ENTRY,
    }
    return OrderRequest(**(fields | changes))


def algo_order(**changes: Any) -> AlgoOrderRequest:
    fields: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "side": Side.SELL,
        "position_side": PositionSide.BOTH,
        "type": OrderType.STOP_MARKET,
        "trigger_price": Decimal("59000.10"),
        "client_order_id": "ft-1-1-S0",
        "leg": Leg.STOP,
        "close_position": True,
    }
    return AlgoOrderRequest(**(fields | changes))


def submit(order: OrderRequest | AlgoOrderRequest, priority: Priority = Priority.ENTRY) -> SubmitOrder:
    return SubmitOrder(Approved(order), priority)
