"""User stream events (protocol section 6): one JSON payload each, as bytes."""

from __future__ import annotations

from typing import Any

import orjson

from core.enums import MarginType, OrderType
from simulator.engine.events import (
    AccountConfigEvent,
    AccountEvent,
    AlgoEvent,
    MarginCallEvent,
    OrderEvent,
    PositionChange,
)
from simulator.engine.orders import Trade
from simulator.server.formats import Precision, average, bare, bare_eight, eight, eight_or_zero, fixed

Json = dict[str, Any]


def order_trade_update(event: OrderEvent, precision: Precision) -> bytes:
    """ORDER_TRADE_UPDATE. Quantities and prices without trailing zeros, as the production venue writes them."""
    order, fill = event.order, event.fill
    body: Json = {
        "s": order.symbol,
        "c": order.client_order_id,
        "S": order.side.value,
        "o": order.type.value,
        "f": order.time_in_force.value,
        "q": bare(order.quantity),
        "p": bare(order.price),
        "ap": _strip(average(order.average_price, precision.average)),
        "sp": bare(order.stop_price),
        "x": event.execution_type,
        "X": order.status.value,
        "i": order.order_id,
        "l": bare(fill.quantity) if fill else "0",
        "z": bare(order.executed_quantity),
        "L": bare(fill.price) if fill else "0",
        "n": eight_or_zero(fill.commission) if fill else "0",
        "N": fill.commission_asset if fill else "USDT",
        "T": event.time_ms,
        "t": fill.trade_id if fill else 0,
        "b": bare(event.bid_notional),
        "a": bare(event.ask_notional),
        "m": fill.is_maker if fill else False,
        "R": order.reduce_only,
        "wt": order.working_type.value,
        "ot": order.orig_type.value,
        "ps": order.position_side.value,
        "cp": order.close_position,
        "rp": eight_or_zero(fill.realised_pnl) if fill else "0",
        "pP": order.price_protect,
        "si": 0,
        "ss": 0,
        "V": order.self_trade_prevention,
        "pm": order.price_match,
        "gtd": order.good_till_ms,
        "er": str(event.expiry_reason),
    }
    if order.orig_type is OrderType.TRAILING_STOP_MARKET:
        body["AP"] = bare(order.activate_price)
        body["cr"] = bare(order.callback_rate)
    return _event("ORDER_TRADE_UPDATE", event.time_ms, {"o": body})


def trade_lite(event: OrderEvent, fill: Trade, precision: Precision) -> bytes:
    """TRADE_LITE: the fill alone, with padded figures."""
    order = event.order
    return _event(
        "TRADE_LITE",
        event.time_ms,
        {
            "s": order.symbol,
            "q": fixed(order.quantity, precision.quantity),
            "p": fixed(order.price, precision.price),
            "m": fill.is_maker,
            "c": order.client_order_id,
            "S": order.side.value,
            "L": fixed(fill.price, precision.price),
            "l": fixed(fill.quantity, precision.quantity),
            "t": fill.trade_id,
            "i": order.order_id,
        },
    )


def algo_update(event: AlgoEvent, precision: Precision) -> bytes:
    """ALGO_UPDATE. The `a*` figures of the made order appear with it; `rm` only with a reason."""
    order = event.order
    body: Json = {
        "caid": order.client_algo_id,
        "aid": order.algo_id,
        "at": "CONDITIONAL",
        "o": order.type.value,
        "s": order.symbol,
        "S": order.side.value,
        "ps": order.position_side.value,
        "f": order.time_in_force.value,
        "q": bare(order.quantity),
        "X": order.status.value,
        "ai": str(order.actual_order_id) if order.actual_order_id else "",
    }
    if order.actual_order_id:
        body["ap"] = _strip(average(order.actual_price, precision.average))
        body["aq"] = bare(order.actual_quantity)
        body["act"] = order.actual_type
    body |= {
        "tp": bare(order.trigger_price),
        "p": bare(order.price),
        "V": order.self_trade_prevention,
        "wt": order.working_type.value,
        "pm": order.price_match,
        "cp": order.close_position,
        "pP": order.price_protect,
        "R": order.reduce_only,
        "tt": order.trigger_time_ms,
        "gtd": order.good_till_ms,
        "ia": order.is_activated,
    }
    if order.type is OrderType.TRAILING_STOP_MARKET:
        body["AP"] = bare(order.activate_price)
        body["cr"] = bare(order.callback_rate)
    if order.reject_reason:
        body["rm"] = order.reject_reason
    return _event("ALGO_UPDATE", event.time_ms, {"o": body})


def account_update(event: AccountEvent) -> bytes:
    balances = [
        {
            "a": change.asset,
            "wb": bare(change.wallet_balance),
            "cw": bare(change.cross_wallet_balance),
            "bc": bare(change.change),
        }
        for change in event.balances
    ]
    positions = [_position(change) for change in event.positions]
    return _event("ACCOUNT_UPDATE", event.time_ms, {"a": {"B": balances, "P": positions, "m": event.reason}})


def _position(change: PositionChange) -> Json:
    return {
        "s": change.symbol,
        "pa": bare(change.quantity),
        "ep": bare_eight(change.entry_price),
        "cr": eight_or_zero(change.accumulated_realised),
        "up": bare_eight(change.unrealised_pnl),
        "mt": _margin_word(change.margin_type),
        "iw": bare_eight(change.isolated_wallet),
        "ps": change.position_side.value,
        "ma": change.margin_asset,
        "bep": bare_eight(change.break_even_price),
    }


def account_config_update(event: AccountConfigEvent) -> bytes:
    return _event("ACCOUNT_CONFIG_UPDATE", event.time_ms, {"ac": {"s": event.symbol, "l": event.leverage}})


def margin_call(event: MarginCallEvent) -> bytes:
    positions = [
        {
            "s": position.symbol,
            "ps": position.position_side.value,
            "pa": bare(position.quantity),
            "mt": position.margin_type.value,
            "iw": bare_eight(position.isolated_wallet),
            "mp": eight(position.mark_price),
            "up": bare_eight(position.unrealised_pnl),
            "mm": bare_eight(position.maintenance_margin),
        }
        for position in event.positions
    ]
    return orjson.dumps(
        {"e": "MARGIN_CALL", "E": event.time_ms, "cw": bare_eight(event.cross_wallet_balance), "p": positions}
    )


def listen_key_expired(listen_key: str, time_ms: int) -> bytes:
    """listenKeyExpired. Its `E` is a string, as recorded on the production venue."""
    return orjson.dumps({"e": "listenKeyExpired", "E": str(time_ms), "listenKey": listen_key})


def _event(kind: str, time_ms: int, rest: Json) -> bytes:
    return orjson.dumps({"e": kind, "T": time_ms, "E": time_ms, **rest})


def _margin_word(margin_type: MarginType) -> str:
    return "isolated" if margin_type is MarginType.ISOLATED else "cross"


def _strip(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
