"""Orders, conditional orders, fills and ledger rows as REST objects (protocol sections 4, 5, 11)."""

from __future__ import annotations

from typing import Any

from core.enums import OrderType, Side
from simulator.engine.orders import AlgoOrder, Income, PlainOrder, Trade
from simulator.server.formats import Precision, average, eight, eight_or_zero, fixed

Json = dict[str, Any]


def order_ack(order: PlainOrder, precision: Precision) -> Json:
    """Answer of place, cancel and cancel-by-id: without `avgPrice` and `cumQuote` since 2026-06-30."""
    return {
        "orderId": order.order_id,
        "symbol": order.symbol,
        "status": order.status.value,
        "clientOrderId": order.client_order_id,
        "price": fixed(order.price, precision.price),
        "origQty": fixed(order.quantity, precision.quantity),
        "executedQty": fixed(order.executed_quantity, precision.quantity),
        "cumQty": fixed(order.executed_quantity, precision.quantity),
        "timeInForce": order.time_in_force.value,
        "type": order.type.value,
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": order.side.value,
        "positionSide": order.position_side.value,
        "stopPrice": fixed(order.stop_price, precision.price),
        "workingType": order.working_type.value,
        "priceProtect": order.price_protect,
        "origType": order.orig_type.value,
        "priceMatch": order.price_match,
        "selfTradePreventionMode": order.self_trade_prevention,
        "goodTillDate": order.good_till_ms,
        **_trailing_order(order, precision),
        "updateTime": order.update_time_ms,
    }


def order_detail(order: PlainOrder, precision: Precision) -> Json:
    """One order of order, openOrder(s) and allOrders: the ack without `cumQty`, with averages and its birth."""
    detail = order_ack(order, precision)
    del detail["cumQty"]
    detail["avgPrice"] = average(order.average_price, precision.average)
    detail["cumQuote"] = fixed(order.cum_quote, precision.quote)
    detail["time"] = order.create_time_ms
    return detail


def _trailing_order(order: PlainOrder, precision: Precision) -> Json:
    if order.orig_type is not OrderType.TRAILING_STOP_MARKET:
        return {}
    return {
        "activatePrice": fixed(order.activate_price, precision.price),
        "priceRate": fixed(order.callback_rate, 1),
    }


def algo_ack(order: AlgoOrder, precision: Precision) -> Json:
    """Answer of placing a conditional order."""
    return _algo(order, precision, {})


def algo_detail(order: AlgoOrder, precision: Precision) -> Json:
    """One order of algoOrder (query), openAlgoOrders and allAlgoOrders."""
    nothing = fixed(order.price * 0, precision.price)
    actual: Json = {
        "actualOrderId": str(order.actual_order_id) if order.actual_order_id else "",
        "actualPrice": average(order.actual_price, precision.average),
        "actualQty": fixed(order.actual_quantity, precision.quantity),
        "actualType": order.actual_type,
        "tpTriggerPrice": nothing,
        "tpPrice": nothing,
        "slTriggerPrice": nothing,
        "slPrice": nothing,
        "tpOrderType": "",
    }
    return _algo(order, precision, actual)


def _algo(order: AlgoOrder, precision: Precision, actual: Json) -> Json:
    trailing: Json = {}
    if order.type is OrderType.TRAILING_STOP_MARKET:
        trailing = {
            "activatePrice": fixed(order.activate_price, precision.price),
            "callbackRate": fixed(order.callback_rate, 1),
        }
    return {
        "algoId": order.algo_id,
        "clientAlgoId": order.client_algo_id,
        "algoType": "CONDITIONAL",
        "orderType": order.type.value,
        "symbol": order.symbol,
        "side": order.side.value,
        "positionSide": order.position_side.value,
        "timeInForce": order.time_in_force.value,
        "quantity": fixed(order.quantity, precision.quantity),
        "algoStatus": order.status.value,
        **actual,
        "triggerPrice": fixed(order.trigger_price, precision.price),
        "price": fixed(order.price, precision.price),
        "icebergQuantity": None,
        "selfTradePreventionMode": order.self_trade_prevention,
        "workingType": order.working_type.value,
        "priceMatch": order.price_match,
        "closePosition": order.close_position,
        "priceProtect": order.price_protect,
        "reduceOnly": order.reduce_only,
        **trailing,
        "createTime": order.create_time_ms,
        "updateTime": order.update_time_ms,
        "triggerTime": order.trigger_time_ms,
        "goodTillDate": order.good_till_ms,
    }


def algo_cancelled(order: AlgoOrder) -> Json:
    """Answer of cancelling a conditional order; the code is a string there."""
    return {"algoId": order.algo_id, "clientAlgoId": order.client_algo_id, "code": "200", "msg": "success"}


def user_trade(trade: Trade, precision: Precision) -> Json:
    quantity = fixed(trade.quantity, precision.quantity)
    return {
        "symbol": trade.symbol,
        "pair": trade.symbol,
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "side": trade.side.value,
        "price": fixed(trade.price, precision.price),
        "qty": quantity,
        "baseQty": quantity,
        "realizedPnl": eight_or_zero(trade.realised_pnl),
        "marginAsset": trade.commission_asset,
        "quoteQty": fixed(trade.quote_quantity, precision.quote),
        "commission": eight(trade.commission),
        "commissionAsset": trade.commission_asset,
        "time": trade.time_ms,
        "positionSide": trade.position_side.value,
        "buyer": trade.side is Side.BUY,
        "maker": trade.is_maker,
    }


def income_row(row: Income) -> Json:
    return {
        "symbol": row.symbol,
        "incomeType": row.income_type,
        "income": eight(row.income),
        "asset": row.asset,
        "time": row.time_ms,
        "info": row.info,
        "tranId": row.tran_id,
        "tradeId": str(row.trade_id) if row.trade_id else "",
    }
