"""The stream hub: who listens to what, and what each market or private event sends.

Encoding happens only for streams that somebody has subscribed to. Event times are market time; throttles and timed
frames follow the wall clock that is handed to `tick`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from simulator.engine.events import (
    AccountConfigEvent,
    AccountEvent,
    AlgoEvent,
    ExchangeEvent,
    MarginCallEvent,
    OrderEvent,
)
from simulator.market.intervals import open_time
from simulator.market.model import KlineClosed, MarketTrade
from simulator.server import encode_events as encode
from simulator.server.feeds import (
    AggTradeStream,
    BookTickerStream,
    DepthStream,
    DiffDepthStream,
    Feed,
    KlineStream,
    MarketStream,
    MarkPriceStream,
    PartialDepthStream,
)
from simulator.server.formats import Precision
from simulator.server.listen_keys import ListenKeys
from simulator.server.ports import Levels, MarketFeed
from simulator.server.session import Session
from simulator.server.stream_names import Category, Kind, StreamName, parse


@dataclass(slots=True)
class _SymbolStreams:
    """The live streams of one symbol that its trades and candle ends feed."""

    klines: list[KlineStream] = field(default_factory=list)
    trades: list[AggTradeStream] = field(default_factory=list)
    tickers: list[BookTickerStream] = field(default_factory=list)


class StreamHub:
    """All live streams of the exchange."""

    def __init__(self, market: MarketFeed, precisions: dict[str, Precision], listen_keys: ListenKeys) -> None:
        self._market = market
        self._precisions = precisions
        self._listen_keys = listen_keys
        self._feeds: dict[str, MarketStream | MarkPriceStream] = {}
        self._users: dict[str, Feed] = {}
        self._symbols: dict[str, _SymbolStreams] = {}
        self._mark_prices: dict[int, list[MarkPriceStream]] = {}
        self._depths: dict[int, list[DepthStream]] = {}
        self._forming: dict[KlineStream, None] = {}
        self._quoted: dict[BookTickerStream, None] = {}
        self._periods: dict[int, int] = {}
        self._wall_ms = 0

    # -- subscriptions --------------------------------------------------------------------------------------------

    def join(self, session: Session, name: str) -> None:
        """Subscribe `session` to `name`. Unknown names, and those of another category, stay silent."""
        if name in session.names:
            return
        session.names[name] = None
        feed = self._open(session.category, name)
        if feed is not None:
            feed.subscribers.append(session)

    def leave(self, session: Session, name: str) -> None:
        if name not in session.names:
            return
        del session.names[name]
        feed = self._feeds.get(name)
        if feed is not None and session in feed.subscribers:
            feed.subscribers.remove(session)
            if not feed.subscribers:
                self._close(feed)
        user = self._users.get(name)
        if user is not None and session in user.subscribers:
            user.subscribers.remove(session)
            if not user.subscribers:
                del self._users[name]

    def leave_all(self, session: Session) -> None:
        """Forget a connection that has gone."""
        for name in list(session.names):
            self.leave(session, name)

    def _open(self, category: Category, name: str) -> Feed | None:
        if category is Category.PRIVATE:
            if not self._listen_keys.is_valid(name, self._wall_ms):
                return None
            return self._users.setdefault(name, Feed(name))
        stream = parse(name)
        if stream is None or stream.category is not category:
            return None
        if stream.symbol and stream.symbol not in self._precisions:
            return None
        found = self._feeds.get(name)
        if found is None:
            found = self._feeds[name] = self._make(stream)
        return found

    def _make(self, stream: StreamName) -> MarketStream | MarkPriceStream:
        market = self._market
        if stream.kind is Kind.MARK_PRICE:
            mark = MarkPriceStream(stream, market, [stream.symbol] if stream.symbol else self._precisions)
            self._mark_prices.setdefault(stream.period_ms, []).append(mark)
            return mark
        precision = self._precisions[stream.symbol]
        streams = self._symbols.setdefault(stream.symbol, _SymbolStreams())
        if stream.kind is Kind.KLINE:
            kline = KlineStream(stream, market, precision)
            streams.klines.append(kline)
            return kline
        if stream.kind is Kind.AGG_TRADE:
            trades = AggTradeStream(stream, market, precision)
            streams.trades.append(trades)
            return trades
        if stream.kind is Kind.BOOK_TICKER:
            ticker = BookTickerStream(stream, market, precision)
            streams.tickers.append(ticker)
            self._quoted[ticker] = None
            return ticker
        depth: DepthStream = (PartialDepthStream if stream.levels else DiffDepthStream)(stream, market, precision)
        self._depths.setdefault(stream.period_ms, []).append(depth)
        return depth

    def _close(self, feed: MarketStream | MarkPriceStream) -> None:
        del self._feeds[feed.name]
        if isinstance(feed, MarkPriceStream):
            self._mark_prices[feed.stream.period_ms].remove(feed)
            return
        streams = self._symbols[feed.stream.symbol]
        if isinstance(feed, KlineStream):
            streams.klines.remove(feed)
            self._forming.pop(feed, None)
        elif isinstance(feed, AggTradeStream):
            streams.trades.remove(feed)
        elif isinstance(feed, BookTickerStream):
            streams.tickers.remove(feed)
            self._quoted.pop(feed, None)
        elif isinstance(feed, DepthStream):
            self._depths[feed.stream.period_ms].remove(feed)

    # -- events ---------------------------------------------------------------------------------------------------

    def publish(self, events: Iterable[ExchangeEvent]) -> None:
        """Send what these events mean, in their order."""
        for event in events:
            if isinstance(event, MarketTrade):
                self._on_trade(event)
            elif isinstance(event, KlineClosed):
                self._on_kline_closed(event)
            else:
                self._on_private(event)

    def _on_trade(self, trade: MarketTrade) -> None:
        streams = self._symbols.get(trade.symbol)
        if streams is None:
            return
        for kline in streams.klines:
            self._forming[kline] = None
        for ticker in streams.tickers:
            self._quoted[ticker] = None
        for trades in streams.trades:
            trades.send(trade)

    def _on_kline_closed(self, event: KlineClosed) -> None:
        streams = self._symbols.get(event.symbol)
        if streams is None:
            return
        for kline in streams.klines:
            interval = kline.stream.interval
            if interval == event.interval:
                kline.send_closed(event.kline, event.time_ms)
            elif open_time(interval, event.time_ms) == event.time_ms:
                opened = open_time(interval, event.time_ms - 1)
                for view in self._market.klines(event.symbol, interval, opened, opened, 1):
                    kline.send_closed(view, event.time_ms)
            else:
                continue
            self._forming.pop(kline, None)

    def _on_private(self, event: ExchangeEvent) -> None:
        if not self._users:
            return
        for kind, payload in self._payloads(event):
            for feed in self._users.values():
                feed.publish(payload, kind)

    def _payloads(self, event: ExchangeEvent) -> list[tuple[str, bytes]]:
        if isinstance(event, OrderEvent):
            precision = self._precisions[event.order.symbol]
            update = ("ORDER_TRADE_UPDATE", encode.order_trade_update(event, precision))
            if event.fill is None:
                return [update]
            return [("TRADE_LITE", encode.trade_lite(event, event.fill, precision)), update]
        if isinstance(event, AlgoEvent):
            return [("ALGO_UPDATE", encode.algo_update(event, self._precisions[event.order.symbol]))]
        if isinstance(event, AccountEvent):
            return [("ACCOUNT_UPDATE", encode.account_update(event))]
        if isinstance(event, AccountConfigEvent):
            return [("ACCOUNT_CONFIG_UPDATE", encode.account_config_update(event))]
        if isinstance(event, MarginCallEvent):
            return [("MARGIN_CALL", encode.margin_call(event))]
        raise TypeError(f"no stream payload for {type(event).__name__}")

    # -- time -----------------------------------------------------------------------------------------------------

    def tick(self, wall_ms: int) -> None:
        """Send what is due at wall time `wall_ms`: forming candles, quotes, mark prices, books, ended listen keys."""
        self._wall_ms = wall_ms
        for kline in [kline for kline in self._forming if kline.due_ms <= wall_ms]:
            del self._forming[kline]
            kline.send_forming(wall_ms)
        for ticker in self._quoted:
            ticker.send_if_changed()
        self._quoted.clear()
        for period_ms, marks in self._mark_prices.items():
            if marks and self._is_due(period_ms, wall_ms):
                for mark in marks:
                    mark.send()
        for period_ms, depths in self._depths.items():
            if depths and self._is_due(-period_ms, wall_ms):
                for depth in depths:
                    depth.send_if_changed()
        for key in self._listen_keys.drain_ended(wall_ms):
            self._end_user_stream(key)

    def show(self) -> None:
        """Send the present prices at once: forming candles, quotes, mark prices."""
        for streams in self._symbols.values():
            for kline in streams.klines:
                kline.send_forming(self._wall_ms)
            for ticker in streams.tickers:
                ticker.send_if_changed()
        self._forming.clear()
        self._quoted.clear()
        for marks in self._mark_prices.values():
            for mark in marks:
                mark.send()

    def note_book_shown(self, symbol: str, bids: Levels, asks: Levels) -> None:
        """A client has been given this snapshot: the next difference frame must bridge it."""
        for depths in self._depths.values():
            for depth in depths:
                if depth.stream.symbol == symbol:
                    depth.note_shown(bids, asks)

    def _is_due(self, period_key: int, wall_ms: int) -> bool:
        """Whether a new period (aligned to the wall clock) has begun. Depth periods carry a minus sign."""
        period = wall_ms // abs(period_key)
        if self._periods.get(period_key) == period:
            return False
        self._periods[period_key] = period
        return True

    def _end_user_stream(self, key: str) -> None:
        feed = self._users.get(key)
        if feed is None:
            return
        feed.publish(encode.listen_key_expired(key, self._market.now_ms))
        for subscriber in list(feed.subscribers):
            if isinstance(subscriber, Session):
                self.leave(subscriber, key)
