"""What the live venue's public messages mean: contracts, candles, trades, quotes and mark prices, as values.

Only public data of the USDS-M protocol. Numbers come as text and go straight into Decimals. A message that lacks a
field raises KeyError, one with a bad number ValueError or decimal.InvalidOperation: `WIRE_FAULTS` names them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from core.enums import SymbolStatus
from core.instrument import Instrument
from simulator.market.columns import MINUTE_MS
from simulator.market.model import FundingPoint, KlineView, MarketTrade

WIRE_FAULTS = (KeyError, ValueError, TypeError, IndexError, InvalidOperation)
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and ask with their quantities."""

    bid: Decimal
    bid_quantity: Decimal
    ask: Decimal
    ask_quantity: Decimal


@dataclass(frozen=True, slots=True)
class Marking:
    """Mark and index price, and the rate that is paid at `next_funding_ms`."""

    mark: Decimal
    index: Decimal
    rate: Decimal
    next_funding_ms: int


def instrument_of(row: Json) -> Instrument:
    """Return one contract of exchangeInfo. Absent filters do not bind."""
    filters = {one["filterType"]: one for one in row["filters"]}
    price, lot = filters["PRICE_FILTER"], filters["LOT_SIZE"]
    market_lot = filters.get("MARKET_LOT_SIZE", lot)
    band = filters.get("PERCENT_PRICE", {"multiplierUp": "1.05", "multiplierDown": "0.95"})
    known = {status.value for status in SymbolStatus}
    return Instrument(
        symbol=row["symbol"],
        base_asset=row["baseAsset"],
        quote_asset=row["quoteAsset"],
        status=SymbolStatus(row["status"]) if row["status"] in known else SymbolStatus.UNKNOWN,
        tick_size=Decimal(price["tickSize"]),
        min_price=Decimal(price["minPrice"]),
        max_price=Decimal(price["maxPrice"]),
        step_size=Decimal(lot["stepSize"]),
        min_quantity=Decimal(lot["minQty"]),
        max_quantity=Decimal(lot["maxQty"]),
        market_step_size=Decimal(market_lot["stepSize"]),
        market_min_quantity=Decimal(market_lot["minQty"]),
        market_max_quantity=Decimal(market_lot["maxQty"]),
        min_notional=Decimal(filters["MIN_NOTIONAL"]["notional"]) if "MIN_NOTIONAL" in filters else Decimal(5),
        multiplier_up=Decimal(band["multiplierUp"]),
        multiplier_down=Decimal(band["multiplierDown"]),
        market_take_bound=Decimal(row.get("marketTakeBound", "0.05")),
        trigger_protect=Decimal(row.get("triggerProtect", "0.05")),
        max_open_orders=int(filters.get("MAX_NUM_ORDERS", {"limit": 200})["limit"]),
        price_precision=int(row["pricePrecision"]),
        quantity_precision=int(row["quantityPrecision"]),
    )


def klines_of_rows(rows: Sequence[Sequence[Any]], now_ms: int) -> list[KlineView]:
    """Return REST candles by rising time. All but the last are closed; that one is when it ends before `now_ms`.

    REST tells no trade ids: they are -1.
    """
    return [
        _kline_of_row(row, closed=number < len(rows) or int(row[6]) < now_ms)
        for number, row in enumerate(rows, start=1)
    ]


def _kline_of_row(row: Sequence[Any], *, closed: bool) -> KlineView:
    return KlineView(
        int(row[0]),
        int(row[6]),
        Decimal(row[1]),
        Decimal(row[2]),
        Decimal(row[3]),
        Decimal(row[4]),
        Decimal(row[5]),
        Decimal(row[7]),
        int(row[8]),
        Decimal(row[9]),
        Decimal(row[10]),
        -1,
        -1,
        closed,
    )


def kline_of_frame(frame: Json) -> KlineView:
    """Return the candle of a kline frame's `k`; ValueError unless it is a one-minute candle."""
    if frame["i"] != "1m" or int(frame["T"]) - int(frame["t"]) != MINUTE_MS - 1:
        raise ValueError(f"no 1m candle: {frame['i']}")
    return KlineView(
        int(frame["t"]),
        int(frame["T"]),
        Decimal(frame["o"]),
        Decimal(frame["h"]),
        Decimal(frame["l"]),
        Decimal(frame["c"]),
        Decimal(frame["v"]),
        Decimal(frame["q"]),
        int(frame["n"]),
        Decimal(frame["V"]),
        Decimal(frame["Q"]),
        int(frame["f"]),
        int(frame["L"]),
        frame["x"] is True,
    )


def trade_of(event: Json) -> MarketTrade:
    return MarketTrade(
        int(event["T"]),
        event["s"],
        Decimal(event["p"]),
        Decimal(event["q"]),
        bool(event["m"]),
        int(event["a"]),
        int(event["f"]),
        int(event["l"]),
    )


def quote_of_event(event: Json) -> Quote:
    return Quote(Decimal(event["b"]), Decimal(event["B"]), Decimal(event["a"]), Decimal(event["A"]))


def quote_of_ticker(row: Json) -> Quote:
    """Return a row of GET ticker/bookTicker."""
    return Quote(Decimal(row["bidPrice"]), Decimal(row["bidQty"]), Decimal(row["askPrice"]), Decimal(row["askQty"]))


def marking_of_event(event: Json) -> Marking:
    return Marking(Decimal(event["p"]), Decimal(event["i"]), Decimal(event["r"] or "0"), int(event["T"]))


def marking_of_premium(row: Json) -> Marking:
    """Return a row of GET premiumIndex."""
    return Marking(
        Decimal(row["markPrice"]),
        Decimal(row["indexPrice"]),
        Decimal(row["lastFundingRate"] or "0"),
        int(row["nextFundingTime"]),
    )


def funding_of(row: Json) -> FundingPoint:
    """Return a row of GET fundingRate; its mark price may be missing in old rows."""
    return FundingPoint(int(row["fundingTime"]), Decimal(row["fundingRate"]), Decimal(row.get("markPrice") or "0"))
