"""Public end points: time, contracts, candles, book, trades, tickers, premium index, funding."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from core.candle import INTERVAL_MS
from simulator.engine.errors import ApiError
from simulator.options import ABOUT_MARKET
from simulator.server import encode_market as encode
from simulator.server.auth import Security
from simulator.server.formats import eight, fixed
from simulator.server.parameters import Parameters
from simulator.server.routing import Call, Route, one_or_all

INTERVALS = (*INTERVAL_MS, "3d", "1w", "1M")
DEPTH_WEIGHTS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
DEFAULT_DEPTH = 500
HOUR_MS = 3_600_000
DAY_MINUTES = 1440


def ping(call: Call) -> Any:
    return {}


def server_time(call: Call) -> Any:
    return {"serverTime": call.now_ms}


def about_market(call: Call) -> Any:
    """What only an embedded exchange knows: how fast its market goes, when a recorded one ends (null: never), and
    whether its countdown-cancel takes conditional orders."""
    venue = call.venue
    return {
        "speed": venue.speed,
        "marketTime": venue.market.now_ms,
        "marketEnd": venue.market.end_ms,
        "countdownCancels": "all" if venue.countdowns.cancels_algos else "plain",
    }


def exchange_info(call: Call) -> Any:
    return encode.exchange_info(call.venue.market.specs.values(), call.venue.limiter.limits, call.now_ms)


def depth(call: Call) -> Any:
    symbol = call.symbol()
    limit = call.parameters.integer("limit")
    limit = DEFAULT_DEPTH if limit is None else limit
    if limit not in DEPTH_WEIGHTS:
        raise ApiError(-4021, f"{limit} is not valid depth limit.")
    market = call.venue.market
    bids, asks = market.depth(symbol, limit)
    call.venue.on_book_shown(symbol, bids, asks)
    return encode.depth(bids, asks, call.precision(symbol), market.now_ms, market.now_ms)


def klines(call: Call) -> Any:
    symbol = call.symbol()
    interval = call.parameters.required("interval")
    if interval not in INTERVALS:
        raise ApiError(-1120, "Invalid interval.")
    start, end = call.parameters.span()
    rows = call.venue.market.klines(symbol, interval, start, end, call.parameters.limit(500, 1500))
    precision = call.precision(symbol)
    return [encode.kline_row(row, precision) for row in rows]


def agg_trades(call: Call) -> Any:
    symbol = call.symbol()
    start, end = call.parameters.span()
    if start is not None and end is not None and end - start > HOUR_MS:
        raise ApiError(-1127, "More than 1 hours between startTime and endTime.")
    from_id = call.parameters.integer("fromId")
    rows = call.venue.market.agg_trades(symbol, from_id, start, end, call.parameters.limit(500, 1000))
    precision = call.precision(symbol)
    return [encode.agg_trade(row, precision) for row in rows]


def premium_index(call: Call) -> Any:
    return _one_or_all(call, _premium)


def _premium(call: Call, symbol: str) -> Any:
    market = call.venue.market
    index = eight(market.index_price(symbol))
    return {
        "symbol": symbol,
        "markPrice": eight(market.mark_price(symbol)),
        "indexPrice": index,
        "estimatedSettlePrice": index,
        "lastFundingRate": eight(market.funding_rate(symbol)),
        "interestRate": "0.00010000",
        "nextFundingTime": market.next_funding_ms(symbol),
        "time": market.now_ms,
    }


def funding_rate(call: Call) -> Any:
    symbol = call.optional_symbol()
    start, end = call.parameters.span()
    limit = call.parameters.limit(100, 1000)
    symbols = [symbol] if symbol else list(call.venue.market.specs)
    # Over all symbols `limit` counts rows of the whole answer; intervals differ by a factor of eight at most.
    each = min(limit, 8 * (limit // len(symbols) + 1))
    rows = [
        encode.funding_row(name, point)
        for name in symbols
        for point in call.venue.market.funding_history(name, start, end, each)
    ]
    rows.sort(key=lambda row: int(row["fundingTime"]))
    return rows[:limit] if start is not None else rows[-limit:]


def funding_info(call: Call) -> Any:
    return [encode.funding_info(spec) for spec in call.venue.market.specs.values()]


def price_ticker(call: Call) -> Any:
    return _one_or_all(call, _price)


def _price(call: Call, symbol: str) -> Any:
    market = call.venue.market
    price = fixed(market.last_price(symbol), call.precision(symbol).price)
    return {"symbol": symbol, "price": price, "time": market.now_ms}


def book_ticker(call: Call) -> Any:
    return _one_or_all(call, _best_quotes)


def _best_quotes(call: Call, symbol: str) -> Any:
    market, precision = call.venue.market, call.precision(symbol)
    bids, asks = market.depth(symbol, 5)
    (bid, bid_quantity), (ask, ask_quantity) = bids[0], asks[0]
    return {
        "symbol": symbol,
        "bidPrice": fixed(bid, precision.price),
        "bidQty": fixed(bid_quantity, precision.quantity),
        "askPrice": fixed(ask, precision.price),
        "askQty": fixed(ask_quantity, precision.quantity),
        "time": market.now_ms,
        "lastUpdateId": market.now_ms,
    }


def day_ticker(call: Call) -> Any:
    return _one_or_all(call, _day)


def _day(call: Call, symbol: str) -> Any:
    """Rolling 24 hours, the forming candle included: in steps of one minute, over all symbols in steps of 15."""
    market, precision = call.venue.market, call.precision(symbol)
    interval, count = ("1m", DAY_MINUTES) if "symbol" in call.parameters else ("15m", DAY_MINUTES // 15)
    candles = market.klines(symbol, interval, None, None, count)
    first, last = candles[0], candles[-1]
    volume = sum((candle.volume for candle in candles), Decimal(0))
    quote_volume = sum((candle.quote_volume for candle in candles), Decimal(0))
    change = last.close - first.open
    trades = market.agg_trades(symbol, None, None, None, 1)
    mean = quote_volume / volume if volume else last.close
    return {
        "symbol": symbol,
        "priceChange": fixed(change, precision.price),
        "priceChangePercent": format(round(change / first.open * 100, 3), "f"),
        "weightedAvgPrice": format(round(mean, precision.price), "f"),
        "lastPrice": fixed(last.close, precision.price),
        "lastQty": fixed(trades[-1].quantity if trades else Decimal(0), precision.quantity),
        "openPrice": fixed(first.open, precision.price),
        "highPrice": fixed(max(candle.high for candle in candles), precision.price),
        "lowPrice": fixed(min(candle.low for candle in candles), precision.price),
        "volume": fixed(volume, precision.quantity),
        "quoteVolume": fixed(quote_volume, precision.quote),
        "openTime": first.open_time_ms,
        "closeTime": market.now_ms,
        "firstId": next((candle.first_trade_id for candle in candles if candle.first_trade_id >= 0), -1),
        "lastId": next((candle.last_trade_id for candle in reversed(candles) if candle.last_trade_id >= 0), -1),
        "count": sum(candle.trade_count for candle in candles),
    }


def _one_or_all(call: Call, row: Any) -> Any:
    """Answer with one object when a symbol was named, else with a list over all."""
    symbol = call.optional_symbol()
    if symbol is not None:
        return row(call, symbol)
    return [row(call, name) for name in call.venue.market.specs]


def _kline_weight(parameters: Parameters) -> int:
    limit = parameters.integer("limit") or 500
    if limit < 100:
        return 1
    if limit < 500:
        return 2
    return 5 if limit <= 1000 else 10


def _depth_weight(parameters: Parameters) -> int:
    return DEPTH_WEIGHTS.get(parameters.integer("limit") or DEFAULT_DEPTH, 20)


ROUTES = [
    Route("GET", ABOUT_MARKET, Security.NONE, 0, about_market),
    Route("GET", "/fapi/v1/ping", Security.NONE, 1, ping),
    Route("GET", "/fapi/v1/time", Security.NONE, 1, server_time),
    Route("GET", "/fapi/v1/exchangeInfo", Security.NONE, 1, exchange_info),
    Route("GET", "/fapi/v1/depth", Security.NONE, _depth_weight, depth),
    Route("GET", "/fapi/v1/klines", Security.NONE, _kline_weight, klines),
    Route("GET", "/fapi/v1/aggTrades", Security.NONE, 20, agg_trades),
    Route("GET", "/fapi/v1/premiumIndex", Security.NONE, one_or_all(1, 10), premium_index),
    Route("GET", "/fapi/v1/fundingRate", Security.NONE, 1, funding_rate),
    Route("GET", "/fapi/v1/fundingInfo", Security.NONE, 1, funding_info),
    Route("GET", "/fapi/v1/ticker/price", Security.NONE, one_or_all(1, 2), price_ticker),
    Route("GET", "/fapi/v2/ticker/price", Security.NONE, one_or_all(1, 2), price_ticker),
    Route("GET", "/fapi/v1/ticker/bookTicker", Security.NONE, one_or_all(2, 5), book_ticker),
    Route("GET", "/fapi/v1/ticker/24hr", Security.NONE, one_or_all(1, 40), day_ticker),
]
