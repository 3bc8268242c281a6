"""Account, positions, ledger, settings and listen keys (protocol sections 6, 10, 11)."""

from __future__ import annotations

from typing import Any

from core.enums import MarginType
from simulator.server import encode_account as encode
from simulator.server.auth import Security
from simulator.server.encode_market import order_limits
from simulator.server.encode_orders import income_row, user_trade
from simulator.server.formats import bare
from simulator.server.routing import Call, Route

BAD_MARGIN_TYPE = (-1130, "Data sent for parameter 'marginType' is not valid.")
SUCCESS = {"code": 200, "msg": "success"}


def account(call: Call) -> Any:
    return encode.account(call.venue.exchange.account(), call.venue.precisions)


def balances(call: Call) -> Any:
    return [encode.balance(row) for row in call.venue.exchange.balances()]


def positions(call: Call) -> Any:
    rows = call.venue.exchange.positions(call.optional_symbol())
    return [encode.position_risk(row, call.precision(row.symbol)) for row in rows]


def user_trades(call: Call) -> Any:
    symbol = call.symbol()
    parameters = call.parameters
    start, end = parameters.span()
    trades = call.venue.exchange.user_trades(
        symbol,
        parameters.integer("fromId"),
        start,
        end,
        parameters.limit(500, 1000),
        order_id=parameters.integer("orderId"),
    )
    return [user_trade(trade, call.precision(symbol)) for trade in trades]


def income(call: Call) -> Any:
    parameters = call.parameters
    start, end = parameters.span()
    rows = call.venue.exchange.income(
        call.optional_symbol(),
        parameters.text("incomeType"),
        start,
        end,
        parameters.limit(100, 1000),
        page=parameters.integer("page") or 1,
    )
    return [income_row(row) for row in rows]


def symbol_config(call: Call) -> Any:
    return [encode.symbol_config(row) for row in call.venue.exchange.symbol_config(call.optional_symbol())]


def account_config(call: Call) -> Any:
    return encode.account_config(call.venue.exchange.is_hedge_mode)


def set_leverage(call: Call) -> Any:
    symbol = call.symbol()
    view = call.venue.exchange.set_leverage(symbol, call.parameters.required_integer("leverage"))
    return {"leverage": view.leverage, "maxNotionalValue": bare(view.max_notional), "symbol": symbol}


def set_margin_type(call: Call) -> Any:
    symbol = call.symbol()
    word = call.parameters.required_word("marginType", ("ISOLATED", "CROSSED"), BAD_MARGIN_TYPE)
    call.venue.exchange.set_margin_type(symbol, MarginType(word))
    return SUCCESS


def set_position_mode(call: Call) -> Any:
    call.parameters.required("dualSidePosition")
    call.venue.exchange.set_position_mode(call.parameters.boolean("dualSidePosition"))
    return SUCCESS


def position_mode(call: Call) -> Any:
    return {"dualSidePosition": call.venue.exchange.is_hedge_mode}


def multi_assets_mode(call: Call) -> Any:
    return {"multiAssetsMargin": False}


def leverage_brackets(call: Call) -> Any:
    symbol = call.optional_symbol()
    if symbol is not None:
        return encode.leverage_brackets(symbol, call.venue.spec(symbol).brackets)
    return [encode.leverage_brackets(name, spec.brackets) for name, spec in call.venue.market.specs.items()]


def commission_rate(call: Call) -> Any:
    return encode.commission_rate(call.venue.exchange.commission_rate(call.symbol()))


def order_rate_limit(call: Call) -> Any:
    return order_limits(call.venue.limiter.limits)


def open_listen_key(call: Call) -> Any:
    return {"listenKey": call.venue.listen_keys.open(call.now_ms)}


def keep_listen_key(call: Call) -> Any:
    return {"listenKey": call.venue.listen_keys.keep_alive(call.now_ms)}


def close_listen_key(call: Call) -> Any:
    call.venue.listen_keys.close(call.now_ms)
    return {}


SIGNED, KEY = Security.SIGNED, Security.KEY
ROUTES = [
    Route("GET", "/fapi/v3/account", SIGNED, 5, account),
    Route("GET", "/fapi/v3/balance", SIGNED, 5, balances),
    Route("GET", "/fapi/v3/positionRisk", SIGNED, 5, positions),
    Route("GET", "/fapi/v1/userTrades", SIGNED, 5, user_trades),
    Route("GET", "/fapi/v1/income", SIGNED, 30, income),
    Route("GET", "/fapi/v1/symbolConfig", SIGNED, 5, symbol_config),
    Route("GET", "/fapi/v1/accountConfig", SIGNED, 5, account_config),
    Route("POST", "/fapi/v1/leverage", SIGNED, 1, set_leverage),
    Route("POST", "/fapi/v1/marginType", SIGNED, 1, set_margin_type),
    Route("POST", "/fapi/v1/positionSide/dual", SIGNED, 1, set_position_mode),
    Route("GET", "/fapi/v1/positionSide/dual", SIGNED, 30, position_mode),
    Route("GET", "/fapi/v1/multiAssetsMargin", SIGNED, 30, multi_assets_mode),
    Route("GET", "/fapi/v1/leverageBracket", SIGNED, 1, leverage_brackets),
    Route("GET", "/fapi/v1/commissionRate", SIGNED, 20, commission_rate),
    Route("GET", "/fapi/v1/rateLimit/order", SIGNED, 1, order_rate_limit),
    Route("POST", "/fapi/v1/listenKey", KEY, 1, open_listen_key),
    Route("PUT", "/fapi/v1/listenKey", KEY, 1, keep_listen_key),
    Route("DELETE", "/fapi/v1/listenKey", KEY, 1, close_listen_key),
]
