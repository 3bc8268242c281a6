"""Public data as REST objects: contracts, candles, book, tickers, premium index (protocol sections 7, 9, 11)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core.instrument import Instrument
from simulator.market.catalog import SymbolSpec
from simulator.market.model import FundingPoint, KlineView, MarketTrade
from simulator.server.formats import Precision, bare, eight, fixed
from simulator.server.limits import RateLimits
from simulator.server.ports import Levels

Json = dict[str, Any]
PERPETUAL_DELIVERY_MS = 4_133_404_800_000
"""`deliveryDate` of every perpetual contract."""

ORDER_TYPES = ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"]
TIMES_IN_FORCE = ["GTC", "IOC", "FOK", "GTX", "GTD"]


def exchange_info(specs: Iterable[SymbolSpec], limits: RateLimits, server_time_ms: int) -> Json:
    return {
        "timezone": "UTC",
        "serverTime": server_time_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": rate_limits(limits),
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [contract(spec) for spec in specs],
    }


def rate_limits(limits: RateLimits) -> list[Json]:
    return [_limit("REQUEST_WEIGHT", "MINUTE", 1, limits.weight_per_minute), *order_limits(limits)]


def order_limits(limits: RateLimits) -> list[Json]:
    return [
        _limit("ORDERS", "MINUTE", 1, limits.orders_per_minute),
        _limit("ORDERS", "SECOND", 10, limits.orders_per_10s),
    ]


def _limit(kind: str, interval: str, number: int, limit: int) -> Json:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}


def contract(spec: SymbolSpec) -> Json:
    """One symbol of exchangeInfo."""
    instrument = spec.instrument
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": PERPETUAL_DELIVERY_MS,
        "onboardDate": spec.onboard_date_ms,
        "status": instrument.status.value,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.base_asset,
        "quoteAsset": instrument.quote_asset,
        "marginAsset": instrument.quote_asset,
        "pricePrecision": instrument.price_precision,
        "quantityPrecision": instrument.quantity_precision,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": fixed(instrument.trigger_protect, 4),
        "liquidationFee": fixed(spec.liquidation_fee, 6),
        "marketTakeBound": fixed(instrument.market_take_bound, 2),
        "maxMoveOrderLimit": 10000,
        "filters": _filters(instrument),
        "orderTypes": ORDER_TYPES,
        "timeInForce": TIMES_IN_FORCE,
        "permissionSets": ["GRID", "COPY"],
    }


def _filters(instrument: Instrument) -> list[Json]:
    price, quantity = instrument.price_precision, instrument.quantity_precision
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": fixed(instrument.min_price, price),
            "maxPrice": bare(instrument.max_price),
            "tickSize": fixed(instrument.tick_size, price),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": fixed(instrument.min_quantity, quantity),
            "maxQty": bare(instrument.max_quantity),
            "stepSize": fixed(instrument.step_size, quantity),
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": fixed(instrument.market_min_quantity, quantity),
            "maxQty": bare(instrument.market_max_quantity),
            "stepSize": fixed(instrument.market_step_size, quantity),
        },
        {"filterType": "MAX_NUM_ORDERS", "limit": instrument.max_open_orders},
        {"filterType": "MIN_NOTIONAL", "notional": bare(instrument.min_notional)},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": fixed(instrument.multiplier_up, 4),
            "multiplierDown": fixed(instrument.multiplier_down, 4),
            "multiplierDecimal": "4",
        },
        {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
    ]


def kline_row(kline: KlineView, precision: Precision) -> list[Any]:
    """The twelve items of one REST candle."""
    return [
        kline.open_time_ms,
        fixed(kline.open, precision.price),
        fixed(kline.high, precision.price),
        fixed(kline.low, precision.price),
        fixed(kline.close, precision.price),
        fixed(kline.volume, precision.quantity),
        kline.close_time_ms,
        fixed(kline.quote_volume, precision.quote),
        kline.trade_count,
        fixed(kline.taker_buy_volume, precision.quantity),
        fixed(kline.taker_buy_quote_volume, precision.quote),
        "0",
    ]


def levels(rows: Levels, precision: Precision) -> list[list[str]]:
    return [[fixed(price, precision.price), fixed(quantity, precision.quantity)] for price, quantity in rows]


def depth(bids: Levels, asks: Levels, precision: Precision, update_id: int, time_ms: int) -> Json:
    return {
        "lastUpdateId": update_id,
        "E": time_ms,
        "T": time_ms,
        "bids": levels(bids, precision),
        "asks": levels(asks, precision),
    }


def agg_trade(trade: MarketTrade, precision: Precision) -> Json:
    quantity = fixed(trade.quantity, precision.quantity)
    return {
        "a": trade.agg_id,
        "p": fixed(trade.price, precision.price),
        "q": quantity,
        "nq": quantity,
        "f": trade.first_id,
        "l": trade.last_id,
        "T": trade.time_ms,
        "m": trade.buyer_is_maker,
    }


def funding_row(symbol: str, point: FundingPoint) -> Json:
    return {
        "symbol": symbol,
        "fundingTime": point.time_ms,
        "fundingRate": eight(point.rate),
        "markPrice": eight(point.mark_price),
    }


def funding_info(spec: SymbolSpec) -> Json:
    return {
        "symbol": spec.symbol,
        "adjustedFundingRateCap": eight(spec.funding_rate_cap),
        "adjustedFundingRateFloor": eight(-spec.funding_rate_cap),
        "fundingIntervalHours": spec.funding_interval_hours,
        "disclaimer": False,
    }
