"""Which request each command becomes: path, parameters, weight. Pure; nothing is sent here.

Numbers go out as plain decimal text (`core.instrument.plain`). Weights are those of the protocol sheet, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

from core.commands import (
    CancelOrder,
    FetchBalances,
    FetchCommissionRate,
    FetchFills,
    FetchIncome,
    FetchLeverageBrackets,
    FetchOpenAlgoOrders,
    FetchOpenOrders,
    FetchPositionMode,
    FetchPositions,
    FetchSymbolConfig,
    IdentifyOrder,
    QueryOrder,
    SetCountdownCancel,
    SetLeverage,
    SetMarginType,
    SetPositionMode,
    SubmitOrder,
    VenueCommand,
)
from core.enums import OrderService, OrderType, PositionMode, Priority
from core.instrument import plain
from core.orders import AlgoOrderRequest, OrderRequest

PAGE_SIZE = 1000
"""Rows of one page of userTrades and income (the venue's maximum)."""

WRITES = (SubmitOrder, CancelOrder, SetPositionMode, SetLeverage, SetMarginType, SetCountdownCancel)
"""Commands that change something: their missing answer is never taken for a failure."""


@dataclass(frozen=True, slots=True)
class Call:
    """One REST request. `orders` is what it adds to the order counters, `weight` to the request weight.

    `bulk` marks reading of history, which yields to every other query and may wait long for its budget.
    """

    method: str
    path: str
    params: dict[str, str] = field(default_factory=dict)
    weight: int = 1
    orders: int = 0
    signed: bool = True
    priority: Priority = Priority.QUERY
    bulk: bool = False


SERVER_TIME = Call("GET", "/fapi/v1/time", signed=False)
EXCHANGE_INFO = Call("GET", "/fapi/v1/exchangeInfo", signed=False)
LISTEN_KEY = Call("POST", "/fapi/v1/listenKey", signed=False)


def premium_index(symbol: str) -> Call:
    """Mark price and market time of one symbol."""
    return Call("GET", "/fapi/v1/premiumIndex", {"symbol": symbol}, signed=False)


def klines(symbol: str, interval: str, start_time_ms: int | None, end_time_ms: int | None, limit: int) -> Call:
    """One page of candles; `limit` up to 1500."""
    weight = 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10
    params = {"symbol": symbol, "interval": interval, "limit": str(limit)}
    if start_time_ms is not None:
        params["startTime"] = str(start_time_ms)
    if end_time_ms is not None:
        params["endTime"] = str(end_time_ms)
    return Call("GET", "/fapi/v1/klines", params, weight=weight, signed=False, bulk=True)


def fills_page(command: FetchFills, from_trade_id: int | None, span: tuple[int, int] | None) -> Call:
    """One page of userTrades, from a trade id or inside a span of at most seven days (never both)."""
    params = {"symbol": command.symbol, "limit": str(PAGE_SIZE)}
    if from_trade_id is not None:
        params["fromId"] = str(from_trade_id)
    elif span is not None:
        params |= {"startTime": str(span[0]), "endTime": str(span[1])}
    return Call("GET", "/fapi/v1/userTrades", params, weight=5, priority=command.priority)


def income_page(command: FetchIncome, span: tuple[int, int]) -> Call:
    """One page of the ledger inside a span of at most seven days."""
    params = {"startTime": str(span[0]), "endTime": str(span[1]), "limit": str(PAGE_SIZE)}
    if command.income_type is not None:
        params["incomeType"] = command.income_type
    return Call("GET", "/fapi/v1/income", params, weight=30, priority=command.priority)


def call_for(command: VenueCommand) -> Call:  # noqa: PLR0911, PLR0912 - one row per command
    """Return the request of a command that needs exactly one; raises ValueError for the paged ones."""
    match command:
        case SubmitOrder():
            order = command.approved.order
            return _plain_order(order, command) if isinstance(order, OrderRequest) else _algo_order(order, command)
        case CancelOrder() | QueryOrder():
            return _by_client_id(command)
        case IdentifyOrder():
            params = {"symbol": command.symbol, "orderId": str(command.venue_order_id)}
            return Call("GET", "/fapi/v1/order", params, priority=command.priority)
        case FetchPositions():
            return Call("GET", "/fapi/v3/positionRisk", _symbol(command.symbol), 5, priority=command.priority)
        case FetchOpenOrders():
            return _open_orders("/fapi/v1/openOrders", command)
        case FetchOpenAlgoOrders():
            return _open_orders("/fapi/v1/openAlgoOrders", command)
        case FetchBalances():
            return Call("GET", "/fapi/v3/balance", {}, 5, priority=command.priority)
        case FetchSymbolConfig():
            return Call("GET", "/fapi/v1/symbolConfig", _symbol(command.symbol), 5, priority=command.priority)
        case FetchLeverageBrackets():
            return Call("GET", "/fapi/v1/leverageBracket", {}, 1, priority=command.priority)
        case FetchCommissionRate():
            return Call("GET", "/fapi/v1/commissionRate", {"symbol": command.symbol}, 20, priority=command.priority)
        case FetchPositionMode():
            return Call("GET", "/fapi/v1/positionSide/dual", {}, 30, priority=command.priority)
        case SetPositionMode() | SetLeverage() | SetMarginType():
            return _setting(command)
        case SetCountdownCancel():
            params = {"symbol": command.symbol, "countdownTime": str(command.countdown_ms)}
            return Call("POST", "/fapi/v1/countdownCancelAll", params, weight=10, priority=command.priority)
        case FetchFills() | FetchIncome():
            raise ValueError(f"{type(command).__name__} is read page by page")
        case _:
            assert_never(command)


def _plain_order(order: OrderRequest, command: SubmitOrder) -> Call:
    params = {
        "symbol": order.symbol,
        "side": order.side.value,
        "positionSide": order.position_side.value,
        "type": order.type.value,
        "quantity": plain(order.quantity),
        "newClientOrderId": order.client_order_id,
    }
    if order.price is not None:
        params["price"] = plain(order.price)
    if order.time_in_force is not None:
        params["timeInForce"] = order.time_in_force.value
    if order.reduce_only:
        params["reduceOnly"] = "true"
    if order.type is OrderType.MARKET:
        # RESULT answers with the final state, so the fill is known even while the user stream is down.
        params["newOrderRespType"] = "RESULT"
    return Call("POST", "/fapi/v1/order", params, weight=0, orders=1, priority=command.priority)


def _algo_order(order: AlgoOrderRequest, command: SubmitOrder) -> Call:
    params = {
        "algoType": "CONDITIONAL",
        "symbol": order.symbol,
        "side": order.side.value,
        "positionSide": order.position_side.value,
        "type": order.type.value,
        "triggerPrice": plain(order.trigger_price),
        "workingType": order.working_type.value,
        "clientAlgoId": order.client_order_id,
    }
    if order.price_protect:
        params["priceProtect"] = "TRUE"
    if order.close_position:  # excludes quantity and reduceOnly (-4137, -1106)
        params["closePosition"] = "true"
    elif order.quantity is not None:
        params["quantity"] = plain(order.quantity)
        if order.reduce_only:
            params["reduceOnly"] = "true"
    return Call("POST", "/fapi/v1/algoOrder", params, weight=0, orders=1, priority=command.priority)


def _by_client_id(command: CancelOrder | QueryOrder) -> Call:
    method = "DELETE" if isinstance(command, CancelOrder) else "GET"
    if command.service is OrderService.ALGO:
        params = {"clientAlgoId": command.client_order_id}
        return Call(method, "/fapi/v1/algoOrder", params, priority=command.priority)
    params = {"symbol": command.symbol, "origClientOrderId": command.client_order_id}
    return Call(method, "/fapi/v1/order", params, priority=command.priority)


def _open_orders(path: str, command: FetchOpenOrders | FetchOpenAlgoOrders) -> Call:
    return Call("GET", path, _symbol(command.symbol), 1 if command.symbol else 40, priority=command.priority)


def _setting(command: SetPositionMode | SetLeverage | SetMarginType) -> Call:
    match command:
        case SetPositionMode():
            hedge = "true" if command.mode is PositionMode.HEDGE else "false"
            return Call("POST", "/fapi/v1/positionSide/dual", {"dualSidePosition": hedge}, priority=command.priority)
        case SetLeverage():
            params = {"symbol": command.symbol, "leverage": str(command.leverage)}
            return Call("POST", "/fapi/v1/leverage", params, priority=command.priority)
        case SetMarginType():
            params = {"symbol": command.symbol, "marginType": command.margin_type.value}
            return Call("POST", "/fapi/v1/marginType", params, priority=command.priority)


def _symbol(symbol: str | None) -> dict[str, str]:
    return {"symbol": symbol} if symbol else {}
