"""Public stream frames → market events. The hot path: plain dictionary look-ups, one Decimal per needed number."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from core.candle import ClosedCandle
from core.events import CandleClosed, MarketEvent, MarkPriceUpdated, PriceUpdated, QuoteUpdated

Frame = dict[str, Any]
_COIN_MARGINED = 2


def decode_market(frame: Frame, received_time_ms: int, received_ns: int) -> MarketEvent | None:
    """Return the event of one combined frame's `data`, or None for kinds that we do not use.

    Raises KeyError, TypeError, ValueError or ArithmeticError when a needed field is missing or malformed.
    """
    decode = _DECODERS.get(frame["e"])
    if decode is None or frame.get("st") == _COIN_MARGINED:  # coin-margined contracts share some streams since 2026
        return None
    return decode(frame, received_time_ms, received_ns)


def _kline(frame: Frame, received_time_ms: int, received_ns: int) -> CandleClosed | PriceUpdated:
    k = frame["k"]
    if k["x"] is not True:
        return PriceUpdated(frame["s"], Decimal(k["c"]), int(frame["E"]), received_time_ms)
    candle = ClosedCandle(
        symbol=frame["s"],
        interval=k["i"],
        open_time_ms=int(k["t"]),
        open=Decimal(k["o"]),
        high=Decimal(k["h"]),
        low=Decimal(k["l"]),
        close=Decimal(k["c"]),
        volume=Decimal(k["v"]),
        quote_volume=Decimal(k["q"]),
        trade_count=int(k["n"]),
        taker_buy_volume=Decimal(k["V"]),
        taker_buy_quote_volume=Decimal(k["Q"]),
    )
    return CandleClosed(candle, int(frame["E"]), received_time_ms, received_ns)


def _mark_price(frame: Frame, received_time_ms: int, received_ns: int) -> MarkPriceUpdated:
    del received_ns
    rate = frame.get("r")
    return MarkPriceUpdated(
        symbol=frame["s"],
        mark_price=Decimal(frame["p"]),
        index_price=Decimal(frame["i"]),
        funding_rate=Decimal(rate) if rate else Decimal(0),  # delivery contracts pay none: the field is empty
        next_funding_time_ms=int(frame["T"]),
        event_time_ms=int(frame["E"]),
        received_time_ms=received_time_ms,
    )


def _quote(frame: Frame, received_time_ms: int, received_ns: int) -> QuoteUpdated:
    del received_ns
    return QuoteUpdated(
        symbol=frame["s"],
        bid=Decimal(frame["b"]),
        bid_quantity=Decimal(frame["B"]),
        ask=Decimal(frame["a"]),
        ask_quantity=Decimal(frame["A"]),
        event_time_ms=int(frame["E"]),
        received_time_ms=received_time_ms,
    )


def _trade(frame: Frame, received_time_ms: int, received_ns: int) -> PriceUpdated:
    del received_ns
    return PriceUpdated(frame["s"], Decimal(frame["p"]), int(frame["E"]), received_time_ms)


_DECODERS: dict[str, Callable[[Frame, int, int], MarketEvent]] = {
    "kline": _kline,
    "markPriceUpdate": _mark_price,
    "bookTicker": _quote,
    "aggTrade": _trade,
}
