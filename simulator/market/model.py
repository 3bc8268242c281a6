"""What a market hands out: trades, candles and funding, as values. No behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from core.frozen import quick_init


@quick_init
@dataclass(frozen=True, slots=True)
class MarketTrade:
    """One aggregate trade of the public market.

    `agg_id` is consecutive per symbol; `first_id` to `last_id` are the single trades that it stands for.
    `buyer_is_maker` True means that the taker sold.
    """

    time_ms: int
    symbol: str
    price: Decimal
    quantity: Decimal
    buyer_is_maker: bool
    agg_id: int
    first_id: int
    last_id: int


@dataclass(slots=True)
class KlineView:
    """One candle as the venue shows it. Trade ids are -1 while there is no trade in it."""

    open_time_ms: int
    close_time_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    trade_count: int
    taker_buy_volume: Decimal
    taker_buy_quote_volume: Decimal
    first_trade_id: int
    last_trade_id: int
    closed: bool


@dataclass(frozen=True, slots=True)
class KlineClosed:
    """A 1m candle has ended. `time_ms` is the first millisecond after it."""

    symbol: str
    interval: str
    kline: KlineView
    time_ms: int


@dataclass(frozen=True, slots=True)
class FundingPoint:
    """A funding payment that took place: its time, the rate (a fraction) and the mark price that it was paid on."""

    time_ms: int
    rate: Decimal
    mark_price: Decimal


MarketEvent = MarketTrade | KlineClosed
