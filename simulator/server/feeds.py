"""One object a live stream: what it sends, when, and to whom. Each payload is encoded once for all subscribers."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Protocol

from simulator.market.model import KlineView, MarketTrade
from simulator.server import encode_streams as encode
from simulator.server.formats import Precision
from simulator.server.ports import Levels, MarketFeed
from simulator.server.stream_names import StreamName

KLINE_PERIOD_MS = 250
DIFF_DEPTH_LEVELS = 1000
ZERO = Decimal(0)


class Subscriber(Protocol):
    """A connection: takes the payload alone, or wrapped as `{"stream", "data"}`."""

    is_combined: bool
    events: frozenset[str] | None
    """Types of user events that it takes; None for all."""

    def push(self, frame: bytes) -> None: ...


class Feed:
    """A named stream and its subscribers."""

    __slots__ = ("_prefix", "name", "subscribers")

    def __init__(self, name: str) -> None:
        self.name = name
        self._prefix = f'{{"stream":"{name}","data":'.encode()
        self.subscribers: list[Subscriber] = []

    def publish(self, payload: bytes, kind: str | None = None) -> None:
        """Hand `payload` to every subscriber in its form; a `kind` reaches only those that take such events."""
        combined: bytes | None = None
        for subscriber in self.subscribers:
            if kind is not None and subscriber.events is not None and kind not in subscriber.events:
                continue
            if subscriber.is_combined:
                if combined is None:
                    combined = self._prefix + payload + b"}"
                subscriber.push(combined)
            else:
                subscriber.push(payload)


class MarketStream(Feed):
    """A public stream of one symbol."""

    __slots__ = ("market", "precision", "stream")

    def __init__(self, stream: StreamName, market: MarketFeed, precision: Precision) -> None:
        super().__init__(stream.text)
        self.stream = stream
        self.market = market
        self.precision = precision


class KlineStream(MarketStream):
    """Forming frames at most every 250 ms of wall time, and every closing frame exactly once."""

    __slots__ = ("due_ms",)

    def __init__(self, stream: StreamName, market: MarketFeed, precision: Precision) -> None:
        super().__init__(stream, market, precision)
        self.due_ms = 0

    def send_forming(self, wall_ms: int) -> None:
        view = self.market.forming(self.stream.symbol, self.stream.interval)
        self.due_ms = wall_ms + KLINE_PERIOD_MS
        if not view.closed:
            self._send(view, self.market.now_ms)

    def send_closed(self, view: KlineView, time_ms: int) -> None:
        self._send(view, time_ms)

    def _send(self, view: KlineView, time_ms: int) -> None:
        self.publish(encode.kline(self.stream.symbol, self.stream.interval, view, self.precision, time_ms))


class AggTradeStream(MarketStream):
    """Each aggregate trade once, as soon as the market has played it."""

    __slots__ = ()

    def send(self, trade: MarketTrade) -> None:
        self.publish(encode.agg_trade(trade, self.precision, trade.time_ms))


class MarkPriceStream(Feed):
    """The mark price of one symbol, or of all in one frame, every one or three seconds of wall time."""

    __slots__ = ("_symbols", "market", "stream")

    def __init__(self, stream: StreamName, market: MarketFeed, symbols: Iterable[str]) -> None:
        super().__init__(stream.text)
        self.stream = stream
        self.market = market
        self._symbols = tuple(symbols)

    def send(self) -> None:
        rows = [self._row(symbol) for symbol in self._symbols]
        self.publish(rows[0] if self.stream.symbol else b"[" + b",".join(rows) + b"]")

    def _row(self, symbol: str) -> bytes:
        market = self.market
        return encode.mark_price(
            symbol,
            market.mark_price(symbol),
            market.index_price(symbol),
            market.funding_rate(symbol),
            next_funding_ms=market.next_funding_ms(symbol),
            time_ms=market.now_ms,
        )


class BookTickerStream(MarketStream):
    """Best bid and ask whenever either has changed."""

    __slots__ = ("_last",)

    def __init__(self, stream: StreamName, market: MarketFeed, precision: Precision) -> None:
        super().__init__(stream, market, precision)
        self._last: tuple[tuple[Decimal, Decimal], tuple[Decimal, Decimal]] | None = None

    def send_if_changed(self) -> None:
        bids, asks = self.market.depth(self.stream.symbol, 1)
        top = (bids[0], asks[0])
        if top != self._last:
            self._last = top
            self.publish(encode.book_ticker(self.stream.symbol, *top, self.precision, self.market.now_ms))


class DepthStream(MarketStream):
    """A stream of book levels, sent once a period when something has changed."""

    __slots__ = ()

    def send_if_changed(self) -> None:
        """Send the book, or what changed in it since the last frame."""
        raise TypeError(f"{type(self).__name__} does not say what it sends")

    def note_shown(self, bids: Levels, asks: Levels) -> None:
        """A client has been given this snapshot."""

    def _send(self, bids: Levels, asks: Levels, ids: tuple[int, int, int]) -> None:
        now_ms = self.market.now_ms
        self.publish(encode.depth_update(self.stream.symbol, bids, asks, self.precision, ids=ids, time_ms=now_ms))


class PartialDepthStream(DepthStream):
    """The best 5, 10 or 20 levels, whole."""

    __slots__ = ("_last", "_last_id")

    def __init__(self, stream: StreamName, market: MarketFeed, precision: Precision) -> None:
        super().__init__(stream, market, precision)
        self._last: tuple[Levels, Levels] | None = None
        self._last_id = market.now_ms

    def send_if_changed(self) -> None:
        book = self.market.depth(self.stream.symbol, self.stream.levels)
        if book == self._last:
            return
        previous, self._last = self._last_id, book
        self._last_id = max(self.market.now_ms, previous + 1)
        ids = (previous + 1, self._last_id, previous)
        self.publish(
            encode.depth_update(self.stream.symbol, *book, self.precision, ids=ids, time_ms=self.market.now_ms)
        )


class DiffDepthStream(DepthStream):
    """Differences of the book with an unbroken `pu` chain.

    Update ids are the market time in milliseconds, so that they bridge the snapshots of `GET /fapi/v1/depth`. A level
    that a snapshot showed otherwise than the last frame is sent again even if it has changed back since.
    """

    __slots__ = ("_asks", "_bids", "_last_id", "_shown_asks", "_shown_bids")

    def __init__(self, stream: StreamName, market: MarketFeed, precision: Precision) -> None:
        super().__init__(stream, market, precision)
        bids, asks = market.depth(stream.symbol, DIFF_DEPTH_LEVELS)
        self._bids, self._asks = dict(bids), dict(asks)
        self._shown_bids: set[Decimal] = set()
        self._shown_asks: set[Decimal] = set()
        self._last_id = market.now_ms

    def note_shown(self, bids: Levels, asks: Levels) -> None:
        """Remember where a snapshot given to a client differs from the last frame."""
        self._shown_bids |= _differing(self._bids, bids)
        self._shown_asks |= _differing(self._asks, asks)

    def send_if_changed(self) -> None:
        new_bids, new_asks = self.market.depth(self.stream.symbol, DIFF_DEPTH_LEVELS)
        bids, asks = dict(new_bids), dict(new_asks)
        bid_rows = sorted(_changes(self._bids, bids, self._shown_bids), reverse=True)
        ask_rows = sorted(_changes(self._asks, asks, self._shown_asks))
        if not bid_rows and not ask_rows:
            return
        previous = self._last_id
        self._last_id = max(self.market.now_ms, previous + 1)
        self._bids, self._asks = bids, asks
        self._shown_bids.clear()
        self._shown_asks.clear()
        ids = (previous + 1, self._last_id, previous)
        now_ms = self.market.now_ms
        self.publish(
            encode.depth_update(self.stream.symbol, bid_rows, ask_rows, self.precision, ids=ids, time_ms=now_ms)
        )


def _changes(
    old: dict[Decimal, Decimal], new: dict[Decimal, Decimal], shown: Iterable[Decimal]
) -> list[tuple[Decimal, Decimal]]:
    """Return the levels to send: changed, new or shown ones with their quantity, vanished ones with zero."""
    rows = {price: quantity for price, quantity in new.items() if old.get(price) != quantity}
    rows |= {price: ZERO for price in old if price not in new}
    rows |= {price: new.get(price, ZERO) for price in shown}
    return list(rows.items())


def _differing(last: dict[Decimal, Decimal], shown: Levels) -> set[Decimal]:
    """Return the prices within the snapshot's range at which it differs from `last`."""
    if not shown:
        return set()
    book = dict(shown)
    low, high = sorted((shown[0][0], shown[-1][0]))
    gone = {price for price in last if low <= price <= high and price not in book}
    return gone | {price for price, quantity in book.items() if last.get(price) != quantity}
