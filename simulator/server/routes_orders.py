"""Plain and conditional orders: place, query, cancel, list (protocol sections 4, 5)."""

from __future__ import annotations

from typing import Any

from core.enums import OrderType, PositionSide, Side, TimeInForce, WorkingType
from simulator.engine.errors import ApiError
from simulator.engine.requests import PlaceAlgo, PlaceOrder
from simulator.server import encode_orders as encode
from simulator.server.auth import Security
from simulator.server.parameters import Parameters, only_one
from simulator.server.routing import Call, Route, one_or_all

ORDER_TYPES = [kind.value for kind in OrderType if kind not in (OrderType.LIQUIDATION, OrderType.UNKNOWN)]
CONDITIONAL_TYPES = [kind for kind in ORDER_TYPES if kind not in ("LIMIT", "MARKET")]
TIMES_IN_FORCE = [word.value for word in TimeInForce if word is not TimeInForce.GTE_GTC]
PREVENTION_MODES = ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"]
CANCELLED_ALL = {"code": 200, "msg": "The operation of cancel all open order is done."}


def new_order(call: Call) -> Any:
    request = _plain_request(call.parameters)
    order = call.venue.exchange.place_order(request)
    return encode.order_ack(order, call.precision(order.symbol))


def _plain_request(parameters: Parameters) -> PlaceOrder:
    return PlaceOrder(
        symbol=parameters.required("symbol"),
        side=_side(parameters),
        type=_type(parameters, ORDER_TYPES),
        position_side=_position_side(parameters),
        time_in_force=_time_in_force(parameters),
        quantity=parameters.decimal("quantity"),
        price=parameters.decimal("price"),
        reduce_only=_optional_boolean(parameters, "reduceOnly"),
        client_order_id=parameters.client_id("newClientOrderId"),
        price_match=parameters.text("priceMatch"),
        self_trade_prevention=_prevention(parameters),
        good_till_ms=parameters.integer("goodTillDate"),
        response_type=parameters.word("newOrderRespType", ("ACK", "RESULT"), (-1136, "Invalid newOrderRespType."))
        or "ACK",
    )


def query_order(call: Call) -> Any:
    symbol = call.symbol()
    order = call.venue.exchange.get_order(symbol, *_plain_ids(call.parameters))
    return encode.order_detail(order, call.precision(symbol))


def query_open_order(call: Call) -> Any:
    symbol = call.symbol()
    order = call.venue.exchange.get_order(symbol, *_plain_ids(call.parameters))
    if not order.is_open:
        raise ApiError(-2013, "Order does not exist.")
    return encode.order_detail(order, call.precision(symbol))


def cancel_order(call: Call) -> Any:
    symbol = call.symbol()
    order = call.venue.exchange.cancel_order(symbol, *_plain_ids(call.parameters))
    return encode.order_ack(order, call.precision(symbol))


def open_orders(call: Call) -> Any:
    orders = call.venue.exchange.open_orders(call.optional_symbol())
    return [encode.order_detail(order, call.precision(order.symbol)) for order in orders]


def all_orders(call: Call) -> Any:
    symbol = call.symbol()
    parameters = call.parameters
    start, end = parameters.span()
    orders = call.venue.exchange.all_orders(
        symbol, parameters.integer("orderId"), start, end, parameters.limit(500, 1000)
    )
    return [encode.order_detail(order, call.precision(symbol)) for order in orders]


def cancel_all(call: Call) -> Any:
    call.venue.exchange.cancel_all(call.symbol())
    return CANCELLED_ALL


def countdown_cancel(call: Call) -> Any:
    symbol, countdown_ms = call.symbol(), call.parameters.required_integer("countdownTime")
    if countdown_ms < 0:
        raise ApiError(-1130, "Data sent for parameter 'countdownTime' is not valid.")
    call.venue.countdowns.arm(symbol, countdown_ms, call.now_ms)
    return {"symbol": symbol, "countdownTime": str(countdown_ms)}


def new_algo_order(call: Call) -> Any:
    request = _algo_request(call.parameters)
    order = call.venue.exchange.place_algo(request)
    return encode.algo_ack(order, call.precision(order.symbol))


def _algo_request(parameters: Parameters) -> PlaceAlgo:
    parameters.required_word("algoType", ("CONDITIONAL",), (-1130, "Data sent for parameter 'algoType' is not valid."))
    return PlaceAlgo(
        symbol=parameters.required("symbol"),
        side=_side(parameters),
        type=_type(parameters, CONDITIONAL_TYPES),
        position_side=_position_side(parameters),
        time_in_force=_time_in_force(parameters),
        quantity=parameters.decimal("quantity"),
        price=parameters.decimal("price"),
        trigger_price=parameters.decimal("triggerPrice"),
        working_type=_working_type(parameters),
        price_match=parameters.text("priceMatch"),
        close_position=parameters.boolean("closePosition"),
        price_protect=parameters.boolean("priceProtect"),
        reduce_only=_optional_boolean(parameters, "reduceOnly"),
        activate_price=parameters.decimal("activatePrice"),
        callback_rate=parameters.decimal("callbackRate"),
        client_algo_id=parameters.client_id("clientAlgoId"),
        self_trade_prevention=_prevention(parameters),
        good_till_ms=parameters.integer("goodTillDate"),
    )


def query_algo_order(call: Call) -> Any:
    order = call.venue.exchange.get_algo(*_algo_ids(call.parameters))
    return encode.algo_detail(order, call.precision(order.symbol))


def cancel_algo_order(call: Call) -> Any:
    return encode.algo_cancelled(call.venue.exchange.cancel_algo(*_algo_ids(call.parameters)))


def open_algo_orders(call: Call) -> Any:
    wanted = call.parameters.integer("algoId")
    orders = call.venue.exchange.open_algos(call.optional_symbol())
    return [
        encode.algo_detail(order, call.precision(order.symbol)) for order in orders if wanted in (None, order.algo_id)
    ]


def all_algo_orders(call: Call) -> Any:
    symbol = call.symbol()
    parameters = call.parameters
    start, end = parameters.span()
    orders = call.venue.exchange.all_algos(
        symbol, parameters.integer("algoId"), start, end, parameters.limit(500, 1000)
    )
    return [encode.algo_detail(order, call.precision(symbol)) for order in orders]


def cancel_all_algos(call: Call) -> Any:
    call.venue.exchange.cancel_all_algos(call.symbol())
    return CANCELLED_ALL


def _plain_ids(parameters: Parameters) -> tuple[int | None, str | None]:
    order_id, client_id = parameters.integer("orderId"), parameters.text("origClientOrderId")
    only_one(origClientOrderId=client_id, orderId=order_id)
    return order_id, client_id


def _algo_ids(parameters: Parameters) -> tuple[int | None, str | None]:
    algo_id, client_id = parameters.integer("algoId"), parameters.text("clientAlgoId")
    only_one(clientAlgoId=client_id, algoId=algo_id)
    return algo_id, client_id


def _side(parameters: Parameters) -> Side:
    return Side(parameters.required_word("side", ("BUY", "SELL"), (-1117, "Invalid side.")))


def _type(parameters: Parameters, allowed: list[str]) -> OrderType:
    return OrderType(parameters.required_word("type", allowed, (-1116, "Invalid orderType.")))


def _position_side(parameters: Parameters) -> PositionSide:
    word = parameters.word("positionSide", ("BOTH", "LONG", "SHORT"), (-4060, "Invalid position side."))
    return PositionSide(word or "BOTH")


def _time_in_force(parameters: Parameters) -> TimeInForce | None:
    word = parameters.word("timeInForce", TIMES_IN_FORCE, (-1115, "Invalid timeInForce."))
    return TimeInForce(word) if word else None


def _working_type(parameters: Parameters) -> WorkingType:
    word = parameters.word("workingType", ("CONTRACT_PRICE", "MARK_PRICE"), (-4031, "Invalid working type."))
    return WorkingType(word or "CONTRACT_PRICE")


def _prevention(parameters: Parameters) -> str | None:
    refusal = (-5039, "Invalid self trade prevention mode.")
    return parameters.word("selfTradePreventionMode", PREVENTION_MODES, refusal)


def _optional_boolean(parameters: Parameters, name: str) -> bool | None:
    return parameters.boolean(name) if name in parameters else None


SIGNED = Security.SIGNED
ROUTES = [
    Route("POST", "/fapi/v1/order", SIGNED, 0, new_order, counts_order=True),
    Route("GET", "/fapi/v1/order", SIGNED, 1, query_order),
    Route("DELETE", "/fapi/v1/order", SIGNED, 1, cancel_order),
    Route("GET", "/fapi/v1/openOrder", SIGNED, 1, query_open_order),
    Route("GET", "/fapi/v1/openOrders", SIGNED, one_or_all(1, 40), open_orders),
    Route("GET", "/fapi/v1/allOrders", SIGNED, 5, all_orders),
    Route("DELETE", "/fapi/v1/allOpenOrders", SIGNED, 1, cancel_all),
    Route("POST", "/fapi/v1/countdownCancelAll", SIGNED, 10, countdown_cancel),
    Route("POST", "/fapi/v1/algoOrder", SIGNED, 0, new_algo_order, counts_order=True),
    Route("GET", "/fapi/v1/algoOrder", SIGNED, 1, query_algo_order),
    Route("DELETE", "/fapi/v1/algoOrder", SIGNED, 1, cancel_algo_order),
    Route("GET", "/fapi/v1/openAlgoOrders", SIGNED, one_or_all(1, 40), open_algo_orders),
    Route("GET", "/fapi/v1/allAlgoOrders", SIGNED, 5, all_algo_orders),
    Route("DELETE", "/fapi/v1/algoOpenOrders", SIGNED, 1, cancel_all_algos),
]
