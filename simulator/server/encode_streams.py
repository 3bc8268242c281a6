"""Market stream payloads (protocol section 7), as bytes. Built by hand: they are most of what the exchange sends.

Symbols and numbers need no JSON escaping, so text formatting gives the same bytes as an encoder, faster.
"""

from __future__ import annotations

from decimal import Decimal

from simulator.market.model import KlineView, MarketTrade
from simulator.server.formats import Precision, eight, fixed
from simulator.server.ports import Levels


def kline(symbol: str, interval: str, view: KlineView, precision: Precision, time_ms: int) -> bytes:
    """kline. `x` is true exactly on the closing frame."""
    price, quantity, quote = precision.price, precision.quantity, precision.quote
    return (
        f'{{"e":"kline","E":{time_ms},"s":"{symbol}","k":{{"t":{view.open_time_ms},"T":{view.close_time_ms},'
        f'"s":"{symbol}","i":"{interval}","f":{view.first_trade_id},"L":{view.last_trade_id},'
        f'"o":"{fixed(view.open, price)}","c":"{fixed(view.close, price)}",'
        f'"h":"{fixed(view.high, price)}","l":"{fixed(view.low, price)}",'
        f'"v":"{fixed(view.volume, quantity)}","n":{view.trade_count},"x":{"true" if view.closed else "false"},'
        f'"q":"{fixed(view.quote_volume, quote)}","V":"{fixed(view.taker_buy_volume, quantity)}",'
        f'"Q":"{fixed(view.taker_buy_quote_volume, quote)}","B":"0"}}}}'
    ).encode()


def agg_trade(trade: MarketTrade, precision: Precision, time_ms: int) -> bytes:
    quantity = fixed(trade.quantity, precision.quantity)
    return (
        f'{{"e":"aggTrade","E":{time_ms},"a":{trade.agg_id},"s":"{trade.symbol}",'
        f'"p":"{fixed(trade.price, precision.price)}","q":"{quantity}","nq":"{quantity}",'
        f'"f":{trade.first_id},"l":{trade.last_id},"T":{trade.time_ms},'
        f'"m":{"true" if trade.buyer_is_maker else "false"},"st":1}}'
    ).encode()


def mark_price(
    symbol: str, mark: Decimal, index: Decimal, rate: Decimal, *, next_funding_ms: int, time_ms: int
) -> bytes:
    mark_text, index_text = eight(mark), eight(index)
    return (
        f'{{"e":"markPriceUpdate","E":{time_ms},"s":"{symbol}","p":"{mark_text}","ap":"{mark_text}",'
        f'"P":"{index_text}","i":"{index_text}","r":"{eight(rate)}","T":{next_funding_ms},"st":1}}'
    ).encode()


def book_ticker(
    symbol: str,
    bid: tuple[Decimal, Decimal],
    ask: tuple[Decimal, Decimal],
    precision: Precision,
    time_ms: int,
) -> bytes:
    """bookTicker. Its update id is the market time, like those of the book (see `feeds.DiffDepthStream`)."""
    price, quantity = precision.price, precision.quantity
    return (
        f'{{"e":"bookTicker","u":{time_ms},"s":"{symbol}","ps":"{symbol}",'
        f'"b":"{fixed(bid[0], price)}","B":"{fixed(bid[1], quantity)}",'
        f'"a":"{fixed(ask[0], price)}","A":"{fixed(ask[1], quantity)}",'
        f'"T":{time_ms},"E":{time_ms},"st":1}}'
    ).encode()


def depth_update(
    symbol: str, bids: Levels, asks: Levels, precision: Precision, *, ids: tuple[int, int, int], time_ms: int
) -> bytes:
    """depthUpdate, differences and partial books alike. `ids` are (U, u, pu)."""
    first, last, previous = ids
    return (
        f'{{"e":"depthUpdate","E":{time_ms},"T":{time_ms},"s":"{symbol}","ps":"{symbol}",'
        f'"U":{first},"u":{last},"pu":{previous},'
        f'"b":[{_levels(bids, precision)}],"a":[{_levels(asks, precision)}],"st":1}}'
    ).encode()


def _levels(rows: Levels, precision: Precision) -> str:
    price, quantity = precision.price, precision.quantity
    return ",".join(f'["{fixed(p, price)}","{fixed(q, quantity)}"]' for p, q in rows)
